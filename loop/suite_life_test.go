package loop_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/rookery-server/rookery/loop"
)

// live serves what the tests of shutdown need: "slow" goes to a worker that
// waits at the gate, "hold" opens a stream, drained connections hear "bye".
type live struct {
	*proto
	gate *gate
	ends chan end
}

func newLive(t testing.TB) *live {
	l := &live{gate: newGate(t)}
	var onClosed func(loop.Handle, uint64, loop.Reason)
	l.ends, onClosed = ends(64)
	l.proto = &proto{
		closed: onClosed,
		drain:  func(c loop.Conn) { _ = c.Write([]byte("bye\n")) },
		work:   func(j *loop.Job) { l.gate.wait(); echoRecord(j) },
		step: func(t *loop.Turn) loop.Verdict {
			switch line, _ := cutLine(t); string(line) {
			case "slow":
				return workLine(t)
			case "hold":
				return holdLine(t)
			}
			return echoLine(t)
		},
	}
	return l
}

// shutdown runs Shutdown and returns its result in a channel.
func shutdown(g *loop.Group, limit time.Duration) chan error {
	done := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), limit)
		defer cancel()
		done <- g.Shutdown(ctx)
	}()
	return done
}

// refused waits until nobody listens at addr any more. A listener that is about to
// close may be deaf: who asks then hears nothing.
func refused(t testing.TB, addr string) {
	t.Helper()
	until(t, "connections are refused", func() bool {
		c, err := net.DialTimeout("tcp", addr, 50*time.Millisecond)
		if err == nil {
			_ = c.Close()
		}
		return errors.Is(err, syscall.ECONNREFUSED)
	})
}

// TestShutdownDrains: what is in flight is answered, idle and held connections
// hear goodbye, and when Shutdown returns nothing is left.
func TestShutdownDrains(t *testing.T) {
	each(t, func(t *testing.T, portable bool) {
		l := newLive(t)
		g, addr := newGroup(t, portable, loop.Options{}, l)
		idle, busy, held, fresh := dial(t, addr), dial(t, addr), dial(t, addr), dial(t, addr)
		idle.send("a\n")
		idle.expect("a\n")
		busy.send("a\nslow\nslow\n")
		busy.expect("a\n")
		held.send("hold\n")
		held.expect("held\n")
		until(t, "all are open", func() bool { return g.Stats().Open == 4 })
		done := shutdown(g, patience)
		for _, c := range []*client{idle, held, fresh} {
			if got := c.rest(); got != "bye\n" {
				t.Errorf("got %q", got)
			}
			_ = c.Close()
		}
		refused(t, addr)
		select {
		case err := <-done:
			t.Errorf("over while a request is in flight: %v", err)
		default:
		}
		l.gate.open()
		if got := busy.rest(); got != "slow\nslow\nbye\n" {
			t.Errorf("busy got %q", got)
		}
		_ = busy.Close()
		if err := recv(t, done); err != nil {
			t.Errorf("shutdown: %v", err)
		}
		for range 4 {
			if e := recv(t, l.ends); e.r != loop.ReasonShutdown && e.r != loop.ReasonPeerClosed {
				t.Errorf("closed for %v", e.r)
			}
		}
		if st := g.Stats(); st.Open != 0 || st.Held != 0 || st.Running != 0 || st.InHeld != 0 || st.OutHeld != 0 {
			t.Errorf("left behind: %+v", st)
		}
		if err := g.Shutdown(context.Background()); err != nil {
			t.Errorf("second shutdown: %v", err)
		}
	})
}

// TestShutdownWaitsForReleased: a handler that released its connection and
// waits is in flight too, and what it waits for still gets in.
func TestShutdownWaitsForReleased(t *testing.T) {
	each(t, func(t *testing.T, portable bool) {
		for _, release := range []bool{false, true} {
			a := newAsker(release)
			g, addr := newGroup(t, portable, loop.Options{}, &proto{step: a.step, work: a.work})
			c := dial(t, addr)
			c.send("ask\n")
			c.expect("question\n")
			done := shutdown(g, patience)
			refused(t, addr)
			c.send("answer\n")
			if got := c.rest(); got != "answer came\n" {
				t.Errorf("release %v: got %q", release, got)
			}
			_ = c.Close()
			if err := recv(t, done); err != nil {
				t.Errorf("release %v: shutdown: %v", release, err)
			}
		}
	})
}

// TestShutdownForces: at its deadline Shutdown closes what is left and says so;
// Close then waits for the handlers.
func TestShutdownForces(t *testing.T) {
	each(t, func(t *testing.T, portable bool) {
		l := newLive(t)
		var over atomic.Bool
		l.work = func(*loop.Job) { l.gate.wait(); over.Store(true) }
		g, addr := newGroup(t, portable, loop.Options{}, l)
		busy := dial(t, addr)
		busy.send("a\nslow\n")
		busy.expect("a\n")
		until(t, "the worker is at work", func() bool { return g.Stats().Running == 1 })
		if err := recv(t, shutdown(g, 50*time.Millisecond)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("shutdown: %v", err)
		}
		busy.expectGone()
		if e := recv(t, l.ends); e.r != loop.ReasonShutdown {
			t.Errorf("closed for %v", e.r)
		}
		closed := make(chan bool, 1)
		go func() { g.Close(); closed <- over.Load() }()
		select {
		case <-closed:
			t.Fatal("Close returned while the handler runs")
		case <-time.After(20 * time.Millisecond): // long enough to see it go wrong
		}
		l.gate.open()
		if !recv(t, closed) {
			t.Error("Close did not wait for the handler")
		}
	})
}

// TestClose closes everything at once, held output included.
func TestClose(t *testing.T) {
	each(t, func(t *testing.T, portable bool) {
		l := newLive(t)
		p, conns := opened(l.step)
		p.closed = l.closed
		g, addr := newGroup(t, portable, loop.Options{OutMax: 64 << 20}, p)
		held, slow, idle := dial(t, addr), dialSmall(t, addr), dial(t, addr)
		held.send("hold\n")
		held.expect("held\n")
		for range 3 {
			s := recv(t, conns)
			if s.RemoteAddr().String() == slow.LocalAddr().String() {
				if err := s.Write(make([]byte, 32<<20)); err != nil {
					t.Fatal(err)
				}
			}
		}
		g.Close()
		for _, c := range []*client{held, slow, idle} {
			c.expectGone()
		}
		for range 3 {
			if e := recv(t, l.ends); e.r != loop.ReasonShutdown {
				t.Errorf("closed for %v", e.r)
			}
		}
		g.Close()
	})
}

// TestLifeOrder: verbs out of order are errors or nothing, never a panic.
func TestLifeOrder(t *testing.T) {
	each(t, func(t *testing.T, portable bool) {
		mk := func() *loop.Group {
			g, err := loop.New(loop.Options{Portable: portable, Logger: quiet(), Loops: 1})
			if err != nil {
				t.Fatal(err)
			}
			return g
		}
		p := &proto{step: echoLine}
		mk().Close() // never started

		g := mk() // stopped before it was started
		a, err := g.Listen("127.0.0.1:0", p)
		if err != nil {
			t.Fatal(err)
		}
		if err := g.Shutdown(context.Background()); err != nil {
			t.Errorf("shutdown: %v", err)
		}
		refused(t, a.String())
		if err := g.Start(); !errors.Is(err, loop.ErrStopped) {
			t.Errorf("start after shutdown: %v", err)
		}
		if _, err := g.Listen("127.0.0.1:0", p); !errors.Is(err, loop.ErrStopped) {
			t.Errorf("listen after shutdown: %v", err)
		}

		g = mk() // listening after start, and before
		defer g.Close()
		b1, err := g.Listen("127.0.0.1:0", p)
		if err != nil {
			t.Fatal(err)
		}
		early := dial(t, b1.String()) // waits in the backlog
		early.send("a\n")
		if err := g.Start(); err != nil {
			t.Fatal(err)
		}
		early.expect("a\n")
		b2, err := g.Listen("127.0.0.1:0", p)
		if err != nil {
			t.Fatal(err)
		}
		late := dial(t, b2.String())
		late.send("a\n")
		late.expect("a\n")
	})
}

// TestSeveralGroups: groups in one process do not know of one another.
func TestSeveralGroups(t *testing.T) {
	each(t, func(t *testing.T, portable bool) {
		const n = 4
		groups, clients := make([]*loop.Group, n), make([]*client, n)
		for i := range groups {
			var addr string
			groups[i], addr = newGroup(t, portable, loop.Options{Loops: 1 + i%2}, &proto{step: workLine, work: echoRecord})
			clients[i] = dial(t, addr)
		}
		for i := range groups {
			for _, c := range clients[i:] {
				c.send("a\n")
				c.expect("a\n")
			}
			groups[i].Close()
			clients[i].expectGone()
		}
	})
}

// TestStatsAddUp: counters and what clients have seen agree.
func TestStatsAddUp(t *testing.T) {
	each(t, func(t *testing.T, portable bool) {
		p := &proto{work: echoRecord, step: func(t *loop.Turn) loop.Verdict {
			if line, _ := cutLine(t); len(line) > 0 && line[0] == 'w' {
				return workLine(t)
			}
			return echoLine(t)
		}}
		g, addr := newGroup(t, portable, loop.Options{}, p)
		const clients, messages = 20, 30
		bytes := int64(0)
		for i := range clients {
			c := dial(t, addr)
			for m := range messages {
				s := strings.Repeat("iw"[m%2:m%2+1], 1+m*i) + "\n"
				bytes += int64(len(s))
				c.send(s)
				c.expect(s)
			}
			if i%2 == 0 {
				c.closeWrite()
				c.rest()
			}
			_ = c.Close()
		}
		until(t, "all are closed", func() bool { return g.Stats().Open == 0 })
		st := g.Stats()
		var closed int64
		for _, n := range st.Closed {
			closed += n
		}
		for _, c := range []struct {
			what      string
			got, want int64
		}{
			{"accepted", st.Accepted, clients},
			{"closed", closed, clients},
			{"closed by peers", st.Closed[loop.ReasonPeerClosed], clients},
			{"messages", st.Messages, clients * messages},
			{"records", st.Records, clients * messages / 2},
			{"bytes in", st.BytesIn, bytes},
			{"bytes out", st.BytesOut, bytes},
			{"held in", st.InHeld, 0},
			{"held out", st.OutHeld, 0},
			{"attached", st.Attached, 0},
			{"refused", st.Refused, 0},
			{"panics", st.Panics, 0},
		} {
			if c.got != c.want {
				t.Errorf("%s: %d, want %d", c.what, c.got, c.want)
			}
		}
		want := "epoll"
		if portable {
			want = "portable"
		}
		if st.Backend != want || st.Loops < 1 || st.Uptime <= 0 || st.SlotBytes <= 0 || st.TableBytes <= 0 {
			t.Errorf("of the group: %+v", st)
		}
		if st.Batch.Quantile(0.5) <= 0 || st.Batch.Sum <= 0 {
			t.Errorf("no batch was timed")
		}
	})
}
