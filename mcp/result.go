package mcp

import (
	"encoding/base64"
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

// Content is one item of a result or a prompt; its Type says which fields
// count. Functions of this package make each kind.
type Content struct {
	Type        string // "text", "image", "audio", "resource_link", "resource"
	Text        string // text, resource
	Data        []byte // image, audio, and resource if it is binary; not base64
	MIMEType    string // all but text
	URI         string // resource_link, resource
	Name        string // resource_link
	Title       string // resource_link
	Description string // resource_link
	Annotations *Annotations
}

// Annotations tell a client how to use an item.
type Annotations struct {
	Audience     []string `json:"audience,omitempty"` // "user", "assistant"
	Priority     float64  `json:"priority,omitempty"` // 0 to 1
	LastModified string   `json:"lastModified,omitempty"`
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

// TextContent returns a text item.
func TextContent(s string) Content { return Content{Type: "text", Text: s} }

// ImageContent returns an image.
func ImageContent(data []byte, mimeType string) Content {
	return Content{Type: "image", Data: data, MIMEType: mimeType}
}

// AudioContent returns a sound.
func AudioContent(data []byte, mimeType string) Content {
	return Content{Type: "audio", Data: data, MIMEType: mimeType}
}

// ResourceLink returns a link to a resource the client may read.
func ResourceLink(uri, name, mimeType string) Content {
	return Content{Type: "resource_link", URI: uri, Name: name, MIMEType: mimeType}
}

// EmbeddedResource returns the contents of a resource as an item.
func EmbeddedResource(r ResourceContents) Content {
	return Content{Type: "resource", URI: r.URI, MIMEType: r.MIMEType, Text: r.Text, Data: r.Blob}
}

func (c *Content) append(dst []byte) ([]byte, error) {
	dst = codec.AppendString(append(dst, `{"type":`...), c.Type)
	switch c.Type {
	case "text":
		dst = codec.AppendString(appendKey(dst, "text"), c.Text)
	case "image", "audio":
		dst = appendBase64(appendKey(dst, "data"), c.Data)
		dst = codec.AppendString(appendKey(dst, "mimeType"), c.MIMEType)
	case "resource_link":
		dst = codec.AppendString(appendKey(dst, "uri"), c.URI)
		dst = codec.AppendString(appendKey(dst, "name"), c.Name)
		dst = appendStringMember(dst, "title", c.Title)
		dst = appendStringMember(dst, "description", c.Description)
		dst = appendStringMember(dst, "mimeType", c.MIMEType)
	case "resource":
		r := ResourceContents{URI: c.URI, MIMEType: c.MIMEType, Text: c.Text, Blob: c.Data}
		dst = r.append(appendKey(dst, "resource"))
	default:
		return dst, fmt.Errorf("content of unknown type %q", c.Type)
	}
	if c.Annotations != nil {
		var err error
		if dst, err = codec.AppendJSON(appendKey(dst, "annotations"), c.Annotations); err != nil {
			return dst, err
		}
	}
	return append(dst, '}'), nil
}

func appendBase64(dst, data []byte) []byte {
	dst = base64.StdEncoding.AppendEncode(append(dst, '"'), data)
	return append(dst, '"')
}

// appendToolResult appends the members of r to the result being written.
func appendToolResult(dst []byte, r *ToolResult, output *schema) ([]byte, error) {
	dst = append(appendKey(dst, "content"), '[')
	for i := range r.Content {
		if i > 0 {
			dst = append(dst, ',')
		}
		var err error
		if dst, err = r.Content[i].append(dst); err != nil {
			return dst, err
		}
	}
	dst = append(dst, ']')
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
