package loop_test

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rookery-server/rookery/loop"
)

// asker is a protocol whose handler asks its own client something and waits:
// "ask" is a record, "answer" is handled on the loop, "work" is a record that
// is answered, "cancel" is handled on the loop and ends the wait.
type asker struct {
	release bool
	mu      sync.Mutex
	waiting map[loop.Handle]chan string // guarded by mu
	left    chan error                  // what Leave said
}

func newAsker(release bool) *asker {
	return &asker{release: release, waiting: map[loop.Handle]chan string{}, left: make(chan error, 64)}
}

func (a *asker) step(t *loop.Turn) loop.Verdict {
	line, n := cutLine(t)
	switch s := string(line); s {
	case "":
		return loop.More
	case "answer", "cancel":
		t.N = n
		a.mu.Lock()
		defer a.mu.Unlock()
		select {
		case a.waiting[t.Conn.Handle()] <- s:
		default:
		}
		return loop.Next
	}
	return workLine(t)
}

func (a *asker) work(j *loop.Job) {
	if string(j.Record) != "ask\n" {
		echoRecord(j)
		return
	}
	c := make(chan string, 1)
	a.mu.Lock()
	a.waiting[j.Conn.Handle()] = c
	a.mu.Unlock()
	j.Out = append(j.Out, "question\n"...) // Leave sends it
	err := j.Leave(a.release)
	a.left <- err
	if err != nil {
		j.Out = append(j.Out, "overloaded\n"...)
		return
	}
	select {
	case s := <-c:
		j.Return()
		_ = j.Conn.Write([]byte(s + " came\n"))
	case <-time.After(patience):
	}
}

// TestAnswerToWaitingHandler: the answer to a handler's question, and a
// cancellation, arrive on the very connection that waits.
func TestAnswerToWaitingHandler(t *testing.T) {
	each(t, func(t *testing.T, portable bool) {
		for _, release := range []bool{false, true} {
			a := newAsker(release)
			g, addr := newGroup(t, portable, loop.Options{Workers: 1}, &proto{step: a.step, work: a.work})
			c := dial(t, addr)
			for _, s := range []string{"answer", "cancel", "answer"} {
				c.send("ask\nwork\n")
				c.expect("question\n")
				if release { // later records run meanwhile
					c.expect("work\n")
				}
				if n := g.Stats().Waiting; n != 1 {
					t.Errorf("%d waiting, want 1", n)
				}
				c.send(s + "\n")
				c.expect(s + " came\n")
				if !release { // later records keep their place
					c.expect("work\n")
				}
			}
			until(t, "nobody waits", func() bool { st := g.Stats(); return st.Waiting == 0 && st.Running == 0 })
		}
	})
}

// TestManyWait: waiting handlers never keep work from being done, up to
// WaitingMax; beyond it they are told.
func TestManyWait(t *testing.T) {
	const waiters = 30
	each(t, func(t *testing.T, portable bool) {
		a := newAsker(false)
		o := loop.Options{Workers: 1, WaitingMax: waiters}
		g, addr := newGroup(t, portable, o, &proto{step: a.step, work: a.work})
		clients := make([]*client, waiters)
		for i := range clients {
			clients[i] = dial(t, addr)
			clients[i].send("ask\n")
			clients[i].expect("question\n")
			if err := recv(t, a.left); err != nil {
				t.Fatal(err)
			}
		}
		if n := g.Stats().Waiting; n != waiters {
			t.Errorf("%d waiting, want %d", n, waiters)
		}
		c := dial(t, addr)
		c.send("work\n")
		c.expect("work\n")
		c.send("ask\n")
		if err := recv(t, a.left); !errors.Is(err, loop.ErrTooManyWaiting) {
			t.Errorf("one too many: %v", err)
		}
		c.expect("question\noverloaded\n")
		for _, c := range clients {
			c.send("answer\n")
			c.expect("answer came\n")
		}
		until(t, "nobody waits", func() bool { return g.Stats().Waiting == 0 })
	})
}

// TestReleasedRecords: records already in a worker's hands when it releases
// the connection are worked on in order by another.
func TestReleasedRecords(t *testing.T) {
	each(t, func(t *testing.T, portable bool) {
		a := newAsker(true)
		_, addr := newGroup(t, portable, loop.Options{Workers: 2}, &proto{step: a.step, work: a.work})
		c := dial(t, addr)
		var want strings.Builder
		for range 200 {
			want.WriteString("a\nb\nc\n")
		}
		c.send("ask\n" + want.String())
		c.expect("question\n" + want.String())
		c.send("answer\n")
		c.expect("answer came\n")
		c.send("work\n")
		c.expect("work\n")
	})
}

// TestFlush: what a handler has flushed arrives while it goes on.
func TestFlush(t *testing.T) {
	each(t, func(t *testing.T, portable bool) {
		gate := newGate(t)
		work := func(j *loop.Job) {
			if j.Wait < 0 || j.Wait > patience {
				t.Errorf("waited %v", j.Wait)
			}
			j.Out = append(j.Out, "early\n"...)
			if err := j.Flush(); err != nil {
				t.Error(err)
			}
			gate.wait()
			j.Out = append(j.Out, "late\n"...)
			j.End, j.Reason = true, loop.ReasonDone
		}
		closed, onClosed := ends(1)
		_, addr := newGroup(t, portable, loop.Options{}, &proto{step: workLine, work: work, closed: onClosed})
		c := dial(t, addr)
		c.send("x\n")
		c.expect("early\n")
		gate.open()
		if got := c.rest(); got != "late\n" {
			t.Errorf("got %q", got)
		}
		_ = c.Close()
		if e := recv(t, closed); e.r != loop.ReasonDone {
			t.Errorf("closed for %v", e.r)
		}
	})
}

// TestPanics: a panic in any method costs its connection, is counted, and
// nothing else happens.
func TestPanics(t *testing.T) {
	each(t, func(t *testing.T, portable bool) {
		for _, method := range []string{"open", "step", "work", "waiting", "tick", "closed"} {
			t.Run(method, func(t *testing.T) {
				closed, onClosed := ends(4)
				oops := func(m string) {
					if m == method {
						panic("oops in " + m)
					}
				}
				p := &proto{
					open: func(c loop.Conn) { oops("open") },
					step: func(t *loop.Turn) loop.Verdict {
						line, n := cutLine(t)
						switch string(line) {
						case "":
							return loop.More
						case "hold":
							return holdLine(t)
						case "end":
							t.N, t.Reason = n, loop.ReasonDone
							return loop.End
						}
						oops("step")
						return workLine(t)
					},
					work: func(j *loop.Job) {
						oops("work")
						if err := j.Leave(false); err != nil {
							t.Error(err)
						}
						oops("waiting")
						echoRecord(j)
					},
					tick: func(loop.Conn) { oops("tick") },
					closed: func(h loop.Handle, w uint64, r loop.Reason) {
						onClosed(h, w, r)
						oops("closed")
					},
				}
				g, addr := newGroup(t, portable, loop.Options{KeepAlive: 10 * time.Millisecond, Workers: 1}, p)
				for i := range 3 {
					c := dial(t, addr)
					switch method {
					case "tick":
						c.send("hold\n")
					case "closed":
						c.send("end\n")
					default:
						_, _ = c.Write([]byte("work\n"))
					}
					c.expectGone()
					_ = c.Close()
					want := loop.ReasonPanic
					if method == "closed" {
						want = loop.ReasonDone
					}
					if e := recv(t, closed); e.r != want {
						t.Errorf("closed for %v", e.r)
					}
					until(t, "it is counted", func() bool { return g.Stats().Panics == int64(i+1) })
				}
				until(t, "nothing runs", func() bool { st := g.Stats(); return st.Running == 0 && st.Waiting == 0 && st.Open == 0 })
			})
		}
	})
}
