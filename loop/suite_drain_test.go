package loop_test

import (
	"context"
	"testing"

	"github.com/rookery-server/rookery/loop"
)

// TestShutdownAnswersWhatIsOnItsWay: who has just connected, or has sent a part
// of a request, does not know that the group stops. It is answered, told that the
// connection ends, and nothing more.
func TestShutdownAnswersWhatIsOnItsWay(t *testing.T) {
	each(t, func(t *testing.T, portable bool) {
		l := newLive(t)
		l.step = func(t *loop.Turn) loop.Verdict {
			line, n := cutLine(t)
			if t.Draining && n > 0 {
				t.Out = append(t.Out, "last:"...)
			}
			if string(line) == "slow" {
				return workLine(t)
			}
			return echoLine(t)
		}
		g, addr := newGroup(t, portable, loop.Options{Loops: 1, DrainMoment: patience}, l)
		fresh, atWorker, partial, idle := dial(t, addr), dial(t, addr), dial(t, addr), dial(t, addr)
		partial.send("a\nb")
		partial.expect("a\n")
		idle.send("a\n")
		idle.expect("a\n")
		until(t, "all are open", func() bool { return g.Stats().Open == 4 })
		done := shutdown(g, 2*patience)
		refused(t, addr)
		idle.expect("bye\n") // the loop knows
		l.gate.open()
		fresh.send("c\n")
		atWorker.send("slow\n")
		partial.send("d\n")
		for _, c := range []struct {
			*client
			want string
		}{{fresh, "last:c\nbye\n"}, {atWorker, "last:slow\nbye\n"}, {partial, "last:bd\nbye\n"}} {
			if got := c.rest(); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
			_ = c.Close()
		}
		if err := recv(t, done); err != nil {
			t.Errorf("shutdown: %v", err)
		}
	})
}

// TestShutdownServesTheBacklog: connections that the kernel has accepted, and
// nobody else yet, are served before the listener closes.
func TestShutdownServesTheBacklog(t *testing.T) {
	each(t, func(t *testing.T, portable bool) {
		stuck, inside := newGate(t), make(chan struct{}, 1)
		l := newLive(t)
		l.step = func(t *loop.Turn) loop.Verdict {
			if line, _ := cutLine(t); string(line) == "stick" {
				inside <- struct{}{}
				stuck.wait() // and with it the loop that accepts
			}
			return echoLine(t)
		}
		g, addr := newGroup(t, portable, loop.Options{Loops: 1, DrainMoment: patience}, l)
		first := dial(t, addr)
		first.send("stick\n")
		recv(t, inside)
		var waiting []*client
		for range 20 {
			c := dial(t, addr)
			c.send("x\n")
			waiting = append(waiting, c)
		}
		done := shutdown(g, 2*patience)
		stuck.open()
		for _, c := range waiting {
			if got := c.rest(); got != "x\nbye\n" {
				t.Errorf("got %q", got)
			}
			_ = c.Close()
		}
		if got := first.rest(); got != "stick\nbye\n" {
			t.Errorf("the first got %q", got)
		}
		_ = first.Close()
		if err := recv(t, done); err != nil {
			t.Errorf("shutdown: %v", err)
		}
	})
}

// TestShutdownDoesNotWaitForTheSilent: a connection on which nothing comes is
// closed when the moment for its request is over.
func TestShutdownDoesNotWaitForTheSilent(t *testing.T) {
	each(t, func(t *testing.T, portable bool) {
		l := newLive(t)
		g, addr := newGroup(t, portable, loop.Options{}, l)
		fresh, partial := dial(t, addr), dial(t, addr)
		partial.send("half")
		until(t, "both are open", func() bool { return g.Stats().Open == 2 })
		done := shutdown(g, patience)
		for _, c := range []*client{fresh, partial} {
			if got := c.rest(); got != "bye\n" {
				t.Errorf("got %q", got)
			}
			_ = c.Close()
		}
		if err := recv(t, done); err != nil {
			t.Errorf("shutdown: %v", err)
		}
	})
}

// TestCloseEndsShutdown, whatever moment of it has come.
func TestCloseEndsShutdown(t *testing.T) {
	each(t, func(t *testing.T, portable bool) {
		for range 20 {
			g, _ := newGroup(t, portable, loop.Options{Loops: 1}, &proto{step: echoLine})
			done := make(chan error, 1)
			go func() { done <- g.Shutdown(context.Background()) }()
			g.Close()
			if err := recv(t, done); err != nil {
				t.Errorf("shutdown: %v", err)
			}
		}
	})
}
