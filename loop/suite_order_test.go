package loop_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/rookery-server/rookery/loop"
)

// TestOrderThroughWorkers: answers keep the order of requests although some
// are handled on the loop and some by workers, in whatever pieces they arrive.
func TestOrderThroughWorkers(t *testing.T) {
	each(t, func(t *testing.T, portable bool) {
		var inside, atOnce atomic.Int32
		p := &proto{
			step: func(t *loop.Turn) loop.Verdict {
				line, n := cutLine(t)
				if n > 0 && line[0] == 'i' && !t.Busy {
					return echoLine(t)
				}
				return workLine(t)
			},
			work: func(j *loop.Job) {
				if inside.Add(1) > 1 {
					atOnce.Add(1)
				}
				if j.Record[len(j.Record)-2] == '7' {
					runtime.Gosched()
				}
				echoRecord(j)
				inside.Add(-1)
			},
		}
		g, addr := newGroup(t, portable, loop.Options{QueueMax: 2 << 10}, p)
		c := dial(t, addr)
		var all strings.Builder
		rnd := rand.New(rand.NewPCG(1, 2))
		const messages = 3000
		for i := range messages {
			fmt.Fprintf(&all, "%c%d\n", "iw"[rnd.IntN(2)], i)
		}
		s := all.String()
		go func() {
			for at := 0; at < len(s); {
				n := min(1+rnd.IntN(300), len(s)-at)
				c.send(s[at : at+n])
				at += n
			}
		}()
		c.expect(s)
		if n := atOnce.Load(); n > 0 {
			t.Errorf("%d times two workers had the same connection", n)
		}
		if st := g.Stats(); st.Messages != messages || st.Records == 0 || st.Records > messages {
			t.Errorf("messages %d, records %d", st.Messages, st.Records)
		}
	})
}

// TestBusy: while a worker has earlier messages Step is told so, and what it
// handles all the same does not wait.
func TestBusy(t *testing.T) {
	each(t, func(t *testing.T, portable bool) {
		gate := newGate(t)
		p := &proto{
			step: func(t *loop.Turn) loop.Verdict {
				line, n := cutLine(t)
				switch string(line) {
				case "":
					return loop.More
				case "work":
					return workLine(t)
				}
				t.N, t.Out = n, fmt.Appendf(t.Out, "%s %v\n", line, t.Busy)
				return loop.Next
			},
			work: func(j *loop.Job) { gate.wait(); echoRecord(j) },
		}
		_, addr := newGroup(t, portable, loop.Options{}, p)
		c := dial(t, addr)
		c.send("ping\n")
		c.expect("ping false\n")
		c.send("work\nwork\nping\n")
		c.expect("ping true\n")
		c.send("ping\n")
		c.expect("ping true\n")
		gate.open()
		c.expect("work\nwork\n")
		until(t, "the worker lets the connection go", func() bool {
			c.send("ping\n")
			return c.line() == "ping false"
		})
	})
}

// TestQuickReplyIsNotKept: a reply leaves although the connection's next record
// takes its time.
func TestQuickReplyIsNotKept(t *testing.T) {
	each(t, func(t *testing.T, portable bool) {
		gate := newGate(t)
		p := &proto{step: workLine, work: func(j *loop.Job) {
			if string(j.Record) == "slow\n" {
				gate.wait()
			}
			echoRecord(j)
		}}
		_, addr := newGroup(t, portable, loop.Options{}, p)
		c := dial(t, addr)
		for range 20 {
			c.send("quick\nquick\nslow\n")
			c.expect("quick\nquick\n")
			gate.pass()
			c.expect("slow\n")
		}
	})
}

// TestScan: parser state stays as long as a message is unfinished and is zero
// at the start of the next.
func TestScan(t *testing.T) {
	each(t, func(t *testing.T, portable bool) {
		var fault atomic.Pointer[string]
		bad := func(s string) { fault.Store(&s) }
		step := func(t *loop.Turn) loop.Verdict {
			seen := int(t.Scan[0])
			if seen > len(t.In) || seen > 0 && t.Scan[1] != uint64(t.In[0]) {
				bad(fmt.Sprintf("scan %v before %q", *t.Scan, t.In))
			}
			for i := seen; i < len(t.In); i++ {
				if t.In[i] == '\n' {
					return echoLine(t)
				}
			}
			t.Scan[0], t.Scan[1] = uint64(len(t.In)), uint64(t.In[0])
			return loop.More
		}
		_, addr := newGroup(t, portable, loop.Options{}, &proto{step: step})
		a, b := dial(t, addr), dial(t, addr)
		for i := range 50 {
			a.send("abc")
			b.send("xyz")
			s := strings.Repeat("d", i)
			a.send(s + "\nq\nw")
			b.send(s + "\n")
			a.expect("abc" + s + "\nq\n")
			b.expect("xyz" + s + "\n")
			a.send("\n")
			a.expect("w\n")
		}
		if s := fault.Load(); s != nil {
			t.Error(*s)
		}
	})
}

// TestLargeMessage: a message grows far beyond the read buffer, up to the
// limit and not over it.
func TestLargeMessage(t *testing.T) {
	const limit = 1 << 20
	each(t, func(t *testing.T, portable bool) {
		closed, onClosed := ends(1)
		o := loop.Options{MessageMax: limit, ReadBuffer: 4 << 10}
		g, addr := newGroup(t, portable, o, &proto{step: echoLine, closed: onClosed})
		c := dial(t, addr)
		for _, n := range []int{10, 5000, 100_000, limit - 1, 10} {
			s := strings.Repeat("z", n-1) + "\n"
			go c.send(s)
			c.expect(s)
		}
		until(t, "held input is given back", func() bool { return g.Stats().InHeld == 0 })
		go func() { _, _ = c.Write([]byte(strings.Repeat("z", limit+64<<10))) }()
		if e := recv(t, closed); e.r != loop.ReasonTooLarge {
			t.Errorf("closed for %v", e.r)
		}
		c.expectGone()
	})
}

// TestMoreConsumes: white space before an unfinished message may be given up.
func TestMoreConsumes(t *testing.T) {
	each(t, func(t *testing.T, portable bool) {
		closed, onClosed := ends(1)
		step := func(t *loop.Turn) loop.Verdict {
			blank := len(t.In) - len(bytes.TrimLeft(t.In, " "))
			if blank == len(t.In) {
				t.N = blank
				return loop.More
			}
			t.In = t.In[blank:]
			v := echoLine(t)
			t.N += blank // also before an unfinished line
			return v
		}
		_, addr := newGroup(t, portable, loop.Options{}, &proto{step: step, closed: onClosed})
		c := dial(t, addr)
		c.send("a\n")
		c.expect("a\n")
		for i := range 30 {
			c.send("    ")
			if i%2 == 0 {
				c.send("  b")
				c.send("b\n ")
				c.expect("bb\n")
			}
		}
		c.send("   ")
		c.closeWrite()
		if e := recv(t, closed); e.r != loop.ReasonPeerClosed {
			t.Errorf("closed for %v", e.r)
		}
	})
}
