package mcp

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/jsonschema-go/jsonschema"
)

func TestNewForm(t *testing.T) {
	field := func(schema string) string { return `{"type":"object","properties":{"f":` + schema + `}}` }
	for _, tt := range []struct {
		given any
		err   string // "" none
	}{
		{field(`{"type":"string","format":"email","pattern":"@"}`), ""},
		{[]byte(field(`{"type":"string","format":"date-time"}`)), ""},
		{json.RawMessage(field(`{"type":"boolean"}`)), ""},
		{&jsonschema.Schema{Type: "object", Properties: map[string]*jsonschema.Schema{"n": {Type: "number"}}}, ""},
		{field(`{"type":"array","items":{"enum":["a"]}}`), ""},
		{field(`{"type":"string","format":"ipv4"}`), `format "ipv4"`},
		{field(`{"type":"array","items":{"type":"string"}}`), "items of an array"},
		{field(`{"type":"array"}`), "items of an array"},
		{field(`{"type":"object"}`), "the type must be"},
		{field(`{}`), "the type must be"},
		{`{"type":"string"}`, `type must be "object"`},
		{`{"type":`, "unexpected end"},
		{7, "not a int"},
	} {
		_, err := NewForm(tt.given)
		if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%v: %v, want %q", tt.given, err, tt.err)
		}
	}
}

func TestFormFor(t *testing.T) {
	f, err := FormFor[struct {
		Name string `json:"name" jsonschema:"who you are"`
		Age  int    `json:"age,omitempty"`
	}]()
	if err != nil {
		t.Fatal(err)
	}
	a, err := readElicit([]byte(`{"action":"accept","content":{"name":"Ann"},"_meta":{"k":1}}`), f)
	if err != nil || a.Elicit.Meta["k"] != 1.0 {
		t.Fatalf("%+v, %v", a.Elicit, err)
	}
	var in struct {
		Name string `json:"name"`
	}
	if err := a.Elicit.Decode(&in); err != nil || in.Name != "Ann" {
		t.Errorf("%+v, %v", in, err)
	}
	if _, err := readElicit([]byte(`{"action":"accept"}`), f); err == nil {
		t.Error("accepted without the required field")
	}
	if _, err := readElicit([]byte(`{"action":"accept","_meta":{"k":"\ud800`), f); err == nil {
		t.Error("accepted a torn answer")
	}
	a, err = readElicit([]byte(`{"action":"decline","content":{"name":1}}`), f)
	if err != nil || a.Elicit.Accepted() || a.Elicit.Content != nil || a.Elicit.Decode(&in) == nil {
		t.Errorf("%+v, %v", a.Elicit, err)
	}
	if _, err := FormFor[struct{ Nested struct{ A int } }](); err == nil {
		t.Error("a nested form")
	}
	if _, err := FormFor[chan int](); err == nil {
		t.Error("a form of a channel")
	}
}
