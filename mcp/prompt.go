package mcp

import (
	"context"
	"fmt"

	"github.com/rookery-server/rookery/codec"
)

// Prompt is a template of messages.
type Prompt struct {
	Name, Title, Description string
	Arguments                []PromptArgument
	Icons                    []Icon
	Meta                     map[string]any

	// Inline says that Get and Complete are cheap and never block, so that they
	// may run on an event loop.
	Inline bool
	// Get returns the messages; the required arguments are there.
	Get func(ctx context.Context, c *Call, args map[string]string) (*PromptResult, error)
	// Complete suggests values of an argument; nil: none.
	Complete func(ctx context.Context, c *Call, q CompletionRequest) (*Completion, error)
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
	Meta        map[string]any
}

// PromptMessage is one message of a prompt.
type PromptMessage struct {
	Role    string // "user" or "assistant"
	Content Content
}

type prompt struct {
	get      func(ctx context.Context, c *Call, args map[string]string) (*PromptResult, error)
	complete completer
	required []string
	inline   bool
}

// AddPrompt registers p; a prompt of that name is replaced. It may be called
// while the server runs.
func (s *Server) AddPrompt(p Prompt) error {
	if p.Name == "" || p.Get == nil {
		return fmt.Errorf("mcp: prompt %q: Name and Get are required", p.Name)
	}
	v := prompt{get: p.Get, complete: p.Complete, inline: p.Inline}
	for _, a := range p.Arguments {
		if a.Required {
			v.required = append(v.required, a.Name)
		}
	}
	b := appendHeading([]byte{'{'}, "name", p.Name, p.Title, p.Description)
	var err error
	if len(p.Arguments) > 0 {
		if b, err = codec.AppendJSON(appendKey(b, "arguments"), p.Arguments); err != nil {
			return fmt.Errorf("mcp: prompt %q: %w", p.Name, err)
		}
	}
	if b, err = appendIcons(b, p.Icons); err != nil {
		return fmt.Errorf("mcp: prompt %q: %w", p.Name, err)
	}
	if b, err = appendMeta(b, p.Meta); err != nil {
		return fmt.Errorf("mcp: prompt %q: %w", p.Name, err)
	}
	e := &feature[prompt]{key: p.Name, json: append(b, '}'), v: v}
	return s.register(promptList, func(r *registry) { r.prompts = r.prompts.with(e) })
}

// RemovePrompt unregisters the prompt and reports whether there was one.
func (s *Server) RemovePrompt(name string) bool {
	return s.change(promptList, func(r *registry) (had bool) {
		r.prompts, had = r.prompts.without(name)
		return had
	})
}

func (r *PromptResult) append(dst []byte) ([]byte, error) {
	dst = appendStringMember(dst, "description", r.Description)
	dst = append(appendKey(dst, "messages"), '[')
	for i := range r.Messages {
		m := &r.Messages[i]
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = codec.AppendString(append(dst, `{"role":`...), m.Role)
		var err error
		if dst, err = m.Content.append(appendKey(dst, "content")); err != nil {
			return dst, err
		}
		dst = append(dst, '}')
	}
	return append(dst, ']'), nil
}
