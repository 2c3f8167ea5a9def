package codec

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"
	"unsafe"

	"pgregory.net/rapid"
)

// envelopes are messages and what the parser has to make of them. The parts are
// written as kind, id, method, params, result, error; a refused message as its
// code and the id its answer must carry.
var envelopes = []struct{ in, want string }{
	// Section 7 of the specification.
	{`{"jsonrpc": "2.0", "method": "subtract", "params": [42, 23], "id": 1}`, `request 1 subtract [42, 23]`},
	{`{"jsonrpc": "2.0", "method": "subtract", "params": {"a": 1}, "id": 3}`, `request 3 subtract {"a": 1}`},
	{`{"jsonrpc": "2.0", "result": 19, "id": 1}`, `result 1 19`},
	{`{"jsonrpc": "2.0", "method": "update", "params": [1,2]}`, `notification update [1,2]`},
	{`{"jsonrpc": "2.0", "method": "foobar"}`, `notification foobar`},
	{`{"jsonrpc": "2.0", "error": {"code": -32601, "message": "x"}, "id": "1"}`, `error "1" {"code": -32601, "message": "x"}`},
	{`{"jsonrpc": "2.0", "method": "foobar, "params": "bar", "baz]`, `-32700`},
	{`{"jsonrpc": "2.0", "method": 1, "params": "bar"}`, `-32600`},
	{`[{"jsonrpc": "2.0", "method": "sum", "id": "1"},{"jsonrpc": "2.0", "method"]`, `-32700`},
	{`[]`, `-32600`},
	{`[1,2,3]`, `batch`},

	// Forms of the id.
	{`{"jsonrpc":"2.0","id":"","method":"m"}`, `request "" m`},
	{`{"jsonrpc":"2.0","id":"a\"b","method":"m"}`, `request "a\"b" m`},
	{`{"jsonrpc":"2.0","id":-1.50e+3,"method":"m"}`, `request -1.50e+3 m`},
	{`{"jsonrpc":"2.0","id":184467440737095516160,"method":"m"}`, `request 184467440737095516160 m`},
	{`{"jsonrpc":"2.0","id":null,"method":"m"}`, `request null m`},
	{`{"jsonrpc":"2.0","id":{},"method":"m"}`, `-32600`},
	{`{"jsonrpc":"2.0","id":[1],"method":"m"}`, `-32600`},
	{`{"jsonrpc":"2.0","id":true,"method":"m"}`, `-32600`},
	{`{"jsonrpc":"2.0","id":false,"result":1}`, `-32600`},

	// Names of the members.
	{`{"jsonrpc":"2.0","\u0069d":7,"m\u0065thod":"m","\u0070arams":{}}`, `request 7 m {}`},
	{`{"jsonrpc":"2.0","ID":7,"method":"m"}`, `notification m`},
	{`{"jsonrpc":"2.0","id":7,"Method":"m"}`, `-32600 7`},
	{`{"JSONRPC":"2.0","id":7,"method":"m"}`, `-32600 7`},
	{`{"jsonrpc":"2.0","id":7,"method":"m","extra":[{}],"extra":1,"\u0065xtra":2,"":3}`, `request 7 m`},
	{`{"jsonrpc":"2.0","id":7,"method":"m","\u0069d\u0000":1,"jsonrpc\u0000\u0000":1}`, `request 7 m`},

	// The same member twice, in any spelling.
	{`{"jsonrpc":"2.0","id":7,"method":"m","method":"n"}`, `-32600 7`},
	{`{"jsonrpc":"2.0","id":7,"method":"m","m\u0065thod":"m"}`, `-32600 7`},
	{`{"jsonrpc":"2.0","jsonrpc":"2.0","id":7,"method":"m"}`, `-32600 7`},
	{`{"jsonrpc":"2.0","id":7,"id":7,"method":"m"}`, `-32600`},
	{`{"jsonrpc":"2.0","id":7,"method":"m","params":{},"params":{}}`, `-32600 7`},
	{`{"jsonrpc":"2.0","id":7,"result":1,"result":1}`, `-32600 7`},
	{`{"jsonrpc":"2.0","id":7,"error":{},"error":{}}`, `-32600 7`},

	// The version.
	{`{"id":7,"method":"m"}`, `-32600 7`},
	{`{"jsonrpc":"1.0","id":7,"method":"m"}`, `-32600 7`},
	{`{"jsonrpc":2.0,"id":7,"method":"m"}`, `-32600 7`},
	{`{"jsonrpc":"2.0 ","id":7,"method":"m"}`, `-32600 7`},
	{`{"jsonrpc":"","id":7,"method":"m"}`, `-32600 7`},
	{`{"jsonrpc":null,"id":7,"method":"m"}`, `-32600 7`},
	{`{"jsonrpc":"\u0032.0","id":7,"method":"m"}`, `request 7 m`},

	// Method and params.
	{`{"jsonrpc":"2.0","id":7,"method":""}`, `request 7`},
	{`{"jsonrpc":"2.0","id":7,"method":"a\/\u0062"}`, `request 7 a/b`},
	{`{"jsonrpc":"2.0","id":7,"method":"\ud83d\ude00\ud800"}`, "request 7 \U0001F600\uFFFD"},
	{`{"jsonrpc":"2.0","id":7,"method":null}`, `-32600 7`},
	{`{"jsonrpc":"2.0","id":7,"method":["m"]}`, `-32600 7`},
	{`{"jsonrpc":"2.0","id":7,"method":"m","params":null}`, `-32600 7`},
	{`{"jsonrpc":"2.0","id":7,"method":"m","params":"x"}`, `-32600 7`},
	{`{"jsonrpc":"2.0","id":7,"method":"m","params":0}`, `-32600 7`},

	// Responses.
	{`{"jsonrpc":"2.0","id":7,"result":null}`, `result 7 null`},
	{`{"jsonrpc":"2.0","id":null,"error":{}}`, `error null {}`},
	{`{"jsonrpc":"2.0","id":7,"result":1,"error":{}}`, `-32600 7`},
	{`{"jsonrpc":"2.0","id":7,"result":1,"error":null}`, `-32600 7`},
	{`{"jsonrpc":"2.0","id":7,"error":null}`, `-32600 7`},
	{`{"jsonrpc":"2.0","id":7,"error":"x"}`, `-32600 7`},
	{`{"jsonrpc":"2.0","result":1}`, `-32600`},
	{`{"jsonrpc":"2.0","error":{}}`, `-32600`},
	{`{"jsonrpc":"2.0","id":7,"method":"m","result":1}`, `-32600 7`},
	{`{"jsonrpc":"2.0","id":7,"params":{},"result":1}`, `-32600 7`},
	{`{"jsonrpc":"2.0","id":7}`, `-32600 7`},
	{`{"jsonrpc":"2.0","id":7,"params":{}}`, `-32600 7`},
	{`{}`, `-32600`},

	// No message at all.
	{``, `-32700`},
	{" \t\r\n", `-32700`},
	{`1`, `-32600`},
	{`"text"`, `-32600`},
	{`null`, `-32600`},
	{`nul`, `-32700`},
	{`{"jsonrpc":"2.0","id":7,"method":"m"} x`, `-32700`},
	{`{"jsonrpc":"2.0","id":7,"method":"m"}{}`, `-32700`},
	{`{"jsonrpc":"2.0","id":7,"method":"m"`, `-32700`},
	{`{"jsonrpc":"2.0","id":7,"method":"m",}`, `-32700`},
	{"{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"\xff\"}", `-32700`},
	{"{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"m\",\"params\":[\"\x01\"]}", `-32700`},
	{`{"jsonrpc":"2.0","id":7,"method":"\q"}`, `-32700`},

	// Nesting is our limit, not a fault of the JSON; the id counts if it came before.
	{`{"jsonrpc":"2.0","id":7,"method":"m","params":` + strings.Repeat("[", 63) + strings.Repeat("]", 63) + `}`,
		`request 7 m ` + strings.Repeat("[", 63) + strings.Repeat("]", 63)},
	{`{"jsonrpc":"2.0","id":7,"method":"m","params":` + strings.Repeat("[", 64) + strings.Repeat("]", 64) + `}`, `-32600 7`},
	{`{"params":` + strings.Repeat(`{"a":`, 64), `-32600`},
	{strings.Repeat("[", 65), `-32600`},

	// Batches.
	{` [ {} ] `, `batch`},
	{`[]]`, `-32700`},
	{`[{}] x`, `-32700`},
	{`[{},]`, `-32700`},
	{`[{}`, `-32700`},
	{`[` + strings.Repeat("1,", 99) + `1]`, `batch`},
	{`[` + strings.Repeat("1,", 100) + `1]`, `-32600`},
}

// describe writes what ParseEnvelope said as the table does.
func describe(msg []byte, env *Envelope, err *Error) string {
	parts := []string{}
	if err != nil {
		if env.Kind != KindInvalid || *env != (Envelope{ID: env.ID}) {
			return fmt.Sprintf("error %v beside %+v", err, *env)
		}
		parts = append(parts, fmt.Sprint(err.Code))
	} else {
		parts = append(parts, kindNames[env.Kind])
	}
	add := func(b []byte) {
		if len(b) > 0 {
			parts = append(parts, string(b))
		}
	}
	add(env.ID.Of(msg))
	add(env.MethodName(msg))
	add(env.Params.Of(msg))
	add(env.Result.Of(msg))
	add(env.Error.Of(msg))
	return strings.Join(parts, " ")
}

var kindNames = [...]string{"invalid", "request", "notification", "result", "error", "batch"}

func TestParseEnvelope(t *testing.T) {
	for _, e := range envelopes {
		msg := []byte(e.in)
		env := Envelope{Kind: 99, Escaped: true, ID: Span{1, 2}, Params: Span{3, 4}} // of an earlier message
		err := ParseEnvelope(msg, nil, &env)
		if got := describe(msg, &env, err); got != e.want {
			t.Errorf("%.200s\n got %.200s\nwant %.200s\n(%v)", e.in, got, e.want, err)
		}
	}
}

func TestParseEnvelopeLimits(t *testing.T) {
	nested := []byte(`{"jsonrpc":"2.0","id":7,"method":"m","params":[[]]}`)
	batch := []byte(`[{},{}]`)
	for _, c := range []struct {
		msg  []byte
		lim  Limits
		code int
	}{
		{nested, Limits{}, 0},
		{nested, Limits{Depth: 3}, 0},
		{nested, Limits{Depth: 2}, CodeInvalidRequest},
		{bytes.Repeat([]byte("["), LineBytesMax), Limits{Depth: 1 << 30}, CodeInvalidRequest},
		{batch, Limits{}, 0},
		{batch, Limits{Batch: 2}, 0},
		{batch, Limits{Batch: 1}, CodeInvalidRequest},
		{batch, Limits{Batch: -1}, CodeInvalidRequest},
		{[]byte(`[{]`), Limits{Batch: -1}, CodeParse},
		{batch, Limits{Depth: 2}, 0},
		{batch, Limits{Depth: 1}, CodeInvalidRequest},
	} {
		var env Envelope
		err := ParseEnvelope(c.msg, &c.lim, &env)
		if code := codeOf(err); code != c.code {
			t.Errorf("%.80s with %+v: %v, want code %d", c.msg, c.lim, err, c.code)
		}
	}
}

func codeOf(err *Error) int {
	if err == nil {
		return 0
	}
	return err.Code
}

func TestMethodNameIsPartOfMessage(t *testing.T) {
	msg := []byte(`{"jsonrpc":"2.0","method":"plain"}`)
	var env Envelope
	if err := ParseEnvelope(msg, nil, &env); err != nil {
		t.Fatal(err)
	}
	name := env.MethodName(msg)
	if &name[0] != &msg[env.Method.Off] || cap(name) != len(name) {
		t.Error("the name of a method without escapes is not the part of the message it was read from")
	}
}

func TestParseEnvelopeAllocs(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	for _, e := range envelopes {
		if strings.HasPrefix(e.want, "-") {
			continue
		}
		msg := []byte(e.in)
		var env Envelope
		if n := testing.AllocsPerRun(100, func() { _ = ParseEnvelope(msg, nil, &env) }); n != 0 {
			t.Errorf("%s: %v allocations", e.in, n)
		}
	}
}

// The envelope travels by value through queues: 11 words of 4 bytes, no pointer.
const _ = uint(44-unsafe.Sizeof(Envelope{})) + uint(unsafe.Sizeof(Envelope{})-44)

// FuzzParseEnvelope holds the parser to a twin made of encoding/json and the
// rules of the specification, written without regard to speed.
func FuzzParseEnvelope(f *testing.F) {
	for _, e := range envelopes {
		f.Add([]byte(e.in))
	}
	for _, d := range documents {
		f.Add([]byte(d.in))
	}
	f.Fuzz(func(t *testing.T, msg []byte) {
		var env Envelope
		err := ParseEnvelope(msg, nil, &env)
		got, want := describe(msg, &env, err), twinDescribe(msg)
		// Limits may be found exceeded before the syntax goes wrong behind.
		beyond := naiveDepth(msg) > DepthMax || bytes.Count(msg, []byte(",")) >= BatchMax
		if got != want && (!beyond || codeOf(err) != CodeInvalidRequest) {
			t.Errorf("%q\n got %s\nwant %s", msg, got, want)
		}
	})
}

// twinDescribe is describe(ParseEnvelope) by other means.
func twinDescribe(msg []byte) string {
	if !json.Valid(msg) || !utf8.Valid(msg) {
		return "-32700"
	}
	switch msg = bytes.TrimSpace(msg); {
	case msg[0] == '[':
		var elems []json.RawMessage
		if err := json.Unmarshal(msg, &elems); err != nil || len(elems) == 0 || len(elems) > BatchMax {
			return "-32600"
		}
		return "batch"
	case msg[0] != '{':
		return "-32600"
	}
	values, counts := twinMembers(msg)
	id := string(values["id"])
	if counts["id"] != 1 || strings.ContainsAny(id[:1], "{[tf") {
		id = ""
	}
	refused := strings.TrimSpace("-32600 " + id)
	for _, n := range counts {
		if n > 1 {
			return refused
		}
	}
	var version, method string
	if json.Unmarshal(values["jsonrpc"], &version) != nil || version != "2.0" || (counts["id"] > 0 && id == "") {
		return refused
	}
	has := func(names ...string) bool {
		n := 0
		for _, name := range names {
			n += counts[name]
		}
		return n == len(names)
	}
	switch {
	case has("method") && !has("result") && !has("error"):
		params := string(values["params"])
		if values["method"][0] != '"' || json.Unmarshal(values["method"], &method) != nil ||
			(params != "" && !strings.ContainsAny(params[:1], "[{")) {
			return refused
		}
		kind := "notification"
		if id != "" {
			kind = "request " + id
		}
		return joinNonEmpty(kind, method, params)
	case has("id", "result") && !has("params") && !has("method") && !has("error"):
		return joinNonEmpty("result", id, string(values["result"]))
	case has("id", "error") && !has("params") && !has("method") && !has("result") && values["error"][0] == '{':
		return joinNonEmpty("error", id, string(values["error"]))
	}
	return refused
}

func joinNonEmpty(parts ...string) string {
	kept := parts[:0]
	for _, p := range parts {
		if p != "" {
			kept = append(kept, p)
		}
	}
	return strings.Join(kept, " ")
}

// twinMembers returns the raw values of the envelope's members and how often each came.
func twinMembers(msg []byte) (values map[string]json.RawMessage, counts map[string]int) {
	values, counts = map[string]json.RawMessage{}, map[string]int{}
	dec := json.NewDecoder(bytes.NewReader(msg))
	if _, err := dec.Token(); err != nil {
		panic(err)
	}
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			panic(err)
		}
		var raw json.RawMessage
		if err := dec.Decode(&raw); err != nil {
			panic(err)
		}
		for _, name := range memberNames {
			if key == name {
				values[name] = raw
				counts[name]++
			}
		}
	}
	return values, counts
}

// TestParseEnvelopeTwin drives the same comparison with objects made of the
// members that matter, in any order, spelling, number and type.
func TestParseEnvelopeTwin(t *testing.T) {
	keys := []string{`"jsonrpc"`, `"id"`, `"method"`, `"params"`, `"result"`, `"error"`, `"Id"`, `"\u0069d"`, `"m\u0065thod"`, `"x"`}
	values := []string{`"2.0"`, `1`, `-0.5e9`, `null`, `true`, `"m"`, `"a\nb"`, `""`, `{}`, `[]`, `[{"a":[1]}]`, `{"id":"\u0000"}`}
	spaces := []string{"", "", "", " ", "\n", "\t \r"}
	rapid.Check(t, func(t *rapid.T) {
		var b strings.Builder
		space := func() { b.WriteString(rapid.SampledFrom(spaces).Draw(t, "space")) }
		space()
		b.WriteByte('{')
		space()
		b.WriteString(`"jsonrpc":"2.0"`)
		for range rapid.IntRange(0, 5).Draw(t, "members") {
			space()
			b.WriteByte(',')
			space()
			b.WriteString(rapid.SampledFrom(keys).Draw(t, "key"))
			space()
			b.WriteByte(':')
			space()
			b.WriteString(rapid.SampledFrom(values).Draw(t, "value"))
		}
		space()
		b.WriteByte('}')
		space()
		msg := []byte(b.String())
		var env Envelope
		err := ParseEnvelope(msg, nil, &env)
		if got, want := describe(msg, &env, err), twinDescribe(msg); got != want {
			t.Fatalf("%q\n got %s\nwant %s", msg, got, want)
		}
	})
}
