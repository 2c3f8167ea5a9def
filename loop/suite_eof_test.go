package loop_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/rookery-server/rookery/loop"
)

// TestBytesWithFIN: what arrives together with the end is answered.
func TestBytesWithFIN(t *testing.T) {
	each(t, func(t *testing.T, portable bool) {
		for _, p := range []*proto{{step: echoLine}, {step: workLine, work: echoRecord}} {
			closed, onClosed := ends(1)
			p.closed = onClosed
			_, addr := newGroup(t, portable, loop.Options{}, p)
			for range 100 {
				c := dial(t, addr)
				c.send("one\ntwo\n")
				c.closeWrite()
				if got := c.rest(); got != "one\ntwo\n" {
					t.Fatalf("got %q", got)
				}
				if e := recv(t, closed); e.r != loop.ReasonPeerClosed {
					t.Fatalf("closed for %v", e.r)
				}
			}
		}
	})
}

// visit lets the loops look around: what arrived before it has been noticed
// when it returns, as far as that can be seen from outside.
func visit(t testing.TB, addr string) {
	t.Helper()
	for range 3 {
		c := dial(t, addr)
		c.send("quick\n")
		c.expect("quick\n")
		_ = c.Close()
	}
}

// slowLine sends "slow" lines to a worker and echoes others.
func slowLine(t *loop.Turn) loop.Verdict {
	if line, _ := cutLine(t); string(line) == "slow" {
		return workLine(t)
	}
	return echoLine(t)
}

// TestHalfClosed: a peer that has finished sending gets the answer that a
// worker, waiting or not, is still busy with.
func TestHalfClosed(t *testing.T) {
	each(t, func(t *testing.T, portable bool) {
		for _, how := range []string{"works", "waits", "releases"} {
			t.Run(how, func(t *testing.T) {
				gate := newGate(t)
				closed, onClosed := ends(8)
				work := func(j *loop.Job) {
					if how != "works" {
						if err := j.Leave(how == "releases"); err != nil {
							t.Error(err)
						}
					}
					gate.wait()
					if how == "releases" {
						if err := j.Conn.Write([]byte("done\n")); err != nil {
							t.Errorf("write: %v", err)
						}
						return
					}
					j.Out = append(j.Out, "done\n"...)
				}
				_, addr := newGroup(t, portable, loop.Options{Loops: 1}, &proto{step: slowLine, work: work, closed: onClosed})
				c := dial(t, addr)
				c.send("quick\nslow\n")
				c.expect("quick\n")
				c.closeWrite()
				visit(t, addr)
				gate.open()
				if got := c.rest(); got != "done\n" {
					t.Errorf("got %q", got)
				}
				for range 4 {
					if e := recv(t, closed); e.r != loop.ReasonPeerClosed {
						t.Errorf("closed for %v", e.r)
					}
				}
			})
		}
	})
}

// TestGone: a protocol learns that its peer has finished while a worker is at
// work, and may take that for a farewell.
func TestGone(t *testing.T) {
	each(t, func(t *testing.T, portable bool) {
		gate := newGate(t)
		defer gate.open()
		closed, onClosed := ends(1)
		begun := make(chan struct{})
		step := func(t *loop.Turn) loop.Verdict {
			if t.EOF && t.Busy {
				t.Reason = loop.ReasonApplication
				return loop.Abort
			}
			return slowLine(t)
		}
		work := func(*loop.Job) { close(begun); gate.wait() }
		_, addr := newGroup(t, portable, loop.Options{}, &proto{step: step, work: work, closed: onClosed})
		c := dial(t, addr)
		c.send("slow\n")
		recv(t, begun)
		c.closeWrite()
		if e := recv(t, closed); e.r != loop.ReasonApplication {
			t.Errorf("closed for %v", e.r)
		}
	})
}

// TestTruncated: the end in the middle of a message has a reason of its own.
// Protocols for which the end completes a message are shown it.
func TestTruncated(t *testing.T) {
	each(t, func(t *testing.T, portable bool) {
		closed, onClosed := ends(8)
		step := func(t *loop.Turn) loop.Verdict {
			if t.EOF && strings.HasPrefix(string(t.In), "lax") {
				t.N, t.Out = len(t.In), append(t.Out, "taken\n"...)
				return loop.Next
			}
			return echoLine(t)
		}
		_, addr := newGroup(t, portable, loop.Options{}, &proto{step: step, closed: onClosed})
		for _, c := range []struct {
			send, want string
			r          loop.Reason
		}{
			{"abc", "", loop.ReasonTruncated},
			{"one\nabc", "one\n", loop.ReasonTruncated},
			{"lax", "taken\n", loop.ReasonPeerClosed},
			{"one\nlax", "one\ntaken\n", loop.ReasonPeerClosed},
			{"", "", loop.ReasonPeerClosed},
		} {
			for _, visits := range []bool{false, true} {
				k := dial(t, addr)
				k.send(c.send)
				if visits {
					visit(t, addr)
					for range 3 {
						recv(t, closed)
					}
				}
				k.closeWrite()
				if got := k.rest(); got != c.want {
					t.Errorf("%q: got %q", c.send, got)
				}
				if e := recv(t, closed); e.r != c.r {
					t.Errorf("%q: closed for %v, want %v", c.send, e.r, c.r)
				}
			}
		}
	})
}

// TestTruncatedBehindWork: the answer to the message before still goes out.
func TestTruncatedBehindWork(t *testing.T) {
	each(t, func(t *testing.T, portable bool) {
		gate := newGate(t)
		closed, onClosed := ends(8)
		p := &proto{step: slowLine, work: func(j *loop.Job) { gate.wait(); echoRecord(j) }, closed: onClosed}
		_, addr := newGroup(t, portable, loop.Options{Loops: 1}, p)
		c := dial(t, addr)
		c.send("slow\nabc")
		c.closeWrite()
		visit(t, addr)
		for range 3 {
			recv(t, closed)
		}
		gate.open()
		if got := c.rest(); got != "slow\n" {
			t.Errorf("got %q", got)
		}
		if e := recv(t, closed); e.r != loop.ReasonTruncated {
			t.Errorf("closed for %v", e.r)
		}
	})
}

// TestReset: a peer's reset is noticed, also while a worker has its request,
// whose answer then is an error and nothing worse.
func TestReset(t *testing.T) {
	each(t, func(t *testing.T, portable bool) {
		gate, began, answered := newGate(t), make(chan struct{}, 1), make(chan error, 1)
		closed, onClosed := ends(1)
		p := &proto{step: slowLine, closed: onClosed, work: func(j *loop.Job) {
			began <- struct{}{}
			gate.wait()
			answered <- j.Conn.Write([]byte("late\n"))
		}}
		g, addr := newGroup(t, portable, loop.Options{}, p)
		idle := dial(t, addr)
		idle.send("quick\n")
		idle.expect("quick\n")
		idle.reset()
		if e := recv(t, closed); e.r != loop.ReasonPeerReset {
			t.Errorf("idle: closed for %v", e.r)
		}
		busy := dial(t, addr)
		busy.send("slow\nquick\n")
		busy.expect("quick\n")
		recv(t, began)
		busy.reset()
		if e := recv(t, closed); e.r != loop.ReasonPeerReset {
			t.Errorf("busy: closed for %v", e.r)
		}
		gate.open()
		if err := recv(t, answered); !errors.Is(err, loop.ErrClosed) {
			t.Errorf("write to a connection that was reset: %v", err)
		}
		if n := g.Stats().Closed[loop.ReasonPeerReset]; n != 2 {
			t.Errorf("%d resets counted", n)
		}
	})
}

// TestEndFlushes: End closes after all that was written has arrived, however
// much it is, and although the peer goes on sending.
func TestEndFlushes(t *testing.T) {
	const size = 8 << 20
	big := []byte(strings.Repeat("0123456789abcdef", size/16))
	each(t, func(t *testing.T, portable bool) {
		closed, onClosed := ends(1)
		step := func(t *loop.Turn) loop.Verdict {
			line, n := cutLine(t)
			if n == 0 {
				return loop.More
			}
			t.N, t.Reason = n, loop.ReasonProtocol
			if string(line) == "conn" {
				_ = t.Conn.Write(big)
				t.Conn.End(loop.ReasonApplication)
				return loop.Next
			}
			t.Out = append(t.Out, big...)
			return loop.End
		}
		_, addr := newGroup(t, portable, loop.Options{OutHigh: 1 << 20, OutMax: 64 << 20}, &proto{step: step, closed: onClosed})
		for line, want := range map[string]loop.Reason{"turn": loop.ReasonProtocol, "conn": loop.ReasonApplication} {
			c := dial(t, addr)
			c.send(line + "\n")
			go func() {
				junk := make([]byte, 64<<10)
				for {
					if _, err := c.Write(junk); err != nil {
						return
					}
				}
			}()
			got := make([]byte, size)
			n, err := readFull(c, got)
			if n != size {
				t.Fatalf("%s: %d of %d bytes, then %v", line, n, size, err)
			}
			if string(got) != string(big) {
				t.Errorf("%s: bytes differ", line)
			}
			_ = c.Close()
			if e := recv(t, closed); e.r != want {
				t.Errorf("%s: closed for %v", line, e.r)
			}
		}
	})
}

// TestAbort closes at once, without a word, and says why.
func TestAbort(t *testing.T) {
	each(t, func(t *testing.T, portable bool) {
		closed, onClosed := ends(1)
		step := func(t *loop.Turn) loop.Verdict {
			t.Conn.SetWord(77)
			t.Reason = loop.ReasonProtocol
			return loop.Abort
		}
		_, addr := newGroup(t, portable, loop.Options{}, &proto{step: step, closed: onClosed})
		c := dial(t, addr)
		c.send("x\n")
		c.expectGone()
		if e := recv(t, closed); e.r != loop.ReasonProtocol || e.word != 77 {
			t.Errorf("closed for %v, word %d", e.r, e.word)
		}
	})
}
