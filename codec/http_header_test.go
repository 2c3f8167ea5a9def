package codec

import (
	"bytes"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestEachHeader(t *testing.T) {
	in := "\r\nPOST http://h/a HTTP/1.1\r\nHost: h\r\nX-One:\t1 \r\nx-two:\r\nX-One: 2:3\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nX-Trailer: y\r\n\r\n"
	o := parseWhole([]byte(in), nil)
	if o.n == 0 {
		t.Fatal(o)
	}
	var got []string
	o.req.EachHeader(o.msg, func(name, value []byte) bool {
		got = append(got, string(name)+"="+string(value))
		return true
	})
	want := []string{"Host=h", "X-One=1", "x-two=", "X-One=2:3", "Transfer-Encoding=chunked"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	calls := 0
	o.req.EachHeader(o.msg, func(_, _ []byte) bool { calls++; return calls < 2 })
	if calls != 2 {
		t.Errorf("called %d times behind false", calls)
	}
	for name, want := range map[string]string{"x-one": "1", "HOST": "h", "X-Two": "", "transfer-encoding": "chunked"} {
		if v, ok := o.req.Header(o.msg, name); !ok || string(v) != want {
			t.Errorf("%s: %q, %v", name, v, ok)
		}
	}
	for _, name := range []string{"", "x", "x-trailer", "x_one", "X\rOne"} {
		if v, ok := o.req.Header(o.msg, name); ok {
			t.Errorf("%q is there: %q", name, v)
		}
	}
}

// TestNoHeader: a request may have none at all.
func TestNoHeader(t *testing.T) {
	o := parseWhole([]byte("GET / HTTP/1.0\r\n\r\n"), nil)
	o.req.EachHeader(o.msg, func(name, value []byte) bool {
		t.Errorf("header %q: %q", name, value)
		return true
	})
}

// TestIsValue compares the eight-byte search with the obvious one.
func TestIsValue(t *testing.T) {
	for c := range 256 {
		for at := range 20 {
			for n := at + 1; n <= 20; n++ {
				s := bytes.Repeat([]byte{'a'}, n)
				s[at] = byte(c)
				good := c == '\t' || c >= 0x20 && c != 0x7f
				if isValue(s) != good {
					t.Fatalf("%q is a value: %v", s, !good)
				}
			}
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.SliceOf(rapid.OneOf(rapid.Byte(), rapid.SampledFrom([]byte("\t\x1f\x20\x7e\x7f\x80\xff")))).Draw(t, "s")
		good := !slices.ContainsFunc(s, func(c byte) bool { return c < ' ' && c != '\t' || c == 0x7f })
		if isValue(s) != good {
			t.Fatalf("%q is a value: %v", s, !good)
		}
	})
}

// TestEqualFold compares with bytes.EqualFold, whose Unicode folding is made
// harmless by a string of ASCII without the letters that other letters fold to.
func TestEqualFold(t *testing.T) {
	for a := range 256 {
		for b := range 128 {
			if b|0x20 == 'k' || b|0x20 == 's' {
				continue
			}
			if got, want := equalFold([]byte{byte(a)}, string(rune(b))), bytes.EqualFold([]byte{byte(a)}, []byte{byte(b)}); got != want {
				t.Errorf("%#x and %#x: %v", a, b, got)
			}
		}
	}
	if equalFold([]byte("ab"), "a") || !equalFold([]byte("SK"), "sk") {
		t.Error("length or case counts wrong")
	}
}
