package mcp

import (
	"encoding/json"
	"fmt"

	"github.com/rookery-server/rookery/codec"
)

// ToolResult is what a tool answers.
type ToolResult struct {
	Content    []Content
	Structured any // raw JSON ([]byte, json.RawMessage) or a value to encode; nil: none
	IsError    bool
	Meta       map[string]any
}

// Text returns a result of one text item.
func Text(s string) *ToolResult {
	r := new(struct {
		ToolResult
		one [1]Content
	}) // one allocation
	r.one[0] = Content{Type: "text", Text: s}
	r.Content = r.one[:]
	return &r.ToolResult
}

// Errorf returns a result that says that the tool failed.
func Errorf(format string, args ...any) *ToolResult {
	r := Text(fmt.Sprintf(format, args...))
	r.IsError = true
	return r
}

// appendToolResult appends the members of r to the result being written.
func appendToolResult(dst []byte, r *ToolResult, output *schema, modern bool) ([]byte, error) {
	dst, err := appendContents(appendKey(dst, "content"), r.Content)
	if err != nil {
		return dst, err
	}
	if r.IsError {
		dst = append(appendKey(dst, "isError"), "true"...)
	}
	if r.Structured == nil {
		if output != nil && !r.IsError {
			return dst, fmt.Errorf("no structured content where the output schema promises it")
		}
		return dst, nil
	}
	raw, err := rawJSON(r.Structured)
	if err != nil {
		return dst, fmt.Errorf("structured content: %w", err)
	}
	if output != nil {
		if raw, err = output.validate(raw); err != nil {
			return dst, fmt.Errorf("structured content breaks the output schema: %w", err)
		}
	}
	if !modern && !isObject(raw) {
		return dst, nil // was an object until 2025-11-25; the content says it too
	}
	return append(appendKey(dst, "structuredContent"), raw...), nil
}

// encoded is JSON we encoded ourselves.
type encoded []byte

// rawJSON returns v as JSON on one line: raw JSON given as bytes is checked
// and compacted, anything else encoded.
func rawJSON(v any) ([]byte, error) {
	switch v := v.(type) {
	case encoded:
		return v, nil
	case json.RawMessage:
		return json.Marshal(v)
	case []byte:
		return json.Marshal(json.RawMessage(v))
	}
	return codec.Marshal(v)
}
