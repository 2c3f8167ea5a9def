package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/rookery-server/rookery/codec"
	"github.com/rookery-server/rookery/mcp"
)

// addTasks adds the tools of the extension io.modelcontextprotocol/tasks
// (SEP-2663). Their handlers are like any others; the policy makes the calls
// tasks.
func addTasks(s *mcp.Server) error {
	optional := mcp.TaskPolicy{Support: mcp.TaskOptional}
	required := mcp.TaskPolicy{Support: mcp.TaskRequired}
	for _, err := range []error{
		mcp.AddTool(s, mcp.Tool{Name: "greet", Description: "Greets somebody at once.", Inline: true}, greet),
		mcp.AddTool(s, mcp.Tool{Name: "slow_compute", Description: "Takes its time.", Task: optional}, slowCompute),
		s.AddTool(mcp.Tool{Name: "failing_job", Description: "Fails after a second.", Task: required, Handle: failingJob}),
		s.AddTool(mcp.Tool{Name: "protocol_error_job", Description: "Breaks the protocol's way.", Task: optional, Handle: protocolErrorJob}),
		mcp.AddTool(s, mcp.Tool{Name: "confirm_delete", Description: "Deletes nothing once it is confirmed.", Task: optional}, confirmDelete),
		s.AddTool(mcp.Tool{Name: "multi_input", Description: "Asks two things at once.", Task: optional, Handle: multiInput}),
		s.AddTool(mcp.Tool{Name: "test_tool_with_task", Description: "Asks first and becomes a task then.",
			Task: mcp.TaskPolicy{Support: mcp.TaskByHandler}, Handle: askThenWork}),
	} {
		if err != nil {
			return err
		}
	}
	return nil
}

type greetIn struct {
	Name string `json:"name"`
}

func greet(_ context.Context, _ *mcp.Call, in greetIn) (string, error) {
	return "Hello, " + in.Name + "!", nil
}

type slowIn struct {
	Seconds float64 `json:"seconds,omitempty" jsonschema:"how long to take"`
	Label   string  `json:"label,omitempty"`
}

func slowCompute(ctx context.Context, c *mcp.Call, in slowIn) (string, error) {
	c.SetStatus("computing " + in.Label)
	if err := rest(ctx, time.Duration(in.Seconds*float64(time.Second))); err != nil {
		return "", err
	}
	return fmt.Sprintf("%s took %g s", in.Label, in.Seconds), nil
}

// rest waits for d or the end of ctx.
func rest(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func failingJob(ctx context.Context, _ *mcp.Call) (*mcp.ToolResult, error) {
	if err := rest(ctx, time.Second); err != nil {
		return nil, err
	}
	return mcp.Errorf("the job failed, as it always does"), nil
}

func protocolErrorJob(context.Context, *mcp.Call) (*mcp.ToolResult, error) {
	return nil, &codec.Error{Code: codec.CodeInternal, Message: "the job broke down, as it always does"}
}

type deleteIn struct {
	Filename string `json:"filename"`
}

func confirmDelete(ctx context.Context, c *mcp.Call, in deleteIn) (string, error) {
	confirmed, err := confirm(ctx, c, "Delete "+in.Filename+"?")
	switch {
	case err != nil:
		return "", err
	case !confirmed:
		return in.Filename + " stays", nil
	default:
		return "deleted " + in.Filename, nil
	}
}

// confirm asks the user to agree.
func confirm(ctx context.Context, c *mcp.Call, message string) (bool, error) {
	raw, err := c.Ask(ctx, "elicitation/create", map[string]any{
		"mode": "form", "message": message, "requestedSchema": json.RawMessage(
			`{"type":"object","properties":{"confirm":{"type":"boolean"}},"required":["confirm"]}`),
	})
	if err != nil {
		return false, err
	}
	var answer struct {
		Action  string `json:"action"`
		Content struct {
			Confirm bool `json:"confirm"`
		} `json:"content"`
	}
	err = json.Unmarshal(raw, &answer)
	return answer.Action == "accept" && answer.Content.Confirm, err
}

// multiInput asks from two goroutines, so that both questions are open at a
// time.
func multiInput(ctx context.Context, c *mcp.Call) (*mcp.ToolResult, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	const questions = 2
	errs := make(chan error, questions)
	for i := range questions {
		go func() {
			_, err := confirm(ctx, c, fmt.Sprintf("Is it so (%d)?", i+1))
			errs <- err
		}()
	}
	var first error
	for range questions {
		if err := <-errs; err != nil && first == nil {
			first = err
			cancel() // the other question is of no use any more
		}
	}
	if first != nil {
		return nil, first
	}
	return mcp.Text("both were answered"), nil
}

// askThenWork asks within the request, then lets a task use the answer.
func askThenWork(ctx context.Context, c *mcp.Call) (*mcp.ToolResult, error) {
	raw, err := c.Ask(ctx, "elicitation/create", map[string]any{
		"mode": "form", "message": "What is your name?", "requestedSchema": json.RawMessage(
			`{"type":"object","properties":{"name":{"type":"string"}},"required":["name"]}`),
	})
	if err != nil {
		return nil, err
	}
	var answer struct {
		Content struct {
			Name string `json:"name"`
		} `json:"content"`
	}
	if err := json.Unmarshal(raw, &answer); err != nil {
		return nil, err
	}
	return c.AsTask(ctx, func(context.Context, *mcp.Call) (*mcp.ToolResult, error) {
		return mcp.Text("Hello, " + answer.Content.Name + "!"), nil
	})
}
