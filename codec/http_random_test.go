package codec

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// Pieces of requests, good and bad. Random bytes seldom get past a request line;
// these, put together, do.
var (
	randomLines = []string{
		"GET / HTTP/1.1\r\n", "POST /mcp?a=b HTTP/1.1\r\n", "POST / HTTP/1.0\r\n", "OPTIONS * HTTP/1.1\r\n",
		"GET http://h/x HTTP/1.1\r\n", "GET https://h:1?q HTTP/1.0\r\n", "GET / HTTP/1.2\r\n", "GET /% HTTP/1.1\r\n",
		"GET /\x80 HTTP/1.1\r\n", "GET http://[::1]:1/ HTTP/1.1\r\n", "\r\nGET / HTTP/1.1\r\n", "GET / HTTP/1.1\n",
	}
	randomNames = []string{
		"Host", "host", "Content-Length", "CONTENT-LENGTH", "Transfer-Encoding", "transfer-encoding", "Connection",
		"Expect", "Accept", "Origin", "Trailer", "Mcp-Session-Id", "Upgrade", "X", "Content-Length ", " Host", "X\x00", "",
	}
	randomSeps   = []string{":", ": ", ":\t ", " :", ": \x0b", ""}
	randomValues = []string{
		"h", "H:1", "[::1]:1", "0", "5", "05", "+5", "5, 5", "5_", "99999999999999999999", "0x5", "chunked", "Chunked",
		"chunked, chunked", "identity", "close", "keep-alive", "close, keep-alive", "upgrade", "100-continue",
		"application/json", "content-length", "x, Trailer", "", " ", "a\rb", "a\r", "a\x00", "\xff", "\u212a",
	}
	randomEnds   = []string{"\r\n", "\r\n", "\r\n", "\r\n", "\r\n", "\n", "\r\r\n", "\r\n ", "\r", " \r\n", ""}
	randomChunks = []string{
		"5\r\nhello\r\n", "1\r\nx\r\n", "A;e=\"f\"\r\n0123456789\r\n", "0\r\n", "0\r\n\r\n", "00\r\nX: y\r\n\r\n", "5 \r\nhello\r\n",
		"5\nhello\r\n", "5\r\nhello\n", "5\r\nhell\r\n", "+1\r\nx\r\n", "0x1\r\nx\r\n", "1_\r\n", "fffffffffffffffff\r\n", "\r\n", "X: y\r\n", "hello",
	}
)

// randomRequests draws bytes that look like one request or several.
func randomRequests(t *rapid.T) []byte {
	var in strings.Builder
	pick := func(from []string) { in.WriteString(rapid.SampledFrom(from).Draw(t, "piece")) }
	for range rapid.IntRange(1, 3).Draw(t, "requests") {
		pick(randomLines)
		in.WriteString(rapid.SampledFrom([]string{"Host: h\r\n", "Host: h\r\n", ""}).Draw(t, "host"))
		for range rapid.IntRange(0, 3).Draw(t, "headers") {
			pick(randomNames)
			pick(randomSeps)
			pick(randomValues)
			pick(randomEnds)
		}
		in.WriteString(rapid.SampledFrom([]string{
			"\r\n", "\r\n", "Content-Length: 5\r\n\r\nhello", "Transfer-Encoding: chunked\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n",
		}).Draw(t, "body"))
		for range rapid.IntRange(0, 4).Draw(t, "chunks") {
			pick(randomChunks)
		}
	}
	out := []byte(in.String())
	if rapid.IntRange(0, 3).Draw(t, "spoil") == 0 && len(out) > 0 {
		out[rapid.IntRange(0, len(out)-1).Draw(t, "at")] = rapid.Byte().Draw(t, "byte")
	}
	return out
}

// TestHTTPRandom: random requests mean to us what they mean to net/http, and the
// same in pieces as whole.
func TestHTTPRandom(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		in := randomRequests(r)
		agree(r, in)
		cuts := rapid.SliceOfN(rapid.IntRange(0, len(in)), 0, 8).Draw(r, "cuts")
		slices.Sort(cuts)
		whole, pieces := parseWhole(in, nil), parsePieces(r, in, cuts, nil)
		pieces.msg = append(pieces.msg, in[len(pieces.msg):]...)
		if whole.String() != pieces.String() || whole.n > 0 && whole.req != pieces.req {
			r.Fatalf("whole:  %v\npieces: %v", whole, pieces)
		}
	})
}

// TestHTTPRandomGood: a body written by us or by others in chunks of any sizes
// is read back, however it is cut, and what stands behind it is left alone.
func TestHTTPRandomGood(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		var want, wire []byte
		wire = append(wire, chunkedHead...)
		for _, p := range rapid.SliceOfN(rapid.SliceOfN(rapid.Byte(), 0, 300), 0, 8).Draw(r, "chunks") {
			want = append(want, p...)
			if rapid.Bool().Draw(r, "marked") {
				var mark int
				wire, mark = BeginChunk(wire)
				wire = EndChunk(append(wire, p...), mark)
			} else {
				wire = AppendChunk(wire, p)
			}
		}
		wire = AppendLastChunk(wire)
		end := len(wire)
		wire = append(wire, "GET /next"...)
		cuts := rapid.SliceOfN(rapid.IntRange(0, len(wire)), 0, 20).Draw(r, "cuts")
		slices.Sort(cuts)
		o := parsePieces(r, wire, cuts, nil)
		if o.n != end || !bytes.Equal(o.req.Body.Of(o.msg), want) {
			r.Fatalf("read %d bytes of %d: %v", o.n, end, o)
		}
		if !bytes.Equal(o.msg[o.n:], wire[end:len(o.msg)]) {
			r.Fatalf("what stands behind became %q", o.msg[o.n:])
		}
	})
}
