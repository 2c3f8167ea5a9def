package mcp

import (
	"encoding/json"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// TestPickAgainstDecode compares the walk over raw bytes with encoding/json.
func TestPickAgainstDecode(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := []byte(drawJSON(t, 3))
		checkPick(t, in)
	})
}

func checkPick(t interface {
	Helper()
	Fatalf(string, ...any)
}, in []byte) {
	t.Helper()
	var want map[string]json.RawMessage
	if json.Unmarshal(in, &want) != nil {
		want = nil
	}
	a, b, z, e := pick(in, "a", "b", "z", "é")
	for key, got := range map[string][]byte{"a": a, "b": b, "z": z, "é": e} {
		if string(got) != string(want[key]) {
			t.Fatalf("%s: member %s is %q, want %q", in, key, got, want[key])
		}
	}
	var list []json.RawMessage
	if json.Unmarshal(in, &list) != nil {
		list = nil
	}
	i := 0
	for it := elements(in); ; i++ {
		got, ok := it.next()
		if !ok {
			break
		}
		if i >= len(list) || string(got) != string(list[i]) {
			t.Fatalf("%s: element %d is %q", in, i, got)
		}
	}
	if i != len(list) {
		t.Fatalf("%s: %d elements, want %d", in, i, len(list))
	}
}

func TestText(t *testing.T) {
	for in, want := range map[string]string{`""`: "", `"a"`: "a", `"\u0041\n\""`: "A\n\"", `"é"`: "é"} {
		got, ok := text([]byte(in))
		if !ok || string(got) != want {
			t.Errorf("%s: %q, %v", in, got, ok)
		}
	}
	for _, in := range []string{"", "1", "null", "{}", `"`} {
		if got, ok := text([]byte(in)); ok {
			t.Errorf("%s: %q", in, got)
		}
	}
}

// FuzzScan walks any bytes without a panic, and well-formed ones rightly.
func FuzzScan(f *testing.F) {
	for _, in := range []string{`{"a":1,"b":{"z":[1,"]"]},"a":"\"}"}`, `[1,[2],{"a":"\\"}]`, `{"a":`, `{"a"`, `[`, `[}`, `[1,,`, `"`, `{"\u0061":1}`} {
		f.Add([]byte(in))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		if json.Valid(in) && utf8.Valid(in) {
			checkPick(t, in)
			return
		}
		pick(in, "a", "b", "z", "é")
		for it := elements(in); ; {
			if _, ok := it.next(); !ok {
				break
			}
		}
	})
}
