package mcp

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/rookery-server/rookery/codec"
)

const resumable = `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"_meta":{"rookery/resume":{}}}}`

// resuming is initialize of a client that comes back.
func resuming(id [16]byte, last string) string {
	if last != "" {
		last = `,"lastEventId":"` + last + `"`
	}
	return `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"_meta":{"rookery/resume":{"sessionId":"` +
		string(appendSessionID(nil, id)) + `"` + last + `}}}}`
}

// serveOnWorker is testbed.rpc for a request that Fetches.
func (b *testbed) serveOnWorker(t *testing.T, st StreamID, line string) string {
	t.Helper()
	x := &RPC{Stream: st, Msg: []byte(line), Worker: &fakeWorker{h: b.host, st: st}}
	if e := codec.ParseEnvelope(x.Msg, nil, &x.Env); e != nil {
		t.Fatal(e)
	}
	if !b.Fetches(x.Env.MethodName(x.Msg), paramsOf(x.Msg, &x.Env)) {
		t.Fatal("would run on the loop")
	}
	b.ServeRPC(x)
	b.mu.Lock()
	b.words[st] = x.Session
	b.mu.Unlock()
	_ = b.host.Send(st, x.Out)
	return b.host.take(st)
}

// A session over TCP that is elsewhere is fetched; what goes wrong is told.
func TestFetch(t *testing.T) {
	c := newFakeCluster(2)
	from, to := c.beds[0], c.beds[1]
	from.rpc(1, resumable)
	from.rpc(1, `{"jsonrpc":"2.0","method":"notifications/initialized"}`)
	from.rpc(1, `{"jsonrpc":"2.0","id":2,"method":"resources/subscribe","params":{"uri":"a"}}`)
	ref := from.sessions.last
	id := from.idOf(ref)
	if sess, _ := from.sessions.Load(ref); sess.Bound() {
		t.Error("bound to its connection")
	}
	var fail error
	to.o.Fetch = func(_ context.Context, id [16]byte) (uint64, error) {
		if fail != nil {
			return 0, fail
		}
		ref, ok := from.sessions.Find(id)
		if !ok {
			return 0, nil
		}
		from.Demote(ref, 2, 1)
		var s snapshot
		from.Export(ref, func(sess Session, uris []string) { s = from.snap(sess, uris) })
		at := to.install(s, 1)
		to.sessions.Update(at, func(now *Session) { now.Flags |= s.sess.Flags })
		to.Promote(at, 1, true)
		return at, nil
	}
	for _, bad := range []struct {
		err        error
		line, want string
	}{
		{errors.New("cut off"), resuming(id, ""), "-32000"},
		{refuse(-32001, "gone for good"), resuming(id, ""), "gone for good"},
		{nil, resuming([16]byte{1}, ""), "no such session"},
	} {
		fail = bad.err
		if out := to.serveOnWorker(t, 5, bad.line); !strings.Contains(out, bad.want) || strings.Contains(out, "result") {
			t.Errorf("%v: %s", bad.err, out)
		}
	}
	to.rpc(5, resuming(id, "")) // on the loop nothing is fetched
	if out := to.host.take(5); !strings.Contains(out, "-32000") {
		t.Error(out)
	}
	fail = nil
	if err := from.Server.Notify(ref, "m", map[string]any{"_meta": map[string]int{"a": 1}}); err != nil {
		t.Error(err)
	}
	if out := from.host.take(1); !strings.Contains(out, `"params":{"_meta":{"rookery/eventId":"1-1","a":1}}`) {
		t.Error(out)
	}
	if err := from.Server.Notify(ref, "m", nil); err != nil { // what its client does not see
		t.Error(err)
	}
	out := to.serveOnWorker(t, 5, resuming(id, "1-1"))
	if !strings.Contains(out, `"result"`) || !strings.HasSuffix(out, `{"jsonrpc":"2.0","method":"m","params":{"_meta":{"rookery/eventId":"1-2"}}}`+"\n") {
		t.Error(out)
	}
	if n := to.ResourceUpdated("a"); n != 1 || !strings.Contains(to.host.take(5), `{"_meta":{"rookery/eventId":"1-3"},"uri":"a"}`) {
		t.Errorf("told %d", n)
	}
	from.closeConn(1) // late
	if sess, ok := to.sessions.Load(to.sessions.last); !ok || sess.Home != 0 || sess.Stream != 5 {
		t.Errorf("%+v, %v", sess, ok)
	}
	for _, other := range []string{
		`{"jsonrpc":"2.0","id":1,"method":"ping"}`, resumable,
		`{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"_meta":{"rookery/resume":{"sessionId":"1"}}}}`,
	} {
		x := &RPC{Msg: []byte(other)}
		_ = codec.ParseEnvelope(x.Msg, nil, &x.Env)
		if to.Fetches(x.Env.MethodName(x.Msg), paramsOf(x.Msg, &x.Env)) {
			t.Errorf("%s may block", other)
		}
	}
}

func (b *testbed) closeConn(st StreamID) {
	b.host.End(st)
	b.mu.Lock()
	word := b.words[st]
	delete(b.words, st)
	b.mu.Unlock()
	b.ConnClosed(st, word)
}

// What happens to a session between initialize and the moment its connection
// becomes the session's.
func TestTakeUpRaces(t *testing.T) {
	for name, test := range map[string]struct {
		change func(b *testbed, ref uint64)
		want   string
	}{
		"ends":  {func(b *testbed, ref uint64) { last, _ := b.sessions.Delete(ref); b.SessionEnded(ref, last) }, "no such session"},
		"moves": {func(b *testbed, ref uint64) { b.Demote(ref, 2, 1) }, "moving"},
		"loses": {func(b *testbed, ref uint64) {
			b.o.Events.(*fakeEvents).full = true
			_ = b.Notify(ref, "m", nil)
		}, "not kept"},
	} {
		t.Run(name, func(t *testing.T) {
			var during func()
			b := newTestbed(func(o *Options) {
				o.Events = newFakeEvents()
				o.Middleware = []func(Handler) Handler{func(next Handler) Handler {
					return func(ctx context.Context, c *Call) error {
						err := next(ctx, c)
						if during != nil {
							during()
						}
						return err
					}
				}}
			})
			b.rpc(1, resumable)
			ref := b.sessions.last
			sess, _ := b.sessions.Load(ref)
			during = func() { test.change(b, ref) }
			b.host.take(2)
			b.rpc(2, resuming(sess.ID, ""))
			if out := b.host.take(2); !strings.Contains(out, test.want) || strings.Contains(out, "result") || b.words[2] != 0 {
				t.Errorf("%s, word %x", out, b.words[2])
			}
		})
	}
	b := newTestbed(withEvents(newFakeEvents()))
	b.rpc(1, resumable)
	sess, _ := b.sessions.Load(1)
	b.host.breakOff(2)
	b.rpc(2, resuming(sess.ID, "")) // its connection breaks at once
	if now, ok := b.sessions.Load(1); !ok || now.Stream != 0 {
		t.Errorf("%+v", now)
	}
	b.closeConn(2)
	if err := b.Notify(1, "m", nil); err != nil {
		t.Errorf("not kept: %v", err)
	}
	b.rpc(3, resuming(sess.ID, ""))
	if out := b.host.take(3); !strings.Contains(out, `"rookery/eventId":"1-1"`) {
		t.Error(out)
	}
	b.host.breakOff(3)
	if err := b.Notify(1, "m", nil); err != nil {
		t.Errorf("not kept: %v", err)
	}
}

// Without an event log the extension is not there: the session ends with its
// connection.
func TestResumableWithoutLog(t *testing.T) {
	b := newTestbed(nil)
	b.rpc(1, resumable)
	if out := b.host.take(1); strings.Contains(out, "rookery/resume") {
		t.Error(out)
	}
	b.closeConn(1)
	if _, ok := b.sessions.Load(1); ok {
		t.Error("the session lives")
	}
}

func TestAppendStamped(t *testing.T) {
	for msg, want := range map[string]string{
		`{"jsonrpc":"2.0","method":"m"}`:                              `{"jsonrpc":"2.0","method":"m","params":{"_meta":{"rookery/eventId":"1-a"}}}`,
		`{"jsonrpc":"2.0","method":"m","params":{}}`:                  `{"jsonrpc":"2.0","method":"m","params":{"_meta":{"rookery/eventId":"1-a"}}}`,
		`{"jsonrpc":"2.0","method":"m","params":{"a":1}}`:             `{"jsonrpc":"2.0","method":"m","params":{"_meta":{"rookery/eventId":"1-a"},"a":1}}`,
		`{"jsonrpc":"2.0","method":"m","params":{"a":1,"_meta":{}}}`:  `{"jsonrpc":"2.0","method":"m","params":{"a":1,"_meta":{"rookery/eventId":"1-a"}}}`,
		`{"jsonrpc":"2.0","method":",\"params\":{","params":{"a":1}}`: `{"jsonrpc":"2.0","method":",\"params\":{","params":{"_meta":{"rookery/eventId":"1-a"},"a":1}}`,
	} {
		if got := string(appendStamped(nil, []byte(msg), 1, 10, 0)); got != want+"\n" {
			t.Errorf("%s\n got %s\nwant %s", msg, got, want)
		}
	}
}
