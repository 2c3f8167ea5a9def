package gosdk

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"
)

// talkServer talks to its clients in the middle of calls.
func talkServer() *sdk.Server {
	s := newServer(nil)
	addTool(s, "progress", func(ctx context.Context, req *sdk.CallToolRequest) (string, error) {
		return "", req.Session.NotifyProgress(ctx, &sdk.ProgressNotificationParams{
			ProgressToken: req.Params.GetProgressToken(), Progress: 1, Total: 2, Message: "half",
		})
	})
	addTool(s, "log", func(ctx context.Context, req *sdk.CallToolRequest) (string, error) {
		for _, level := range []sdk.LoggingLevel{"info", "error"} {
			if err := req.Session.Log(ctx, &sdk.LoggingMessageParams{Level: level, Data: level}); err != nil {
				return "", err
			}
		}
		return "", nil
	})
	addTool(s, "sample", func(ctx context.Context, req *sdk.CallToolRequest) (string, error) {
		r, err := req.Session.CreateMessage(ctx, &sdk.CreateMessageParams{MaxTokens: 9, Messages: []*sdk.SamplingMessage{
			{Role: "user", Content: &sdk.TextContent{Text: "say"}},
		}})
		if err != nil {
			return "", err
		}
		return r.Content.(*sdk.TextContent).Text, nil
	})
	addTool(s, "elicit", func(ctx context.Context, req *sdk.CallToolRequest) (string, error) {
		r, err := req.Session.Elicit(ctx, &sdk.ElicitParams{Message: "color?"})
		if err != nil {
			return "", err
		}
		return fmt.Sprint(r.Action, r.Content["color"]), nil
	})
	addTool(s, "roots", func(ctx context.Context, req *sdk.CallToolRequest) (string, error) {
		r, err := req.Session.ListRoots(ctx, nil)
		if err != nil {
			return "", err
		}
		return r.Roots[0].URI, nil
	})
	sdk.AddTool(s, &sdk.Tool{Name: "input"}, func(_ context.Context, req *sdk.CallToolRequest, _ empty) (*sdk.CallToolResult, any, error) {
		if r, ok := req.Params.InputResponses["q"].(*sdk.ElicitResult); ok {
			return &sdk.CallToolResult{Content: []sdk.Content{&sdk.TextContent{Text: fmt.Sprint(r.Content["color"], req.Params.RequestState)}}}, nil, nil
		}
		return &sdk.CallToolResult{InputRequests: sdk.InputRequestMap{"q": &sdk.ElicitParams{Message: "color?"}}, RequestState: "-s"}, nil, nil
	})
	addTool(s, "who", func(_ context.Context, req *sdk.CallToolRequest) (string, error) {
		p := req.Session.InitializeParams()
		return fmt.Sprintf("%s %s %s %v %v", p.ClientInfo.Name, p.ClientInfo.Title, p.ProtocolVersion,
			p.Capabilities.Sampling != nil, p.Capabilities.RootsV2 != nil), nil
	})
	return s
}

// answers is a client that answers everything.
func answers() *sdk.ClientOptions {
	return &sdk.ClientOptions{
		CreateMessageHandler: func(context.Context, *sdk.CreateMessageRequest) (*sdk.CreateMessageResult, error) {
			return &sdk.CreateMessageResult{Role: "assistant", Model: "m", Content: &sdk.TextContent{Text: "said"}}, nil
		},
		ElicitationHandler: func(context.Context, *sdk.ElicitRequest) (*sdk.ElicitResult, error) {
			return &sdk.ElicitResult{Action: "accept", Content: map[string]any{"color": "blue"}}, nil
		},
	}
}

func TestProgress(t *testing.T) {
	addr, _ := start(t, talkServer())
	eachEra(t, func(t *testing.T, version string) {
		got := make(chan string, 1)
		s := dial(t, addr, version, &sdk.ClientOptions{
			ProgressNotificationHandler: func(_ context.Context, r *sdk.ProgressNotificationClientRequest) {
				got <- fmt.Sprint(r.Params.ProgressToken, r.Params.Progress, r.Params.Total, r.Params.Message)
			},
		})
		p := &sdk.CallToolParams{Name: "progress"}
		p.SetProgressToken("tok")
		if _, err := s.CallTool(within(t), p); err != nil {
			t.Fatal(err)
		}
		check(t, "progress", receive(t, got), fmt.Sprint("tok", 1., 2., "half"))
	})
}

// TestLogLevel sees that a level outlives the request that set it, and belongs
// to one client.
func TestLogLevel(t *testing.T) {
	addr, _ := start(t, talkServer())
	eachEra(t, func(t *testing.T, version string) {
		got := make(chan any, 4)
		o := &sdk.ClientOptions{LoggingMessageHandler: func(_ context.Context, r *sdk.LoggingMessageRequest) { got <- r.Params.Data }}
		s, silent := dial(t, addr, version, o), dial(t, addr, version, o)
		p := &sdk.CallToolParams{Name: "log"}
		if version == modernEra {
			p.Meta = sdk.Meta{sdk.MetaKeyLogLevel: "error"}
		} else if err := s.SetLoggingLevel(within(t), &sdk.SetLoggingLevelParams{Level: "error"}); err != nil {
			t.Fatal(err)
		}
		if _, err := s.CallTool(within(t), p); err != nil {
			t.Fatal(err)
		}
		check(t, "logged", receive(t, got), "error")
		call(t, silent, "log")
		check(t, "messages nobody asked for", len(got), 0)
	})
}

func TestQuestions(t *testing.T) {
	addr, _ := start(t, talkServer())
	eachEra(t, func(t *testing.T, version string) {
		client := sdk.NewClient(&sdk.Implementation{Name: "test"}, answers())
		client.AddRoots(&sdk.Root{URI: "file:///root"})
		s, err := client.Connect(within(t), &sdk.StreamableClientTransport{Endpoint: "http://" + addr + "/mcp"},
			&sdk.ClientSessionOptions{ProtocolVersion: version})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = s.Close() }()
		check(t, "input", call(t, s, "input"), "blue-s")
		for tool, want := range map[string]string{"sample": "said", "elicit": "acceptblue", "roots": "file:///root"} {
			r, err := s.CallTool(within(t), &sdk.CallToolParams{Name: tool})
			switch {
			case err != nil:
				t.Errorf("%s: %v", tool, err)
			case version == modernEra: // has no requests from the server
				check(t, tool, r.IsError, true)
			default:
				check(t, tool, textOf(t, r), want)
			}
		}
	})
}

// TestManyQuestions has many handlers wait at once, with the same ids inside the
// SDK, for clients that answer each in its own words.
func TestManyQuestions(t *testing.T) {
	addr, _ := start(t, talkServer())
	var group sync.WaitGroup
	for i := range 8 {
		want := fmt.Sprint("said ", i)
		s := dial(t, addr, "2025-11-25", &sdk.ClientOptions{
			CreateMessageHandler: func(context.Context, *sdk.CreateMessageRequest) (*sdk.CreateMessageResult, error) {
				return &sdk.CreateMessageResult{Role: "assistant", Model: "m", Content: &sdk.TextContent{Text: want}}, nil
			},
		})
		for range 8 {
			group.Go(func() {
				r, err := s.CallTool(within(t), &sdk.CallToolParams{Name: "sample"})
				if err != nil {
					t.Error(err)
					return
				}
				check(t, "sample", textOf(t, r), want)
			})
		}
	}
	group.Wait()
}

// TestIdentity sees that a handler always has its own client's session.
func TestIdentity(t *testing.T) {
	addr, _ := start(t, talkServer())
	eachEra(t, func(t *testing.T, version string) {
		a := dialAs(t, addr, version, &sdk.Implementation{Name: "a", Title: "A"}, answers())
		b := dialAs(t, addr, version, &sdk.Implementation{Name: "b", Title: "B"}, &sdk.ClientOptions{Capabilities: &sdk.ClientCapabilities{}})
		for range 3 {
			check(t, "a", call(t, a, "who"), "a A "+version+" true true")
			check(t, "b", call(t, b, "who"), "b B "+version+" false false")
		}
	})
}

func TestCancellation(t *testing.T) {
	srv := talkServer()
	running, ended := make(chan bool, 1), make(chan error, 1)
	addTool(srv, "wait", func(ctx context.Context, _ *sdk.CallToolRequest) (string, error) {
		running <- true
		<-ctx.Done()
		ended <- ctx.Err()
		return "", ctx.Err()
	})
	srv.AddResource(&sdk.Resource{URI: "test://wait", Name: "wait"}, func(ctx context.Context, _ *sdk.ReadResourceRequest) (*sdk.ReadResourceResult, error) {
		running <- true
		<-ctx.Done()
		ended <- ctx.Err()
		return nil, ctx.Err()
	})
	addr, _ := start(t, srv)
	eachEra(t, func(t *testing.T, version string) {
		s := dial(t, addr, version, nil)
		for _, f := range []func(context.Context) error{
			func(ctx context.Context) error {
				_, err := s.CallTool(ctx, &sdk.CallToolParams{Name: "wait"})
				return err
			},
			func(ctx context.Context) error {
				_, err := s.ReadResource(ctx, &sdk.ReadResourceParams{URI: "test://wait"})
				return err
			},
		} {
			ctx, cancel := context.WithCancel(within(t))
			done := make(chan error, 1)
			go func() { done <- f(ctx) }()
			receive(t, running)
			cancel()
			if err := receive(t, done); !errors.Is(err, context.Canceled) {
				t.Errorf("the client got %v", err)
			}
			if err := receive(t, ended); !errors.Is(err, context.Canceled) {
				t.Errorf("the handler got %v", err)
			}
		}
	})
}

// TestCustomCancelled cancels a call that went through the SDK's dispatch.
func TestCustomCancelled(t *testing.T) {
	type params struct{ sdk.ParamsBase }
	type result struct{ sdk.ResultBase }
	srv := newServer(nil)
	running, ended := make(chan bool, 1), make(chan error, 1)
	err := sdk.AddReceivingCustomMethod(srv, "acme/wait", func(ctx context.Context, _ *sdk.ServerSession, _ *params) (*result, error) {
		running <- true
		<-ctx.Done()
		ended <- context.Cause(ctx)
		return nil, ctx.Err()
	})
	if err != nil {
		t.Fatal(err)
	}
	addr, _ := start(t, srv)
	r, other := dialRaw(t, addr), dialRaw(t, addr)
	header := r.initialize()
	r.send("POST", header, `{"jsonrpc":"2.0","id":"x","method":"acme/wait"}`)
	receive(t, running)
	other.post(header, `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"x"}}`)
	if receive(t, ended) == nil {
		t.Error("no cause")
	}
}

// TestKeptSession sees that a session kept beyond its request reaches nobody.
func TestKeptSession(t *testing.T) {
	srv := newServer(nil)
	kept := make(chan *sdk.ServerSession, 1)
	addTool(srv, "keep", func(_ context.Context, req *sdk.CallToolRequest) (string, error) {
		kept <- req.Session
		return req.Session.ID(), nil
	})
	addr, _ := start(t, srv)
	eachEra(t, func(t *testing.T, version string) {
		got := make(chan bool, 8)
		s := dial(t, addr, version, &sdk.ClientOptions{
			ProgressNotificationHandler: func(context.Context, *sdk.ProgressNotificationClientRequest) { got <- true },
		})
		if id := call(t, s, "keep"); id != s.ID() {
			t.Errorf("the handler's session is %q, the client's %q", id, s.ID())
		}
		ss := receive(t, kept)
		if err := ss.NotifyProgress(within(t), &sdk.ProgressNotificationParams{ProgressToken: 1, Progress: 1}); err == nil {
			t.Error("a closed session took a notification")
		}
		if _, err := ss.ListRoots(within(t), nil); err == nil {
			t.Error("a closed session took a question")
		}
		call(t, s, "keep")
		receive(t, kept)
		check(t, "messages of a closed session", len(got), 0)
	})
}

// TestLeftBehind has a handler return while a goroutine of its asks on.
func TestLeftBehind(t *testing.T) {
	srv := newServer(nil)
	ended := make(chan error, 1)
	addTool(srv, "leave", func(_ context.Context, req *sdk.CallToolRequest) (string, error) {
		go func() {
			_, err := req.Session.ListRoots(context.Background(), nil)
			ended <- err
		}()
		return "", nil
	})
	addr, _ := start(t, srv)
	asked := make(chan bool, 1)
	client := sdk.NewClient(&sdk.Implementation{Name: "test"}, nil)
	client.AddReceivingMiddleware(func(next sdk.MethodHandler) sdk.MethodHandler {
		return func(ctx context.Context, method string, req sdk.Request) (sdk.Result, error) {
			if method == "roots/list" {
				select {
				case asked <- true:
				default:
				}
			}
			return next(ctx, method, req)
		}
	})
	s, err := client.Connect(within(t), &sdk.StreamableClientTransport{Endpoint: "http://" + addr + "/mcp"},
		&sdk.ClientSessionOptions{ProtocolVersion: "2025-11-25"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	for range 20 {
		call(t, s, "leave")
		receive(t, ended) // either outcome, but an end
	}
}

// TestNotifications sees that handlers of notifications run, each with its
// client's session.
func TestNotifications(t *testing.T) {
	got := make(chan string, 8)
	say := func(what string, ss *sdk.ServerSession) { got <- what + " " + ss.InitializeParams().ClientInfo.Name }
	srv := newServer(&sdk.ServerOptions{
		InitializedHandler:      func(_ context.Context, r *sdk.InitializedRequest) { say("initialized", r.Session) },
		RootsListChangedHandler: func(_ context.Context, r *sdk.RootsListChangedRequest) { say("roots", r.Session) },
		ProgressNotificationHandler: func(_ context.Context, r *sdk.ProgressNotificationServerRequest) {
			say("progress "+r.Params.Message, r.Session)
			if r.Params.Message == "panic" {
				panic("as agreed")
			}
		},
	})
	addr, _ := start(t, srv)
	client := sdk.NewClient(&sdk.Implementation{Name: "test"}, nil)
	s, err := client.Connect(within(t), &sdk.StreamableClientTransport{Endpoint: "http://" + addr + "/mcp"},
		&sdk.ClientSessionOptions{ProtocolVersion: "2025-11-25"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	check(t, "first", receive(t, got), "initialized test")
	client.AddRoots(&sdk.Root{URI: "file:///x"})
	check(t, "second", receive(t, got), "roots test")
	for _, message := range []string{"panic", "now"} {
		if err := s.NotifyProgress(within(t), &sdk.ProgressNotificationParams{ProgressToken: 1, Message: message}); err != nil {
			t.Fatal(err)
		}
		check(t, "then", receive(t, got), "progress "+message+" test")
	}
	r := dialRaw(t, addr)
	header := r.initialize()
	check(t, "of another", receive(t, got), "initialized raw")
	for _, msg := range []string{`"notifications/progress","params":{"progress":"x"}`, `"acme/unknown"`} {
		if status, _, _ := r.post(header, `{"jsonrpc":"2.0","method":`+msg+`}`); status != 202 {
			t.Errorf("%s: status %d", msg, status)
		}
	}
}

// TestIdleSessionsCostNoGoroutines opens many sessions with their streams.
func TestIdleSessionsCostNoGoroutines(t *testing.T) {
	srv := contentServer()
	addr, _ := start(t, srv)
	const sessions = 200
	open := func() *raw {
		r := dialRaw(t, addr)
		header := r.initialize()
		r.post(header, `{"jsonrpc":"2.0","id":1,"method":"tools/list"}`)
		r.send("GET", header, "")
		check(t, "stream", r.head().StatusCode, 200)
		return r
	}
	for range 20 {
		open() // whatever is started once
	}
	before := runtime.NumGoroutine()
	var last *raw
	for range sessions {
		last = open()
	}
	const spare = 4 // for workers that are about to be idle
	for deadline := time.Now().Add(patience); runtime.NumGoroutine() > before+spare; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d goroutines for %d idle sessions", runtime.NumGoroutine()-before, sessions)
		}
	}
	check(t, "sessions of the SDK", countSessions(srv), 1)
	srv.RemoveTools("greet")
	last.await("tools/list_changed")
}

func countSessions(s *sdk.Server) (n int) {
	for range s.Sessions() {
		n++
	}
	return n
}
