package mcp

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"

	"github.com/google/jsonschema-go/jsonschema"
)

// schema is a resolved JSON schema and, where its keywords allow, a compiled
// twin that reads raw bytes. The twin only ever says "valid" or "not sure": it
// never refuses, so google/jsonschema-go stays the one judge of what is wrong
// and the words for it, and the common case costs no decoding.
type schema struct {
	raw      []byte // as listed
	resolved *jsonschema.Resolved
	fast     *node // nil if a keyword needs the slow way
	defaults bool  // properties have defaults, which are filled in
}

// newSchema builds a schema from what a user may give: *jsonschema.Schema, or
// raw JSON as []byte, json.RawMessage or string.
func newSchema(given any) (*schema, error) {
	s := new(schema)
	var js *jsonschema.Schema
	switch g := given.(type) {
	case *jsonschema.Schema:
		js = g.CloneSchemas() // a resolved schema must not change
		raw, err := json.Marshal(g)
		if err != nil {
			return nil, err
		}
		s.raw = raw
	case []byte:
		s.raw = g
	case json.RawMessage:
		s.raw = g
	case string:
		s.raw = []byte(g)
	default:
		return nil, fmt.Errorf("a schema is a *jsonschema.Schema or raw JSON, not a %T", given)
	}
	if js == nil {
		if err := json.Unmarshal(s.raw, &js); err != nil {
			return nil, fmt.Errorf("schema: %w", err)
		}
		compact, err := json.Marshal(json.RawMessage(s.raw)) // our own copy, one line
		if err != nil {
			return nil, fmt.Errorf("schema: %w", err)
		}
		s.raw = compact
	}
	if js == nil {
		return nil, errors.New("schema: null")
	}
	var err error
	if s.resolved, err = js.Resolve(&jsonschema.ResolveOptions{ValidateDefaults: true}); err != nil {
		return nil, fmt.Errorf("schema: %w", err)
	}
	s.defaults = hasDefaults(js)
	s.fast = compile(js)
	return s, nil
}

// hasDefaults reports whether ApplyDefaults may change an instance.
func hasDefaults(s *jsonschema.Schema) bool {
	for _, p := range s.Properties {
		if p.Default != nil || hasDefaults(p) {
			return true
		}
	}
	return false
}

// object reports whether the schema is one of JSON objects, as the protocol
// asks of a tool's.
func (s *schema) object() bool { return s.resolved.Schema().Type == "object" }

// validate checks raw, well-formed JSON, and returns it with defaults filled
// in: raw itself if there are none. It is safe for concurrent use.
func (s *schema) validate(raw []byte) ([]byte, error) {
	if s.fast != nil && !s.defaults && s.fast.valid(raw) {
		return raw, nil
	}
	var v any
	if err := json.Unmarshal(raw, &v); err != nil {
		return nil, err
	}
	if s.defaults {
		if err := s.resolved.ApplyDefaults(&v); err != nil {
			return nil, err
		}
	}
	if err := s.resolved.Validate(v); err != nil {
		return nil, err
	}
	if !s.defaults {
		return raw, nil
	}
	return json.Marshal(v)
}

// compile returns the fast twin of s, nil if s uses a keyword it lacks.
func compile(s *jsonschema.Schema) *node {
	if !supported(s) {
		return nil
	}
	n := &node{
		types: kindsOf(s), minimum: s.Minimum, maximum: s.Maximum,
		above: s.ExclusiveMinimum, below: s.ExclusiveMaximum,
		minLength: s.MinLength, maxLength: s.MaxLength, minItems: s.MinItems, maxItems: s.MaxItems,
	}
	for _, e := range s.Enum {
		word, ok := e.(string)
		if !ok {
			return nil
		}
		n.enum = append(n.enum, word)
	}
	if s.Items != nil {
		if n.items = compile(s.Items); n.items == nil {
			return nil
		}
	}
	if s.AdditionalProperties != nil {
		if !isFalse(s.AdditionalProperties) {
			return nil
		}
		n.closed = true
	}
	return n.compileProperties(s)
}

// compileProperties gives each named property a bit. The root sees at most 64.
func (n *node) compileProperties(s *jsonschema.Schema) *node {
	index := make(map[string]int)
	for name, p := range s.Properties {
		child := compile(p)
		if child == nil {
			return nil
		}
		index[name] = len(n.props)
		n.props = append(n.props, property{name, child})
	}
	for _, name := range s.Required {
		i, ok := index[name]
		if !ok && n.closed {
			return nil // can never be met: let the slow way say so
		}
		if !ok {
			i = len(n.props)
			index[name] = i
			n.props = append(n.props, property{name, &node{types: anyKind}})
		}
		if i < 64 {
			n.required |= 1 << i
		}
	}
	if len(n.props) > 64 {
		return nil
	}
	return n
}

// supported reports whether node knows every keyword of s that takes part in
// validation. It clears those it knows and those that only describe, and
// looks for anything left, so that a keyword of a later jsonschema-go is never
// overlooked.
func supported(s *jsonschema.Schema) bool {
	rest := *s
	rest.Schema, rest.Comment, rest.Title, rest.Description, rest.Format = "", "", "", "", ""
	rest.Default, rest.Examples, rest.Extra, rest.PropertyOrder = nil, nil, nil, nil
	rest.Deprecated, rest.ReadOnly, rest.WriteOnly = false, false, false
	rest.ContentEncoding, rest.ContentMediaType = "", ""

	rest.Type, rest.Types = "", nil
	rest.Minimum, rest.Maximum, rest.ExclusiveMinimum, rest.ExclusiveMaximum = nil, nil, nil, nil
	rest.MinLength, rest.MaxLength, rest.MinItems, rest.MaxItems = nil, nil, nil, nil
	rest.Properties, rest.Required, rest.AdditionalProperties, rest.Items = nil, nil, nil, nil
	if len(rest.Enum) > 0 {
		rest.Enum = nil
	}
	return reflect.ValueOf(rest).IsZero()
}

// isFalse reports whether s is the schema that nothing satisfies, {"not":{}}.
func isFalse(s *jsonschema.Schema) bool {
	if s.Not == nil || !reflect.ValueOf(*s.Not).IsZero() {
		return false
	}
	rest := *s
	rest.Not = nil
	return reflect.ValueOf(rest).IsZero()
}
