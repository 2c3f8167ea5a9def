package loop_test

import (
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rookery-server/rookery/loop"
)

// TestBudgetOutput: held output beyond the budget of the process closes the
// client that would pass it, not its neighbour.
func TestBudgetOutput(t *testing.T) {
	each(t, func(t *testing.T, portable bool) {
		closed, onClosed := ends(2)
		p, conns := opened(echoLine)
		p.closed = onClosed
		g, addr := newGroup(t, portable, loop.Options{Budget: 1 << 20, OutMax: 64 << 20}, p)
		other := dial(t, addr)
		recv(t, conns)
		dialSmall(t, addr)
		s := recv(t, conns)
		sum, err := flood(s, make([]byte, 64<<10), 64<<20)
		if !errors.Is(err, loop.ErrBudget) {
			t.Errorf("after %d bytes: %v", sum, err)
		}
		if e := recv(t, closed); e.r != loop.ReasonBudget || e.h != s.Handle() {
			t.Errorf("closed for %v", e.r)
		}
		until(t, "nothing is held", func() bool { st := g.Stats(); return st.OutHeld == 0 && st.InHeld == 0 })
		other.send("a\n")
		other.expect("a\n")
	})
}

// TestBudgetInput: when unfinished messages use the budget up, those who send
// them are not read from and others are served, told that work is unwelcome.
// Who does not finish in time makes room for those who do.
func TestBudgetInput(t *testing.T) {
	each(t, func(t *testing.T, portable bool) {
		var overloaded atomic.Bool
		closed, onClosed := ends(8)
		step := func(t *loop.Turn) loop.Verdict {
			if t.Overloaded && len(t.In) < 100 {
				overloaded.Store(true)
			}
			return echoLine(t)
		}
		o := loop.Options{Budget: 256 << 10, ReadBuffer: 16 << 10, RequestTimeout: 400 * time.Millisecond}
		g, addr := newGroup(t, portable, o, &proto{step: step, closed: onClosed})
		other, hog := dial(t, addr), dial(t, addr)
		hog.send("hello\n")
		hog.expect("hello\n")
		go func() { _, _ = hog.Write([]byte(strings.Repeat("unfinished", 200_000))) }()
		until(t, "reading pauses", func() bool { return g.Stats().Pauses[loop.PauseBudget] > 0 })
		other.send("short\n")
		other.expect("short\n")
		if !overloaded.Load() {
			t.Error("Step was not told")
		}
		if n := g.Stats().InHeld; n > 2*o.Budget {
			t.Errorf("%d bytes held, the budget is %d", n, o.Budget)
		}
		if e := recv(t, closed); e.r != loop.ReasonBudget && e.r != loop.ReasonRequestTimeout {
			t.Errorf("closed for %v", e.r)
		}
		until(t, "nothing is held", func() bool { return g.Stats().InHeld == 0 })
		long := strings.Repeat("x", 100<<10) + "\n"
		go other.send(long)
		other.expect(long)
	})
}

// TestBudgetResumes: a sender that paused for the budget goes on when another
// gives its share back.
func TestBudgetResumes(t *testing.T) {
	each(t, func(t *testing.T, portable bool) {
		gate := newGate(t)
		p := &proto{work: func(j *loop.Job) { gate.wait(); j.Out = append(j.Out, "done\n"...) }}
		p.step = func(t *loop.Turn) loop.Verdict {
			if line, _ := cutLine(t); len(line) > 0 && line[0] == 'w' {
				return workLine(t)
			}
			return echoLine(t)
		}
		o := loop.Options{Budget: 1 << 20, QueueMax: 16 << 20, ReadBuffer: 16 << 10}
		g, addr := newGroup(t, portable, o, p)
		hog, other := dial(t, addr), dial(t, addr)
		other.send("hello\n")
		other.expect("hello\n")
		const lines = 8000
		work := "w" + strings.Repeat("x", 1000) + "\n"
		go hog.send(strings.Repeat(work, lines))
		until(t, "reading pauses", func() bool { return g.Stats().Pauses[loop.PauseBudget] > 0 })
		long := strings.Repeat("x", 200<<10) + "\n"
		go other.send(long)
		until(t, "reading pauses again", func() bool { return g.Stats().Pauses[loop.PauseBudget] > 1 })
		gate.open()
		hog.expect(strings.Repeat("done\n", lines))
		other.expect(long)
		until(t, "nothing is held", func() bool { return g.Stats().InHeld == 0 })
	})
}
