package codec

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// kinds holds a field for each way in which a decoder could keep bytes of its input.
type kinds struct {
	Text    string            `json:"text"`
	Escaped string            `json:"escaped"`
	Raw     json.RawMessage   `json:"raw"`
	Number  json.Number       `json:"number"`
	Any     any               `json:"any"`
	Map     map[string]string `json:"map"`
	Slice   []string          `json:"slice"`
	Bytes   []byte            `json:"bytes"`
	Ptr     *string           `json:"ptr"`
	Custom  keeper            `json:"custom"`
	Textual textKeeper        `json:"textual"`
	Int     int               `json:"int"`
	Quoted  int               `json:"quoted,string"`
	Small   int8              `json:"small"`
	Float   float64           `json:"float"`
	Flag    bool              `json:"flag"`
	Nested  *kinds            `json:"nested"`
}

// keeper and textKeeper keep what they are given, which they should not.
type keeper struct{ b []byte }

func (k *keeper) UnmarshalJSON(b []byte) error {
	if k.b = b; string(b) == `"fail"` {
		return errKeeper
	}
	return nil
}

type textKeeper struct{ b []byte }

func (k *textKeeper) UnmarshalText(b []byte) error { k.b = b; return nil }

var errKeeper = errors.New("keeper refuses")

func kindsDocument(filler int) string {
	return `{"text":"plain text","escaped":"a\nb","raw":{"raw":[1, 2]},"number":12.50,
		"any":{"key":["value",1.5,null,true]},"map":{"map key":"map value"},"slice":["one","two"],
		"bytes":"aGVsbG8=","ptr":"pointed","custom":"kept","textual":"kept text","int":7,"quoted":"8",
		"small":-128,"float":1e3,"flag":true,"nested":{"text":"inner"},"unknown":"` + strings.Repeat("x", filler) + `"}`
}

// TestUnmarshalSharesNothing overwrites the input after decoding, both where
// strings share a private copy and where they are copied one by one.
func TestUnmarshalSharesNothing(t *testing.T) {
	for _, filler := range []int{0, pinnedBytesMax} {
		doc := kindsDocument(filler)
		var want, got kinds
		if err := json.Unmarshal([]byte(doc), &want); err != nil {
			t.Fatal(err)
		}
		b := []byte(doc)
		if err := Unmarshal(b, &got); err != nil {
			t.Fatal(err)
		}
		for i := range b {
			b[i] = '#'
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("filler %d:\n got %+v\nwant %+v", filler, got, want)
		}
	}
}

func TestUnmarshalRefuses(t *testing.T) {
	for _, d := range documents {
		var v any
		err := Unmarshal([]byte(d.in), &v)
		if d.fault == faultNone && !strings.Contains(d.in, "E400") {
			if err != nil {
				t.Errorf("%q: %v", d.in, err)
			}
			continue
		}
		var e *Error
		if !errors.As(err, &e) || (d.fault != faultNone && e.Code != CodeParse) || v != nil {
			t.Errorf("%q: %v, decoded %v", d.in, err, v)
		}
	}
	var v any
	deep := strings.Repeat("[", valueDepthMax+1) + strings.Repeat("]", valueDepthMax+1)
	if err := Unmarshal([]byte(deep), &v); err == nil {
		t.Error("1,001 levels are accepted")
	}
	if err := Unmarshal([]byte(deep[1:len(deep)-1]), &v); err != nil {
		t.Errorf("1,000 levels are refused: %v", err)
	}
}

func TestUnmarshalErrors(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{`{"text":1}`, "Invalid params: text: cannot decode number into string"},
		{`{"nested":{"nested":{"flag":"yes"}}}`, "Invalid params: nested.nested.flag: cannot decode string into bool"},
		{`{"small":` + strings.Repeat("9", 999) + `}`, "Invalid params: small: cannot decode number into int8"},
		{`{"int":1.5}`, "Invalid params: int: cannot decode number into int"},
		{`{"float":1e999}`, "Invalid params: float: cannot decode number into float64"},
		{`{"slice":{}}`, "Invalid params: slice: cannot decode object into slice"},
		{`[]`, "Invalid params: cannot decode array into struct"},
		{`{"text":1,"unknown":"` + strings.Repeat("x", explainedBytesMax) + `"}`, "Invalid params: a value does not fit its type"},
		{`{"text":"` + "\n" + `"}`, "Parse error: control character in a string at byte 9"},
	} {
		var e *Error
		if err := Unmarshal([]byte(c.in), &kinds{}); !errors.As(err, &e) || e.Message != c.want {
			t.Errorf("%.80s: %v, want %s", c.in, err, c.want)
		}
	}
	if err := Unmarshal([]byte(`{"custom":"fail"}`), &kinds{}); !errors.Is(err, errKeeper) {
		t.Errorf("the error of UnmarshalJSON came back as %v", err)
	}
	var invalid *json.InvalidUnmarshalError
	for _, v := range []any{nil, kinds{}, (*kinds)(nil)} {
		if err := Unmarshal([]byte(`{}`), v); !errors.As(err, &invalid) {
			t.Errorf("decoding into %T: %v", v, err)
		}
	}
}

func TestUnmarshalKeys(t *testing.T) {
	var v struct {
		Name string
		Tag  string `json:"tag"`
	}
	if err := Unmarshal([]byte(`{"name":"no","Tag":"no","TAG":"no"}`), &v); err != nil || v.Name+v.Tag != "" {
		t.Errorf("keys of another case: %+v, %v", v, err)
	}
	if err := Unmarshal([]byte(`{"Name":"first","t\u0061g":"yes","Name":"last"}`), &v); err != nil || v.Name != "last" || v.Tag != "yes" {
		t.Errorf("keys: %+v, %v", v, err)
	}
}

// TestUnmarshalTwin decodes right and wrong values into fields of every kind,
// and compares with encoding/json.
func TestUnmarshalTwin(t *testing.T) {
	keys := rapid.SampledFrom([]string{"text", "escaped", "raw", "number", "any", "map", "slice", "bytes", "ptr", "custom",
		"textual", "int", "quoted", "small", "float", "flag", "nested", "unknown", `t\u0065xt`})
	values := rapid.SampledFrom([]string{`"2.0"`, `1`, `-0.5e9`, `null`, `true`, `false`, `"a\nb"`, `""`, `{}`, `[]`,
		`[{"a":[1]}]`, `{"id":"\u0000"}`, `{"a":"b"}`, `["x","y"]`, `["x",1]`, `128`, `-129`, `127`, `1e3`, `"12"`, `"1.5"`,
		`"aGVsbG8="`, `"aGVs!"`, `"aGVs\nbG8="`, `"null"`, `"true"`, `"\ud800"`, `1e400`, `-0`, `9223372036854775808`, `0.1`,
		`{"text":"in","int":5}`, `"fail"`, `1.0`, `"\"12\""`, `123456789.123456789e-5`})
	rapid.Check(t, func(t *rapid.T) {
		var members []string
		for range rapid.IntRange(1, 3).Draw(t, "members") {
			members = append(members, `"`+keys.Draw(t, "key")+`":`+values.Draw(t, "value"))
		}
		doc := []byte("{" + strings.Join(members, ",") + "}")
		var got, want kinds
		gotErr, wantErr := Unmarshal(doc, &got), json.Unmarshal(doc, &want)
		if (gotErr == nil) != (wantErr == nil) || (gotErr == nil && !reflect.DeepEqual(got, want)) {
			t.Fatalf("%s:\n got %+v, %v\nwant %+v, %v", doc, got, gotErr, want, wantErr)
		}
	})
}

// FuzzUnmarshal: what is decoded is what encoding/json decodes, and what is
// refused is what it refuses, or what Valid does, which FuzzValid accounts for.
func FuzzUnmarshal(f *testing.F) {
	for _, d := range documents {
		f.Add([]byte(d.in))
	}
	f.Add([]byte(kindsDocument(0)))
	f.Fuzz(func(t *testing.T, b []byte) {
		before := bytes.Clone(b)
		var got, want any
		gotErr, wantErr := Unmarshal(b, &got), json.Unmarshal(b, &want)
		if wantErr == nil && !Valid(b) {
			wantErr = errors.New("not valid by our rules")
		}
		if (gotErr == nil) != (wantErr == nil) || (gotErr == nil && !reflect.DeepEqual(got, want)) {
			t.Errorf("%q:\n got %#v, %v\nwant %#v, %v", b, got, gotErr, want, wantErr)
		}
		if !bytes.Equal(b, before) {
			t.Errorf("%q: changed to %q", before, b)
		}
		if gotErr != nil {
			return
		}
		out, err := AppendJSON([]byte("\xff"), got)
		var back any
		if err != nil || out[0] != 0xff || json.Unmarshal(out[1:], &back) != nil || !reflect.DeepEqual(back, got) || !Valid(out[1:]) {
			t.Errorf("%#v is written as %q, %v", got, out, err)
		}
	})
}

func TestAppendJSON(t *testing.T) {
	type loop struct{ Next *loop }
	cyclic := &loop{}
	cyclic.Next = cyclic
	for _, c := range []struct {
		v    any
		want string // "" for an error
	}{
		{nil, `null`},
		{map[string]int{"b": 1, "a": 2, "c": 3}, `{"a":2,"b":1,"c":3}`},
		{"<&>\n\xff", `"<&>\n\ufffd"`},
		{[]byte{1, 2}, `"AQI="`},
		{json.RawMessage("{\n \"a\" : [1,\r\n 2]\n}"), `{"a":[1,2]}`},
		{struct{ R json.RawMessage }{}, `{"R":null}`},
		{&Error{Code: -1, Message: "m", Data: []byte("[\n1]")}, `{"code":-1,"message":"m","data":[1]}`},
		{json.RawMessage(`{`), ""},
		{json.RawMessage(`"` + "\n" + `"`), ""},
		{json.Number("12x"), ""},
		{math.NaN(), ""},
		{math.Inf(1), ""},
		{make(chan int), ""},
		{cyclic, ""},
	} {
		for _, dst := range [][]byte{nil, []byte("\xff\"\n"), append(make([]byte, 0, 1000), "\xfe"...)} {
			before := bytes.Clone(dst)
			got, err := AppendJSON(dst, c.v)
			if (err != nil) != (c.want == "") || string(got) != string(before)+c.want {
				t.Errorf("%T behind %q: %q, %v, want %q", c.v, before, got, err, c.want)
			}
		}
		if b, err := Marshal(c.v); (err != nil) != (c.want == "") || string(b) != c.want {
			t.Errorf("%T: Marshal %q, %v", c.v, b, err)
		}
	}
}

// TestAppendJSONUsesRoom: a buffer with room is written in place.
func TestAppendJSONUsesRoom(t *testing.T) {
	dst := append(make([]byte, 0, 4096), "head"...)
	out, err := AppendJSON(dst, map[string]any{"a": []int{1}})
	if err != nil || &out[0] != &dst[0] || string(out) != `head{"a":[1]}` {
		t.Errorf("%q, %v", out, err)
	}
}

// TestAppendJSONTwin compares with encoding/json reading it all back.
func TestAppendJSONTwin(t *testing.T) {
	leaf := rapid.OneOf(
		rapid.Just[any](nil), rapid.Just[any](true), rapid.Map(rapid.Float64(), func(f float64) any { return f }),
		rapid.Map(rapid.String(), func(s string) any { return s }),
		rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) any { return string(b) }))
	rapid.Check(t, func(t *rapid.T) {
		v := map[string]any{
			"list": rapid.SliceOf(leaf).Draw(t, "list"),
			"map":  rapid.MapOf(rapid.String(), leaf).Draw(t, "map"),
		}
		got, err := AppendJSON(nil, v)
		want, wantErr := json.Marshal(v)
		if err != nil || wantErr != nil {
			t.Fatalf("%v, %v", err, wantErr)
		}
		var a, b any
		if !utf8.Valid(got) || !Valid(got) || bytes.ContainsAny(got, "\r\n") || json.Unmarshal(got, &a) != nil ||
			json.Unmarshal(want, &b) != nil || !reflect.DeepEqual(a, b) {
			t.Fatalf("\n got %q\nwant %q", got, want)
		}
	})
}

func BenchmarkUnmarshal(b *testing.B) {
	type args struct {
		Name      string `json:"name"`
		Arguments struct {
			Text string `json:"text"`
		} `json:"arguments"`
	}
	params := []byte(`{"name":"echo","arguments":{"text":"hello"}}`)
	b.ReportAllocs()
	for b.Loop() {
		var a args
		if err := Unmarshal(params, &a); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppendJSON(b *testing.B) {
	type content struct {
		Type string `json:"type"`
		Text string `json:"text"`
	}
	v := struct {
		Content []content `json:"content"`
		IsError bool      `json:"isError,omitempty"`
	}{Content: []content{{"text", "hello"}}}
	dst := make([]byte, 0, 1024)
	b.ReportAllocs()
	for b.Loop() {
		var err error
		if dst, err = AppendJSON(dst[:0], &v); err != nil {
			b.Fatal(err)
		}
	}
}
