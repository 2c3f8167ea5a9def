package loop_test

import (
	"testing"
	"time"

	"github.com/rookery-server/rookery/loop"
)

// TestDeadlines: each deadline closes whom it should, for its own reason, and
// not before its time.
func TestDeadlines(t *testing.T) {
	const due = 80 * time.Millisecond
	for _, c := range []struct {
		name string
		o    loop.Options
		send string // before the clock counts
		want string
		r    loop.Reason
	}{
		{"handshake", loop.Options{HandshakeTimeout: due}, "", "", loop.ReasonHandshake},
		{"handshake with a part", loop.Options{HandshakeTimeout: due}, "par", "", loop.ReasonHandshake},
		{"idle", loop.Options{IdleTimeout: due}, "a\n", "a\n", loop.ReasonIdle},
		{"request", loop.Options{RequestTimeout: due}, "a\npar", "a\n", loop.ReasonRequestTimeout},
		{"request as the first", loop.Options{RequestTimeout: due}, "par", "", loop.ReasonRequestTimeout},
	} {
		t.Run(c.name, func(t *testing.T) {
			each(t, func(t *testing.T, portable bool) {
				closed, onClosed := ends(1)
				g, addr := newGroup(t, portable, c.o, &proto{step: echoLine, closed: onClosed})
				began := time.Now()
				k := dial(t, addr)
				k.send(c.send)
				if got := k.rest(); got != c.want {
					t.Errorf("got %q", got)
				}
				// Deadlines count in ticks; the one under way may be half over.
				if d := time.Since(began); d < due-10*time.Millisecond {
					t.Errorf("closed after %v", d)
				}
				if e := recv(t, closed); e.r != c.r {
					t.Errorf("closed for %v, want %v", e.r, c.r)
				}
				if n := g.Stats().Closed[c.r]; n != 1 {
					t.Errorf("counted %d times", n)
				}
			})
		})
	}
}

// TestRequestTimeoutIsAbsolute: dripping bytes do not put it off.
func TestRequestTimeoutIsAbsolute(t *testing.T) {
	each(t, func(t *testing.T, portable bool) {
		closed, onClosed := ends(1)
		o := loop.Options{RequestTimeout: 100 * time.Millisecond, IdleTimeout: 50 * time.Millisecond}
		_, addr := newGroup(t, portable, o, &proto{step: echoLine, closed: onClosed})
		c := dial(t, addr)
		drip := time.NewTicker(5 * time.Millisecond)
		defer drip.Stop()
		stop := time.After(patience)
		for {
			select {
			case <-drip.C:
				_, _ = c.Write([]byte("x"))
			case e := <-closed:
				if e.r != loop.ReasonRequestTimeout {
					t.Errorf("closed for %v", e.r)
				}
				return
			case <-stop:
				t.Fatal("still open")
			}
		}
	})
}

// speaker is a client that says something every so often, and knows whether
// the machine has kept it from that for so long that it counts as silent.
type speaker struct {
	*client
	last time.Time
	gap  time.Duration // the longest
}

func (s *speaker) speak() {
	s.t.Helper()
	s.gap = max(s.gap, time.Since(s.last))
	if s.gap > idleShort/2 {
		s.t.Skipf("this machine stalled for %v", s.gap)
	}
	s.send("a\n")
	s.expect("a\n")
	s.last = time.Now()
}

const idleShort = 500 * time.Millisecond

// TestActiveIsNotIdle: who speaks, has a worker, or listens to a stream stays;
// a silent neighbour is the clock.
func TestActiveIsNotIdle(t *testing.T) {
	each(t, func(t *testing.T, portable bool) {
		gate := newGate(t)
		closed, onClosed := ends(16)
		step := func(t *loop.Turn) loop.Verdict {
			switch line, _ := cutLine(t); string(line) {
			case "slow":
				return workLine(t)
			case "hold":
				return holdLine(t)
			}
			return echoLine(t)
		}
		p := &proto{step: step, closed: onClosed, work: func(j *loop.Job) { gate.wait(); echoRecord(j) }}
		_, addr := newGroup(t, portable, loop.Options{IdleTimeout: idleShort}, p)
		works, listens := dial(t, addr), dial(t, addr)
		works.send("slow\n")
		listens.send("hold\n")
		listens.expect("held\n")
		speaks := &speaker{client: dial(t, addr), last: time.Now()}
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for range 2 {
			silent := dial(t, addr)
			silent.send("a\n")
			silent.expect("a\n")
			for gone := false; !gone; {
				select {
				case <-tick.C:
					speaks.speak()
				case e := <-closed:
					if gone = true; e.r != loop.ReasonIdle {
						t.Errorf("closed for %v", e.r)
					}
				}
			}
			silent.expectGone()
		}
		gate.open()
		works.expect("slow\n")
		speaks.speak()
		listens.send("x")
	})
}

// TestIdleNever: a negative timeout turns it off.
func TestIdleNever(t *testing.T) {
	each(t, func(t *testing.T, portable bool) {
		closed, onClosed := ends(4)
		p := &proto{step: echoLine, closed: onClosed}
		_, addr := newGroup(t, portable, loop.Options{IdleTimeout: -1, HandshakeTimeout: 300 * time.Millisecond}, p)
		c := dial(t, addr)
		c.send("a\n")
		c.expect("a\n")
		for range 3 { // three silent neighbours pass for a clock
			dial(t, addr).expectGone()
			if e := recv(t, closed); e.r != loop.ReasonHandshake {
				t.Errorf("closed for %v", e.r)
			}
		}
		c.send("a\n")
		c.expect("a\n")
	})
}
