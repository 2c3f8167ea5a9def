package loop_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/rookery-server/rookery/loop"
)

// TestOutputPausesReading: a client that asks and does not read is not read
// from beyond OutHigh, and served to the last byte when it reads again.
func TestOutputPausesReading(t *testing.T) {
	const requests, size = 600, 32 << 10
	answer := append(bytes.Repeat([]byte("a"), size-1), '\n')
	each(t, func(t *testing.T, portable bool) {
		o := loop.Options{OutHigh: 256 << 10, OutLow: 32 << 10, OutMax: 64 << 20}
		g, addr := newGroup(t, portable, o, &proto{step: func(t *loop.Turn) loop.Verdict {
			_, n := cutLine(t)
			if n == 0 {
				return loop.More
			}
			t.N, t.Out = n, append(t.Out, answer...)
			return loop.Next
		}})
		c := dialSmall(t, addr)
		go c.send(strings.Repeat("?\n", requests))
		until(t, "reading pauses", func() bool { return g.Stats().Pauses[loop.PauseOut] == 1 })
		st := g.Stats()
		if st.OutHeld < int64(o.OutLow) || st.OutHeld > int64(o.OutHigh)+256<<10 {
			t.Errorf("%d bytes held, marks are %d and %d", st.OutHeld, o.OutLow, o.OutHigh)
		}
		if st.Messages == requests {
			t.Error("all requests were taken from a client that does not read")
		}
		if n, err := io.CopyN(io.Discard, c.in, requests*size); err != nil {
			t.Fatalf("%d of %d bytes, then %v", n, requests*size, err)
		}
		until(t, "nothing is held", func() bool { return g.Stats().OutHeld == 0 })
		c.send("?\n")
		c.expect(string(answer))
	})
}

// flood writes p until that fails and returns how much was taken and why it
// ended.
func flood(c loop.Conn, p []byte, most int) (int, error) {
	for sum := 0; ; sum += len(p) {
		if err := c.Write(p); err != nil || sum > most {
			return sum, err
		}
	}
}

// TestOutputBound: a client that takes nothing is closed as slow when OutMax
// bytes are held, and the writer is told.
func TestOutputBound(t *testing.T) {
	each(t, func(t *testing.T, portable bool) {
		closed, onClosed := ends(1)
		p, conns := opened(echoLine)
		p.closed = onClosed
		o := loop.Options{OutMax: 1 << 20}
		g, addr := newGroup(t, portable, o, p)
		c := dialSmall(t, addr)
		s := recv(t, conns)
		sum, err := flood(s, make([]byte, 64<<10), 64<<20)
		if !errors.Is(err, loop.ErrSlow) {
			t.Errorf("after %d bytes: %v", sum, err)
		}
		if sum < o.OutMax {
			t.Errorf("closed after %d bytes, allowed are %d", sum, o.OutMax)
		}
		if e := recv(t, closed); e.r != loop.ReasonSlow {
			t.Errorf("closed for %v", e.r)
		}
		if err := s.Write([]byte("x")); !errors.Is(err, loop.ErrClosed) {
			t.Errorf("write after close: %v", err)
		}
		c.expectGone()
		until(t, "nothing is held", func() bool { return g.Stats().OutHeld == 0 })
	})
}

// TestWriteStall: held output that makes no progress closes the client, one
// that is to be closed after it too.
func TestWriteStall(t *testing.T) {
	each(t, func(t *testing.T, portable bool) {
		closed, onClosed := ends(1)
		p, conns := opened(echoLine)
		p.closed = onClosed
		o := loop.Options{WriteStall: 100 * time.Millisecond, OutMax: 64 << 20}
		g, addr := newGroup(t, portable, o, p)
		for _, ending := range []bool{false, true} {
			c := dialSmall(t, addr)
			s := recv(t, conns)
			began := time.Now()
			if err := s.Write(make([]byte, 16<<20)); err != nil {
				t.Fatal(err)
			}
			if ending {
				s.End(loop.ReasonDone)
			}
			if e := recv(t, closed); e.r != loop.ReasonSlow {
				t.Errorf("ending %v: closed for %v", ending, e.r)
			}
			if d := time.Since(began); d < o.WriteStall {
				t.Errorf("ending %v: closed after %v", ending, d)
			}
			c.expectGone()
		}
		if n := g.Stats().OutHeld; n != 0 {
			t.Errorf("%d bytes held", n)
		}
	})
}

// TestRingFull: connections that find the ring to the workers full are not
// read from, and go on by themselves with nothing lost.
func TestRingFull(t *testing.T) {
	each(t, func(t *testing.T, portable bool) {
		gate := newGate(t)
		o := loop.Options{Loops: 1, Workers: 1, RingSize: 2}
		g, addr := newGroup(t, portable, o, &proto{step: workLine, work: func(j *loop.Job) {
			gate.wait()
			echoRecord(j)
		}})
		const n, rounds = 40, 20
		clients := make([]*client, n)
		for i := range clients {
			clients[i] = dial(t, addr)
			clients[i].send(fmt.Sprintf("first %d\n", i))
		}
		until(t, "reading pauses", func() bool { return g.Stats().Pauses[loop.PauseRing] > 0 })
		if st := g.Stats(); st.RingDepth > st.RingCap || st.RingCap != 2 || st.Running > 1 {
			t.Errorf("depth %d, bound %d, running %d", st.RingDepth, st.RingCap, st.Running)
		}
		gate.open()
		for i, c := range clients {
			c.expect(fmt.Sprintf("first %d\n", i))
		}
		for r := range rounds {
			for i, c := range clients {
				c.send(fmt.Sprintf("%d to %d\nagain\n", r, i))
			}
			for i, c := range clients {
				c.expect(fmt.Sprintf("%d to %d\nagain\n", r, i))
			}
		}
		until(t, "the ring is empty", func() bool { st := g.Stats(); return st.RingDepth == 0 && st.Running == 0 })
	})
}

// TestQueueMax: the records of one connection that wait are bounded; the
// connection is read on when the worker has caught up.
func TestQueueMax(t *testing.T) {
	const queueMax, size, messages = 4 << 10, 100, 5000
	each(t, func(t *testing.T, portable bool) {
		gate := newGate(t)
		o := loop.Options{QueueMax: queueMax, ReadBuffer: 4 << 10}
		g, addr := newGroup(t, portable, o, &proto{step: workLine, work: func(j *loop.Job) {
			gate.wait()
			echoRecord(j)
		}})
		c, other := dial(t, addr), dial(t, addr)
		var all strings.Builder
		for i := range messages {
			fmt.Fprintf(&all, "%0*d\n", size-1, i)
		}
		go c.send(all.String())
		until(t, "reading pauses", func() bool { return g.Stats().Pauses[loop.PauseQueue] >= 1 })
		visitIdle(t, g)
		// What a worker has in hand and what waits for it may reach the bound
		// each, and one record may pass it.
		if n := g.Stats().Records * size; n > 2*(queueMax+size) {
			t.Errorf("%d bytes of records queued, the bound is %d", n, queueMax)
		}
		other.send("other\n")
		gate.open()
		other.expect("other\n")
		c.expect(all.String())
		if n := g.Stats().Records; n != messages+1 {
			t.Errorf("%d records, want %d", n, messages+1)
		}
	})
}

// visitIdle waits until the counter of bytes read stands still over some looks.
func visitIdle(t testing.TB, g *loop.Group) {
	t.Helper()
	last, same := int64(-1), 0
	until(t, "reading stands still", func() bool {
		if n := g.Stats().BytesIn; n == last {
			same++
		} else {
			last, same = n, 0
		}
		return same == 5
	})
}

// TestQueueMaxLarge: a record larger than the bound passes, alone.
func TestQueueMaxLarge(t *testing.T) {
	each(t, func(t *testing.T, portable bool) {
		g, addr := newGroup(t, portable, loop.Options{QueueMax: 1 << 10}, &proto{step: workLine, work: echoRecord})
		c := dial(t, addr)
		s := strings.Repeat(strings.Repeat("large ", 5000)+"\n", 20)
		go c.send(s)
		c.expect(s)
		if g.Stats().Pauses[loop.PauseQueue] == 0 {
			t.Error("reading never paused")
		}
	})
}
