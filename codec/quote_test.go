package codec

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestAppendString(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"", `""`},
		{"plain, longer than eight", `"plain, longer than eight"`},
		{"\"\\/", `"\"\\/"`},
		{"\n\r\t\b\f\x00\x1f\x7f", `"\n\r\t\u0008\u000c\u0000\u001f` + "\x7f" + `"`},
		{"<&>\u2028", "\"<&>\u2028\""},
		{"日本語 é \U0001F600", "\"日本語 é \U0001F600\""},
		{"a\xffb\xe6\x97", "\"a\uFFFDb\uFFFD\uFFFD\""},
		{"12345678\xff12345678\"", "\"12345678\uFFFD12345678\\\"\""},
	} {
		if got := string(AppendString([]byte(">"), c.in)); got != ">"+c.want {
			t.Errorf("%q is written as %s, want %s", c.in, got, c.want)
		}
	}
}

// FuzzAppendString: encoding/json and our own scanner read back what was
// written, a U+FFFD for each byte that is not UTF-8.
func FuzzAppendString(f *testing.F) {
	for _, d := range documents {
		f.Add(d.in)
	}
	f.Fuzz(func(t *testing.T, s string) {
		b := AppendString(nil, s)
		var want strings.Builder
		for _, r := range s {
			want.WriteRune(r)
		}
		var got string
		if err := json.Unmarshal(b, &got); err != nil || got != want.String() || !Valid(b) {
			t.Fatalf("%q is written as %q and read back as %q, %v", s, b, got, err)
		}
		if text := string(appendUnescaped(nil, b[1:len(b)-1])); text != got {
			t.Fatalf("%q is unescaped to %q, encoding/json says %q", b, text, got)
		}
	})
}

// FuzzUnescape compares unescaping with encoding/json on strings it accepts.
func FuzzUnescape(f *testing.F) {
	for _, d := range documents {
		f.Add([]byte(d.in))
	}
	f.Add([]byte(`"\ud83d\ud83d\ude00\ude00\ud83dx\ud83d\u0041"`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) == 0 || b[0] != '"' {
			return
		}
		end, fault := scanString(b, 1)
		if fault != faultNone {
			return
		}
		raw := b[1 : end-1]
		var want string
		if err := json.Unmarshal(b[:end], &want); err != nil {
			t.Fatalf("%q: scanned, but %v", b[:end], err)
		}
		got := appendUnescaped(make([]byte, 0, len(raw)), raw)
		if string(got) != want || len(got) > len(raw) {
			t.Errorf("%q is unescaped to %q, want %q", raw, got, want)
		}
	})
}

func BenchmarkAppendString(b *testing.B) {
	for _, c := range []struct{ name, s string }{
		{"plain", strings.Repeat("the quick brown fox ", 50)},
		{"kanji", strings.Repeat("日本語", 110)},
		{"quotes", strings.Repeat(`{"a":"b"}`, 110)},
	} {
		b.Run(c.name, func(b *testing.B) {
			dst := make([]byte, 0, 4096)
			b.SetBytes(int64(len(c.s)))
			b.ReportAllocs()
			for b.Loop() {
				dst = AppendString(dst[:0], c.s)
			}
		})
	}
}
