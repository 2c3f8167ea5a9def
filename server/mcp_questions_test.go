package server

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/rookery-server/rookery/mcp"
)

// questionTools registers tools that ask, wait and report.
func questionTools(t *testing.T) func(s *Server) {
	return func(s *Server) {
		m := s.MCP()
		name := mcp.ElicitRequest{Key: "name", Message: "Who are you?",
			Schema: `{"type":"object","properties":{"name":{"type":"string"},"polite":{"type":"boolean","default":true}},"required":["name"]}`}
		for _, tool := range []mcp.Tool{
			{Name: "elicit", Handle: func(ctx context.Context, c *mcp.Call) (*mcp.ToolResult, error) {
				r, err := c.Elicit(ctx, name)
				if err != nil {
					return nil, err
				}
				return mcp.Text(string(r.Content)), nil
			}},
			{Name: "everything", Handle: func(ctx context.Context, c *mcp.Call) (*mcp.ToolResult, error) {
				first, err := c.Elicit(ctx, name)
				if err != nil {
					return nil, fmt.Errorf("first: %w", err)
				}
				rest, err := c.AskAll(ctx, mcp.ElicitRequest{Message: "Sure?"}, mcp.ElicitRequest{Message: "Really?"})
				if err != nil {
					return nil, fmt.Errorf("rest: %w", err)
				}
				return mcp.Text(string(first.Content) + rest[0].Elicit.Action + rest[1].Elicit.Action), nil
			}},
			{Name: "forever", Handle: func(ctx context.Context, c *mcp.Call) (*mcp.ToolResult, error) {
				_, err := c.Ask(ctx, "roots/list", nil) // waits, without a worker
				return nil, err
			}},
			{Name: "report", Handle: func(_ context.Context, c *mcp.Call) (*mcp.ToolResult, error) {
				return nil, errors.Join(c.Progress(1, 2, "half"), c.Progress(2, 2, "whole"))
			}},
		} {
			if err := m.AddTool(tool); err != nil {
				t.Error(err)
			}
		}
	}
}

// TestMCPAllAtOnceOverTCP: an elicitation, a cancellation and progress share
// one connection and one worker, and none waits for another.
func TestMCPAllAtOnceOverTCP(t *testing.T) {
	eachBackend(t, func(t *testing.T, o Options) {
		o.Workers = 1
		s := startServer(t, o, questionTools(t))
		p := dial(t, s.TCPAddr())
		p.ask(strings.Replace(initialize, `"capabilities":{}`, `"capabilities":{"elicitation":{},"roots":{}}`, 1))
		p.send(`{"jsonrpc":"2.0","method":"notifications/initialized"}` + "\n" + call(1, "elicit") + "\n")
		elicit := p.question()
		p.send(call(2, "forever") + "\n")
		if q := p.question(); q.Method != "roots/list" {
			t.Errorf("asked %s", q.Method)
		}
		report := strings.Replace(call(3, "report"), `"arguments"`, `"_meta":{"progressToken":"p"},"arguments"`, 1)
		p.send(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":2}}` + "\n" + report + "\n")
		for _, want := range []string{`"message":"half"`, `"message":"whole"`, `{"jsonrpc":"2.0","id":3,"result"`} {
			if got := p.line(); !strings.Contains(got, want) {
				t.Errorf("got %s, want %s", got, want)
			}
		}
		got := p.ask(fmt.Sprintf(`{"jsonrpc":"2.0","id":%q,"result":{"action":"accept","content":{"name":"Ann"}}}`, elicit.ID))
		if !strings.Contains(got, `"id":1,`) || !strings.Contains(got, `{\"name\":\"Ann\",\"polite\":true}`) {
			t.Errorf("got %s", got)
		}
		eventually(t, "nothing is left", func() bool {
			st := s.Stats()
			return st.Asks == 0 && st.MCP.Cancelled == 1 && st.MCP.Requests == st.MCP.Succeeded+st.MCP.Cancelled
		})
	})
}

// TestOfficialClientAnswers: the official Go SDK answers typed questions in
// both eras, on the stream and by calling again.
func TestOfficialClientAnswers(t *testing.T) {
	for _, version := range []string{"2025-06-18", "2025-11-25", "2026-07-28"} {
		t.Run(version, func(t *testing.T) {
			eachBackend(t, func(t *testing.T, o Options) {
				s := startServer(t, o, questionTools(t))
				session := connectSDK(t, s, version, &sdk.ClientOptions{
					ElicitationHandler: func(_ context.Context, r *sdk.ElicitRequest) (*sdk.ElicitResult, error) {
						content := map[string]any{}
						if r.Params.Message == "Who are you?" {
							content["name"] = "Ann"
						}
						return &sdk.ElicitResult{Action: "accept", Content: content}, nil
					},
				})
				defer session.Close()
				result, err := session.CallTool(within(t), &sdk.CallToolParams{Name: "everything"})
				if err != nil {
					t.Fatal(err)
				}
				got, ok := result.Content[0].(*sdk.TextContent)
				if !ok || result.IsError || got.Text != `{"name":"Ann","polite":true}acceptaccept` {
					t.Errorf("%+v %+v", result, result.Content[0])
				}
			})
		})
	}
}

// TestRoundsOnTwoServers: a call that one server left open is finished by
// another with the same key, and by no other.
func TestRoundsOnTwoServers(t *testing.T) {
	key := []byte("0123456789abcdef0123456789abcdef")
	start := func(key []byte) *peer {
		return dial(t, startServer(t, Options{StateKey: key}, questionTools(t)).TCPAddr())
	}
	const request = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"everything",%s"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{"elicitation":{}}}}}`
	first, second, stranger := start(key), start(key), start(nil)
	_, rest, _ := strings.Cut(first.ask(fmt.Sprintf(request, "")), `"requestState":"`)
	state, _, _ := strings.Cut(rest, `"`)
	retry := fmt.Sprintf(request, `"requestState":"`+state+`","inputResponses":{"name":{"action":"accept","content":{"name":"Ann"}}},`)
	if got := second.ask(retry); !strings.Contains(got, "Sure?") || !strings.Contains(got, "Really?") {
		t.Errorf("the second server: %s", got)
	}
	if got := stranger.ask(retry); !strings.Contains(got, "-32602") {
		t.Errorf("a server with another key: %s", got)
	}
}
