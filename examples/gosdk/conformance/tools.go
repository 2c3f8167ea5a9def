package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"
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

const (
	step           = 50 * time.Millisecond  // between two messages of a call
	reconnectAfter = 100 * time.Millisecond // what clients are told
	awayFor        = 300 * time.Millisecond // what the call takes while they are away
)

type none struct{}

// handler is a typed handler of the SDK's, as it is written here most.
type handler[In any] func(ctx context.Context, req *sdk.CallToolRequest, in In) (*sdk.CallToolResult, error)

func add[In any](s *sdk.Server, name, description string, h handler[In]) {
	addTool(s, &sdk.Tool{Name: name, Description: description}, h)
}

func addTool[In any](s *sdk.Server, t *sdk.Tool, h handler[In]) {
	sdk.AddTool(s, t, func(ctx context.Context, req *sdk.CallToolRequest, in In) (*sdk.CallToolResult, any, error) {
		r, err := h(ctx, req, in)
		return r, nil, err
	})
}

func content(items ...sdk.Content) *sdk.CallToolResult { return &sdk.CallToolResult{Content: items} }

func text(format string, args ...any) *sdk.CallToolResult {
	return content(&sdk.TextContent{Text: fmt.Sprintf(format, args...)})
}

// answer returns a handler that always answers the same.
func answer(items ...sdk.Content) handler[none] {
	return func(context.Context, *sdk.CallToolRequest, none) (*sdk.CallToolResult, error) {
		return content(items...), nil
	}
}

// addTools adds the tools that answer without asking the client anything.
func addTools(s *sdk.Server) {
	embedded := func(uri, mimeType, text string) sdk.Content {
		return &sdk.EmbeddedResource{Resource: &sdk.ResourceContents{URI: uri, MIMEType: mimeType, Text: text}}
	}
	add(s, "test_simple_text", "Answers with text.", answer(&sdk.TextContent{Text: "This is a simple text response for testing."}))
	add(s, "test_image_content", "Answers with an image.", answer(&sdk.ImageContent{Data: onePixel, MIMEType: "image/png"}))
	add(s, "test_audio_content", "Answers with a sound.", answer(&sdk.AudioContent{Data: silence, MIMEType: "audio/wav"}))
	add(s, "test_embedded_resource", "Answers with a resource.",
		answer(embedded("test://embedded-resource", "text/plain", "This is an embedded resource content.")))
	add(s, "test_multiple_content_types", "Answers with text, an image and a resource.",
		answer(&sdk.TextContent{Text: "Multiple content types test:"}, &sdk.ImageContent{Data: onePixel, MIMEType: "image/png"},
			embedded("test://mixed-content-resource", "application/json", `{"test":"data","value":123}`)))
	add(s, "test_tool_with_logging", "Sends log messages while it runs.", logSteps)
	add(s, "test_tool_with_progress", "Reports progress while it runs.", reportProgress)
	add(s, "test_error_handling", "Always fails.", func(context.Context, *sdk.CallToolRequest, none) (*sdk.CallToolResult, error) {
		return nil, errors.New("this tool intentionally returns an error for testing")
	})
	add(s, "test_reconnection", "Sends the client away and answers when it comes back (SEP-1699).", sendAway)
	addTool(s, &sdk.Tool{Name: "json_schema_2020_12_tool", Description: "Has a schema that uses much of JSON Schema 2020-12.",
		InputSchema: json.RawMessage(schema2020)},
		func(_ context.Context, req *sdk.CallToolRequest, _ map[string]any) (*sdk.CallToolResult, error) {
			return text("called with %s", req.Params.Arguments), nil
		})
}

// logSteps says what it does. Messages that do not arrive are no reason to
// fail: a client may have asked for none.
func logSteps(ctx context.Context, req *sdk.CallToolRequest, _ none) (*sdk.CallToolResult, error) {
	for _, line := range []string{"Tool execution started", "Tool processing data", "Tool execution completed"} {
		_ = req.Session.Log(ctx, &sdk.LoggingMessageParams{Level: "info", Logger: "conformance", Data: line})
		if err := pause(ctx, step); err != nil {
			return nil, err
		}
	}
	return text("Tool with logging executed successfully"), nil
}

func reportProgress(ctx context.Context, req *sdk.CallToolRequest, _ none) (*sdk.CallToolResult, error) {
	const total = 100
	for _, done := range []float64{0, 50, total} {
		if token := req.Params.GetProgressToken(); token != nil {
			_ = req.Session.NotifyProgress(ctx, &sdk.ProgressNotificationParams{
				ProgressToken: token, Progress: done, Total: total, Message: fmt.Sprintf("Completed step %.0f of %d", done, total),
			})
		}
		if err := pause(ctx, step); err != nil {
			return nil, err
		}
	}
	return text("Tool with progress executed successfully"), nil
}

func sendAway(ctx context.Context, req *sdk.CallToolRequest, _ none) (*sdk.CallToolResult, error) {
	req.Extra.CloseSSEStream(sdk.CloseSSEStreamArgs{RetryAfter: reconnectAfter})
	if err := pause(ctx, awayFor); err != nil {
		return nil, err
	}
	return text("Reconnection test completed successfully."), nil
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
