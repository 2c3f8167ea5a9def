package codec

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"
)

// documents are JSON values, good and bad, with the fault each is to be refused
// for and where. They also seed the fuzzers.
var documents = []struct {
	in    string
	fault fault
	at    int
}{
	{`null`, faultNone, 4},
	{` true `, faultNone, 6},
	{"\t\r\n false\n", faultNone, 10},
	{`""`, faultNone, 2},
	{`"plain text longer than eight bytes"`, faultNone, 36},
	{`"\"\\\/\b\f\n\r\t\u00E9\ud83d\ude00"`, faultNone, 36},
	{`"\ud800"`, faultNone, 8}, // half a pair: RFC 8259, section 8.2, allows it
	{`"é日本語😀"`, faultNone, 17},
	{"\"\u007f\u2028\"", faultNone, 6},
	{`0`, faultNone, 1},
	{`-0.0e-00`, faultNone, 8},
	{`123456789012345678901234567890`, faultNone, 30},
	{`1E400`, faultNone, 5},
	{`[]`, faultNone, 2},
	{`[ ]`, faultNone, 3},
	{`{ }`, faultNone, 3},
	{`{"a":1,"a":2}`, faultNone, 13}, // only an envelope may not repeat itself
	{`{"a" : [1 , {"b":null} ] }`, faultNone, 26},

	{``, faultEnd, 0},
	{`  `, faultEnd, 2},
	{`[`, faultEnd, 1},
	{`[1`, faultEnd, 2},
	{`[1,`, faultEnd, 3},
	{`{`, faultEnd, 1},
	{`{"a"`, faultEnd, 4},
	{`{"a":`, faultEnd, 5},
	{`{"a":1`, faultEnd, 6},
	{`{"a":1,`, faultEnd, 7},
	{`"`, faultEnd, 1},
	{`"abcdefgh`, faultEnd, 9},
	{`[1,]`, faultChar, 3},
	{`[1 2]`, faultChar, 3},
	{`[1}`, faultChar, 2},
	{`{,}`, faultChar, 1},
	{`{"a":1,}`, faultChar, 7},
	{`{"a",1}`, faultChar, 4},
	{`{a:1}`, faultChar, 1},
	{`{'a':1}`, faultChar, 1},
	{`{"a":1]`, faultChar, 6},
	{`+1`, faultChar, 0},
	{`.5`, faultChar, 0},
	{`NaN`, faultChar, 0},
	{"\xef\xbb\xbf1", faultChar, 0}, // a byte order mark
	{"\x0b1", faultChar, 0},
	{"/**/1", faultChar, 0},
	{"\"\x00\"", faultControl, 1},
	{"\"abcdefghi\x1f\"", faultControl, 10},
	{"\"\n\"", faultControl, 1},
	{`"\q"`, faultEscape, 1},
	{`"\u12"`, faultEscape, 1},
	{`"\u12G4"`, faultEscape, 1},
	{`"\U0041"`, faultEscape, 1},
	{`"\`, faultEscape, 1},
	{`"\u00`, faultEscape, 1},
	{"\"\xff\"", faultUTF8, 1},
	{"\"abcdefgh\x80\"", faultUTF8, 9},
	{"\"\xc0\xaf\"", faultUTF8, 1},         // overlong
	{"\"\xe0\x9f\xbf\"", faultUTF8, 1},     // overlong
	{"\"\xed\xa0\x80\"", faultUTF8, 1},     // a surrogate
	{"\"\xf4\x90\x80\x80\"", faultUTF8, 1}, // past U+10FFFF
	{"\"日\xe6\x97\"", faultUTF8, 4},
	{"\"\xe6\x97", faultUTF8, 1},
	{`-`, faultNumber, 1},
	{`-a`, faultNumber, 1},
	{`01`, faultNumber, 0},
	{`-01`, faultNumber, 1},
	{`1.`, faultNumber, 2},
	{`1.e1`, faultNumber, 2},
	{`1e`, faultNumber, 2},
	{`1e+`, faultNumber, 3},
	{`tru`, faultLiteral, 0},
	{`truE`, faultLiteral, 0},
	{`nul`, faultLiteral, 0},
	{`fals`, faultLiteral, 0},
	{`1 2`, faultTrailing, 2},
	{`{}x`, faultTrailing, 2},
	{`truetrue`, faultTrailing, 4},
	{"1\x00", faultTrailing, 1},
}

func TestScanDocument(t *testing.T) {
	for _, d := range documents {
		at, f := scanDocument([]byte(d.in), DepthMax)
		if f != d.fault || at != d.at {
			t.Errorf("%q: %v, want %v", d.in, f.at(at), d.fault.at(d.at))
		}
		if Valid([]byte(d.in)) != (d.fault == faultNone) {
			t.Errorf("%q: Valid disagrees", d.in)
		}
	}
}

// TestScanEveryCut cuts good documents everywhere: no proper prefix of an
// object, an array or a string is a document, and none panics.
func TestScanEveryCut(t *testing.T) {
	for _, d := range documents {
		in := strings.TrimSpace(d.in)
		if d.fault != faultNone || !strings.ContainsAny(in[:1], `"[{`) {
			continue
		}
		for n := range len(in) {
			if _, f := scanDocument([]byte(in[:n]), DepthMax); f == faultNone {
				t.Errorf("%q: accepted", in[:n])
			}
		}
	}
}

// TestScanStringPositions puts each kind of special byte at each position of
// strings of several lengths, since the scanner takes eight bytes at a time.
func TestScanStringPositions(t *testing.T) {
	specials := []struct {
		in    string
		fault fault
	}{
		{`\n`, faultNone}, {"é", faultNone}, {"日", faultNone}, {"\U0001F600", faultNone}, {"\x7f", faultNone},
		{"\x1f", faultControl}, {"\x00", faultControl}, {`\x`, faultEscape}, {"\xff", faultUTF8}, {"\xc3", faultUTF8},
	}
	for _, s := range specials {
		for before := range 20 {
			for after := range 20 {
				in := `"` + strings.Repeat("a", before) + s.in + strings.Repeat("!", after) + `"`
				at, f := scanDocument([]byte(in), 1)
				want := len(in)
				if s.fault != faultNone {
					want = 1 + before
				}
				if f != s.fault || at != want {
					t.Fatalf("%q: %v, want %v", in, f.at(at), s.fault.at(want))
				}
			}
		}
	}
}

func TestScanDepth(t *testing.T) {
	for depth := range 70 {
		for _, shape := range [][3]string{{"[", "", "]"}, {`{"a":`, "1", "}"}, {`[{"a":`, "[]", "}]"}} {
			doc := []byte(strings.Repeat(shape[0], depth) + shape[1] + strings.Repeat(shape[2], depth))
			if !json.Valid(doc) {
				continue
			}
			need := naiveDepth(doc)
			if _, f := scanDocument(doc, need); f != faultNone {
				t.Errorf("%d levels refused where %d are allowed: %v", need, need, f)
			}
			if _, f := scanDocument(doc, need-1); need > 0 && f != faultDepth {
				t.Errorf("%d levels where %d are allowed: fault %d", need, need-1, f)
			}
		}
	}
	deep := []byte(strings.Repeat("[", 1<<20))
	if at, f := scanDocument(deep, valueDepthMax); f != faultDepth || at != valueDepthMax {
		t.Errorf("a megabyte of brackets: %v", f.at(at))
	}
}

// naiveDepth counts the levels of b, JSON or not, up to its end.
func naiveDepth(b []byte) int {
	depth, deepest, text := 0, 0, false
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case text && c == '\\':
			i++
		case c == '"':
			text = !text
		case !text && (c == '{' || c == '['):
			depth++
			deepest = max(deepest, depth)
		case !text && (c == '}' || c == ']'):
			depth--
		}
	}
	return deepest
}

// FuzzValid holds the scanner to encoding/json. What differs is named here and
// is all that differs: bytes that are not UTF-8 and more than 1,000 levels.
func FuzzValid(f *testing.F) {
	for _, d := range documents {
		f.Add([]byte(d.in))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		before := bytes.Clone(b)
		want := json.Valid(b) && utf8.Valid(b) && naiveDepth(b) <= valueDepthMax
		if got := Valid(b); got != want {
			t.Errorf("%q: Valid says %v, encoding/json and our rules say %v", b, got, want)
		}
		if !bytes.Equal(b, before) {
			t.Errorf("%q: changed to %q", before, b)
		}
	})
}

func TestScanAllocs(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	for _, d := range documents {
		b := []byte(d.in)
		if n := testing.AllocsPerRun(100, func() { Valid(b) }); n != 0 {
			t.Errorf("%q: %v allocations", d.in, n)
		}
	}
}
