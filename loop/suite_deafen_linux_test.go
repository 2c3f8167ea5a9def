package loop_test

import (
	"bufio"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rookery-server/rookery/loop"
)

// stopPacer is asked and told nothing but when a group stops accepting.
type stopPacer struct {
	last  bool
	stops atomic.Int32
	stop  func(nth int32) // on the goroutine of the group
}

func (p *stopPacer) Add(int)             {}
func (p *stopPacer) Wait() time.Duration { return 0 }
func (p *stopPacer) Last() bool          { return p.last }

func (p *stopPacer) Accepting(on bool) {
	if !on {
		p.stop(p.stops.Add(1))
	}
}

// quickly is enough for a kernel to accept a connection of this machine, and not
// for a client to repeat a SYN that was dropped.
const quickly = 100 * time.Millisecond

// accepts reports whether the kernel accepts a connection to addr at once.
func accepts(addr string) (bool, error) {
	var to unix.Sockaddr = &unix.SockaddrUnix{Name: addr}
	family := unix.AF_UNIX
	if !strings.HasPrefix(addr, "/") {
		a, err := net.ResolveTCPAddr("tcp", addr)
		if err != nil {
			return false, err
		}
		family, to = unix.AF_INET6, &unix.SockaddrInet6{Port: a.Port, Addr: [16]byte(a.IP.To16())}
		if ip := a.IP.To4(); ip != nil {
			family, to = unix.AF_INET, &unix.SockaddrInet4{Port: a.Port, Addr: [4]byte(ip)}
		}
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return false, err
	}
	defer unix.Close(fd)
	switch err := unix.Connect(fd, to); {
	case err == nil:
		return true, nil
	case errors.Is(err, unix.ECONNREFUSED):
		return false, nil
	case !errors.Is(err, unix.EINPROGRESS):
		return false, err
	}
	set := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
	for {
		n, err := unix.Poll(set, int(quickly.Milliseconds()))
		if errors.Is(err, unix.EINTR) {
			continue
		}
		return n == 1 && set[0].Revents == unix.POLLOUT, err
	}
}

// listeners calls f for each kind of address, and the file of a unix socket.
func listeners(t *testing.T, f func(t *testing.T, addr string)) {
	for _, addr := range []string{"127.0.0.1:0", "[::1]:0", "unix:"} {
		t.Run(addr, func(t *testing.T) {
			addr := addr
			if addr == "unix:" {
				addr += filepath.Join(t.TempDir(), "s")
			} else if l, err := net.Listen("tcp", addr); err != nil {
				t.Skip("not on this host: ", err)
			} else {
				_ = l.Close()
			}
			f(t, addr)
		})
	}
}

// TestShutdownResetsNobody: a connection that the kernel accepts while the group
// stops accepting is served, and after the last accept the kernel accepts none
// that it would have to reset when the listener closes.
func TestShutdownResetsNobody(t *testing.T) {
	listeners(t, func(t *testing.T, addr string) {
		l := newLive(t)
		var at string
		early := make(chan *client, 1)
		p := &stopPacer{stop: func(nth int32) {
			switch nth {
			case 1: // the group is about to drain
				early <- dial(t, at)
			case 2: // the last connection has been accepted, and the listeners are open
				if yes, err := accepts(at); yes || err != nil {
					t.Errorf("a connection is accepted that nobody will serve (%v)", err)
				}
			}
		}}
		g, where := newGroupAt(t, false, loop.Options{Pacer: p, DrainMoment: patience}, addr, l)
		at = where
		done := shutdown(g, 2*patience)
		c := recv(t, early)
		c.send("x\n")
		if got := c.rest(); got != "x\nbye\n" {
			t.Errorf("got %q", got)
		}
		_ = c.Close()
		if err := recv(t, done); err != nil {
			t.Errorf("shutdown: %v", err)
		}
		if p.stops.Load() < 2 {
			t.Error("the moment before the listeners close was not seen")
		}
	})
}

// TestShutdownLeavesSharedSockets: a socket that others go on serving is as it
// was; the last that serves it has the kernel accept nothing more.
func TestShutdownLeavesSharedSockets(t *testing.T) {
	each(t, func(t *testing.T, portable bool) {
		listeners(t, func(t *testing.T, addr string) {
			f := bindTest(t, addr)
			for _, last := range []bool{false, true} {
				g, at := newGroupOn(t, portable, loop.Options{Pacer: &stopPacer{last: last, stop: func(int32) {}}}, f, &proto{step: echoLine})
				c := dial(t, at)
				c.send("a\n")
				c.expect("a\n")
				_ = c.Close()
				if err := recv(t, shutdown(g, patience)); err != nil {
					t.Fatalf("shutdown: %v", err)
				}
				if yes, err := accepts(at); yes == last || err != nil {
					t.Errorf("the last one %v: accepts %v, %v", last, yes, err)
				}
			}
		})
	})
}

// TestHandshakesEndBehindTheFilter: a connection that began before comes into
// being, and hears what is sent although it inherits the filter. With
// TCP_DEFER_ACCEPT the first data ends a handshake, whenever the test likes.
func TestHandshakesEndBehindTheFilter(t *testing.T) {
	ln, err := net.FileListener(bindTest(t, "127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	raw, err := ln.(*net.TCPListener).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	control := func(f func(fd int) error) {
		t.Helper()
		var failed error
		if err := raw.Control(func(fd uintptr) { failed = f(int(fd)) }); err != nil || failed != nil {
			t.Fatal(err, failed)
		}
	}
	control(func(fd int) error { return unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_DEFER_ACCEPT, 60) })
	c := dial(t, ln.Addr().String())
	control(func(fd int) error { return loop.Deafen(fd, "tcp") })
	c.send("first\n")
	_ = ln.(*net.TCPListener).SetDeadline(time.Now().Add(patience))
	s, err := ln.Accept()
	if err != nil {
		t.Fatal("the handshake did not end: ", err)
	}
	other := &client{t, s, bufio.NewReader(s)}
	_ = s.SetDeadline(time.Now().Add(patience))
	defer s.Close()
	other.expect("first\n")
	for range 3 {
		c.send("more\n")
		other.expect("more\n")
		other.send("answer\n")
		c.expect("answer\n")
	}
	_ = c.Close()
	if got := other.rest(); got != "" {
		t.Errorf("got %q", got)
	}
}

// TestDeafenErrors: what is no socket is an error that says so.
func TestDeafenErrors(t *testing.T) {
	f, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, network := range []string{"tcp", "unix"} {
		if err := loop.Deafen(int(f.Fd()), network); !errors.Is(err, unix.ENOTSOCK) {
			t.Errorf("%s: %v", network, err)
		}
	}
}
