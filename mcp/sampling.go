package mcp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/rookery-server/rookery/codec"
)

// CreateMessageRequest asks the client's language model (sampling).
type CreateMessageRequest struct {
	// Key is [ElicitRequest.Key].
	Key string

	Messages     []SamplingMessage
	MaxTokens    int // required
	SystemPrompt string
	// IncludeContext is "", "none", "thisServer" or "allServers"; the last two
	// need CapSamplingContext since 2025-11-25.
	IncludeContext string
	Temperature    *float64 // nil: the client's choice
	StopSequences  []string
	Preferences    *ModelPreferences
	Metadata       any // for the model's provider, encoded as JSON

	// Tools are what the model may use, of which only the listing counts, and
	// ToolChoice is "", "auto", "required" or "none". They need
	// CapSamplingTools. The model's wish to use one comes back as content of
	// the type "tool_use"; the handler runs it and asks again with a message
	// that has the outcome ([ToolOutcome]).
	Tools      []Tool
	ToolChoice string

	Meta map[string]any // _meta of the question
}

// SamplingMessage is one message of a conversation with a model. More than one
// item of content needs a client of 2025-11-25 or later.
type SamplingMessage struct {
	Role    string // "user" or "assistant"
	Content []Content
	Meta    map[string]any
}

// ModelPreferences help a client to choose a model; priorities go from 0 to 1.
type ModelPreferences struct {
	Hints                []ModelHint `json:"hints,omitempty"` // the first that fits
	CostPriority         float64     `json:"costPriority,omitempty"`
	SpeedPriority        float64     `json:"speedPriority,omitempty"`
	IntelligencePriority float64     `json:"intelligencePriority,omitempty"`
}

// ModelHint is a part of a model's name.
type ModelHint struct {
	Name string `json:"name,omitempty"`
}

// CreateMessageResult is what the model said.
type CreateMessageResult struct {
	Role       string
	Content    []Content
	Model      string
	StopReason string // "endTurn", "stopSequence", "maxTokens", "toolUse", "" or the provider's own
	Meta       map[string]any
}

// Text returns the text items of the message, one after another.
func (r *CreateMessageResult) Text() string {
	all := ""
	for i := range r.Content {
		if r.Content[i].Type == "text" {
			all += r.Content[i].Text
		}
	}
	return all
}

// CreateMessage asks the client's model and returns what it said; see
// [Call.Elicit].
func (c *Call) CreateMessage(ctx context.Context, r CreateMessageRequest) (*CreateMessageResult, error) {
	a, err := c.askOne(ctx, r)
	return a.Message, err
}

func (r CreateMessageRequest) query(rev Revision) (query, error) {
	q := query{key: r.Key, method: methodCreateMessage, need: CapSampling, read: readMessage}
	if len(r.Tools) > 0 || r.ToolChoice != "" {
		q.need |= CapSamplingTools
	}
	if r.IncludeContext != "" && r.IncludeContext != "none" && rev >= Revision20251125 {
		q.need |= CapSamplingContext
	}
	if r.MaxTokens <= 0 || len(r.Messages) == 0 {
		return q, errors.New("mcp: sampling needs Messages and MaxTokens")
	}
	b := append([]byte(nil), `{"messages":[`...)
	var err error
	for i := range r.Messages {
		if i > 0 {
			b = append(b, ',')
		}
		if b, err = r.Messages[i].append(b); err != nil {
			return q, fmt.Errorf("mcp: sampling: message %d: %w", i, err)
		}
	}
	b = append(b, ']')
	if b, err = r.appendOptions(b); err != nil {
		return q, fmt.Errorf("mcp: sampling: %w", err)
	}
	q.params = append(b, '}')
	return q, nil
}

func (r *CreateMessageRequest) appendOptions(b []byte) ([]byte, error) {
	var err error
	b = strconv.AppendInt(appendKey(b, "maxTokens"), int64(r.MaxTokens), 10)
	b = appendStringMember(b, "systemPrompt", r.SystemPrompt)
	b = appendStringMember(b, "includeContext", r.IncludeContext)
	if r.Temperature != nil {
		b = appendFloat(appendKey(b, "temperature"), *r.Temperature)
	}
	if len(r.StopSequences) > 0 {
		if b, err = codec.AppendJSON(appendKey(b, "stopSequences"), r.StopSequences); err != nil {
			return b, err
		}
	}
	if r.Preferences != nil {
		if b, err = codec.AppendJSON(appendKey(b, "modelPreferences"), r.Preferences); err != nil {
			return b, err
		}
	}
	if r.Metadata != nil {
		raw, err := rawJSON(r.Metadata)
		if err != nil {
			return b, err
		}
		b = append(appendKey(b, "metadata"), raw...)
	}
	if b, err = r.appendTools(b); err != nil {
		return b, err
	}
	return appendMeta(b, r.Meta)
}

func (r *CreateMessageRequest) appendTools(b []byte) ([]byte, error) {
	if len(r.Tools) > 0 {
		b = append(appendKey(b, "tools"), '[')
		for i := range r.Tools {
			if i > 0 {
				b = append(b, ',')
			}
			t := &r.Tools[i]
			input, output, err := t.schemas()
			if err != nil {
				return b, fmt.Errorf("tool %q: %w", t.Name, err)
			}
			raw, err := t.describe(input, output)
			if err != nil {
				return b, fmt.Errorf("tool %q: %w", t.Name, err)
			}
			b = append(b, raw...)
		}
		b = append(b, ']')
	}
	if r.ToolChoice != "" {
		b = codec.AppendString(append(appendKey(b, "toolChoice"), `{"mode":`...), r.ToolChoice)
		b = append(b, '}')
	}
	return b, nil
}

// append appends m: content of one item as that item, which clients of before
// 2025-11-25 need, else as an array.
func (m *SamplingMessage) append(dst []byte) ([]byte, error) {
	dst = codec.AppendString(append(dst, `{"role":`...), m.Role)
	dst = appendKey(dst, "content")
	var err error
	if len(m.Content) == 1 {
		dst, err = m.Content[0].append(dst)
	} else {
		dst, err = appendContents(dst, m.Content)
	}
	if err != nil {
		return dst, err
	}
	dst, err = appendMeta(dst, m.Meta)
	return append(dst, '}'), err
}

func readMessage(raw []byte) (Answer, error) {
	var w struct {
		Role       string          `json:"role"`
		Content    json.RawMessage `json:"content"`
		Model      string          `json:"model"`
		StopReason string          `json:"stopReason"`
		Meta       map[string]any  `json:"_meta"`
	}
	if err := codec.Unmarshal(raw, &w); err != nil {
		return Answer{}, err
	}
	if w.Role == "" || w.Model == "" {
		return Answer{}, errors.New("no role or no model")
	}
	content, err := parseContents(w.Content)
	if err != nil {
		return Answer{}, fmt.Errorf("content: %w", err)
	}
	return Answer{Message: &CreateMessageResult{
		Role: w.Role, Content: content, Model: w.Model, StopReason: w.StopReason, Meta: w.Meta,
	}}, nil
}
