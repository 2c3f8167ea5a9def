package codec

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestEachInBatch(t *testing.T) {
	for _, c := range []struct {
		in   string
		want []string
	}{
		{ // Section 7 of the specification.
			`[{"jsonrpc": "2.0", "method": "sum", "params": [1,2,4], "id": "1"},
			  {"jsonrpc": "2.0", "method": "notify_hello", "params": [7]},
			  {"foo": "boo"},
			  {"jsonrpc": "2.0", "method": "get_data", "id": "9"}]`,
			[]string{`request "1" sum [1,2,4]`, `notification notify_hello [7]`, `-32600`, `request "9" get_data`},
		},
		{`[1,2,3]`, []string{`-32600`, `-32600`, `-32600`}},
		{`[[],[{}],null,"x"]`, []string{`-32600`, `-32600`, `-32600`, `-32600`}},
		{` [ {"id":7} , {"jsonrpc":"2.0","id":8,"result":{}} ] `, []string{`-32600 7`, `result 8 {}`}},
	} {
		msg := []byte(c.in)
		var env Envelope
		if err := ParseEnvelope(msg, nil, &env); err != nil || env.Kind != KindBatch {
			t.Fatalf("%s: %v, %v", c.in, env.Kind, err)
		}
		got := []string{}
		err := EachInBatch(msg, nil, func(elem []byte, env Envelope, err *Error) bool {
			got = append(got, describe(elem, &env, err))
			if cap(elem) != len(elem) {
				t.Errorf("%s: an append to %s would write into the batch", c.in, elem)
			}
			return true
		})
		if err != nil || strings.Join(got, "|") != strings.Join(c.want, "|") {
			t.Errorf("%s:\n got %q, %v\nwant %q", c.in, got, err, c.want)
		}
	}
}

func TestEachInBatchStops(t *testing.T) {
	n := 0
	if err := EachInBatch([]byte(`[{},{},{}]`), nil, func([]byte, Envelope, *Error) bool { n++; return n < 2 }); err != nil || n != 2 {
		t.Errorf("stopped after %d with %v, want 2", n, err)
	}
}

// TestEachInBatchUnchecked: without ParseEnvelope before, the faults are the same.
func TestEachInBatchUnchecked(t *testing.T) {
	for _, c := range []struct {
		in   string
		lim  *Limits
		code int
	}{
		{``, nil, CodeParse},
		{`{}`, nil, CodeInvalidRequest},
		{`[]`, nil, CodeInvalidRequest},
		{`[]1`, nil, CodeParse},
		{`[{},`, nil, CodeParse},
		{`[{},{"a"]`, nil, CodeParse},
		{`[{}}`, nil, CodeParse},
		{`[{}]1`, nil, CodeParse},
		{`[tru]`, nil, CodeParse},
		{`[{}]`, &Limits{Batch: -1}, CodeInvalidRequest},
		{`[{},{}]`, &Limits{Batch: 1}, CodeInvalidRequest},
		{`[{"a":{}}]`, &Limits{Depth: 2}, CodeInvalidRequest},
		{`[{}]`, &Limits{Depth: 1}, CodeInvalidRequest},
	} {
		err := EachInBatch([]byte(c.in), c.lim, func([]byte, Envelope, *Error) bool { return true })
		var env Envelope
		if codeOf(err) != c.code || (c.in != `{}` && codeOf(ParseEnvelope([]byte(c.in), c.lim, &env)) != c.code) {
			t.Errorf("%q: %v, want code %d", c.in, err, c.code)
		}
	}
}

// FuzzEachInBatch compares with encoding/json splitting the array and with
// ParseEnvelope reading each element alone.
func FuzzEachInBatch(f *testing.F) {
	for _, e := range envelopes {
		f.Add([]byte(e.in))
		f.Add([]byte("[" + e.in + "]"))
		f.Add([]byte("[1, " + e.in + ",{}]"))
	}
	f.Fuzz(func(t *testing.T, msg []byte) {
		var env Envelope
		checked := ParseEnvelope(msg, nil, &env)
		got := []string{}
		err := EachInBatch(msg, nil, func(elem []byte, env Envelope, err *Error) bool {
			got = append(got, string(elem)+" "+describe(elem, &env, err))
			return true
		})
		if env.Kind != KindBatch {
			if err == nil || (checked != nil && err.Code != checked.Code) {
				t.Errorf("%q: %v, but ParseEnvelope says %v", msg, err, checked)
			}
			return
		}
		var elems []json.RawMessage
		if jsonErr := json.Unmarshal(msg, &elems); jsonErr != nil || err != nil {
			t.Fatalf("%q: %v, %v", msg, err, jsonErr)
		}
		want := []string{}
		for _, elem := range elems {
			var env Envelope
			err := ParseEnvelope(elem, &Limits{Batch: -1}, &env)
			want = append(want, string(elem)+" "+describe(elem, &env, err))
		}
		if strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Errorf("%q:\n got %q\nwant %q", msg, got, want)
		}
	})
}

func TestEachInBatchAllocs(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	msg := []byte(`[` + strings.Repeat(`{"jsonrpc":"2.0","id":1,"method":"m","params":{}},`, 99) + `{"jsonrpc":"2.0","method":"n"}]`)
	kinds := 0
	if n := testing.AllocsPerRun(100, func() {
		_ = EachInBatch(msg, nil, func(_ []byte, env Envelope, _ *Error) bool { kinds += int(env.Kind); return true })
	}); n != 0 {
		t.Errorf("%v allocations for a batch of 100", n)
	}
}
