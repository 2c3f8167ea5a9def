package mcp

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
)

// What a copy does and does not do.
func TestCopy(t *testing.T) {
	a := newAudience(t)
	ref, header := a.ref["copy"], a.header["copy"]
	if err := a.sendToSession(ref, newNotice([]byte("{}"))); !errors.Is(err, ErrMoved) {
		t.Error(err)
	}
	for _, request := range []string{
		post(`{"jsonrpc":"2.0","id":1,"method":"tools/list"}`, header),
		"GET /mcp HTTP/1.1\r\nHost: h\r\n" + header + "\r\n\r\n",
		"DELETE /mcp HTTP/1.1\r\nHost: h\r\n" + header + "\r\n\r\n",
	} {
		if out := a.ask(t, 2, request); !strings.HasPrefix(out, "HTTP/1.1 503") || !strings.Contains(out, "Retry-After: 1\r\n") {
			t.Error(out)
		}
	}
	before := a.Stats().SessionsEnded
	a.listChanged(toolList)
	last, _ := a.sessions.Delete(ref)
	a.SessionEnded(ref, last)
	if out := a.host.take(a.streams["copy"]); out != "" || a.Stats().SessionsEnded != before {
		t.Errorf("%q, %d ended", out, a.Stats().SessionsEnded)
	}
}

// A session that moves between the look at it and what is done with it.
func TestMovesMeanwhile(t *testing.T) {
	b := newTestbed(withEvents(newFakeEvents()))
	addFixtures(t, b.Server)
	header, ref := b.newSession(t, 1, "2025-11-25")
	b.o.Sessions = movingAway{b.sessions}
	for _, body := range []string{
		`{"jsonrpc":"2.0","id":1,"method":"logging/setLevel","params":{"level":"error"}}`,
		`{"jsonrpc":"2.0","id":1,"method":"resources/subscribe","params":{"uri":"a"}}`,
	} {
		b.sessions.Update(ref, func(s *Session) { s.Home = 0 })
		if out := b.ask(t, 2, post(body, header)); !strings.Contains(out, "-32000") {
			t.Errorf("%s: %s", body, out)
		}
	}
	for _, body := range []string{
		`{"jsonrpc":"2.0","method":"notifications/initialized"}`,
		`{"jsonrpc":"2.0","id":1,"method":"resources/unsubscribe","params":{"uri":"a"}}`,
	} {
		b.sessions.Update(ref, func(s *Session) { s.Home, s.State = 0, StateInitialized })
		b.ask(t, 2, post(body, header))
	}
	b.sessions.Update(ref, func(s *Session) { s.Home = 0 })
	if out := b.ask(t, 2, "GET /mcp HTTP/1.1\r\nHost: h\r\n"+header+"\r\n\r\n"); !strings.HasPrefix(out, "HTTP/1.1 503") {
		t.Error(out)
	}
	if sess, _ := b.sessions.Load(ref); sess.State != StateInitialized || sess.LogLevel != 0 || sess.Topics != 0 || sess.Stream != 0 {
		t.Errorf("%+v", sess)
	}
}

// movingAway is a table whose sessions move when they are used.
type movingAway struct{ *fakeSessions }

func (t movingAway) Touch(ref uint64) {
	t.Update(ref, func(s *Session) { s.Home = 2 })
}

func TestMovesAreRefused(t *testing.T) {
	a := newAudience(t)
	none := func(Session, []string) { t.Error("called") }
	for what, got := range map[string]error{
		"nobody":    a.HandOver(999, 2, 9, none),
		"a copy":    a.HandOver(a.ref["copy"], 2, 9, none),
		"no higher": a.HandOver(a.ref["open"], 2, 0, none),
	} {
		want := ErrMoved
		if what == "nobody" {
			want = ErrNoStream
		}
		if !errors.Is(got, want) {
			t.Errorf("%s: %v", what, got)
		}
	}
	a.get(t, 900, a.header["open"]) // a second stream
	if err := a.HandOver(a.ref["open"], 2, 1, none); !errors.Is(err, ErrBusy) {
		t.Error(err)
	}
	a.rpc(901, resumable)
	err := a.HandOver(a.sessions.last, 2, 1, func(sess Session, _ []string) {
		if sess.Stream != 0 {
			t.Error("a TCP connection goes along")
		}
	})
	if err != nil || !a.host.ended[901] {
		t.Errorf("%v, ended: %v", err, a.host.ended[901])
	}
	f := a.calls.Begin(context.Background(), sessionScope(a.ref["quiet"]), []byte("1"))
	if err := a.HandOver(a.ref["quiet"], 2, 1, none); !errors.Is(err, ErrBusy) {
		t.Error(err)
	}
	f.End()
	switch {
	case a.Export(999, none), a.Promote(999, 1, true), a.Demote(999, 2, 1), a.Promote(a.ref["copy"], 0, true), a.Demote(a.ref["copy"], 3, 0):
		t.Error("done to a session that is not there or has a higher epoch")
	case !a.Promote(a.ref["open"], 7, false):
		t.Error("a home could not rise")
	}
	if _, ok := a.AttachStream(a.ref["open"], 902, 0); ok {
		t.Error("attached to a home")
	}
	sess, _ := a.sessions.Load(a.ref["open"])
	if sess.Epoch != 7 || sess.Stream != 900 {
		t.Errorf("%+v", sess)
	}
}

// A thousand takeovers use the numbers up: the log ends, and a client that
// missed something is told so.
func TestEpochsRunOut(t *testing.T) {
	b := newTestbed(withEvents(newFakeEvents()))
	header, ref := b.newSession(t, 1, "2025-11-25")
	b.get(t, 2, header)
	b.disconnect(2)
	for epoch := uint32(1); epoch <= 2000; epoch += 2 {
		if !b.Demote(ref, 2, epoch) || !b.Promote(ref, epoch+1, false) {
			t.Fatal(epoch)
		}
	}
	b.Demote(ref, 2, 3000)
	for epoch := uint32(3001); ; epoch += 2 {
		b.Promote(ref, epoch, false)
		if sess, _ := b.sessions.Load(ref); sess.Log == 0 {
			break
		} else if epoch > 4000 {
			t.Fatal("never")
		}
		b.Demote(ref, 2, epoch+1)
	}
	if err := b.Notify(ref, "m", nil); err != nil {
		t.Error(err)
	}
	if out := b.getAfter(3, header, "1-400000"); !strings.HasPrefix(out, "HTTP/1.1 404") {
		t.Error(out)
	}
}

// A handler that is at work when its session moves hears of it, and its client
// gets an answer where it asked.
func TestCallOfMovedSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newFakeCluster(1).beds[0]
		said := make(chan error, 3)
		proceed := make(chan struct{})
		err := p.AddTool(Tool{Name: "work", Handle: func(ctx context.Context, c *Call) (*ToolResult, error) {
			_ = c.Log(LevelInfo, "", "begun")
			<-ctx.Done()
			<-proceed
			said <- c.Log(LevelInfo, "", "moved")
			said <- c.CloseStream(0)
			_, err := c.Ask(ctx, "roots/list", nil)
			said <- err
			return nil, context.Cause(ctx)
		}})
		if err != nil {
			t.Fatal(err)
		}
		header, ref := p.newSession(t, 1, "2025-11-25")
		x, _ := exchange(2, post(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"work"}}`, header))
		go p.do(x)
		synctest.Wait()
		p.Demote(ref, 2, 1)
		close(proceed)
		synctest.Wait()
		for range 3 {
			if err := <-said; !errors.Is(err, ErrMoved) {
				t.Error(err)
			}
		}
		out := p.host.take(2)
		if !strings.Contains(out, "begun") || strings.Contains(out, `"moved"`) || !strings.Contains(out, `"id":1,"error":{"code":-32000`) {
			t.Error(out)
		}
	})
}

// TestMovesUnderFire moves a session to and fro while it is told things,
// subscribes, and opens streams. The race detector and the counts are the judges.
func TestMovesUnderFire(t *testing.T) {
	p := newFakeCluster(1).beds[0]
	addFixtures(t, p.Server)
	header, ref := p.newSession(t, 1, "2025-11-25")
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				p.ResourceUpdated("demo://x")
				_ = p.Server.Notify(ref, "m", nil)
				runtime.Gosched()
			}
		})
	}
	wg.Go(func() {
		for st := StreamID(10); ctx.Err() == nil; st += 2 {
			for i, request := range []string{
				post(`{"jsonrpc":"2.0","id":1,"method":"resources/subscribe","params":{"uri":"demo://x"}}`, header),
				"GET /mcp HTTP/1.1\r\nHost: h\r\n" + header + "\r\n\r\n",
			} {
				x, _ := exchange(st+StreamID(i), request)
				p.do(x)
			}
			p.disconnect(st + 1)
		}
	})
	for epoch := uint32(1); epoch < 400; epoch += 3 {
		switch {
		case !p.Demote(ref, 2, epoch), !p.Promote(ref, epoch+1, epoch%2 == 0):
			t.Error("refused")
		}
		err := p.HandOver(ref, 2, epoch+2, func(Session, []string) {})
		if err == nil {
			p.ImportSubscriptions(ref, []string{"a", "demo://x"})
			p.SubscribeCopy(ref, "a", false)
			p.Promote(ref, epoch+2, true)
		}
	}
	stop()
	wg.Wait()
	last, _ := p.sessions.Delete(ref)
	p.SessionEnded(ref, last)
	if st := p.Stats(); st.Subscriptions+st.Topics != 0 || p.events.left() != 0 || len(p.subs.walks) != 0 {
		t.Errorf("%d left, %+v", p.events.left(), st)
	}
}

func TestSubscriptionsOfCopies(t *testing.T) {
	a := newAudience(t)
	ref := a.ref["open"]
	check := func(want ...string) {
		t.Helper()
		a.Export(ref, func(_ Session, uris []string) {
			if strings.Join(uris, " ") != strings.Join(want, " ") {
				t.Errorf("%q, want %q", uris, want)
			}
		})
	}
	check("demo://x")
	a.ImportSubscriptions(ref, []string{"c", "demo://x", "b"})
	check("c", "demo://x", "b")
	a.SubscribeCopy(ref, "d", true)
	a.SubscribeCopy(ref, "d", true)
	a.SubscribeCopy(ref, "c", false)
	a.SubscribeCopy(ref, "e", false)
	check("d", "demo://x", "b")
	a.ImportSubscriptions(ref, nil)
	check()
	a.ImportSubscriptions(999, []string{"z"})
	a.SubscribeCopy(999, "z", true)
	if a.subs.has("z") || a.subs.has("b") {
		t.Error("left behind")
	}
}
