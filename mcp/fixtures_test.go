package mcp

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/rookery-server/rookery/codec"
)

type echoIn struct {
	Text string `json:"text" jsonschema:"what to say"`
	N    int    `json:"n,omitempty"`
}

type sumIn struct {
	A int `json:"a"`
	B int `json:"b"`
}

type sumOut struct {
	Sum int `json:"sum"`
}

// addFixtures registers what the transcripts use.
func addFixtures(t testing.TB, s *Server) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(AddTool(s, Tool{Name: "echo", Description: "Says it again.", Inline: true},
		func(_ context.Context, _ *Call, in echoIn) (string, error) { return in.Text, nil }))
	must(AddTool(s, Tool{Name: "sum"},
		func(_ context.Context, _ *Call, in sumIn) (sumOut, error) { return sumOut{in.A + in.B}, nil }))
	raw := func(name string, f func(ctx context.Context, c *Call) (*ToolResult, error)) {
		t.Helper()
		must(s.AddTool(Tool{Name: name, Handle: f}))
	}
	raw("fail", func(context.Context, *Call) (*ToolResult, error) { return nil, errors.New("it broke") })
	raw("refuse", func(context.Context, *Call) (*ToolResult, error) {
		return nil, &codec.Error{Code: -32050, Message: "not today", Data: []byte(`{"try":"tomorrow"}`)}
	})
	raw("panic", func(context.Context, *Call) (*ToolResult, error) { panic("on purpose") })
	raw("talk", func(_ context.Context, c *Call) (*ToolResult, error) {
		_ = c.Progress(1, 2, "half")
		_ = c.Log(LevelDebug, "", "detail")
		_ = c.Log(LevelWarning, "talk", map[string]any{"hot": true})
		return Text("done"), nil
	})
	raw("wait", func(ctx context.Context, _ *Call) (*ToolResult, error) {
		<-ctx.Done()
		return nil, context.Cause(ctx)
	})
	raw("ask", func(ctx context.Context, c *Call) (*ToolResult, error) {
		answer, err := c.Ask(ctx, "roots/list", nil)
		if err != nil {
			return nil, err
		}
		return Text(string(answer)), nil
	})
	raw("away", func(ctx context.Context, c *Call) (*ToolResult, error) {
		if err := c.CloseStream(250 * time.Millisecond); err != nil {
			return nil, err
		}
		answer, err := c.Ask(ctx, "roots/list", nil)
		if err != nil {
			return nil, err
		}
		if err := c.CloseStream(time.Second); err != nil { // once more
			return nil, err
		}
		return Text(string(answer)), nil
	})
	raw("sample", func(ctx context.Context, c *Call) (*ToolResult, error) {
		_, err := c.Ask(ctx, "sampling/createMessage", map[string]any{"maxTokens": 1})
		return nil, err
	})
	raw("touch", func(_ context.Context, c *Call) (*ToolResult, error) {
		var in struct {
			URI string `json:"uri"`
		}
		if err := c.Decode(&in); err != nil {
			return nil, err
		}
		s.ResourceUpdated(in.URI)
		return nil, nil
	})
	raw("grow", func(context.Context, *Call) (*ToolResult, error) {
		return nil, s.AddPrompt(Prompt{Name: "late", Get: func(context.Context, *Call, map[string]string) (*PromptResult, error) { return nil, nil }})
	})
	must(s.AddResource(Resource{
		URI: "test://fixed", Name: "fixed", MIMEType: "text/plain", Inline: true,
		Read: func(context.Context, *Call, string) ([]ResourceContents, error) {
			return []ResourceContents{{Text: "hello"}}, nil
		},
	}))
	must(s.AddResourceTemplate(ResourceTemplate{
		URITemplate: "demo://item/{name}", Name: "item",
		Read: func(_ context.Context, _ *Call, _ string, vars map[string]string) ([]ResourceContents, error) {
			if vars["name"] == "blob" {
				return []ResourceContents{{MIMEType: "application/octet-stream", Blob: []byte{1, 2, 3}}}, nil
			}
			if vars["name"] == "none" {
				return nil, nil
			}
			return []ResourceContents{{Text: "item " + vars["name"]}}, nil
		},
	}))
	must(s.AddPrompt(Prompt{
		Name: "greet", Arguments: []PromptArgument{{Name: "who", Required: true}},
		Get: func(_ context.Context, _ *Call, args map[string]string) (*PromptResult, error) {
			return &PromptResult{Description: "a greeting", Messages: []PromptMessage{
				{Role: "user", Content: TextContent("hello " + args["who"])},
			}}, nil
		},
	}))
}
