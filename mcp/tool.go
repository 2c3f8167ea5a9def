package mcp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/rookery-server/rookery/codec"
)

// Tool is a function that clients may call.
type Tool struct {
	Name               string // 1 to 128 of A-Z a-z 0-9 _ - .
	Title, Description string

	// InputSchema and OutputSchema are *jsonschema.Schema or raw JSON ([]byte,
	// json.RawMessage, string). The input must be an object's schema; without
	// one any object is taken. With an output schema, ToolResult.Structured is
	// checked against it. A property of the input with x-mcp-header must come
	// in that Mcp-Param header too (SEP-2243).
	InputSchema, OutputSchema any
	Annotations               *ToolAnnotations
	Icons                     []Icon
	Meta                      map[string]any // _meta of the listing

	// Inline says that Handle is cheap and never blocks, so that it may run on
	// an event loop. Such a handler cannot ask the client.
	Inline bool

	// Task says whether calls become tasks, whose handler goes on after the
	// call was answered (2026-07-28).
	Task TaskPolicy

	// Handle runs the tool. c.Arguments() satisfies the input schema. An error
	// becomes a result with IsError, whose text the model sees, unless it is a
	// *codec.Error, which is a protocol error. A nil result is an empty one.
	Handle func(ctx context.Context, c *Call) (*ToolResult, error)
}

// ToolAnnotations are hints for the client; none is a promise.
type ToolAnnotations struct {
	Title           string `json:"title,omitempty"`
	ReadOnlyHint    bool   `json:"readOnlyHint,omitempty"`
	DestructiveHint *bool  `json:"destructiveHint,omitempty"`
	IdempotentHint  bool   `json:"idempotentHint,omitempty"`
	OpenWorldHint   *bool  `json:"openWorldHint,omitempty"`
}

// tool is a registered Tool.
type tool struct {
	handle        func(ctx context.Context, c *Call) (*ToolResult, error)
	input, output *schema // output may be nil
	params        []headerParam
	inline        bool
	task          TaskPolicy
}

var anyObject = &jsonschema.Schema{Type: "object"}

// AddTool registers t; a tool of that name is replaced. It may be called while
// the server runs: those who listen are told that the list changed. The error
// says what is wrong with t.
func (s *Server) AddTool(t Tool) error {
	e, err := newTool(&t)
	if err == nil {
		err = t.Task.check(s.o.Tasks.Run, t.Inline)
	}
	if err != nil {
		return fmt.Errorf("mcp: tool %q: %w", t.Name, err)
	}
	return s.register(toolList, func(r *registry) { r.tools = r.tools.with(e) })
}

// RemoveTool unregisters the tool and reports whether there was one. Calls
// that run go on.
func (s *Server) RemoveTool(name string) bool {
	return s.change(toolList, func(r *registry) (had bool) {
		r.tools, had = r.tools.without(name)
		return had
	})
}

func newTool(t *Tool) (*feature[tool], error) {
	if !validToolName(t.Name) {
		return nil, errors.New("the name must be 1 to 128 letters, digits, '_', '-' or '.'")
	}
	if t.Handle == nil {
		return nil, errors.New("no Handle")
	}
	e := &feature[tool]{key: t.Name, v: tool{handle: t.Handle, inline: t.Inline, task: t.Task}}
	var err error
	if e.v.input, e.v.output, err = t.schemas(); err != nil {
		return nil, err
	}
	if e.v.params, err = headerParams(e.v.input.raw); err != nil {
		return nil, fmt.Errorf("input: %w", err)
	}
	if e.json, err = t.describe(e.v.input, e.v.output); err != nil {
		return nil, err
	}
	if e.v.output != nil && !e.v.output.object() {
		// Until 2025-11-25 an output schema was one of objects, and a client may
		// refuse the whole list for another.
		e.legacy, err = t.describe(e.v.input, nil)
	}
	return e, err
}

// schemas returns the schemas of t; output is nil if it has none.
func (t *Tool) schemas() (input, output *schema, err error) {
	given := t.InputSchema
	if given == nil {
		given = anyObject
	}
	if input, err = newSchema(given); err != nil {
		return nil, nil, fmt.Errorf("input: %w", err)
	}
	if !input.object() {
		return nil, nil, errors.New(`input: the schema's type must be "object"`)
	}
	if t.OutputSchema != nil {
		if output, err = newSchema(t.OutputSchema); err != nil {
			return nil, nil, fmt.Errorf("output: %w", err)
		}
	}
	return input, output, nil
}

// describe returns t as clients and models see it.
func (t *Tool) describe(input, output *schema) ([]byte, error) {
	b := appendHeading([]byte{'{'}, "name", t.Name, t.Title, t.Description)
	b = append(appendKey(b, "inputSchema"), input.raw...)
	if output != nil {
		b = append(appendKey(b, "outputSchema"), output.raw...)
	}
	b, err := appendIcons(b, t.Icons)
	if err != nil {
		return nil, err
	}
	if t.Annotations != nil {
		if b, err = codec.AppendJSON(appendKey(b, "annotations"), t.Annotations); err != nil {
			return nil, err
		}
	}
	if b, err = appendMeta(b, t.Meta); err != nil {
		return nil, err
	}
	return append(b, '}'), nil
}

// appendHeading appends what all listings share.
func appendHeading(dst []byte, idKey, id, title, description string) []byte {
	dst = codec.AppendString(appendKey(dst, idKey), id)
	dst = appendStringMember(dst, "title", title)
	return appendStringMember(dst, "description", description)
}

func appendMeta(dst []byte, meta map[string]any) ([]byte, error) {
	if len(meta) == 0 {
		return dst, nil
	}
	dst, err := codec.AppendJSON(appendKey(dst, "_meta"), meta)
	if err != nil {
		return dst, fmt.Errorf("_meta: %w", err)
	}
	return dst, nil
}

func validToolName(name string) bool {
	if name == "" || len(name) > 128 {
		return false
	}
	for _, c := range []byte(name) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '_', c == '-', c == '.':
		default:
			return false
		}
	}
	return true
}

// AddTool registers a tool whose input and output are Go types. In is a struct
// or a map; its schema comes from its fields (google/jsonschema-go: a field is
// required unless it is omitempty or omitzero, the tag `jsonschema:"…"`
// describes it) and arguments that break it never reach f. Of Out
//
//   - a *ToolResult or ToolResult is the result as it is,
//   - a string becomes text,
//   - a struct or map becomes structured content, with its JSON as text for
//     clients that know only that, and gives the tool its output schema,
//   - anything else becomes its JSON as text.
//
// t.Handle must be nil; schemas in t replace those of the types.
func AddTool[In, Out any](s *Server, t Tool, f func(ctx context.Context, c *Call, in In) (Out, error)) error {
	if t.Handle != nil {
		return fmt.Errorf("mcp: tool %q: Handle is set beside a typed function", t.Name)
	}
	if t.InputSchema == nil {
		js, err := jsonschema.For[In](nil)
		if err != nil {
			return fmt.Errorf("mcp: tool %q: input: %w", t.Name, err)
		}
		t.InputSchema = js
	}
	shape := shapeOf(reflect.TypeFor[Out]())
	if shape == structured && t.OutputSchema == nil {
		js, err := jsonschema.For[Out](nil)
		if err != nil {
			return fmt.Errorf("mcp: tool %q: output: %w", t.Name, err)
		}
		js.Type, js.Types = "object", nil // a pointer is never null here: nil is refused below
		t.OutputSchema = js
	}
	t.Handle = func(ctx context.Context, c *Call) (*ToolResult, error) {
		var in In
		if err := codec.Unmarshal(c.Arguments(), &in); err != nil {
			// Fits the schema, but not the Go type: a number out of range.
			c.s.count.invalidInputs.Add(1)
			return Errorf("invalid arguments: %s", err.Error()), nil
		}
		out, err := f(ctx, c, in)
		if err != nil {
			return nil, err
		}
		return shape.result(out)
	}
	return s.AddTool(t)
}

// shape is what a tool's Go result becomes.
type shape uint8

const (
	asJSON shape = iota
	asResult
	asText
	structured
)

func shapeOf(t reflect.Type) shape {
	switch t {
	case reflect.TypeFor[ToolResult](), reflect.TypeFor[*ToolResult]():
		return asResult
	}
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t.Kind() {
	case reflect.String:
		return asText
	case reflect.Struct, reflect.Map:
		if !t.Implements(reflect.TypeFor[json.Marshaler]()) && !reflect.PointerTo(t).Implements(reflect.TypeFor[json.Marshaler]()) {
			return structured
		}
	}
	return asJSON
}

func (sh shape) result(out any) (*ToolResult, error) {
	switch sh {
	case asResult:
		if r, ok := out.(ToolResult); ok {
			return &r, nil
		}
		r, _ := out.(*ToolResult)
		return r, nil
	case asText:
		if str, ok := out.(string); ok {
			return Text(str), nil
		}
		v := reflect.ValueOf(out)
		for v.Kind() == reflect.Pointer {
			v = v.Elem()
		}
		if !v.IsValid() {
			return Text(""), nil
		}
		return Text(v.String()), nil
	}
	raw, err := codec.Marshal(out)
	if err != nil {
		return nil, &codec.Error{Code: codec.CodeInternal, Message: "result: " + err.Error()}
	}
	r := Text(string(raw))
	if sh == structured {
		if string(raw) == "null" {
			return nil, &codec.Error{Code: codec.CodeInternal, Message: "result: nothing where an object was promised"}
		}
		r.Structured = encoded(raw)
	}
	return r, nil
}
