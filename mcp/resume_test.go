package mcp

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func withEvents(events *fakeEvents) func(*Options) {
	return func(o *Options) { o.Events = events }
}

// getAfter opens a GET stream as a client that saw the event last, "" none.
func (b *testbed) getAfter(st StreamID, header, last string) string {
	if last != "" {
		header += "\r\nLast-Event-ID: " + last
	}
	x, e := exchange(st, "GET /mcp HTTP/1.1\r\nHost: h\r\n"+header+"\r\n\r\n")
	if e != nil {
		panic(e)
	}
	b.do(x)
	return b.host.peek(st)
}

// peek returns all that was written to a connection.
func (h *fakeHost) peek(st StreamID) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return string(h.out[st])
}

func (h *fakeHost) breakOff(st StreamID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.broken[st] = true
}

var (
	idLine  = regexp.MustCompile(`(?m)^id: (\S+)$`)
	nMember = regexp.MustCompile(`"n":(\d+)`)
)

func lastID(out string) string {
	ids := idLine.FindAllStringSubmatch(out, -1)
	if len(ids) == 0 {
		return ""
	}
	return ids[len(ids)-1][1]
}

// TestExactlyOnce notifies a session from all sides while its client loses its
// stream again and again, without a word or with one, and takes it up again. It
// must see everything once, and what one sender sent in order.
func TestExactlyOnce(t *testing.T) {
	const senders, each = 3, 400
	events := newFakeEvents()
	events.max = senders * each
	b := newTestbed(withEvents(events))
	header, ref := b.newSession(t, 1, "2025-11-25")
	var all strings.Builder
	last := lastID(b.getAfter(10, header, ""))
	var wg sync.WaitGroup
	var sending atomic.Int32
	sending.Store(senders)
	// Some of it is sent after the first stream has ended, and some when the
	// server knows that, however the rest falls.
	ended, known := make(chan struct{}), make(chan struct{})
	for sender := range senders {
		wg.Go(func() {
			defer sending.Add(-1)
			for i := range each {
				switch i {
				case each / 3:
					<-ended
				case each / 2:
					<-known
				}
				if err := b.Notify(ref, "notifications/test", map[string]int{"n": sender*each + i}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for st := StreamID(10); ; st++ {
		for range rand.IntN(20) {
			b.AppendKeepAlive(nil, st, ref) // gives way to the senders
		}
		done := sending.Load() == 0
		b.host.End(st) // what is written from now on is lost
		seen := b.host.take(st)
		all.WriteString(seen)
		if id := lastID(seen); id != "" {
			last = id
		}
		if st == 10 {
			sent := b.Stats().Sent
			close(ended)
			for b.Stats().Sent == sent {
				runtime.Gosched()
			}
			b.disconnect(st)
			close(known)
			for b.Stats().Kept == 0 {
				runtime.Gosched()
			}
		} else if rand.IntN(2) == 0 {
			b.disconnect(st)
		} // else the server learns by the next stream
		if b.getAfter(st+1, header, last); done {
			all.WriteString(b.host.take(st + 1))
			break
		}
	}
	wg.Wait()
	var next [senders]int
	for _, m := range nMember.FindAllStringSubmatch(all.String(), -1) {
		n, _ := strconv.Atoi(m[1])
		if n%each != next[n/each] {
			t.Fatalf("sender %d: event %d where %d was due", n/each, n%each, next[n/each])
		}
		next[n/each]++
	}
	if next != [senders]int{each, each, each} {
		t.Errorf("received %v of %d each", next, each)
	}
	if st := b.Stats(); st.StreamsResumed == 0 || st.Replayed == 0 || st.Kept == 0 || st.ResumesRefused != 0 {
		t.Errorf("%+v", st)
	}
}

// TestResumedCalls does the same to the stream of a call.
func TestResumedCalls(t *testing.T) {
	const steps = 300
	events := newFakeEvents()
	b := newTestbed(withEvents(events))
	if err := b.AddTool(Tool{Name: "count", Handle: func(_ context.Context, c *Call) (*ToolResult, error) {
		for i := range steps {
			if err := c.Notify("notifications/test", map[string]int{"n": i}); err != nil {
				return nil, err
			}
		}
		return Text("counted"), nil
	}}); err != nil {
		t.Fatal(err)
	}
	header, _ := b.newSession(t, 1, "2025-11-25")
	x, _ := exchange(10, post(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"count"}}`, header))
	var call sync.WaitGroup
	call.Go(func() { b.do(x) })
	var all strings.Builder
	last := ""
	for st := StreamID(10); !strings.Contains(all.String(), "counted"); st++ {
		for last == "" && st == 10 && lastID(b.host.peek(st)) == "" {
			b.Stats() // until there is something to come back for
		}
		b.host.End(st)
		seen := b.host.take(st)
		all.WriteString(seen)
		if id := lastID(seen); id != "" {
			last = id
		}
		if st > 10 && rand.IntN(2) == 0 {
			b.disconnect(st)
		}
		b.getAfter(st+1, header, last)
	}
	call.Wait()
	next := 0
	for _, m := range nMember.FindAllStringSubmatch(all.String(), -1) {
		if m[1] != strconv.Itoa(next) {
			t.Fatalf("event %s where %d was due", m[1], next)
		}
		next++
	}
	if next != steps {
		t.Errorf("%d of %d events", next, steps)
	}
}

// TestLostEvents: what could not be kept is lost for those who were away, and
// they are told.
func TestLostEvents(t *testing.T) {
	events := newFakeEvents()
	b := newTestbed(withEvents(events))
	header, ref := b.newSession(t, 1, "2025-11-25")
	notify := func() error { return b.Notify(ref, "notifications/test", nil) }
	if err := notify(); !errors.Is(err, ErrNoStream) {
		t.Errorf("no stream ever: %v", err)
	}
	last := lastID(b.getAfter(2, header, ""))
	events.full = true
	if err := notify(); err != nil || !strings.Contains(b.host.peek(2), "notifications/test") {
		t.Errorf("open stream: %v", err)
	}
	seen := lastID(b.host.take(2))
	b.disconnect(2)
	if out := b.getAfter(3, header, last); !strings.Contains(out, "404") {
		t.Errorf("resumed behind what is lost: %q", out)
	}
	if out := b.getAfter(4, header, seen); !strings.Contains(out, "200") {
		t.Errorf("not resumed though nothing is missed: %q", out)
	}
	b.host.breakOff(4)
	if err := notify(); !errors.Is(err, errBroken) {
		t.Errorf("broken stream, nothing kept: %v", err)
	}
	b.disconnect(4)
	if err := notify(); !errors.Is(err, ErrNoStream) {
		t.Errorf("no stream, nothing kept: %v", err)
	}
	events.full = false
	if err := notify(); err != nil {
		t.Errorf("no stream, kept: %v", err)
	}
}

// TestStreamsThatCannotOpen: a client that is gone before its stream is open
// leaves none behind.
func TestStreamsThatCannotOpen(t *testing.T) {
	b := newTestbed(withEvents(newFakeEvents()))
	header, ref := b.newSession(t, 1, "2025-11-25")
	for st := StreamID(2); st < 4; st++ {
		b.host.breakOff(st)
		b.getAfter(st, header, "")
	}
	if sess, _ := b.sessions.Load(ref); sess.Stream != 0 || sess.Listening() {
		t.Errorf("%+v", sess)
	}
	first := lastID(b.getAfter(4, header, ""))
	b.getAfter(5, header, "")
	b.host.breakOff(6)
	b.getAfter(6, header, first) // an older stream than the latest
	if sess, _ := b.sessions.Load(ref); sess.Stream != 5 || sess.Listening() {
		t.Errorf("%+v", sess)
	}
	if st := b.Stats(); st.StreamsReplaced != 1 {
		t.Errorf("%d streams were replaced, want the one taken up again", st.StreamsReplaced)
	}
	b.getAfter(7, header, "") // one more than the latest
	for i := range heldMax {
		b.getAfter(StreamID(10+i), header, "")
	}
	if !b.host.ended[5] || b.host.ended[7] {
		t.Error("not the oldest of too many streams was ended")
	}
	b.StreamClosed(99, ref) // never one of its streams
}

// TestSessionEndsUnderStreams: a session may end between any two steps.
func TestSessionEndsUnderStreams(t *testing.T) {
	events := newFakeEvents()
	b := newTestbed(func(o *Options) {
		o.Events = events
		o.Sessions = vanishing{o.Sessions.(*fakeSessions)}
	})
	header, ref := b.newSession(t, 1, "2025-11-25")
	if out := b.getAfter(2, header, ""); !strings.Contains(out, "404") {
		t.Errorf("opened: %q", out)
	}
	if out := b.getAfter(3, header, "80000001-1"); !strings.Contains(out, "404") {
		t.Errorf("resumed: %q", out)
	}
	b.sessions.m[ref] = Session{ID: b.sessions.m[ref].ID, Protocol: Revision20251125, Stream: 9, Gets: 2}
	for _, last := range []string{"", "1-0", "2-0"} {
		if out := b.getAfter(4, header, last); !strings.Contains(out, "404") {
			t.Errorf("after %q: %q", last, out)
		}
	}
	if err := b.Notify(ref, "notifications/test", nil); err == nil {
		t.Error("notified")
	}
	if b.openPost(ref) != nil {
		t.Error("the stream of a call without a log")
	}
	if events.left() != 0 {
		t.Errorf("%d logs and bodies left", events.left())
	}
}

// TestCallOutlivesSession: a call whose session ended sends to nobody.
func TestCallOutlivesSession(t *testing.T) {
	events := newFakeEvents()
	b := newTestbed(withEvents(events))
	type step = func(c *Call) error
	steps := make(chan step)
	results := make(chan error)
	if err := b.AddTool(Tool{Name: "steps", Handle: func(_ context.Context, c *Call) (*ToolResult, error) {
		for s := range steps {
			results <- s(c)
		}
		return Text("over"), nil
	}}); err != nil {
		t.Fatal(err)
	}
	do := func(s step) error {
		steps <- s
		return <-results
	}
	notify := func(c *Call) error { return c.Notify("notifications/test", nil) }
	header, _ := b.newSession(t, 1, "2025-11-25")
	x, _ := exchange(2, post(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"steps"}}`, header))
	var call sync.WaitGroup
	call.Go(func() { b.do(x) })
	if err := do(notify); err != nil {
		t.Error(err)
	}
	b.host.take(2)
	if n, out := b.KeepCallsAlive(), b.host.take(2); n != 1 || out != "0000000e\r\n: keep-alive\n\n\r\n" {
		t.Errorf("%d kept alive: %q", n, out)
	}
	events.mu.Lock()
	events.full = true
	events.mu.Unlock()
	b.host.breakOff(2)
	if err := do(notify); !errors.Is(err, errBroken) {
		t.Errorf("the client is gone and nothing is kept: %v", err)
	}
	if n := b.KeepCallsAlive(); n != 0 {
		t.Errorf("%d kept alive whose client is gone", n)
	}
	if err := do(notify); !errors.Is(err, ErrNoStream) {
		t.Errorf("the same once more: %v", err)
	}
	b.ask(t, 3, "DELETE /mcp HTTP/1.1\r\nHost: h\r\n"+header+"\r\n\r\n")
	if err := do(notify); !errors.Is(err, ErrNoStream) {
		t.Errorf("the session has ended: %v", err)
	}
	if err := do(func(c *Call) error { return c.CloseStream(time.Second) }); err != nil {
		t.Errorf("nobody to send away: %v", err)
	}
	close(steps)
	call.Wait()
	if n := b.KeepCallsAlive(); n != 0 || len(b.beating.m) != 0 {
		t.Errorf("%d kept alive, %d to be", n, len(b.beating.m))
	}
	if n := len(b.posts.m); n != 0 || events.left() != 0 {
		t.Errorf("%d streams, %d logs and bodies left", n, events.left())
	}
}

func TestCloseStreamRefused(t *testing.T) {
	kept := newTestbed(withEvents(newFakeEvents()))
	bare := newTestbed(nil)
	var late *Call
	for _, b := range []*testbed{kept, bare} {
		for _, inline := range []bool{false, true} {
			if err := b.AddTool(Tool{Name: fmt.Sprint("close-", inline), Inline: inline, Handle: func(_ context.Context, c *Call) (*ToolResult, error) {
				late = c
				if err := c.CloseStream(0); !errors.Is(err, ErrCannotResume) {
					t.Errorf("%v", err)
				}
				return nil, nil
			}}); err != nil {
				t.Fatal(err)
			}
		}
	}
	call := func(b *testbed, version, name string) {
		t.Helper()
		header, _ := b.newSession(t, 1, version)
		out := b.ask(t, 2, post(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"`+name+`"}}`, header))
		if !strings.Contains(out, `"result"`) {
			t.Errorf("%q", out)
		}
	}
	call(kept, "2025-06-18", "close-false")
	call(kept, "2025-11-25", "close-true")
	call(bare, "2025-11-25", "close-false")
	if err := late.CloseStream(0); !errors.Is(err, ErrCallOver) {
		t.Errorf("after the call: %v", err)
	}
}
