package mcp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rookery-server/rookery/codec"
	"github.com/rookery-server/rookery/internal/rpc"
)

// callTool calls a tool in a fresh session and returns the response.
func callTool(t testing.TB, b *testbed, name string) string {
	t.Helper()
	header, _ := b.newSession(t, 1, "2025-11-25")
	return b.ask(t, 1, post(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"`+name+`"}}`, header))
}

func addRaw(t testing.TB, s *Server, name string, f func(ctx context.Context, c *Call) (*ToolResult, error)) {
	t.Helper()
	if err := s.AddTool(Tool{Name: name, Handle: f}); err != nil {
		t.Fatal(err)
	}
}

func TestPanicIsContained(t *testing.T) {
	b := newTestbed(nil)
	addFixtures(t, b.Server)
	if out := callTool(t, b, "panic"); !strings.Contains(out, `"code":-32603`) || strings.Contains(out, "on purpose") {
		t.Errorf("%s", out)
	}
	if log := b.log.String(); !strings.Contains(log, "on purpose") || !strings.Contains(log, "fixtures_test.go") {
		t.Errorf("the log lacks the panic or its stack: %s", log)
	}
	if st := b.Stats(); st.Panicked != 1 || st.Failed != 1 {
		t.Errorf("%+v", st)
	}
	if b.calls.InFlight() != 0 {
		t.Error("the call is still in flight")
	}
	if out := callTool(t, b, "fail"); !strings.Contains(out, "it broke") {
		t.Errorf("the server does not go on: %s", out)
	}
}

// What a handler meets when it asks and the client cannot be asked, does not
// answer, or is gone.
func TestAskFails(t *testing.T) {
	tests := []struct {
		name    string
		prepare func(b *testbed, x *Exchange)
		want    string
	}{
		{"too many questions", func(b *testbed, _ *Exchange) { b.calls = rpc.NewTable(0); b.o.Calls = b.calls }, rpc.ErrTooManyAsks.Error()},
		{"too many waiting", func(_ *testbed, x *Exchange) { x.Worker.(*fakeWorker).full = true }, errWaiting.Message},
		{"client gone", func(b *testbed, x *Exchange) { b.host.broken[x.Stream] = true }, ""},
		{"no answer", func(*testbed, *Exchange) {}, context.DeadlineExceeded.Error()},
		{"on the loop", func(_ *testbed, x *Exchange) { x.Worker = nil }, ErrCannotAsk.Error()},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newTestbed(func(o *Options) { o.AskTimeout = time.Minute })
				var got error
				addRaw(t, b.Server, "ask", func(ctx context.Context, c *Call) (*ToolResult, error) {
					_, got = c.Ask(ctx, "ping", nil)
					return nil, nil
				})
				header, _ := b.newSession(t, 1, "2025-11-25")
				x, _ := exchange(2, post(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"ask"}}`, header))
				b.Plan(x)
				w := &fakeWorker{h: b.host, st: 2}
				x.Worker = w
				tt.prepare(b, x)
				b.ServeHTTP(x)
				if got == nil || !strings.Contains(got.Error(), tt.want) {
					t.Errorf("Ask: %v, want %q", got, tt.want)
				}
				if b.calls.Asks() != 0 || w.left != 0 {
					t.Errorf("%d questions open, %d away", b.calls.Asks(), w.left)
				}
			})
		})
	}
}

// A handler may ask from several goroutines; it leaves once and comes back once.
func TestAskConcurrently(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newTestbed(nil)
		const n = 20
		addRaw(t, b.Server, "ask", func(ctx context.Context, c *Call) (*ToolResult, error) {
			var wg sync.WaitGroup
			answers := make([]string, n)
			for i := range n {
				wg.Go(func() {
					raw, err := c.Ask(ctx, "sampling/createMessage", map[string]int{"i": i})
					answers[i] = fmt.Sprint(string(raw), err)
				})
			}
			wg.Wait()
			return Text(strings.Join(answers, ",")), nil
		})
		b.rpc(1, `{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{"sampling":{}}}}`)
		go b.rpc(1, `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"ask"}}`)
		synctest.Wait()
		lines := strings.Split(strings.TrimSpace(b.host.take(1)), "\n")
		if len(lines) != n+1 {
			t.Fatalf("%d lines", len(lines))
		}
		for _, line := range lines[1:] {
			id := askID.FindString(line)
			i := member(member([]byte(line), "params"), "i")
			b.rpc(1, `{"jsonrpc":"2.0","id":`+id+`,"result":`+string(i)+`}`)
		}
		synctest.Wait()
		out := b.host.take(1)
		for i := range n {
			if !strings.Contains(out, fmt.Sprintf("%d<nil>", i)) {
				t.Fatalf("answer %d is missing: %s", i, out)
			}
		}
		b.ConnClosed(1, b.words[1])
	})
}

func TestCallIsOverAfterItsHandler(t *testing.T) {
	b := newTestbed(nil)
	var kept *Call
	var ctx context.Context
	addRaw(t, b.Server, "keep", func(c context.Context, call *Call) (*ToolResult, error) {
		kept, ctx = call, c
		return nil, nil
	})
	callTool(t, b, "keep")
	if ctx.Err() == nil {
		t.Error("the context outlives the call")
	}
	if err := kept.Notify("x", nil); !errors.Is(err, ErrCallOver) {
		t.Errorf("Notify: %v", err)
	}
	if _, err := kept.Ask(context.Background(), "ping", nil); !errors.Is(err, ErrCallOver) {
		t.Errorf("Ask: %v", err)
	}
	if b.calls.Asks() != 0 {
		t.Error("a question stays")
	}
}

func TestCallSaysWhoAsks(t *testing.T) {
	names := []string{""}
	b := newTestbed(func(o *Options) {
		o.Intern = func(c string) uint32 { names = append(names, c); return uint32(len(names) - 1) }
		o.ClientName = func(n uint32) string { return names[n] }
	})
	var seen []string
	addRaw(t, b.Server, "who", func(_ context.Context, c *Call) (*ToolResult, error) {
		seen = append(seen, fmt.Sprintf("%s %s %v %d %v %s %s", c.Client(), c.Revision(), c.Session() != 0, c.Capabilities(), c.OnWorker(), c.Method(), c.Params()))
		return nil, nil
	})
	callTool(t, b, "who")
	params := `{"name":"who","_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{"elicitation":{"url":{}}},"io.modelcontextprotocol/clientInfo":{"name":"m","version":"2"}}}`
	b.ask(t, 1, post(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":`+params+`}`,
		"MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/call\r\nMcp-Name: who"))
	want := []string{
		fmt.Sprintf(`c/1 2025-11-25 true %d true tools/call {"name":"who"}`, CapRoots|CapSampling|CapElicitation|CapElicitationForm),
		fmt.Sprintf(`m/2 2026-07-28 false %d true tools/call %s`, CapElicitation|CapElicitationURL, params),
	}
	for i := range want {
		if i >= len(seen) || seen[i] != want[i] {
			t.Errorf("call %d: %q, want %q", i, seen, want[i])
		}
	}
}

func TestMiddleware(t *testing.T) {
	var order []string
	layer := func(name string) func(Handler) Handler {
		return func(next Handler) Handler {
			return func(ctx context.Context, c *Call) error {
				order = append(order, name+" "+c.Method())
				if c.Result() != nil {
					t.Error("a result before the method ran")
				}
				err := next(ctx, c)
				if c.Method() == "ping" {
					if string(c.Result()) != "{}" {
						t.Errorf("result %s", c.Result())
					}
					if c.SetResult([]byte(`[1]`)) == nil || c.SetResult([]byte(`{"a":`)) == nil {
						t.Error("a bad result was taken")
					}
					return c.SetResult([]byte("{\"by\":\n\"" + name + "\"}"))
				}
				return err
			}
		}
	}
	b := newTestbed(func(o *Options) {
		o.Middleware = []func(Handler) Handler{
			layer("outer"),
			func(next Handler) Handler {
				return func(ctx context.Context, c *Call) error {
					if c.Method() == "tools/list" {
						return &codec.Error{Code: -32010, Message: "no"}
					}
					return next(ctx, c)
				}
			},
		}
	})
	addFixtures(t, b.Server)
	header, _ := b.newSession(t, 1, "2025-11-25")
	order = nil
	if out := b.ask(t, 1, post(`{"jsonrpc":"2.0","id":1,"method":"ping"}`, header)); !strings.HasSuffix(out, `"result":{"by":"outer"}}`) {
		t.Errorf("%s", out)
	}
	if out := b.ask(t, 1, post(`{"jsonrpc":"2.0","id":1,"method":"tools/list"}`, header)); !strings.Contains(out, "-32010") {
		t.Errorf("%s", out)
	}
	if got := strings.Join(order, ","); got != "outer ping,outer tools/list" {
		t.Error(got)
	}
}

// When the server's context ends, a handler's own words still reach the client.
func TestServerContextEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	b := newTestbed(func(o *Options) { o.Context = ctx })
	addRaw(t, b.Server, "last", func(ctx context.Context, _ *Call) (*ToolResult, error) {
		cancel()
		<-ctx.Done()
		return Text("last words"), nil
	})
	if out := callTool(t, b, "last"); !strings.Contains(out, "last words") {
		t.Errorf("%s", out)
	}
}

func TestNewRefusesHalfOptions(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a server without a host")
		}
	}()
	New(Options{Logger: slog.Default()})
}

// TestAskOutlivesHandler: a goroutine that a handler leaves behind with a
// question no longer touches the worker, which serves somebody else by then.
func TestAskOutlivesHandler(t *testing.T) {
	b := newTestbed(nil)
	asked, left := make(chan struct{}), make(chan error)
	stray, cancel := context.WithCancel(context.Background())
	if err := b.AddTool(Tool{Name: "stray", Handle: func(_ context.Context, c *Call) (*ToolResult, error) {
		go func() {
			_, err := c.Ask(stray, "roots/list", nil)
			left <- err
		}()
		<-asked
		return Text("gone"), nil
	}}); err != nil {
		t.Fatal(err)
	}
	header, _ := b.newSession(t, 1, "2025-11-25")
	x, _ := exchange(2, post(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"stray"}}`, header))
	b.host.onSend = func(to StreamID) {
		if to == 2 && b.calls.Asks() > 0 {
			b.host.onSend = nil
			close(asked)
		}
	}
	b.do(x)
	w := x.Worker.(*fakeWorker)
	if w.left != 0 {
		t.Errorf("the worker left %d times more than it returned", w.left)
	}
	cancel()
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Errorf("the question ended with %v", err)
	}
	if w.left != 0 || b.calls.Asks() != 0 {
		t.Errorf("worker %d times away, %d questions", w.left, b.calls.Asks())
	}
}
