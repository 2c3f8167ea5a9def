package loop

import (
	"bytes"
	"testing"

	"golang.org/x/sys/unix"
)

// pairs returns n pairs of connected sockets that do not block, and a write to
// the first of each; closePairs closes them.
func pairs(t *testing.T, n int) (list []gathered, peers []int) {
	for i := range n {
		p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		list, peers = append(list, gathered{s: &slot{fd: int32(p[0])}, p: []byte{byte(i), 'x'}}), append(peers, p[1])
	}
	return list, peers
}

func newUring(t *testing.T) *uring {
	r, err := openUring(batchMax)
	if err != nil {
		t.Skip("this system has no io_uring for us: ", err)
	}
	t.Cleanup(r.close)
	return r
}

// Each send is done once and in place when send returns; one that cannot be done
// says so at once, as a call of its own would, and keeps nobody waiting.
func TestUringSend(t *testing.T) {
	r := newUring(t)
	for round := range 3 * batchMax { // around the rings
		list, peers := pairs(t, 1+round%batchMax)
		full, reset := -1, -1
		if len(list) > 4 {
			full, reset = 1, 3
			for {
				if _, errno := send(list[full].s.fd, make([]byte, 4096)); errno != 0 {
					break
				}
			}
			_ = unix.Shutdown(int(list[reset].s.fd), unix.SHUT_WR)
		}
		if !r.send(list) {
			t.Fatal("nothing was taken")
		}
		for i := range list {
			w := &list[i]
			switch i {
			case full:
				if w.errno != unix.EAGAIN {
					t.Fatalf("to one that is full: %d, %v", w.n, w.errno)
				}
			case reset:
				if w.errno != unix.EPIPE {
					t.Fatalf("to one that is shut: %d, %v", w.n, w.errno)
				}
			default:
				got := make([]byte, 8)
				n, err := unix.Read(peers[i], got)
				if w.n != 2 || w.errno != 0 || err != nil || !bytes.Equal(got[:n], []byte{byte(i), 'x'}) {
					t.Fatalf("round %d, send %d: %d, %v; read %q, %v", round, i, w.n, w.errno, got[:max(n, 0)], err)
				}
			}
		}
		closePairs(list, peers)
	}
}

func closePairs(list []gathered, peers []int) {
	for i := range list {
		_, _ = unix.Close(int(list[i].s.fd)), unix.Close(peers[i])
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
	if r.send(list) {
		t.Error("taken by something that is no ring")
	}
	r.fd = fd
	if !r.send(list) || list[4].n != 2 {
		t.Errorf("afterwards: %+v", list[4])
	}
}

func TestUringImpossible(t *testing.T) {
	if r, err := openUring(1 << 30); err == nil {
		r.close()
		t.Error("a ring of 2^30 places")
	}
}
