package gosdk

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/rookery-server/rookery/mcp"
	"github.com/rookery-server/rookery/server"
)

// TestQuestionsFail sees what a handler hears when a question has no answer, and
// that it can go on.
func TestQuestionsFail(t *testing.T) {
	srv := newServer(nil)
	ask := func(ctx context.Context, req *sdk.CallToolRequest) error {
		_, err := req.Session.CreateMessage(ctx, &sdk.CreateMessageParams{MaxTokens: 1})
		return err
	}
	addTool(srv, "ask", func(ctx context.Context, req *sdk.CallToolRequest) (string, error) {
		first := ask(ctx, req)
		return fmt.Sprint(first != nil, ask(ctx, req) != nil, req.Session.NotifyProgress(ctx, &sdk.ProgressNotificationParams{ProgressToken: 1})), nil
	})
	addTool(srv, "impatient", func(ctx context.Context, req *sdk.CallToolRequest) (string, error) {
		ctx, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
		defer cancel()
		err := ask(ctx, req)
		return fmt.Sprint(errors.Is(err, context.DeadlineExceeded)), nil
	})
	addTool(srv, "wire", func(ctx context.Context, req *sdk.CallToolRequest) (string, error) {
		var e *jsonrpc.Error
		err := ask(ctx, req)
		return fmt.Sprint(errors.As(err, &e) && e.Code == -1234), nil
	})
	addr, _ := start(t, srv)
	release := make(chan bool)
	defer close(release)
	sampling := func(f func() error) *sdk.ClientOptions {
		return &sdk.ClientOptions{CreateMessageHandler: func(context.Context, *sdk.CreateMessageRequest) (*sdk.CreateMessageResult, error) {
			return nil, f()
		}}
	}
	const version = "2025-11-25"
	check(t, "a client that cannot", call(t, dial(t, addr, version, nil), "ask"), "true true <nil>")
	refusing := dial(t, addr, version, sampling(func() error { return &jsonrpc.Error{Code: -1234, Message: "no"} }))
	check(t, "a client that will not", call(t, refusing, "wire"), "true")
	silent := dial(t, addr, version, sampling(func() error {
		<-release
		return errors.New("too late")
	}))
	check(t, "a client that is silent", call(t, silent, "impatient"), "true")
}

// TestDeaf is a client that takes no events: a handler is told so and goes on.
func TestDeaf(t *testing.T) {
	srv := newServer(nil)
	addTool(srv, "talk", func(ctx context.Context, req *sdk.CallToolRequest) (string, error) {
		var failed []bool
		for range 2 {
			err := req.Session.NotifyProgress(ctx, &sdk.ProgressNotificationParams{ProgressToken: 1})
			failed = append(failed, errors.Is(err, mcp.ErrNoStream))
		}
		return fmt.Sprint(failed), nil
	})
	addr, _ := start(t, srv)
	r := dialRaw(t, addr)
	const body = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"talk","_meta":{` +
		`"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}`
	_, err := fmt.Fprintf(r.conn, "POST /mcp HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nAccept: application/json\r\n"+
		"MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/call\r\nMcp-Name: talk\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, answer := r.answer(); !strings.Contains(answer, "[true true]") {
		t.Error(answer)
	}
}

// TestChangeDuringCall changes a list while calls have sessions of their own:
// nobody hears of it twice.
func TestChangeDuringCall(t *testing.T) {
	srv := contentServer()
	running, release := make(chan bool, 1), make(chan bool)
	addTool(srv, "wait", func(ctx context.Context, _ *sdk.CallToolRequest) (string, error) {
		running <- true
		select {
		case <-release:
		case <-ctx.Done():
		}
		return "", nil
	})
	addr, _ := start(t, srv)
	got := make(chan bool, 8)
	s := dial(t, addr, "2025-11-25", &sdk.ClientOptions{ToolListChangedHandler: func(context.Context, *sdk.ToolListChangedRequest) { got <- true }})
	// The tool itself is new: that is heard first, or was before the stream opened.
	done := make(chan bool)
	go func() {
		defer close(done)
		call(t, s, "wait")
	}()
	receive(t, running)
	for len(got) > 0 {
		<-got
	}
	srv.RemoveTools("greet")
	receive(t, got)
	close(release)
	receive(t, done)
	check(t, "more of the same", len(got), 0)
}

// TestGrown is a server that offers more as time goes on: who listens hears of
// the first of a kind.
func TestGrown(t *testing.T) {
	b := newBook()
	srv := newServer(b.options())
	_, a := start(t, srv)
	check(t, "offer", a.Offer(), mcp.Offer{})
	srv.AddResource(&sdk.Resource{URI: "test://a", Name: "a"}, readURI)
	srv.AddPrompt(&sdk.Prompt{Name: "p"}, nil)
	addTool(srv, "t", nil)
	for deadline := time.Now().Add(patience); a.Offer() != (mcp.Offer{Tools: true, Prompts: true, Resources: true, Subscribe: true}); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("offer %+v", a.Offer())
		}
	}
}

// lockedBuffer is a log that a test reads.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// TestStrictMiddleware has middleware that refuses those it does not know, the
// listening session among them: clients are served all the same.
func TestStrictMiddleware(t *testing.T) {
	srv := contentServer()
	srv.AddReceivingMiddleware(func(next sdk.MethodHandler) sdk.MethodHandler {
		return func(ctx context.Context, method string, req sdk.Request) (sdk.Result, error) {
			if x := req.GetExtra(); x == nil || x.Header.Get("X-Key") != "open" {
				return nil, &jsonrpc.Error{Code: -32001, Message: "who are you?"}
			}
			return next(ctx, method, req)
		}
	})
	var log lockedBuffer
	s, err := server.New(server.Options{HTTP: "127.0.0.1:0", MCPBackend: Handler(srv), Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if !strings.Contains(log.String(), "who are you?") {
		t.Errorf("log: %s", log.String())
	}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	const initialize = `{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{}}}`
	r := dialRaw(t, s.HTTPAddr().String())
	if _, session, answer := r.post("", initialize); session != "" || !strings.Contains(answer, "who are you?") {
		t.Errorf("a stranger: %s", answer)
	}
	if _, session, answer := r.post("X-Key: open", initialize); session == "" {
		t.Errorf("a friend: %s", answer)
	}
}

// TestMiddlewareReturnsNonsense has middleware return neither result nor error.
func TestMiddlewareReturnsNonsense(t *testing.T) {
	srv := contentServer()
	addr, _ := start(t, srv)
	r := dialRaw(t, addr)
	header := r.initialize()
	for _, res := range []sdk.Result{nil, (*sdk.ListToolsResult)(nil)} {
		srv.AddReceivingMiddleware(func(sdk.MethodHandler) sdk.MethodHandler {
			return func(context.Context, string, sdk.Request) (sdk.Result, error) { return res, nil }
		})
		if _, _, answer := r.post(header, `{"jsonrpc":"2.0","id":1,"method":"tools/list"}`); !strings.Contains(answer, `"code":-32603`) {
			t.Errorf("%T: %s", res, answer)
		}
	}
}

// TestStranger is a client that found no room among those that are known: what
// it can do is known all the same.
func TestStranger(t *testing.T) {
	srv := talkServer()
	addTool(srv, "can", func(_ context.Context, req *sdk.CallToolRequest) (string, error) {
		p := req.Session.InitializeParams()
		return fmt.Sprint(p.ClientInfo == nil, p.Capabilities.Sampling != nil), nil
	})
	addr, a := start(t, srv)
	check(t, "no one's name", a.ClientName(0), "")
	for i := range profilesMax {
		a.Client(fmt.Appendf(nil, `{"clientInfo":{"name":"flood %d","version":"1"}}`, i))
	}
	check(t, "someone's name", a.ClientName(9), "flood 8/1")
	check(t, "malformed", a.Client([]byte(`{`)), 0)
	check(t, "with a session", call(t, dial(t, addr, "2025-11-25", answers()), "can"), "true true")
	check(t, "without", call(t, dial(t, addr, modernEra, answers()), "can"), "false true") // says it every time
}

// TestGoIsBounded starts as many goroutines as there may be.
func TestGoIsBounded(t *testing.T) {
	a := Handler(newServer(nil))
	release := make(chan bool)
	for range goingMax {
		if !a.Go(func(context.Context) { <-release }) {
			t.Fatal("too few")
		}
	}
	if a.Go(func(context.Context) {}) {
		t.Error("one too many")
	}
	close(release)
	a.Close()
	if a.Go(func(context.Context) {}) {
		t.Error("one after the end")
	}
}
