package gosdk

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/rookery-server/rookery/server"
)

type greeting struct {
	Name string `json:"name"`
}

// contentServer has one of each feature.
func contentServer() *sdk.Server {
	s := newServer(&sdk.ServerOptions{
		Instructions: "be kind",
		CompletionHandler: func(_ context.Context, req *sdk.CompleteRequest) (*sdk.CompleteResult, error) {
			return &sdk.CompleteResult{Completion: sdk.CompletionResultDetails{Values: []string{req.Params.Argument.Value + "!"}}}, nil
		},
	})
	sdk.AddTool(s, &sdk.Tool{Name: "greet"}, func(_ context.Context, _ *sdk.CallToolRequest, in greeting) (*sdk.CallToolResult, greeting, error) {
		return nil, greeting{"hello " + in.Name}, nil
	})
	addTool(s, "fail", func(context.Context, *sdk.CallToolRequest) (string, error) { return "", errors.New("as agreed") })
	addTool(s, "refuse", func(context.Context, *sdk.CallToolRequest) (string, error) {
		return "", &jsonrpc.Error{Code: -32055, Message: "no", Data: []byte(`{"why":1}`)}
	})
	addTool(s, "panic", func(context.Context, *sdk.CallToolRequest) (string, error) { panic("as agreed") })
	addTool(s, "marked", func(context.Context, *sdk.CallToolRequest) (string, error) { return "<&>", nil })
	s.AddResource(&sdk.Resource{URI: "test://a", Name: "a", MIMEType: "text/plain"}, readURI)
	s.AddResourceTemplate(&sdk.ResourceTemplate{URITemplate: "test://t/{x}", Name: "t"}, readURI)
	s.AddPrompt(&sdk.Prompt{Name: "p", Arguments: []*sdk.PromptArgument{{Name: "who"}}},
		func(_ context.Context, req *sdk.GetPromptRequest) (*sdk.GetPromptResult, error) {
			return &sdk.GetPromptResult{Messages: []*sdk.PromptMessage{{Role: "user", Content: &sdk.TextContent{Text: req.Params.Arguments["who"]}}}}, nil
		})
	return s
}

func readURI(_ context.Context, req *sdk.ReadResourceRequest) (*sdk.ReadResourceResult, error) {
	return &sdk.ReadResourceResult{Contents: []*sdk.ResourceContents{{Text: req.Params.URI}}}, nil
}

// TestContent asks for everything a server has.
func TestContent(t *testing.T) {
	addr, _ := start(t, contentServer())
	eachEra(t, func(t *testing.T, version string) {
		s, ctx := dial(t, addr, version, nil), within(t)
		hello := s.InitializeResult()
		check(t, "server", hello.ServerInfo.Name, "fixture")
		check(t, "instructions", hello.Instructions, "be kind")
		if c := hello.Capabilities; c.Tools == nil || c.Prompts == nil || c.Resources == nil || c.Completions == nil || c.Logging == nil {
			t.Errorf("capabilities %+v", c)
		}
		tools, err := s.ListTools(ctx, nil)
		if err != nil || len(tools.Tools) != 5 {
			t.Fatalf("tools %v, %v", tools, err)
		}
		r, err := s.CallTool(ctx, &sdk.CallToolParams{Name: "greet", Arguments: map[string]any{"name": "you"}})
		if err != nil {
			t.Fatal(err)
		}
		check(t, "structured", r.StructuredContent, map[string]any{"name": "hello you"})
		if r, err = s.CallTool(ctx, &sdk.CallToolParams{Name: "greet", Arguments: map[string]any{"name": 1}}); err != nil || !r.IsError {
			t.Errorf("bad arguments: %v, %v", r, err)
		}
		check(t, "text", call(t, s, "marked"), "<&>")

		resources, err := s.ListResources(ctx, nil)
		if err != nil || len(resources.Resources) != 1 {
			t.Errorf("resources %v, %v", resources, err)
		}
		templates, err := s.ListResourceTemplates(ctx, nil)
		if err != nil || len(templates.ResourceTemplates) != 1 {
			t.Errorf("templates %v, %v", templates, err)
		}
		for _, uri := range []string{"test://a", "test://t/1"} {
			if got, err := s.ReadResource(ctx, &sdk.ReadResourceParams{URI: uri}); err != nil || got.Contents[0].Text != uri {
				t.Errorf("%s: %v, %v", uri, got, err)
			}
		}
		prompts, err := s.ListPrompts(ctx, nil)
		if err != nil || len(prompts.Prompts) != 1 {
			t.Errorf("prompts %v, %v", prompts, err)
		}
		p, err := s.GetPrompt(ctx, &sdk.GetPromptParams{Name: "p", Arguments: map[string]string{"who": "me"}})
		if err != nil || p.Messages[0].Content.(*sdk.TextContent).Text != "me" {
			t.Errorf("prompt %v, %v", p, err)
		}
		c, err := s.Complete(ctx, &sdk.CompleteParams{
			Ref: &sdk.CompleteReference{Type: "ref/prompt", Name: "p"}, Argument: sdk.CompleteParamsArgument{Name: "who", Value: "x"},
		})
		if err != nil || len(c.Completion.Values) != 1 || c.Completion.Values[0] != "x!" {
			t.Errorf("completion %v, %v", c, err)
		}
	})
}

// TestErrors sees that errors reach clients as the SDK would send them, and
// that a panic is one.
func TestErrors(t *testing.T) {
	addr, _ := start(t, contentServer())
	eachEra(t, func(t *testing.T, version string) {
		s, ctx := dial(t, addr, version, nil), within(t)
		r, err := s.CallTool(ctx, &sdk.CallToolParams{Name: "fail"})
		if err != nil || !r.IsError || textOf(t, r) != "as agreed" {
			t.Errorf("fail: %v, %v", r, err)
		}
		for _, c := range []struct {
			tool string
			code int64
		}{{"refuse", -32055}, {"panic", jsonrpc.CodeInternalError}, {"nowhere", jsonrpc.CodeInvalidParams}} {
			var e *jsonrpc.Error
			if _, err := s.CallTool(ctx, &sdk.CallToolParams{Name: c.tool}); !errors.As(err, &e) || e.Code != c.code {
				t.Errorf("%s: %v", c.tool, err)
			} else if c.tool == "refuse" {
				check(t, "data", string(e.Data), `{"why":1}`)
			}
		}
		if _, err := s.ReadResource(ctx, &sdk.ReadResourceParams{URI: "test://nowhere"}); err == nil {
			t.Error("a resource that is not there was read")
		}
		if _, err := s.ListTools(ctx, &sdk.ListToolsParams{Cursor: "?"}); err == nil {
			t.Error("a bad cursor was taken")
		}
		check(t, "afterwards", call(t, s, "marked"), "<&>")
	})
}

// TestMalformed sends what no good client sends.
func TestMalformed(t *testing.T) {
	addr, _ := start(t, contentServer())
	r := dialRaw(t, addr)
	header := r.initialize()
	for _, c := range []struct{ method, params, want string }{
		{"tools/call", `{"name":1}`, `"code":-32602`},
		{"tools/call", `{"name":"greet","arguments":[]}`, `"isError":true`},
		{"tools/call", `{"name":"marked","_meta":[]}`, `"code":-32602`},
		{"tools/call", `{"name":"marked","inputResponses":1}`, `"code":-32602`},
		{"tools/call", `{"name":"marked","requestState":1}`, `"code":-32602`},
		{"tools/call", `{"name":"fail","Name":"marked"}`, `as agreed`},
		{"prompts/get", `{"name":"p","arguments":{"who":1}}`, `"code":-32602`},
		{"prompts/get", `{"name":1}`, `"code":-32602`},
		{"resources/read", `{"uri":1}`, `"code":-32602`},
		{"tools/list", `{"cursor":1}`, `"code":-32602`},
		{"completion/complete", `{"ref":{"type":"ref/nothing"},"argument":{"name":"a","value":"b"}}`, `"error"`},
		{"logging/setLevel", `{"level":"loud"}`, `"code":-32602`},
		{"resources/subscribe", `{"uri":"test://a"}`, `"code":-32601`}, // there is no SubscribeHandler
		{"rookery/nothing", `{}`, `"code":-32601`},
		{"initialize", `{}`, `"code":-32600`},
	} {
		_, _, answer := r.post(header, fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":%q,"params":%s}`, c.method, c.params))
		if !strings.Contains(answer, c.want) {
			t.Errorf("%s %s: %s", c.method, c.params, answer)
		}
	}
	for _, params := range []string{`{"protocolVersion":"2025-11-25","capabilities":1}`, `{"protocolVersion":1}`,
		`{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":[]}`} {
		if status, session, answer := r.post("", `{"jsonrpc":"2.0","id":1,"method":"initialize","params":`+params+`}`); session != "" {
			t.Errorf("initialize with %s: %d %s", params, status, answer)
		}
	}
}

// TestMiddleware sees that middleware counts whenever it is added.
func TestMiddleware(t *testing.T) {
	srv := contentServer()
	addr, _ := start(t, srv)
	var received, sent atomic.Int64
	srv.AddReceivingMiddleware(func(next sdk.MethodHandler) sdk.MethodHandler {
		return func(ctx context.Context, method string, req sdk.Request) (sdk.Result, error) {
			if method == "tools/call" && req.GetExtra().Header.Get("User-Agent") != "" {
				received.Add(1)
			}
			return next(ctx, method, req)
		}
	})
	srv.AddSendingMiddleware(func(next sdk.MethodHandler) sdk.MethodHandler {
		return func(ctx context.Context, method string, req sdk.Request) (sdk.Result, error) {
			sent.Add(1)
			return next(ctx, method, req)
		}
	})
	addTool(srv, "report", func(ctx context.Context, req *sdk.CallToolRequest) (string, error) {
		return "", req.Session.NotifyProgress(ctx, &sdk.ProgressNotificationParams{ProgressToken: "t", Progress: 1})
	})
	s := dial(t, addr, "2025-11-25", nil)
	call(t, s, "report")
	check(t, "received", received.Load(), 1)
	if sent.Load() == 0 {
		t.Error("the sending middleware saw nothing")
	}
}

// TestCustomMethod calls a method that only the server's author knows.
func TestCustomMethod(t *testing.T) {
	type params struct {
		sdk.ParamsBase
		Q string `json:"q"`
	}
	type result struct {
		sdk.ResultBase
		A string `json:"a"`
	}
	srv := contentServer()
	err := sdk.AddReceivingCustomMethod(srv, "acme/search", func(_ context.Context, ss *sdk.ServerSession, p *params) (*result, error) {
		return &result{A: p.Q + " for " + ss.InitializeParams().ClientInfo.Name}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	addr, _ := start(t, srv)
	r := dialRaw(t, addr)
	header := r.initialize()
	_, _, answer := r.post(header, `{"jsonrpc":"2.0","id":7,"method":"acme/search","params":{"q":"x"}}`)
	check(t, "answer", answer, `{"jsonrpc":"2.0","id":7,"result":{"a":"x for raw"}}`)
}

// TestOldServer leaves out the era without sessions.
func TestOldServer(t *testing.T) {
	addr, _ := start(t, newServer(&sdk.ServerOptions{SupportedProtocolVersions: []string{"2025-11-25", "2025-06-18"}}))
	r := dialRaw(t, addr)
	status, _, answer := r.post("MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/list",
		`{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28",`+
			`"io.modelcontextprotocol/clientCapabilities":{}}}}`)
	if status != 400 || !strings.Contains(answer, "-32022") {
		t.Errorf("%d %s", status, answer)
	}
	dial(t, addr, "2025-06-18", nil)
}

// TestRefused sees that what cannot work is said before anything is served.
func TestRefused(t *testing.T) {
	for _, c := range []struct {
		srv  *sdk.Server
		want error
	}{
		{nil, ErrNoServer},
		{newServer(&sdk.ServerOptions{KeepAlive: patience}), ErrKeepAlive},
		{newServer(&sdk.ServerOptions{GetSessionID: func() string { return "mine" }}), ErrGetSessionID},
	} {
		a := Handler(c.srv)
		if err := a.Err(); !errors.Is(err, c.want) {
			t.Errorf("%v, want %v", err, c.want)
		}
		if err := a.ListenAndServe(within(t), "127.0.0.1:0"); !errors.Is(err, c.want) {
			t.Errorf("ListenAndServe: %v, want %v", err, c.want)
		}
	}
}

// TestServe runs the one-line form until its context ends.
func TestServe(t *testing.T) {
	ctx, cancel := context.WithCancel(within(t))
	done := make(chan error, 1)
	go func() {
		done <- Handler(contentServer()).Serve(ctx, server.Options{HTTP: "127.0.0.1:0", Logger: slog.New(slog.DiscardHandler)})
	}()
	cancel()
	if err := receive(t, done); err != nil {
		t.Error(err)
	}
}

// TestOneServer sees that a Handler is not shared by mistake.
func TestOneServer(t *testing.T) {
	_, a := start(t, contentServer())
	if _, err := server.New(server.Options{MCPBackend: a}); !errors.Is(err, ErrTaken) {
		t.Errorf("a second server: %v", err)
	}
}
