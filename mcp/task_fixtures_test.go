package mcp

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/rookery-server/rookery/codec"
)

// addTaskFixtures registers what the transcripts of tasks use.
func addTaskFixtures(t testing.TB, s *Server) {
	t.Helper()
	add := func(name string, support TaskSupport, f func(ctx context.Context, c *Call) (*ToolResult, error)) {
		t.Helper()
		if err := s.AddTool(Tool{Name: name, Task: TaskPolicy{Support: support}, Handle: f}); err != nil {
			t.Fatal(err)
		}
	}
	add("job", TaskOptional, func(ctx context.Context, c *Call) (*ToolResult, error) {
		c.SetStatus("half way")
		_ = c.Progress(1, 2, "nobody hears this")
		select {
		case <-time.After(3 * time.Second):
			return Text("worked on " + string(c.Arguments())), nil
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	})
	add("job-only", TaskRequired, func(context.Context, *Call) (*ToolResult, error) { return nil, errors.New("it broke") })
	add("job-refuse", TaskOptional, func(context.Context, *Call) (*ToolResult, error) {
		return nil, &codec.Error{Code: -32050, Message: "not today", Data: []byte(`{"try":"tomorrow"}`)}
	})
	add("job-panic", TaskOptional, func(context.Context, *Call) (*ToolResult, error) { panic("on purpose") })
	add("job-ask", TaskOptional, func(ctx context.Context, c *Call) (*ToolResult, error) {
		answers, err := c.askInTask(ctx, [][]byte{
			appendInputRequest(nil, "elicitation/create", []byte(`{"message":"sure?"}`)),
			appendInputRequest(nil, "roots/list", nil),
		})
		if err != nil {
			return nil, err
		}
		return Text(string(answers[0]) + string(answers[1])), nil
	})
	add("job-later", TaskByHandler, func(ctx context.Context, c *Call) (*ToolResult, error) {
		if string(member(c.Arguments(), "now")) == "true" {
			return Text("at once"), nil
		}
		return c.AsTask(ctx, func(_ context.Context, c *Call) (*ToolResult, error) {
			return Text("later: " + string(c.Arguments())), nil
		})
	})
}
