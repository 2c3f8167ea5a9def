package loop_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/rookery-server/rookery/loop"
)

// share is a pacer as processes would share it: each group's counts in one
// place, and no group more than slack ahead of the least.
type share struct {
	all  []*share
	open atomic.Int64
	on   atomic.Bool
	wait atomic.Int64 // what Wait always says, unless zero
	last bool         // what Last says
}

const slack = 4

func (s *share) Add(n int)         { s.open.Add(int64(n)) }
func (s *share) Accepting(on bool) { s.on.Store(on) }
func (s *share) Last() bool        { return s.last }

func (s *share) Wait() time.Duration {
	if d := s.wait.Load(); d != 0 {
		return time.Duration(d)
	}
	for _, other := range s.all {
		if other.on.Load() && s.open.Load() > other.open.Load()+slack {
			return time.Minute // more than a group will wait
		}
	}
	return 0
}

// bindTest binds addr until the test ends.
func bindTest(t *testing.T, addr string) *os.File {
	t.Helper()
	f, err := loop.Bind(addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

// newGroupOn starts a group that serves f.
func newGroupOn(t *testing.T, portable bool, o loop.Options, f *os.File, p loop.Protocol) (*loop.Group, string) {
	t.Helper()
	o.Portable, o.Logger, o.Loops, o.TickEvery = portable, quiet(), testLoops, 5*time.Millisecond
	g, err := loop.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Close)
	a, err := g.ListenFile(f, p)
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Start(); err != nil {
		t.Fatal(err)
	}
	return g, a.String()
}

// TestListenFile: two groups serve one socket; when one of them ends the other
// goes on, and the socket belongs to whoever bound it.
func TestListenFile(t *testing.T) {
	each(t, func(t *testing.T, portable bool) {
		path := filepath.Join(t.TempDir(), "s")
		for _, addr := range []string{"127.0.0.1:0", "[::1]:0", "unix:" + path} {
			if strings.HasPrefix(addr, "[") {
				if f, err := loop.Bind(addr); err != nil {
					continue // no IPv6 on this host
				} else {
					_ = f.Close()
				}
			}
			f := bindTest(t, addr)
			first, at := newGroupOn(t, portable, loop.Options{}, f, &proto{step: echoLine})
			second, same := newGroupOn(t, portable, loop.Options{}, f, &proto{step: echoLine})
			if at != same || strings.HasSuffix(at, ":0") {
				t.Errorf("%s: the groups listen on %s and %s", addr, at, same)
			}
			first.Close()
			for range 3 {
				c := dial(t, at)
				c.send("a\n")
				c.expect("a\n")
			}
			if n := second.Stats().Open; n != 3 {
				t.Errorf("%s: %d connections, want 3", addr, n)
			}
			second.Close()
			if _, err := os.Lstat(path); strings.HasPrefix(addr, "unix:") && err != nil {
				t.Errorf("the socket's file belongs to who bound it: %v", err)
			}
		}
	})
}

// TestListenFileStaysNonblocking: the mode belongs to the socket, so one process
// that cleared it would have the loops of all others block in accept.
func TestListenFileStaysNonblocking(t *testing.T) {
	each(t, func(t *testing.T, portable bool) {
		f := bindTest(t, "127.0.0.1:0")
		check := func(when string) {
			t.Helper()
			flags, _, errno := syscall.Syscall(syscall.SYS_FCNTL, f.Fd(), syscall.F_GETFL, 0)
			if errno != 0 || flags&syscall.O_NONBLOCK == 0 {
				t.Errorf("%s: flags %o (%v), want non-blocking", when, flags, errno)
			}
		}
		check("bound")
		newGroupOn(t, portable, loop.Options{}, f, &proto{step: echoLine})
		check("served")
	})
}

// TestListenFileErrors: what is no listening socket is refused, with its name.
func TestListenFileErrors(t *testing.T) {
	each(t, func(t *testing.T, portable bool) {
		g, _ := newGroup(t, portable, loop.Options{}, &proto{step: echoLine})
		null, err := os.Open(os.DevNull)
		if err != nil {
			t.Fatal(err)
		}
		defer null.Close()
		if _, err := g.ListenFile(null, &proto{}); err == nil || !strings.Contains(err.Error(), os.DevNull) {
			t.Errorf("listening on a file: %v", err)
		}
		f := bindTest(t, "127.0.0.1:0")
		g.Close()
		if _, err := g.ListenFile(f, &proto{}); err == nil {
			t.Error("a group that is closed listens")
		}
		if _, err := loop.Bind("no-port"); err == nil || !strings.Contains(err.Error(), "no-port") {
			t.Errorf("bound to nonsense: %v", err)
		}
	})
}

// TestEvenSpread: groups that share a socket and a pacer get even shares.
func TestEvenSpread(t *testing.T) {
	const groups, clients = 3, 240
	each(t, func(t *testing.T, portable bool) {
		f := bindTest(t, "127.0.0.1:0")
		shares := make([]*share, groups)
		for i := range shares {
			shares[i] = &share{all: shares}
		}
		var at string
		all := make([]*loop.Group, groups)
		for i := range all {
			all[i], at = newGroupOn(t, portable, loop.Options{Pacer: shares[i]}, f, &proto{step: echoLine})
		}
		for range clients {
			c := dial(t, at)
			c.send("a\n")
			c.expect("a\n")
		}
		counts := ""
		for i, g := range all {
			n := g.Stats().Open
			counts += fmt.Sprintf(" %d", n)
			if got := shares[i].open.Load(); got != n {
				t.Errorf("group %d holds %d connections and told its pacer %d", i, n, got)
			}
			if n < clients/groups/2 {
				t.Errorf("group %d has %d of %d connections", i, n, clients)
			}
		}
		t.Log("spread:", counts)
		all[0].Close()
		if n, on := shares[0].open.Load(), shares[0].on.Load(); n != 0 || on {
			t.Errorf("after close: %d open, accepting %v", n, on)
		}
	})
}

// TestPacerHoldsNobody: whatever the pacer says, a client that nobody else takes
// is served.
func TestPacerHoldsNobody(t *testing.T) {
	each(t, func(t *testing.T, portable bool) {
		s := &share{}
		s.wait.Store(int64(time.Hour))
		_, at := newGroupOn(t, portable, loop.Options{Pacer: s}, bindTest(t, "127.0.0.1:0"), &proto{step: echoLine})
		for range 100 {
			c := dial(t, at)
			c.send("a\n")
			c.expect("a\n")
		}
	})
}

// TestPacerKnowsLimits: a group at its limit says that it does not accept, and
// says so again when it does.
func TestPacerKnowsLimits(t *testing.T) {
	each(t, func(t *testing.T, portable bool) {
		s := &share{}
		_, at := newGroupOn(t, portable, loop.Options{Pacer: s, ConnsMax: 2}, bindTest(t, "127.0.0.1:0"), &proto{step: echoLine})
		until(t, "it accepts", s.on.Load)
		a, b, c := dial(t, at), dial(t, at), dial(t, at)
		for _, c := range []*client{a, b} {
			c.send("a\n")
			c.expect("a\n")
		}
		until(t, "it is full", func() bool { return !s.on.Load() })
		_ = a.Close()
		_ = b.Close()
		c.send("a\n")
		c.expect("a\n")
		until(t, "it accepts again", s.on.Load)
	})
}
