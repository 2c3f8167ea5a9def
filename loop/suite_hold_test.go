package loop_test

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rookery-server/rookery/loop"
)

// holdLine opens a stream on "hold" and echoes everything else.
func holdLine(t *loop.Turn) loop.Verdict {
	line, n := cutLine(t)
	if string(line) == "hold" {
		t.N, t.Out = n, append(t.Out, "held\n"...)
		return loop.Hold
	}
	return echoLine(t)
}

// opened returns a protocol with step whose connections come out of a channel.
func opened(step func(*loop.Turn) loop.Verdict) (*proto, chan loop.Conn) {
	conns := make(chan loop.Conn, 64)
	return &proto{step: step, open: func(c loop.Conn) { conns <- c }}, conns
}

func TestHold(t *testing.T) {
	each(t, func(t *testing.T, portable bool) {
		p, conns := opened(holdLine)
		g, addr := newGroup(t, portable, loop.Options{}, p)
		c := dial(t, addr)
		s := recv(t, conns)
		for range 3 {
			c.send("a\nhold\nb\n")
			c.expect("a\nheld\n")
			until(t, "it counts as held", func() bool { return g.Stats().Held == 1 })
			c.send("c\n")
			for range 10 {
				if err := s.Write([]byte("event\n")); err != nil {
					t.Fatal(err)
				}
			}
			c.expect(strings.Repeat("event\n", 10))
			s.Release()
			c.expect("b\nc\n")
			if n := g.Stats().Held; n != 0 {
				t.Errorf("%d held after release", n)
			}
		}
	})
}

// TestHoldReleasedEarly: a stream may be over before the loop has heard of it.
func TestHoldReleasedEarly(t *testing.T) {
	each(t, func(t *testing.T, portable bool) {
		step := func(t *loop.Turn) loop.Verdict {
			v := holdLine(t)
			if v == loop.Hold {
				done := make(chan struct{})
				go func() { t.Conn.Release(); close(done) }()
				<-done
			}
			return v
		}
		g, addr := newGroup(t, portable, loop.Options{}, &proto{step: step})
		c := dial(t, addr)
		for range 50 {
			c.send("hold\na\n")
			c.expect("held\na\n")
		}
		if n := g.Stats().Held; n != 0 {
			t.Errorf("%d held", n)
		}
	})
}

// TestReleaseWithoutHold does nothing, now or later.
func TestReleaseWithoutHold(t *testing.T) {
	each(t, func(t *testing.T, portable bool) {
		p, conns := opened(holdLine)
		g, addr := newGroup(t, portable, loop.Options{}, p)
		c := dial(t, addr)
		s := recv(t, conns)
		c.send("a\n")
		c.expect("a\n")
		s.Release()
		c.send("b\n")
		c.expect("b\n")
		c.send("hold\nc\n")
		c.expect("held\n")
		until(t, "it counts as held", func() bool { return g.Stats().Held == 1 })
		s.Release()
		c.expect("c\n")
	})
}

// TestHoldBound: behind an open stream no more than HoldMax bytes are read;
// none of them is lost.
func TestHoldBound(t *testing.T) {
	const holdMax = 8 << 10
	each(t, func(t *testing.T, portable bool) {
		p, conns := opened(holdLine)
		g, addr := newGroup(t, portable, loop.Options{HoldMax: holdMax}, p)
		c := dial(t, addr)
		s := recv(t, conns)
		c.send("hold\n")
		c.expect("held\n")
		lines := strings.Repeat("behind the stream\n", 30_000)
		go c.send(lines)
		until(t, "reading pauses", func() bool { return g.Stats().Pauses[loop.PauseHold] == 1 })
		if err := s.Write([]byte("event\n")); err != nil {
			t.Error(err)
		}
		c.expect("event\n")
		if n := g.Stats().BytesIn; n > holdMax+int64(len("hold\n")) {
			t.Errorf("%d bytes read behind a stream, the bound is %d", n, holdMax)
		}
		s.Release()
		c.expect(lines)
	})
}

// TestHoldTick: held connections, and only they, hear from the clock.
func TestHoldTick(t *testing.T) {
	each(t, func(t *testing.T, portable bool) {
		p := &proto{step: holdLine, tick: func(c loop.Conn) { _ = c.Write([]byte(":\n")) }}
		o := loop.Options{KeepAlive: 20 * time.Millisecond, IdleTimeout: 10 * time.Millisecond}
		closed, onClosed := ends(4)
		p.closed = onClosed
		_, addr := newGroup(t, portable, o, p)
		c := dial(t, addr)
		began := time.Now() // the ticks may be there before this goroutine is
		c.send("hold\n")
		c.expect("held\n")
		c.expect(":\n:\n:\n:\n:\n")
		if d := time.Since(began); d < 4*o.KeepAlive {
			t.Errorf("five ticks in %v", d)
		}
		idle := dial(t, addr)
		idle.send("a\n")
		if got := idle.rest(); got != "a\n" {
			t.Errorf("a connection that is not held got %q", got)
		}
		if e := recv(t, closed); e.r != loop.ReasonIdle {
			t.Errorf("closed for %v", e.r)
		}
		c.expect(":\n")
	})
}

// TestHoldEOF: the end of the peer's bytes closes a held connection, whenever
// it comes.
func TestHoldEOF(t *testing.T) {
	each(t, func(t *testing.T, portable bool) {
		closed, onClosed := ends(1)
		p := &proto{step: holdLine, closed: onClosed}
		g, addr := newGroup(t, portable, loop.Options{}, p)
		for i := range 50 {
			c := dial(t, addr)
			c.send("hold\n")
			if i%2 == 0 {
				c.expect("held\n")
			}
			if i%3 == 0 {
				c.send("behind\n")
			}
			c.closeWrite()
			if got := c.rest(); got != "" && got != "held\n" {
				t.Errorf("got %q", got)
			}
			if e := recv(t, closed); e.r != loop.ReasonPeerClosed {
				t.Errorf("closed for %v", e.r)
			}
		}
		if n := g.Stats().Held; n != 0 {
			t.Errorf("%d held", n)
		}
	})
}

// TestHoldMany: streams on many connections are independent of one another.
func TestHoldMany(t *testing.T) {
	each(t, func(t *testing.T, portable bool) {
		var word atomic.Uint64
		p, conns := opened(holdLine)
		g, addr := newGroup(t, portable, loop.Options{}, p)
		const n = 50
		clients, served := make([]*client, n), make([]loop.Conn, n)
		for i := range n {
			clients[i] = dial(t, addr)
			served[i] = recv(t, conns)
			if !served[i].SetWord(word.Add(1)) {
				t.Fatal("SetWord on an open connection failed")
			}
			clients[i].send("hold\n")
		}
		for i, c := range clients {
			c.expect("held\n")
			if w := served[i].Word(); w != uint64(i+1) {
				t.Errorf("word %d of connection %d", w, i)
			}
		}
		until(t, "all are held", func() bool { return g.Stats().Held == n })
		for i := 0; i < n; i += 2 {
			served[i].Release()
			clients[i].send("a\n")
			clients[i].expect("a\n")
		}
		if held := g.Stats().Held; held != n/2 {
			t.Errorf("%d held, want %d", held, n/2)
		}
	})
}
