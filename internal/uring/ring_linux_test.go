package uring

import (
	"bytes"
	"testing"

	"golang.org/x/sys/unix"
)

const places = 32

func (w *Send) refused() bool { w.Alone(); return w.Errno != 0 }

// pairs returns n pairs of connected sockets that do not block, and a write to
// the first of each; closePairs closes them.
func pairs(t *testing.T, n int) (list []Send, peers []int) {
	for i := range n {
		p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		list, peers = append(list, Send{FD: int32(p[0]), P: []byte{byte(i), 'x'}}), append(peers, p[1])
	}
	return list, peers
}

func newUring(t *testing.T) *Ring {
	r, err := Open(places)
	if err != nil {
		t.Skip("this system has no io_uring for us: ", err)
	}
	t.Cleanup(r.Close)
	return r
}

// Each send is done once and in place when send returns; one that cannot be done
// says so at once, as a call of its own would, and keeps nobody waiting.
func TestUringSend(t *testing.T) {
	r := newUring(t)
	for round := range 3 * places { // around the rings
		list, peers := pairs(t, 1+round%places)
		full, reset := -1, -1
		if len(list) > 4 {
			full, reset = 1, 3
			for {
				if w := (Send{FD: list[full].FD, P: make([]byte, 4096)}); w.refused() {
					break
				}
			}
			_ = unix.Shutdown(int(list[reset].FD), unix.SHUT_WR)
		}
		if !r.Send(list) {
			t.Fatal("nothing was taken")
		}
		for i := range list {
			w := &list[i]
			switch i {
			case full:
				if w.Errno != unix.EAGAIN {
					t.Fatalf("to one that is full: %d, %v", w.N, w.Errno)
				}
			case reset:
				if w.Errno != unix.EPIPE {
					t.Fatalf("to one that is shut: %d, %v", w.N, w.Errno)
				}
			default:
				got := make([]byte, 8)
				n, err := unix.Read(peers[i], got)
				if w.N != 2 || w.Errno != 0 || err != nil || !bytes.Equal(got[:n], []byte{byte(i), 'x'}) {
					t.Fatalf("round %d, send %d: %d, %v; read %q, %v", round, i, w.N, w.Errno, got[:max(n, 0)], err)
				}
			}
		}
		closePairs(list, peers)
	}
}

func closePairs(list []Send, peers []int) {
	for i := range list {
		_, _ = unix.Close(int(list[i].FD)), unix.Close(peers[i])
	}
}

// A ring that the kernel does not take anything from does nothing, and can be
// used again.
func TestUringRefused(t *testing.T) {
	r := newUring(t)
	list, peers := pairs(t, 5)
	defer closePairs(list, peers)
	fd := r.fd
	r.fd = peers[0] // no ring
	if r.Send(list) {
		t.Error("taken by something that is no ring")
	}
	r.fd = fd
	if !r.Send(list) || list[4].N != 2 {
		t.Errorf("afterwards: %+v", list[4])
	}
}

func TestUringImpossible(t *testing.T) {
	if r, err := Open(1 << 30); err == nil {
		r.Close()
		t.Error("a ring of 2^30 places")
	}
}
