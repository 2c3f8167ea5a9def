package main

import (
	"context"
	"encoding/json"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	sdk "github.com/modelcontextprotocol/go-sdk/mcp"
)

// addModern adds what the revision without sessions, 2026-07-28, is examined
// with.
func addModern(s *sdk.Server) {
	add(s, "test_missing_capability", "Needs a client that samples.", needSampling)
	add(s, "test_streaming_elicitation", "Streams progress; what it would ask never stands on the stream.", reportProgress)
	add(s, "test_logging_tool", "Logs a message, which goes to those who asked for it only.",
		func(ctx context.Context, req *sdk.CallToolRequest, _ none) (*sdk.CallToolResult, error) {
			err := req.Session.Log(ctx, &sdk.LoggingMessageParams{Level: "info", Data: "test_logging_tool executed"})
			return text("A message was logged."), err
		})
	addTool(s, &sdk.Tool{Name: "test_x_mcp_header", Description: "Has an argument that a header repeats for proxies (SEP-2243).",
		InputSchema: json.RawMessage(`{
			"type": "object",
			"properties": {
				"region": {"type": "string", "description": "repeated in Mcp-Param-Region", "x-mcp-header": "Region"},
				"level": {"type": "integer", "description": "in no header"}
			}
		}`)}, func(_ context.Context, req *sdk.CallToolRequest, _ map[string]any) (*sdk.CallToolResult, error) {
		return text("called with %s", req.Params.Arguments), nil
	})
	add(s, "test_trigger_tool_change", "Adds a tool and removes it.",
		func(context.Context, *sdk.CallToolRequest, none) (*sdk.CallToolResult, error) {
			add(s, "test_passing_tool", "Gone in a moment.", answer())
			s.RemoveTools("test_passing_tool")
			return text("The list of tools changed."), nil
		})
	add(s, "test_trigger_prompt_change", "Adds a prompt and removes it.",
		func(context.Context, *sdk.CallToolRequest, none) (*sdk.CallToolResult, error) {
			s.AddPrompt(&sdk.Prompt{Name: "test_passing_prompt", Description: "Gone in a moment."}, prompt())
			s.RemovePrompts("test_passing_prompt")
			return text("The list of prompts changed."), nil
		})
}

func needSampling(_ context.Context, req *sdk.CallToolRequest, _ none) (*sdk.CallToolResult, error) {
	if can := req.ClientCapabilities(); can != nil && can.Sampling != nil {
		return text("The client can sample."), nil
	}
	data, err := json.Marshal(sdk.MissingRequiredClientCapabilityData{
		RequiredCapabilities: &sdk.ClientCapabilities{Sampling: &sdk.SamplingCapabilities{}},
	})
	if err != nil {
		return nil, err
	}
	return nil, &jsonrpc.Error{Code: sdk.CodeMissingRequiredClientCapabilities, Message: "the client cannot sample", Data: data}
}
