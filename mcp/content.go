package mcp

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/rookery-server/rookery/codec"
)

// Content is one item of a result, a prompt or a message to a model; its Type
// says which fields count. Functions of this package make each kind.
type Content struct {
	Type        string // "text", "image", "audio", "resource_link", "resource"; for models also "tool_use", "tool_result"
	Text        string // text, resource
	Data        []byte // image, audio, and resource if it is binary; not base64
	MIMEType    string // all but text
	URI         string // resource_link, resource
	Name        string // resource_link, tool_use
	Title       string // resource_link
	Description string // resource_link
	Annotations *Annotations
	Extra       *ContentExtra // what few items have; nil: nothing
}

// ContentExtra is what few items of content have.
type ContentExtra struct {
	Meta         map[string]any // _meta of the item
	ResourceMeta map[string]any // resource: _meta of the resource inside
	Icons        []Icon         // resource_link
	Size         int64          // resource_link: bytes of the resource, 0 unknown

	ID         string          // tool_use, tool_result: names the use
	Input      json.RawMessage // tool_use: the arguments, an object
	Content    []Content       // tool_result
	Structured any             // tool_result: as ToolResult.Structured
	IsError    bool            // tool_result
}

// Icon is a picture for people. Clients must treat it as untrusted.
type Icon struct {
	Src      string   `json:"src"` // an https or data URI
	MIMEType string   `json:"mimeType,omitempty"`
	Sizes    []string `json:"sizes,omitempty"` // "48x48", or "any" if it scales
	Theme    string   `json:"theme,omitempty"` // "light", "dark": the background it is made for
}

// appendIcons appends the member of that name, unless there are none.
func appendIcons(dst []byte, icons []Icon) ([]byte, error) {
	if len(icons) == 0 {
		return dst, nil
	}
	for i := range icons {
		if icons[i].Src == "" {
			return dst, errors.New("an icon without Src")
		}
	}
	return codec.AppendJSON(appendKey(dst, "icons"), icons)
}

// Annotations tell a client how to use an item.
type Annotations struct {
	Audience     []string `json:"audience,omitempty"` // "user", "assistant"
	Priority     float64  `json:"priority,omitempty"` // 0 to 1
	LastModified string   `json:"lastModified,omitempty"`
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
	c := Content{Type: "resource", URI: r.URI, MIMEType: r.MIMEType, Text: r.Text, Data: r.Blob}
	if r.Meta != nil {
		c.Extra = &ContentExtra{ResourceMeta: r.Meta}
	}
	return c
}

// ToolUse returns a model's wish to call a tool, as an assistant's message of a
// conversation repeats it. input is a JSON object.
func ToolUse(id, name string, input json.RawMessage) Content {
	return Content{Type: "tool_use", Name: name, Extra: &ContentExtra{ID: id, Input: input}}
}

// ToolOutcome returns what a tool the model wished to call has answered, for a
// user's message of the conversation; id is that of the wish.
func ToolOutcome(id string, r *ToolResult) Content {
	return Content{Type: "tool_result", Extra: &ContentExtra{
		ID: id, Content: r.Content, Structured: r.Structured, IsError: r.IsError, Meta: r.Meta,
	}}
}

func (c *Content) append(dst []byte) ([]byte, error) {
	dst = codec.AppendString(append(dst, `{"type":`...), c.Type)
	var err error
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
		if c.Extra != nil {
			r.Meta = c.Extra.ResourceMeta
		}
		dst, err = r.append(appendKey(dst, "resource"))
	case "tool_use", "tool_result":
		if c.Extra == nil {
			err = fmt.Errorf("content of type %q without Extra", c.Type)
		}
	default:
		err = fmt.Errorf("content of unknown type %q", c.Type)
	}
	if err != nil {
		return dst, err
	}
	if c.Extra != nil {
		if dst, err = c.appendExtra(dst); err != nil {
			return dst, err
		}
	}
	if c.Annotations != nil {
		if dst, err = codec.AppendJSON(appendKey(dst, "annotations"), c.Annotations); err != nil {
			return dst, err
		}
	}
	return append(dst, '}'), nil
}

func (c *Content) appendExtra(dst []byte) ([]byte, error) {
	x := c.Extra
	var err error
	switch c.Type {
	case "resource_link":
		if x.Size > 0 {
			dst = strconv.AppendInt(appendKey(dst, "size"), x.Size, 10)
		}
		dst, err = appendIcons(dst, x.Icons)
	case "tool_use":
		dst = codec.AppendString(appendKey(dst, "id"), x.ID)
		dst = codec.AppendString(appendKey(dst, "name"), c.Name)
		input := []byte("{}")
		if x.Input != nil {
			input, err = rawJSON(x.Input)
		}
		dst = append(appendKey(dst, "input"), input...)
	case "tool_result":
		dst, err = x.appendOutcome(dst)
	}
	if err != nil {
		return dst, err
	}
	return appendMeta(dst, x.Meta)
}

func (x *ContentExtra) appendOutcome(dst []byte) ([]byte, error) {
	dst = codec.AppendString(appendKey(dst, "toolUseId"), x.ID)
	dst, err := appendContents(appendKey(dst, "content"), x.Content)
	if err != nil {
		return dst, err
	}
	if x.Structured != nil {
		raw, err := rawJSON(x.Structured)
		if err != nil {
			return dst, err
		}
		dst = append(appendKey(dst, "structuredContent"), raw...)
	}
	if x.IsError {
		dst = append(appendKey(dst, "isError"), "true"...)
	}
	return dst, nil
}

// appendContents appends an array.
func appendContents(dst []byte, all []Content) ([]byte, error) {
	dst = append(dst, '[')
	for i := range all {
		if i > 0 {
			dst = append(dst, ',')
		}
		var err error
		if dst, err = all[i].append(dst); err != nil {
			return dst, err
		}
	}
	return append(dst, ']'), nil
}

func appendBase64(dst, data []byte) []byte {
	dst = base64.StdEncoding.AppendEncode(append(dst, '"'), data)
	return append(dst, '"')
}

// parsedContent is Content on the wire, as a client sends it.
type parsedContent struct {
	Type        string          `json:"type"`
	Text        string          `json:"text"`
	Data        []byte          `json:"data"`
	MIMEType    string          `json:"mimeType"`
	ID          string          `json:"id"`
	ToolUseID   string          `json:"toolUseId"`
	Name        string          `json:"name"`
	Input       json.RawMessage `json:"input"`
	Content     []parsedContent `json:"content"`
	Structured  json.RawMessage `json:"structuredContent"`
	IsError     bool            `json:"isError"`
	Meta        map[string]any  `json:"_meta"`
	Annotations *Annotations    `json:"annotations"`
}

// parseContents reads one item or an array of them: what a model may answer.
func parseContents(raw []byte) ([]Content, error) {
	var all []parsedContent
	var err error
	if isObject(raw) {
		all = make([]parsedContent, 1)
		err = codec.Unmarshal(raw, &all[0])
	} else {
		err = codec.Unmarshal(raw, &all)
	}
	if err != nil {
		return nil, err
	}
	return contentsOf(all)
}

func contentsOf(all []parsedContent) ([]Content, error) {
	items := make([]Content, len(all))
	for i := range all {
		p := &all[i]
		items[i] = Content{Type: p.Type, Text: p.Text, Data: p.Data, MIMEType: p.MIMEType, Annotations: p.Annotations}
		switch p.Type {
		case "text", "image", "audio":
			if p.Meta != nil {
				items[i].Extra = &ContentExtra{Meta: p.Meta}
			}
		case "tool_use":
			items[i].Name = p.Name
			items[i].Extra = &ContentExtra{ID: p.ID, Input: p.Input, Meta: p.Meta}
		case "tool_result":
			inside, err := contentsOf(p.Content)
			if err != nil {
				return nil, err
			}
			x := &ContentExtra{ID: p.ToolUseID, Content: inside, IsError: p.IsError, Meta: p.Meta}
			if p.Structured != nil {
				x.Structured = p.Structured
			}
			items[i].Extra = x
		default:
			return nil, fmt.Errorf("content of type %q", p.Type)
		}
	}
	return items, nil
}
