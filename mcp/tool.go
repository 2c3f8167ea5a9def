package mcp

import "context"

// Tool is a function that clients may call.
type Tool struct {
	Name, Title, Description  string
	InputSchema, OutputSchema any // *jsonschema.Schema, or raw JSON as []byte, json.RawMessage or string
	Annotations               *ToolAnnotations
	Inline                    bool // Handle is cheap and never blocks: it may run on the loop
	Handle                    func(ctx context.Context, c *Call) (*ToolResult, error)
}

// ToolAnnotations are hints for the client.
type ToolAnnotations struct {
	Title           string `json:"title,omitempty"`
	ReadOnlyHint    bool   `json:"readOnlyHint,omitempty"`
	DestructiveHint *bool  `json:"destructiveHint,omitempty"`
	IdempotentHint  bool   `json:"idempotentHint,omitempty"`
	OpenWorldHint   *bool  `json:"openWorldHint,omitempty"`
}

// ToolResult is what a tool answers.
type ToolResult struct {
	Content    []Content
	Structured any // raw JSON ([]byte, json.RawMessage) or a value to encode
	IsError    bool
}

// Content is one item of a result.
type Content struct {
	Type     string // "text", "image", "audio", "resource_link", "resource"
	Text     string
	Data     []byte // image and audio, not yet base64
	MIMEType string
	URI      string
	Name     string
}

// Text returns a result of one text item.
func Text(s string) *ToolResult { return &ToolResult{Content: []Content{{Type: "text", Text: s}}} }

// AddTool registers t; a tool of that name is replaced.
func (s *Server) AddTool(t Tool) error { return nil }

// RemoveTool reports whether there was such a tool.
func (s *Server) RemoveTool(name string) bool { return false }

// AddTool registers a tool with typed input and output.
func AddTool[In, Out any](s *Server, t Tool, f func(ctx context.Context, c *Call, in In) (Out, error)) error {
	return nil
}
