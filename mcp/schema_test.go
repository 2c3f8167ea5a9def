package mcp

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/jsonschema-go/jsonschema"
	"pgregory.net/rapid"
)

func mustSchema(t testing.TB, given any) *schema {
	t.Helper()
	s, err := newSchema(given)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestFastPath names what the compiled twin decides by itself: the schemas of
// ordinary tools must not fall back to decoding.
func TestFastPath(t *testing.T) {
	inferred, err := jsonschema.For[struct {
		A string              `json:"a"`
		B *int                `json:"b,omitempty"`
		C []float64           `json:"c,omitempty"`
		D struct{ X, Y bool } `json:"d"`
	}](nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		schema any
		fast   []string // valid, and the twin says so
		slow   []string // valid, but the twin is not sure
		bad    []string
	}{
		{`{"type":"object"}`, []string{`{}`, ` {"a" : 1 } `}, nil, []string{`[]`, `1`, `null`, `""`}},
		{`true`, []string{`1`, `{"a":[1,{"b":"]}"}]}`, `"x"`}, nil, nil},
		{`{"type":"object","properties":{"a":{"type":"string"}},"required":["a"],"additionalProperties":false}`,
			[]string{`{"a":"x"}`, `{"a":"\u0041\n"}`}, []string{`{"\u0061":"x"}`, `{"a":1,"a":"x"}`},
			[]string{`{}`, `{"a":1}`, `{"a":"x","b":1}`, `{"a":"x","a":1}`, `{"A":"x"}`}},
		{`{"type":"object","required":["a"]}`, []string{`{"a":null}`}, []string{`{"\u0061":1}`}, []string{`{"b":1}`}},
		{`{"type":"integer","minimum":1,"maximum":10}`, []string{`1`, `10`, `2.0`, `1e1`}, nil, []string{`0`, `11`, `1.5`, `"1"`, `true`}},
		{`{"type":"number","exclusiveMinimum":0,"exclusiveMaximum":1}`, []string{`0.5`, `1e-300`}, nil, []string{`0`, `1`, `-1`}},
		{`{"type":["string","null"]}`, []string{`null`, `"a"`}, nil, []string{`1`}},
		{`{"type":"string","minLength":2,"maxLength":3}`, []string{`"ab"`, `"äöü"`}, []string{`"\u0041b"`}, []string{`"a"`, `"abcd"`}},
		{`{"enum":["a","b"]}`, []string{`"a"`, `"b"`}, []string{`"\u0061"`}, []string{`"c"`, `1`, `["a"]`, `{}`, `null`}},
		{`{"type":"array","items":{"type":"boolean"},"minItems":1,"maxItems":2}`, []string{`[true]`, `[ true , false ]`}, nil, []string{`[]`, `[1]`, `[true,true,true]`}},
		{`{"type":"integer"}`, []string{`123456789012345678901234567890`, `-0`, `9007199254740993`}, nil, []string{`1e400`, `0.1`}},
		{`{"type":"string","pattern":"^a"}`, nil, []string{`"a"`}, []string{`"b"`}},
		{`{"anyOf":[{"type":"string"},{"type":"null"}]}`, nil, []string{`"a"`, `null`}, []string{`1`}},
		{inferred, []string{`{"a":"x","d":{"X":true,"Y":false}}`, `{"a":"x","b":1,"c":[1,2.5],"d":{"Y":true,"X":true}}`}, nil,
			[]string{`{"a":"x"}`, `{"a":"x","d":{"X":true}}`, `{"a":"x","d":{"X":true,"Y":true,"Z":true}}`}},
	} {
		s := mustSchema(t, tt.schema)
		for i, list := range [][]string{tt.fast, tt.slow, tt.bad} {
			for _, in := range list {
				fast := s.fast != nil && s.fast.valid([]byte(in))
				if fast != (i == 0) {
					t.Errorf("%s: %s: the twin says %v", s.raw, in, fast)
				}
				out, err := s.validate([]byte(in))
				if (err == nil) != (i < 2) || err == nil && string(out) != in {
					t.Errorf("%s: %s: %s, %v", s.raw, in, out, err)
				}
			}
		}
	}
}

func TestDefaults(t *testing.T) {
	s := mustSchema(t, `{"type":"object","properties":{"a":{"type":"integer","default":3},"b":{"type":"object","properties":{"c":{"default":"x"}}}}}`)
	for in, want := range map[string]string{
		`{}`:                    `{"a":3,"b":{"c":"x"}}`,
		`{"a":1,"b":{"c":"y"}}`: `{"a":1,"b":{"c":"y"}}`,
	} {
		out, err := s.validate([]byte(in))
		if err != nil || string(out) != want {
			t.Errorf("%s: %s, %v", in, out, err)
		}
	}
	if _, err := s.validate([]byte(`{"a":"x"}`)); err == nil {
		t.Error("a default hid a mistake")
	}
}

func TestBadSchemas(t *testing.T) {
	for _, given := range []any{
		nil, 7, "", "null", "{", `{"type":7}`, `{"$ref":"https://elsewhere.example/schema"}`,
		`{"$ref":"#/nowhere"}`, `{"properties":{"a":{"type":"integer","default":"x"}}}`, `{"pattern":"("}`, (*jsonschema.Schema)(nil),
	} {
		if s, err := newSchema(given); err == nil {
			t.Errorf("%v: %s", given, s.raw)
		}
	}
}

// drawSchema draws a schema of keywords the twin knows, and a few it does not.
func drawSchema(t *rapid.T, depth int) map[string]any {
	s := map[string]any{}
	types := []string{"null", "boolean", "string", "array", "object", "integer", "number"}
	switch rapid.IntRange(0, 4).Draw(t, "type") {
	case 0:
		s["type"] = rapid.SliceOfNDistinct(rapid.SampledFrom(types), 1, 3, rapid.ID).Draw(t, "types")
	case 1, 2, 3:
		s["type"] = rapid.SampledFrom(types).Draw(t, "one type")
	}
	small := rapid.IntRange(-2, 3)
	for _, key := range rapid.SliceOfNDistinct(rapid.SampledFrom([]string{
		"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "minLength", "maxLength", "minItems", "maxItems",
		"enum", "items", "properties", "required", "additionalProperties", "title", "multipleOf", "const",
	}), 0, 5, rapid.ID).Draw(t, "keys") {
		switch key {
		case "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum":
			s[key] = float64(small.Draw(t, key)) / 2
		case "minLength", "maxLength", "minItems", "maxItems":
			s[key] = rapid.IntRange(0, 3).Draw(t, key)
		case "enum":
			s[key] = rapid.SliceOfN(rapid.SampledFrom([]any{"a", "b", "", "é", 1, nil}), 1, 3).Draw(t, key)
		case "const":
			s[key] = rapid.SampledFrom([]any{"a", 1}).Draw(t, key)
		case "multipleOf":
			s[key] = 0.5
		case "items":
			if depth > 0 {
				s[key] = drawSchema(t, depth-1)
			}
		case "properties":
			props := map[string]any{}
			for _, name := range rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"a", "b", "é", `q"`}), 0, 3, rapid.ID).Draw(t, key) {
				if depth > 0 {
					props[name] = drawSchema(t, depth-1)
				} else {
					props[name] = true
				}
			}
			s[key] = props
		case "required":
			s[key] = rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"a", "b", "z"}), 1, 2, rapid.ID).Draw(t, key)
		case "additionalProperties":
			s[key] = rapid.Bool().Draw(t, key)
		case "title":
			s[key] = "x"
		}
	}
	return s
}

// drawJSON draws JSON text of all the forms that may surprise a reader of raw
// bytes: escapes, keys that come twice, white space, odd numbers.
func drawJSON(t *rapid.T, depth int) string {
	space := rapid.SampledFrom([]string{"", "", " ", "\n\t "})
	kind := rapid.IntRange(0, 7).Draw(t, "kind")
	if depth == 0 {
		kind %= 6
	}
	key := rapid.SampledFrom([]string{`"a"`, `"b"`, `"z"`, `"\u0061"`, `"é"`, `"q\""`, `"\u00e9"`})
	var b strings.Builder
	b.WriteString(space.Draw(t, "before"))
	switch kind {
	case 0:
		b.WriteString("null")
	case 1:
		b.WriteString(rapid.SampledFrom([]string{"true", "false"}).Draw(t, "bool"))
	case 2, 3:
		b.WriteString(rapid.SampledFrom([]string{`""`, `"a"`, `"b"`, `"é"`, `"\u0061"`, `"aaaa"`, `"\\"`, `"\\\""`, `"a]b}"`}).Draw(t, "string"))
	case 4, 5:
		b.WriteString(rapid.SampledFrom([]string{
			"0", "-0", "1", "-1", "2", "1.0", "0.5", "-1.5", "1e0", "1E2", "15e-1", "123456789012345", "1234567890123456", "9007199254740993.5", "1e308", "1e400", "1e-400",
		}).Draw(t, "number"))
	case 6:
		b.WriteByte('[')
		for i := range rapid.IntRange(0, 4).Draw(t, "n") {
			if i > 0 {
				b.WriteByte(',')
			}
			b.WriteString(drawJSON(t, depth-1))
		}
		b.WriteByte(']')
	case 7:
		b.WriteByte('{')
		for i := range rapid.IntRange(0, 4).Draw(t, "n") {
			if i > 0 {
				b.WriteByte(',')
			}
			b.WriteString(space.Draw(t, "in") + key.Draw(t, "key") + space.Draw(t, "colon") + ":" + drawJSON(t, depth-1))
		}
		b.WriteByte('}')
	}
	b.WriteString(space.Draw(t, "after"))
	return b.String()
}

// agree checks the twin's one promise: what it accepts, jsonschema-go accepts.
func agree(s *schema, in []byte) error {
	if s.fast == nil || !s.fast.valid(in) {
		return nil
	}
	var v any
	if err := json.Unmarshal(in, &v); err != nil {
		var tooLarge *json.UnmarshalTypeError
		if errors.As(err, &tooLarge) {
			return nil // a number past float64 where the schema does not look
		}
		return fmt.Errorf("%s: accepted, but %w", in, err)
	}
	if err := s.resolved.Validate(v); err != nil {
		return fmt.Errorf("%s accepts %s: %w", s.raw, in, err)
	}
	return nil
}

func TestTwinAgrees(t *testing.T) {
	accepted, decided := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		raw, err := json.Marshal(drawSchema(t, 2))
		if err != nil {
			t.Fatal(err)
		}
		s, err := newSchema(raw)
		if err != nil {
			t.Skip(err)
		}
		for range 8 {
			in := []byte(drawJSON(t, 3))
			if err := agree(s, in); err != nil {
				t.Fatal(err)
			}
			if _, err := s.validate(in); err == nil {
				accepted++
				if s.fast != nil && s.fast.valid(in) {
					decided++
				}
			}
		}
	})
	if decided == 0 || accepted == 0 {
		t.Errorf("of %d valid instances the twin decided %d: the test proves nothing", accepted, decided)
	}
}

func FuzzTwinAgrees(f *testing.F) {
	for _, schema := range []string{
		`{"type":"object","properties":{"a":{"type":"string","minLength":1},"b":{"type":"integer","minimum":0}},"required":["a"],"additionalProperties":false}`,
		`{"type":"array","items":{"type":"number","maximum":5},"maxItems":3}`,
		`{"enum":["a","b"]}`,
	} {
		for _, in := range []string{`{"a":"x","b":2}`, `{"a":"x","a":""}`, `[1,2.5,5]`, `"a"`, `{"\u0061":1}`, ` 1e1 `} {
			f.Add([]byte(schema), []byte(in))
		}
	}
	f.Fuzz(func(t *testing.T, rawSchema, in []byte) {
		s, err := newSchema(rawSchema)
		if err != nil || !json.Valid(in) {
			return
		}
		if err := agree(s, in); err != nil {
			t.Fatal(err)
		}
	})
}

func BenchmarkValidate(b *testing.B) {
	s := mustSchema(b, `{"type":"object","properties":{"text":{"type":"string"},"n":{"type":"integer","minimum":0}},"required":["text"],"additionalProperties":false}`)
	in := []byte(`{"text":"The quick brown fox jumps over the lazy dog","n":42}`)
	b.Run("fast", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := s.validate(in); err != nil {
				b.Fatal(err)
			}
		}
	})
	slow := *s
	slow.fast = nil
	b.Run("jsonschema-go", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := slow.validate(in); err != nil {
				b.Fatal(err)
			}
		}
	})
}
