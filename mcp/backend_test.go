package mcp

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/rookery-server/rookery/codec"
)

// fakeBackend answers every request with its name and params.
type fakeBackend struct {
	s       *Server
	offer   Offer
	refuse  bool // Go starts nothing
	busy    chan struct{}
	permit  error
	watch   error
	version string // that initialize agrees on

	mu       sync.Mutex
	notified []string // guarded by mu
	watched  []string // guarded by mu
	left     []string // guarded by mu
}

func (b *fakeBackend) Err() error { return nil }

func (b *fakeBackend) Attach(s *Server) error {
	b.s = s
	return errors.New("as agreed")
}

func (b *fakeBackend) Close() {}

func (b *fakeBackend) Answer(_ context.Context, c *Call) ([]byte, error) {
	if !c.OnWorker() {
		return nil, errors.New("user code on the loop")
	}
	if text, _ := c.ParamText("fail"); text != "" {
		return nil, &codec.Error{Code: -32055, Message: text}
	}
	if c.Param("panic") != nil {
		panic("as agreed")
	}
	_ = c.Notify("notifications/progress", map[string]int{"progress": 1}) // not every call has a stream
	if c.Method() == "initialize" {
		return []byte(`{"protocolVersion":"` + b.version + `","capabilities":{},"serverInfo":{"name":"theirs","version":"1"}}`), nil
	}
	return append(codec.AppendString([]byte(`{"method":`), c.Method()), '}'), nil
}

func (b *fakeBackend) Notified(_ context.Context, c *Call) {
	b.mu.Lock()
	b.notified = append(b.notified, c.Method()+" of "+c.SessionID())
	b.mu.Unlock()
	if c.Param("panic") != nil {
		panic("as agreed")
	}
}

func (b *fakeBackend) Client([]byte) uint32       { return 7 }
func (b *fakeBackend) ClientName(n uint32) string { return map[uint32]string{7: "their/1"}[n] }
func (b *fakeBackend) Offer() Offer               { return b.offer }

func (b *fakeBackend) Permit(context.Context, *Call, string) error {
	if b.busy != nil {
		<-b.busy
	}
	return b.permit
}

func (b *fakeBackend) Watch(_ context.Context, uri string) error {
	if !b.s.Watched(uri) {
		return errors.New("nobody has subscribed")
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.watched = append(b.watched, uri)
	return b.watch
}

func (b *fakeBackend) Unwatched(uri string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.left = append(b.left, uri)
}

func (b *fakeBackend) Go(f func(ctx context.Context)) bool {
	if b.refuse {
		return false
	}
	go f(context.Background())
	return true
}

func newBackbed() (*testbed, *fakeBackend) {
	f := &fakeBackend{version: "2025-11-25", offer: Offer{Tools: true, Subscribe: true}}
	return newTestbed(func(o *Options) { o.Backend = f }), f
}

const listenBoth = `{"jsonrpc":"2.0","id":5,"method":"subscriptions/listen","params":{"notifications":{"toolsListChanged":true,` +
	`"promptsListChanged":true,"resourceSubscriptions":["x://a"]},"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28",` +
	`"io.modelcontextprotocol/clientCapabilities":{}}}}`

func listenPost() string {
	return post(listenBoth, "MCP-Protocol-Version: 2026-07-28", "Mcp-Method: subscriptions/listen")
}

// TestBackendAnswers sends a Backend what it is for, and keeps from it what it
// is not for.
func TestBackendAnswers(t *testing.T) {
	b, f := newBackbed()
	if !strings.Contains(b.log.String(), "as agreed") {
		t.Error("the error of Attach is not logged")
	}
	header, ref := b.newSession(t, 1, "2025-11-25")
	if sess, _ := b.sessions.Load(ref); sess.Client != 7 || sess.Protocol != Revision20251125 || sess.State != StateReady {
		t.Errorf("session %+v", sess)
	}
	if len(f.notified) != 1 || !strings.HasPrefix(f.notified[0], "notifications/initialized of 0000") {
		t.Errorf("notified %v", f.notified)
	}
	for _, c := range []struct{ msg, want string }{
		{`"method":"tools/call","params":{"name":"x"}`, `"result":{"method":"tools/call"}`},
		{`"method":"tools/list"`, `"result":{"method":"tools/list"}`},
		{`"method":"acme/own"`, `"result":{"method":"acme/own"}`},
		{`"method":"tools/call","params":{"fail":"no"}`, `"error":{"code":-32055,"message":"no"}`},
		{`"method":"tools/call","params":{"panic":1}`, `"error":{"code":-32603`},
		{`"method":"ping"`, `"result":{}`},
		{`"method":"logging/setLevel","params":{"level":"error"}`, `"result":{"method":"logging/setLevel"}`},
		{`"method":"logging/setLevel","params":{"level":"loud"}`, `"error":{"code":-32602`},
		{`"method":"resources/subscribe","params":{"uri":"x://a"}`, `"result":{}`},
		{`"method":"resources/unsubscribe","params":{"uri":"x://a"}`, `"result":{"method":"resources/unsubscribe"}`},
		{`"method":"resources/subscribe","params":{}`, `"error":{"code":-32602`},
		{`"method":"initialize","params":{"protocolVersion":"2025-11-25"}`, `"error":{"code":-32600`},
	} {
		if got := b.ask(t, 1, post(`{"jsonrpc":"2.0","id":1,`+c.msg+`}`, header)); !strings.Contains(got, c.want) {
			t.Errorf("%s: %s", c.msg, got)
		}
	}
	if sess, _ := b.sessions.Load(ref); sess.LogLevel != LevelError {
		t.Errorf("level %v", sess.LogLevel)
	}
	if len(f.watched) != 1 || len(f.left) != 1 {
		t.Errorf("watched %v, left %v", f.watched, f.left)
	}
	b.ask(t, 1, post(`{"jsonrpc":"2.0","method":"acme/happened","params":{"panic":1}}`, header))
	b.ask(t, 1, post(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":9}}`, header))
	if len(f.notified) != 2 || !strings.HasPrefix(f.notified[1], "acme/happened") {
		t.Errorf("notified %v", f.notified)
	}
	if err := b.AddTool(Tool{Name: "x", Handle: func(context.Context, *Call) (*ToolResult, error) { return nil, nil }}); !errors.Is(err, ErrBackend) {
		t.Errorf("registered beside a Backend: %v", err)
	}
	if known, _ := b.Knows([]byte("tools/call")); known {
		t.Error("a Backend over TCP")
	}
}

// TestBackendBatch is the same for messages that come together.
func TestBackendBatch(t *testing.T) {
	b, f := newBackbed()
	f.version = "2025-03-26"
	header, _ := b.newSession(t, 1, "2025-03-26")
	got := b.ask(t, 1, post(`[{"jsonrpc":"2.0","method":"acme/happened"},{"jsonrpc":"2.0","id":1,"method":"tools/list"}]`, header))
	if !strings.Contains(got, `[{"jsonrpc":"2.0","id":1,"result":{"method":"tools/list"}}]`) || len(f.notified) != 2 {
		t.Errorf("%s, notified %v", got, f.notified)
	}
	x, _ := exchange(1, post(`[{"jsonrpc":"2.0","method":"acme/happened"}]`, header))
	if b.Plan(x) != OnWorker {
		t.Error("user code on the loop")
	}
}

// TestBackendRefuses agrees neither on a version nor to a subscription.
func TestBackendRefuses(t *testing.T) {
	b, f := newBackbed()
	header, ref := b.newSession(t, 1, "2025-11-25")
	for _, where := range []*error{&f.permit, &f.watch} {
		*where = errors.New("not for you")
		got := b.ask(t, 1, post(`{"jsonrpc":"2.0","id":1,"method":"resources/subscribe","params":{"uri":"x://a"}}`, header))
		if sess, _ := b.sessions.Load(ref); !strings.Contains(got, "not for you") || sess.Topics != 0 || b.Watched("x://a") {
			t.Errorf("a refused subscription stays: %s", got)
		}
		*where = nil
	}
	f.version = "2026-07-28"
	got := b.ask(t, 2, post(`{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25"}}`))
	if !strings.Contains(got, "-32603") || strings.Contains(got, "Mcp-Session-Id") {
		t.Error(got)
	}
}

// TestBackendListens opens a stream whose acknowledgement waits for user code,
// and hears of nothing before it.
func TestBackendListens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, f := newBackbed()
		f.busy = make(chan struct{})
		if got := b.ask(t, 1, listenPost()); !strings.Contains(got, "text/event-stream") || strings.Contains(got, "data:") {
			t.Errorf("head %s", got)
		}
		b.ToolsChanged()
		b.ResourceUpdated("x://a")
		if got := b.host.take(1); got != "" {
			t.Errorf("before the acknowledgement: %s", got)
		}
		close(f.busy)
		synctest.Wait()
		const want = `"notifications":{"toolsListChanged":true,"resourceSubscriptions":["x://a"]}`
		if got := b.host.take(1); !strings.Contains(got, want) {
			t.Errorf("acknowledgement %s", got)
		}
		b.ToolsChanged()
		b.PromptsChanged()
		b.ResourcesChanged()
		b.ResourceUpdated("x://a")
		if got := b.host.take(1); strings.Count(got, "data:") != 2 {
			t.Errorf("heard %s", got)
		}
		b.disconnect(1)
		if len(f.left) != 1 || b.Watched("x://a") {
			t.Errorf("left %v", f.left)
		}
	})
}

// TestBackendListenFails covers what may go wrong while the stream waits.
func TestBackendListenFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, f := newBackbed()
		f.watch = errors.New("not for you")
		got := b.ask(t, 1, listenPost()) // and perhaps the refusal already
		synctest.Wait()
		if got += b.host.take(1); !strings.Contains(got, "not for you") || !strings.HasSuffix(got, "0\r\n\r\n") || !b.host.ended[1] {
			t.Errorf("refused: %s", got)
		}
		b.disconnect(1)

		f.watch, f.refuse = nil, true
		if got := b.ask(t, 2, listenPost()); !strings.Contains(got, "503") {
			t.Errorf("overloaded: %s", got)
		}

		f.refuse = false
		b.host.broken[3] = true // the head does not leave
		b.ask(t, 3, listenPost())
		synctest.Wait()

		f.busy = make(chan struct{})
		b.ask(t, 4, listenPost())
		b.disconnect(4) // before the acknowledgement
		f.watch = errors.New("not for you")
		b.ask(t, 5, listenPost())
		b.disconnect(5) // before the refusal
		close(f.busy)
		synctest.Wait()
		if got := b.host.take(4) + b.host.take(5); strings.Contains(got, "data:") {
			t.Errorf("written to a closed connection: %s", got)
		}
		if b.Watched("x://a") {
			t.Error("a subscription is left")
		}
	})
}
