package main

import (
	"context"
	"fmt"

	"github.com/rookery-server/rookery/mcp"
)

// addModern adds what the revision without sessions, 2026-07-28, is examined
// with.
func addModern(s *mcp.Server) error {
	for _, t := range []mcp.Tool{
		{Name: "test_missing_capability", Description: "Needs a client that samples.",
			Handle: func(_ context.Context, c *mcp.Call) (*mcp.ToolResult, error) {
				if c.Capabilities()&mcp.CapSampling == 0 {
					return nil, mcp.MissingCapability(mcp.CapSampling)
				}
				return mcp.Text("The client can sample."), nil
			}},
		{Name: "test_streaming_elicitation", Description: "Streams progress; what it would ask never stands on the stream.",
			Handle: reportProgress},
		{Name: "test_logging_tool", Description: "Logs a message, which goes to those who asked for it only.",
			Handle: func(_ context.Context, c *mcp.Call) (*mcp.ToolResult, error) {
				_ = c.Log(mcp.LevelInfo, "conformance", "test_logging_tool executed")
				return mcp.Text("A message was logged."), nil
			}},
		{Name: "test_x_mcp_header", Description: "Has an argument that a header repeats for proxies (SEP-2243).",
			InputSchema: `{
				"type": "object",
				"properties": {
					"region": {"type": "string", "description": "repeated in Mcp-Param-Region", "x-mcp-header": "Region"},
					"level": {"type": "integer", "description": "in no header"}
				}
			}`,
			Handle: func(_ context.Context, c *mcp.Call) (*mcp.ToolResult, error) {
				return mcp.Text(fmt.Sprintf("called with %s", c.Arguments())), nil
			}},
		{Name: "test_trigger_tool_change", Description: "Adds a tool and removes it.",
			Handle: func(context.Context, *mcp.Call) (*mcp.ToolResult, error) {
				return mcp.Text("The list of tools changed."), passingTool(s)
			}},
		{Name: "test_trigger_prompt_change", Description: "Adds a prompt and removes it.",
			Handle: func(context.Context, *mcp.Call) (*mcp.ToolResult, error) {
				return mcp.Text("The list of prompts changed."), passingPrompt(s)
			}},
	} {
		if err := s.AddTool(t); err != nil {
			return err
		}
	}
	return nil
}

func passingTool(s *mcp.Server) error {
	err := s.AddTool(mcp.Tool{Name: "test_passing_tool", Description: "Gone in a moment.", Handle: answer()})
	s.RemoveTool("test_passing_tool")
	return err
}

func passingPrompt(s *mcp.Server) error {
	err := s.AddPrompt(mcp.Prompt{Name: "test_passing_prompt", Description: "Gone in a moment.",
		Get: func(context.Context, *mcp.Call, map[string]string) (*mcp.PromptResult, error) { return user(), nil }})
	s.RemovePrompt("test_passing_prompt")
	return err
}
