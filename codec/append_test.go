package codec

import (
	"bytes"
	"encoding/json"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func TestAppendMessages(t *testing.T) {
	raw := func(s string) []byte {
		if s == "nil" {
			return nil
		}
		return []byte(s)
	}
	const badResult = `{"code":-32603,"message":"Internal error: the result is not valid JSON"}`
	for _, c := range []struct{ got, want string }{
		{string(AppendResult(nil, raw("1"), raw(`{}`))), `{"jsonrpc":"2.0","id":1,"result":{}}`},
		{string(AppendResult([]byte("x"), raw(`"a"`), raw(`[1, 2]`))), `x{"jsonrpc":"2.0","id":"a","result":[1, 2]}`},
		{string(AppendResult(nil, nil, nil)), `{"jsonrpc":"2.0","id":null,"result":null}`},
		{string(AppendResult(nil, raw("1"), raw(""))), `{"jsonrpc":"2.0","id":1,"error":` + badResult + `}`},
		{string(AppendResult(nil, raw("1"), raw(`{}}`))), `{"jsonrpc":"2.0","id":1,"error":` + badResult + `}`},
		{string(AppendResult(nil, raw("1"), raw("{\r\n \"a\": \"\\n\"\n}\n"))), `{"jsonrpc":"2.0","id":1,"result":{   "a": "\n" } }`},
		{string(AppendResult(nil, raw("{}"), raw("1"))), `{"jsonrpc":"2.0","id":null,"result":1}`},
		{string(AppendResult(nil, raw("1,2"), raw("1"))), `{"jsonrpc":"2.0","id":null,"result":1}`},
		{string(AppendResult(nil, raw("true"), raw("1"))), `{"jsonrpc":"2.0","id":null,"result":1}`},
		{string(AppendError(nil, raw("null"), &Error{Code: CodeParse, Message: "a \"b\"\n"})),
			`{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"a \"b\"\n"}}`},
		{string(AppendError(nil, raw("-1.5"), &Error{Code: 7, Data: raw("[\n]")})), `{"jsonrpc":"2.0","id":-1.5,"error":{"code":7,"message":"","data":[ ]}}`},
		{string(AppendError(nil, raw("1"), &Error{Code: 7, Data: raw("nope")})), `{"jsonrpc":"2.0","id":1,"error":{"code":7,"message":""}}`},
		{string(AppendNotification(nil, "a/b", raw("nil"))), `{"jsonrpc":"2.0","method":"a/b"}`},
		{string(AppendNotification(nil, "a", raw(" {\"x\":1}"))), `{"jsonrpc":"2.0","method":"a","params": {"x":1}}`},
		{string(AppendNotification(nil, "a", raw("1"))), `{"jsonrpc":"2.0","method":"a"}`},
		{string(AppendNotification(nil, "a", raw("{"))), `{"jsonrpc":"2.0","method":"a"}`},
		{string(AppendRequest(nil, raw("1"), "a", raw("[]"))), `{"jsonrpc":"2.0","id":1,"method":"a","params":[]}`},
		{string(AppendRequest(nil, raw("nil"), "\x00", raw("nil"))), `{"jsonrpc":"2.0","id":null,"method":"\u0000"}`},
	} {
		if c.got != c.want {
			t.Errorf("\n got %s\nwant %s", c.got, c.want)
		}
	}
}

// FuzzAppend: whatever goes in, what comes out is one line of strict JSON that
// our own parser takes for the message it was meant to be.
func FuzzAppend(f *testing.F) {
	for _, d := range documents {
		f.Add([]byte(d.in), []byte(d.in), d.in, 1)
		f.Add([]byte("1"), []byte(d.in), "m", -32603)
	}
	f.Fuzz(func(t *testing.T, id, raw []byte, text string, code int) {
		for _, c := range []struct {
			kind Kind
			msg  []byte
		}{
			{KindResult, AppendResult(nil, id, raw)},
			{KindError, AppendError(nil, id, &Error{Code: code, Message: text, Data: raw})},
			{KindNotification, AppendNotification(nil, text, raw)},
			{KindRequest, AppendRequest(nil, id, text, raw)},
		} {
			var env Envelope
			err := ParseEnvelope(c.msg, &Limits{Depth: valueDepthMax + 2}, &env)
			if c.kind == KindResult && raw != nil && !Valid(raw) {
				c.kind = KindError
			}
			if err != nil || env.Kind != c.kind || !json.Valid(c.msg) || bytes.ContainsAny(c.msg, "\r\n") {
				t.Fatalf("%q: kind %d, %v", c.msg, env.Kind, err)
			}
			if method := string(env.MethodName(c.msg)); utf8.ValidString(text) && env.Kind <= KindNotification && method != text {
				t.Errorf("method %q came back as %q", text, method)
			}
		}
	})
}

// TestAppendRoundTrip: what is appended is what ParseEnvelope reads.
func TestAppendRoundTrip(t *testing.T) {
	ids := rapid.SampledFrom([]string{`1`, `-0.5`, `"a\\b"`, `null`, `123456789012345678901234567890`, `""`})
	raws := rapid.SampledFrom([]string{`{}`, `[]`, `{"a":[1,"b",null]}`, `["日本語",{"x":{"y":[]}}]`})
	rapid.Check(t, func(t *rapid.T) {
		id, raw, text := ids.Draw(t, "id"), raws.Draw(t, "raw"), rapid.String().Draw(t, "text")
		check := func(msg []byte, want string) {
			var env Envelope
			err := ParseEnvelope(msg, nil, &env)
			if got := describe(msg, &env, err); got != want {
				t.Fatalf("%s\n got %s\nwant %s", msg, got, want)
			}
		}
		b := func(s string) []byte { return []byte(s) }
		check(AppendResult(nil, b(id), b(raw)), "result "+id+" "+raw)
		check(AppendNotification(nil, text, b(raw)), joinNonEmpty("notification", text, raw))
		check(AppendRequest(nil, b(id), text, b(raw)), joinNonEmpty("request", id, text, raw))
		var back Error
		msg := AppendError(nil, b(id), &Error{Code: -7, Message: text, Data: b(raw)})
		var env Envelope
		if err := ParseEnvelope(msg, nil, &env); err != nil || string(env.ID.Of(msg)) != id {
			t.Fatalf("%s: %v", msg, err)
		}
		if err := Unmarshal(env.Error.Of(msg), &back); err != nil || back.Code != -7 || back.Message != text || string(back.Data) != raw {
			t.Fatalf("%s came back as %+v, %v", msg, back, err)
		}
	})
}

func TestErrorObject(t *testing.T) {
	var e Error
	if err := Unmarshal([]byte(`{"code":-1,"message":"m","data":null,"more":1}`), &e); err != nil || e.Code != -1 || e.Message != "m" {
		t.Errorf("%+v, %v", e, err)
	}
	if err := Unmarshal([]byte(`{"code":"x"}`), &e); codeOf(&e) != -1 || err == nil {
		t.Errorf("a code that is no number: %+v, %v", e, err)
	}
}

func TestAppendAllocs(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	dst := make([]byte, 0, 1024)
	id, raw, e := []byte("1"), []byte("{\"a\":\n1}"), &Error{Code: 1, Message: "no\n", Data: []byte("[]")}
	if n := testing.AllocsPerRun(100, func() {
		dst = AppendResult(dst[:0], id, raw)
		dst = AppendError(dst[:0], id, e)
		dst = AppendNotification(dst[:0], "m/\"日", raw)
		dst = AppendRequest(dst[:0], id, "m", raw)
	}); n != 0 {
		t.Errorf("%v allocations into a buffer with room", n)
	}
}

func BenchmarkAppendResult(b *testing.B) {
	dst := make([]byte, 0, 1024)
	id, raw := []byte("12345"), []byte(`{"content":[{"type":"text","text":"hello, this is the text of the result"}],"isError":false}`)
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	for b.Loop() {
		dst = AppendResult(dst[:0], id, raw)
	}
}
