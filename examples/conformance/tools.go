package main

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"github.com/rookery-server/rookery/mcp"
)

// The smallest files of their kind: a PNG of one red pixel and a WAV without a
// sample.
var (
	onePixel = decoded("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg==")
	silence  = decoded("UklGRiYAAABXQVZFZm10IBAAAAABAAEAQB8AAAB9AAACABAAZGF0YQIAAAA=")
)

func decoded(text string) []byte {
	data, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		panic(err)
	}
	return data
}

// step is the time between two messages of a call, long enough that a client
// which waits for the result sees that they come before it.
const step = 50 * time.Millisecond

// addTools adds the tools that answer without asking the client anything.
func addTools(s *mcp.Server) error {
	for _, t := range []mcp.Tool{
		{Name: "test_simple_text", Description: "Answers with text.",
			Handle: answer(mcp.TextContent("This is a simple text response for testing."))},
		{Name: "test_image_content", Description: "Answers with an image.",
			Handle: answer(mcp.ImageContent(onePixel, "image/png"))},
		{Name: "test_audio_content", Description: "Answers with a sound.",
			Handle: answer(mcp.AudioContent(silence, "audio/wav"))},
		{Name: "test_embedded_resource", Description: "Answers with a resource.",
			Handle: answer(mcp.EmbeddedResource(mcp.ResourceContents{URI: "test://embedded-resource", MIMEType: "text/plain",
				Text: "This is an embedded resource content."}))},
		{Name: "test_multiple_content_types", Description: "Answers with text, an image and a resource.",
			Handle: answer(mcp.TextContent("Multiple content types test:"), mcp.ImageContent(onePixel, "image/png"),
				mcp.EmbeddedResource(mcp.ResourceContents{URI: "test://mixed-content-resource", MIMEType: "application/json",
					Text: `{"test":"data","value":123}`}))},
		{Name: "test_tool_with_logging", Description: "Sends log messages while it runs.", Handle: logSteps},
		{Name: "test_tool_with_progress", Description: "Reports progress while it runs.", Handle: reportProgress},
		{Name: "test_error_handling", Description: "Always fails.",
			Handle: func(context.Context, *mcp.Call) (*mcp.ToolResult, error) {
				return nil, errors.New("this tool intentionally returns an error for testing")
			}},
		{Name: "json_schema_2020_12_tool", Description: "Has a schema that uses much of JSON Schema 2020-12.",
			InputSchema: schema2020, Handle: func(_ context.Context, c *mcp.Call) (*mcp.ToolResult, error) {
				return mcp.Text(fmt.Sprintf("called with %s", c.Arguments())), nil
			}},
	} {
		if err := s.AddTool(t); err != nil {
			return err
		}
	}
	return nil
}

// answer returns a handler that always answers the same.
func answer(items ...mcp.Content) func(context.Context, *mcp.Call) (*mcp.ToolResult, error) {
	return func(context.Context, *mcp.Call) (*mcp.ToolResult, error) {
		return &mcp.ToolResult{Content: items}, nil
	}
}

// logSteps says what it does. Messages that do not arrive are no reason to
// fail: a client may have asked for none.
func logSteps(ctx context.Context, c *mcp.Call) (*mcp.ToolResult, error) {
	for _, text := range []string{"Tool execution started", "Tool processing data", "Tool execution completed"} {
		_ = c.Log(mcp.LevelInfo, "conformance", text)
		if err := pause(ctx, step); err != nil {
			return nil, err
		}
	}
	return mcp.Text("Tool with logging executed successfully"), nil
}

func reportProgress(ctx context.Context, c *mcp.Call) (*mcp.ToolResult, error) {
	const total = 100
	for _, done := range []float64{0, 50, total} {
		_ = c.Progress(done, total, fmt.Sprintf("Completed step %.0f of %d", done, total))
		if err := pause(ctx, step); err != nil {
			return nil, err
		}
	}
	return mcp.Text("Tool with progress executed successfully"), nil
}

// pause waits for d or the end of the call.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// schema2020 is listed as it stands here (SEP-1613, SEP-2106).
const schema2020 = `{
	"$schema": "https://json-schema.org/draft/2020-12/schema",
	"type": "object",
	"$defs": {
		"address": {
			"$anchor": "addressDef",
			"type": "object",
			"properties": {"street": {"type": "string"}, "city": {"type": "string"}}
		}
	},
	"properties": {
		"name": {"type": "string"},
		"address": {"$ref": "#/$defs/address"},
		"contactMethod": {"type": "string", "enum": ["phone", "email"]},
		"phone": {"type": "string"},
		"email": {"type": "string"}
	},
	"allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
	"if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
	"then": {"required": ["phone"]},
	"else": {"required": ["email"]},
	"additionalProperties": false
}`
