package server

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/rookery-server/rookery/mcp"
)

// sdkTools registers what the SDK's client calls.
func sdkTools(t *testing.T) func(s *Server) {
	return func(s *Server) {
		m := s.MCP()
		type in struct {
			Text string `json:"text"`
		}
		err := mcp.AddTool(m, mcp.Tool{Name: "echo", Description: "Returns its text."},
			func(_ context.Context, _ *mcp.Call, in in) (*mcp.ToolResult, error) { return mcp.Text(in.Text), nil })
		if err != nil {
			t.Error(err)
		}
		if err := m.AddResource(testResource); err != nil {
			t.Error(err)
		}
		err = m.AddTool(mcp.Tool{Name: "ask", Handle: func(ctx context.Context, c *mcp.Call) (*mcp.ToolResult, error) {
			answer, err := c.Ask(ctx, "elicitation/create", json.RawMessage(
				`{"mode":"form","message":"color?","requestedSchema":{"type":"object","properties":{"color":{"type":"string"}}}}`))
			if err != nil {
				return nil, err
			}
			return mcp.Text(string(answer)), nil
		}})
		if err != nil {
			t.Error(err)
		}
	}
}

// connectSDK connects the official client in the era of version.
func connectSDK(t *testing.T, s *Server, version string, o *sdk.ClientOptions) *sdk.ClientSession {
	t.Helper()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	client := sdk.NewClient(&sdk.Implementation{Name: "test", Version: "1"}, o)
	session, err := client.Connect(within(t), &sdk.StreamableClientTransport{
		Endpoint: "http://" + s.HTTPAddr().String() + endpoint, HTTPClient: &http.Client{Transport: transport},
	}, &sdk.ClientSessionOptions{ProtocolVersion: version})
	if err != nil {
		t.Fatal(err)
	}
	if got := session.InitializeResult().ProtocolVersion; got != version {
		t.Errorf("agreed on %s, want %s", got, version)
	}
	return session
}

// TestOfficialClient drives the endpoint with the official Go SDK in both
// eras of the protocol: list, call, a tool that fails, a resource read, and an
// update that arrives on the open stream.
func TestOfficialClient(t *testing.T) {
	for _, version := range []string{"2025-06-18", "2025-11-25", "2026-07-28"} {
		t.Run(version, func(t *testing.T) {
			eachBackend(t, func(t *testing.T, o Options) {
				s := startServer(t, o, sdkTools(t))
				updated := make(chan string, 1)
				session := connectSDK(t, s, version, &sdk.ClientOptions{
					ResourceUpdatedHandler: func(_ context.Context, r *sdk.ResourceUpdatedNotificationRequest) { updated <- r.Params.URI },
				})
				ctx := within(t)
				tools, err := session.ListTools(ctx, nil)
				if err != nil || len(tools.Tools) != 2 {
					t.Fatalf("tools: %v, %v", tools, err)
				}
				r, err := session.CallTool(ctx, &sdk.CallToolParams{Name: "echo", Arguments: map[string]any{"text": "hallo"}})
				if err != nil || r.IsError || r.Content[0].(*sdk.TextContent).Text != "hallo" {
					t.Fatalf("echo: %v, %v", r, err)
				}
				r, err = session.CallTool(ctx, &sdk.CallToolParams{Name: "echo", Arguments: map[string]any{"text": 1}})
				if err == nil && !r.IsError {
					t.Errorf("arguments that break the schema: %v", r)
				}
				if _, err := session.ReadResource(ctx, &sdk.ReadResourceParams{URI: "a:b"}); err != nil {
					t.Errorf("read: %v", err)
				}
				if err := session.Subscribe(ctx, &sdk.SubscribeParams{URI: "a:b"}); err != nil {
					t.Fatalf("subscribe: %v", err)
				}
				eventually(t, "the subscriber is told", func() bool { return s.MCP().ResourceUpdated("a:b") == 1 })
				select {
				case uri := <-updated:
					if uri != "a:b" {
						t.Errorf("updated %s", uri)
					}
				case <-ctx.Done():
					t.Error("no update arrived")
				}
				if err := session.Close(); err != nil {
					t.Errorf("close: %v", err)
				}
				eventually(t, "the session ends", func() bool { return s.Stats().Sessions == 0 })
			})
		})
	}
}

// TestOfficialClientIsAsked: a tool asks the user in the middle of its call.
func TestOfficialClientIsAsked(t *testing.T) {
	eachBackend(t, func(t *testing.T, o Options) {
		o.Workers = 1
		s := startServer(t, o, sdkTools(t))
		session := connectSDK(t, s, "2025-11-25", &sdk.ClientOptions{
			ElicitationHandler: func(context.Context, *sdk.ElicitRequest) (*sdk.ElicitResult, error) {
				return &sdk.ElicitResult{Action: "accept", Content: map[string]any{"color": "green"}}, nil
			},
		})
		defer session.Close()
		r, err := session.CallTool(within(t), &sdk.CallToolParams{Name: "ask"})
		if err != nil || r.IsError || !strings.Contains(r.Content[0].(*sdk.TextContent).Text, "green") {
			t.Fatalf("ask: %v, %v", r, err)
		}
	})
}

// TestOfficialClientCancels: the context of a call ends on the client's side,
// and so does the handler's.
func TestOfficialClientCancels(t *testing.T) {
	for _, version := range []string{"2025-11-25", "2026-07-28"} {
		t.Run(version, func(t *testing.T) {
			eachBackend(t, func(t *testing.T, o Options) {
				started, ended := make(chan struct{}), make(chan struct{})
				s := startServer(t, o, func(s *Server) {
					err := s.MCP().AddTool(mcp.Tool{Name: "block", Handle: func(ctx context.Context, _ *mcp.Call) (*mcp.ToolResult, error) {
						close(started)
						<-ctx.Done()
						close(ended)
						return nil, ctx.Err()
					}})
					if err != nil {
						t.Error(err)
					}
				})
				session := connectSDK(t, s, version, nil)
				defer session.Close()
				ctx, cancel := context.WithCancel(within(t))
				go func() {
					<-started
					cancel()
				}()
				if r, err := session.CallTool(ctx, &sdk.CallToolParams{Name: "block"}); err == nil {
					t.Errorf("got %v", r)
				}
				select {
				case <-ended:
				case <-time.After(patience):
					t.Error("the handler goes on")
				}
			})
		})
	}
}
