package mcp

import "context"

// Prompt is a template of messages.
type Prompt struct {
	Name, Title, Description string
	Arguments                []PromptArgument
	Inline                   bool
	Get                      func(ctx context.Context, c *Call, args map[string]string) (*PromptResult, error)
}

// PromptArgument is an argument of a prompt.
type PromptArgument struct {
	Name        string `json:"name"`
	Title       string `json:"title,omitempty"`
	Description string `json:"description,omitempty"`
	Required    bool   `json:"required,omitempty"`
}

// PromptResult is what a prompt answers.
type PromptResult struct {
	Description string
	Messages    []PromptMessage
}

// PromptMessage is one message of a prompt.
type PromptMessage struct {
	Role    string // "user" or "assistant"
	Content Content
}

// AddPrompt registers p.
func (s *Server) AddPrompt(p Prompt) error { return nil }

// RemovePrompt reports whether there was such a prompt.
func (s *Server) RemovePrompt(name string) bool { return false }
