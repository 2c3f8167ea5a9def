package mcp

import (
	"errors"
	"fmt"

	"github.com/google/jsonschema-go/jsonschema"
)

// Form is the schema of an elicitation's form, checked and prepared. It is
// immutable.
type Form struct{ schema *schema }

// NewForm prepares a form. given is a *jsonschema.Schema or raw JSON ([]byte,
// json.RawMessage, string) of what clients can show: an object whose
// properties, none nested, are
//
//   - strings, with length, pattern and a format (email, uri, date, date-time),
//   - numbers and integers, with minimum and maximum, and booleans,
//   - one of several strings: enum, with enumNames if they have titles, or
//     oneOf with const and title,
//   - several of several strings: an array whose items are enum or anyOf, with
//     minItems and maxItems,
//
// each with title, description and default (SEP-1034, SEP-1330). The schema
// goes to the client as it is.
func NewForm(given any) (*Form, error) {
	s, err := newSchema(given)
	if err != nil {
		return nil, fmt.Errorf("mcp: form: %w", err)
	}
	if !s.object() {
		return nil, errors.New(`mcp: form: the schema's type must be "object"`)
	}
	for name, p := range s.resolved.Schema().Properties {
		if err := checkField(p); err != nil {
			return nil, fmt.Errorf("mcp: form: property %q: %w", name, err)
		}
	}
	return &Form{s}, nil
}

// FormFor prepares the form of a struct: its fields are strings, numbers and
// booleans (google/jsonschema-go: a field is required unless it is omitempty
// or omitzero, the tag `jsonschema:"…"` describes it).
func FormFor[T any]() (*Form, error) {
	js, err := jsonschema.For[T](nil)
	if err != nil {
		return nil, fmt.Errorf("mcp: form: %w", err)
	}
	return NewForm(js)
}

var emptyForm = func() *Form {
	f, err := NewForm(`{"type":"object","properties":{}}`)
	if err != nil {
		panic(err)
	}
	return f
}()

// formOf returns the form a request gives.
func formOf(given any) (*Form, error) {
	switch g := given.(type) {
	case nil:
		return emptyForm, nil
	case *Form:
		return g, nil
	}
	return NewForm(given)
}

// checkField reports what a client could not show of a property.
func checkField(p *jsonschema.Schema) error {
	switch p.Type {
	case "boolean", "number", "integer":
		return nil
	case "string":
		switch p.Format {
		case "", "email", "uri", "date", "date-time":
			return nil
		}
		return fmt.Errorf("format %q is not one of email, uri, date and date-time", p.Format)
	case "array":
		if p.Items == nil || len(p.Items.Enum) == 0 && len(p.Items.AnyOf) == 0 {
			return errors.New("the items of an array must be enum or anyOf")
		}
		return nil
	}
	return errors.New("the type must be string, number, integer, boolean or array")
}
