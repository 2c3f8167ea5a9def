package codec

import (
	"bufio"
	"bytes"
	"io"
	"net/http/httputil"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestAppendChunk(t *testing.T) {
	for _, c := range []struct{ in, want, marked string }{
		{"", "", ""},
		{"x", "1\r\nx\r\n", "00000001\r\nx\r\n"},
		{"0123456789abcdef", "10\r\n0123456789abcdef\r\n", "00000010\r\n0123456789abcdef\r\n"},
		{strings.Repeat("a", 0xfed), "fed\r\n" + strings.Repeat("a", 0xfed) + "\r\n", "00000fed\r\n" + strings.Repeat("a", 0xfed) + "\r\n"},
	} {
		if got := string(AppendChunk([]byte("before"), []byte(c.in))); got != "before"+c.want {
			t.Errorf("%q: %q", c.in, got)
		}
		out, mark := BeginChunk([]byte("before"))
		if got := string(EndChunk(append(out, c.in...), mark)); got != "before"+c.marked {
			t.Errorf("%q marked: %q", c.in, got)
		}
	}
	if got := string(AppendLastChunk(nil)); got != "0\r\n\r\n" {
		t.Errorf("last: %q", got)
	}
}

// TestPutChunkSize: a size that does not fit is the program's mistake.
func TestPutChunkSize(t *testing.T) {
	digits := make([]byte, len(chunkMark)-len("\r\n"))
	putChunkSize(digits, 1<<32-2)
	if string(digits) != "fffffffe" {
		t.Errorf("got %q", digits)
	}
	defer func() {
		if recover() == nil {
			t.Error("4 GiB went into eight digits")
		}
	}()
	putChunkSize(digits, 1<<32)
}

// TestChunksReadByNetHTTP writes chunks both ways; the standard reader gets the
// bytes back.
func TestChunksReadByNetHTTP(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var want, wire []byte
		for _, p := range rapid.SliceOf(rapid.SliceOfN(rapid.Byte(), 0, 600)).Draw(t, "chunks") {
			want = append(want, p...)
			wire = AppendChunk(wire, p)
			want = append(want, p...)
			var mark int
			wire, mark = BeginChunk(wire)
			wire = EndChunk(append(wire, p...), mark)
		}
		wire = append(AppendLastChunk(wire), "rest"...)
		in := bufio.NewReader(bytes.NewReader(wire))
		got, err := io.ReadAll(httputil.NewChunkedReader(in))
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("got %q, %v; want %q", got, err, want)
		}
		// The reader stops before the blank line.
		if rest, _ := io.ReadAll(in); string(rest) != "\r\nrest" {
			t.Fatalf("left over: %q", rest)
		}
	})
}

// TestDecodeInPlace: a body of one chunk is not moved; of several, all are moved
// to the first.
func TestDecodeInPlace(t *testing.T) {
	o := parseWhole([]byte(chunkedHead+"5\r\nhello\r\n0\r\n\r\n"), nil)
	if want := uint32(len(chunkedHead) + len("5\r\n")); o.req.Body != (Span{want, 5}) {
		t.Errorf("one chunk at %v, want %d", o.req.Body, want)
	}
	o = parseWhole([]byte(chunkedHead+"2;x\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"), nil)
	if want := uint32(len(chunkedHead) + len("2;x\r\n")); o.req.Body != (Span{want, 5}) || string(o.req.Body.Of(o.msg)) != "hello" {
		t.Errorf("two chunks at %v, want %d", o.req.Body, want)
	}
	o = parseWhole([]byte(chunkedHead+"0\r\n\r\n"), nil)
	if o.req.Body != (Span{uint32(len(chunkedHead)), 0}) {
		t.Errorf("no chunk at %v", o.req.Body)
	}
}

// TestChunkScanWords: the state of a walk fits the scan words at its bounds.
func TestChunkScanWords(t *testing.T) {
	for _, c := range []chunkScan{
		{phase: phaseChunkSize},
		{phase: phaseTrailer, pos: 1<<32 - 1, head: 1<<32 - 1, slack: chunkSlackMax, rel: chunkSlackMax, sum: httpLimitMax},
		{phase: phaseChunkEnd, pos: 1, head: 2, slack: 3, rel: 4, sum: 5},
	} {
		var scan [2]uint64
		c.store(&scan)
		if got := loadChunkScan(&scan); got != c {
			t.Errorf("stored %+v, loaded %+v", c, got)
		}
	}
	if chunkSlackMax > chunkCountMask || chunkLineMax+1 > chunkCountMask || chunkRelShift+chunkCountBits > chunkSumShift {
		t.Error("fields overlap")
	}
}
