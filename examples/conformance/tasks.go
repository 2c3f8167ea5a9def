package main

import (
	"context"
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
	if err := pause(ctx, time.Duration(in.Seconds*float64(time.Second))); err != nil {
		return "", err
	}
	return fmt.Sprintf("%s took %g s", in.Label, in.Seconds), nil
}

func failingJob(ctx context.Context, _ *mcp.Call) (*mcp.ToolResult, error) {
	if err := pause(ctx, time.Second); err != nil {
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

// agreement is what a form for a task's question looks like.
var agreement = form(`{"type": "object", "properties": {"confirm": {"type": "boolean"}}, "required": ["confirm"]}`)

// confirmDelete waits within its task for the user, for as long as the client
// polls.
func confirmDelete(ctx context.Context, c *mcp.Call, in deleteIn) (string, error) {
	var answer struct {
		Confirm bool `json:"confirm"`
	}
	ok, err := fill(ctx, c, mcp.ElicitRequest{Message: "Delete " + in.Filename + "?", Schema: agreement}, &answer)
	if err != nil {
		return "", err
	}
	if !ok || !answer.Confirm {
		return in.Filename + " stays", nil
	}
	return "deleted " + in.Filename, nil
}

// multiInput has two questions open at a time; the client may answer them one
// by one.
func multiInput(ctx context.Context, c *mcp.Call) (*mcp.ToolResult, error) {
	answers, err := c.AskAll(ctx,
		mcp.ElicitRequest{Message: "Is the first so?", Schema: agreement},
		mcp.ElicitRequest{Message: "Is the second so?", Schema: agreement})
	if err != nil {
		return nil, err
	}
	return mcp.Text(fmt.Sprintf("%d questions were answered", len(answers))), nil
}

// askThenWork asks within the request, then lets a task use the answer.
func askThenWork(ctx context.Context, c *mcp.Call) (*mcp.ToolResult, error) {
	var in struct {
		Name string `json:"name"`
	}
	if _, err := fill(ctx, c, askName, &in); err != nil {
		return nil, err
	}
	return c.AsTask(ctx, func(context.Context, *mcp.Call) (*mcp.ToolResult, error) {
		return mcp.Text("Hello, " + in.Name + "!"), nil
	})
}
