package codec

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

var lineStreams = []struct {
	in   string
	max  int
	want []string // the lines; "!" where the stream is given up
}{
	{"", 8, nil},
	{"a", 8, nil},
	{"a\n", 8, []string{"a"}},
	{"a\r\nb\n\nc", 8, []string{"a", "b", ""}},
	{"\r\n", 8, []string{""}},
	{"\r\r\n", 8, []string{"\r"}},
	{"a\rb\n", 8, []string{"a\rb"}},
	{"12345678\n", 8, []string{"12345678"}},
	{"1234567\r\n", 8, []string{"1234567"}},
	{"12345678\r\n", 8, []string{"!"}},
	{"123456789\n", 8, []string{"!"}},
	{"123456789", 8, []string{"!"}},
	{"12345678", 8, nil},
	{"ok\n123456789\nnever\n", 8, []string{"ok", "!"}},
	{"\n", 0, []string{""}},
}

// lines feeds stream to NextLine in pieces of the given sizes (the last of them
// again and again) and returns what came out.
func lines(stream []byte, max int, sizes []int) []string {
	var got []string
	var scan uint64
	start, end, piece := 0, 0, 0
	for {
		line, n, err := NextLine(stream[start:end], &scan, max)
		switch {
		case err != nil:
			return append(got, "!")
		case n > 0:
			got = append(got, string(line))
			start += n
		case end == len(stream):
			return got
		default:
			end = min(len(stream), end+sizes[min(piece, len(sizes)-1)])
			piece++
		}
	}
}

func TestNextLine(t *testing.T) {
	for _, s := range lineStreams {
		for size := 1; size <= len(s.in)+1; size++ {
			got := lines([]byte(s.in), s.max, []int{size})
			if strings.Join(got, "|") != strings.Join(s.want, "|") || len(got) != len(s.want) {
				t.Errorf("%q in pieces of %d: got %q, want %q", s.in, size, got, s.want)
			}
		}
	}
}

// twinLines splits the whole stream at once.
func twinLines(stream []byte, max int) []string {
	var got []string
	for {
		i := bytes.IndexByte(stream, '\n')
		if i > max || (i < 0 && len(stream) > max) {
			return append(got, "!")
		}
		if i < 0 {
			return got
		}
		got = append(got, strings.TrimSuffix(string(stream[:i]), "\r"))
		stream = stream[i+1:]
	}
}

func TestNextLineTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		stream := []byte(rapid.StringOfN(rapid.SampledFrom([]rune("ab\r\n")), 0, 200, -1).Draw(t, "stream"))
		max := rapid.IntRange(1, 20).Draw(t, "max")
		sizes := rapid.SliceOfN(rapid.IntRange(1, 30), 1, 20).Draw(t, "sizes")
		got, want := lines(stream, max, sizes), twinLines(stream, max)
		if strings.Join(got, "|") != strings.Join(want, "|") || len(got) != len(want) {
			t.Fatalf("got %q, want %q", got, want)
		}
	})
}

func FuzzNextLine(f *testing.F) {
	for _, s := range lineStreams {
		f.Add([]byte(s.in), s.max, 1, 3)
	}
	f.Fuzz(func(t *testing.T, stream []byte, max, first, rest int) {
		if max < 1 || first < 1 || rest < 1 || first > 1<<20 || rest > 1<<20 {
			return
		}
		got, want := lines(stream, max, []int{first, rest}), twinLines(stream, max)
		if strings.Join(got, "|") != strings.Join(want, "|") || len(got) != len(want) {
			t.Errorf("%q, max %d, pieces %d %d: got %q, want %q", stream, max, first, rest, got, want)
		}
	})
}

// TestNextLineLinear feeds a line of 16 MB in pieces of 1 KB and counts the
// bytes looked at. What was looked at is overwritten with newlines: had NextLine
// looked at it again, it would have found a line there.
func TestNextLineLinear(t *testing.T) {
	const piece = 1 << 10
	b := bytes.Repeat([]byte{'x'}, LineBytesMax+1)
	b[LineBytesMax] = '\n'
	var scan, looked uint64
	for end := piece; end <= LineBytesMax; end += piece {
		from := scan
		line, n, err := NextLine(b[:end], &scan, 0)
		if line != nil || n != 0 || err != nil || scan != uint64(end) {
			t.Fatalf("at %d bytes: %d bytes, n %d, %v, scan %d", end, len(line), n, err, scan)
		}
		for i := from; i < scan; i++ {
			b[i] = '\n'
		}
		looked += scan - from
	}
	line, n, err := NextLine(b, &scan, 0)
	if len(line) != LineBytesMax || n != LineBytesMax+1 || err != nil || scan != 0 {
		t.Fatalf("the whole line: %d bytes, n %d, %v, scan %d", len(line), n, err, scan)
	}
	if looked != LineBytesMax {
		t.Errorf("%d bytes looked at for a line of %d", looked, LineBytesMax)
	}
}

func TestNextLineTooLongIsFinal(t *testing.T) {
	var scan uint64
	long := make([]byte, LineBytesMax+1)
	if _, n, err := NextLine(long, &scan, 0); !errors.Is(err, ErrTooLong) || n != 0 {
		t.Errorf("one byte past the default bound: n %d, %v", n, err)
	}
	long[LineBytesMax] = '\n'
	if _, n, err := NextLine(long, &scan, 0); err != nil || n != len(long) {
		t.Errorf("exactly the default bound: n %d, %v", n, err)
	}
}

func TestNextLineAliases(t *testing.T) {
	b := []byte("ab\r\ncd\n")
	var scan uint64
	line, _, _ := NextLine(b, &scan, 8)
	if &line[0] != &b[0] || cap(line) != 2 {
		t.Error("the line is not the part of the buffer it was found in, ending with itself")
	}
	empty, n, _ := NextLine([]byte("\n"), &scan, 8)
	if empty == nil || n != 1 {
		t.Error("an empty line is no nil line")
	}
}

func BenchmarkNextLine(b *testing.B) {
	buf := append(bytes.Repeat([]byte{'x'}, 100), '\n')
	var scan uint64
	b.SetBytes(int64(len(buf)))
	b.ReportAllocs()
	for b.Loop() {
		if _, n, _ := NextLine(buf, &scan, 0); n == 0 {
			b.Fatal("no line")
		}
	}
}
