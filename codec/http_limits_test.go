package codec

import (
	"fmt"
	"math"
	"strings"
	"testing"
)

// TestHTTPLimits goes to each limit and one beyond it.
func TestHTTPLimits(t *testing.T) {
	lim := &HTTPLimits{Line: 20, Headers: 3, HeaderBytes: 40, Body: 8}
	chunked := "POST / HTTP/1.1\r\n" + host + "Transfer-Encoding:chunked\r\n\r\n"
	for _, c := range []struct {
		name, in string
		want     *HTTPError
	}{
		{"line", "GET /" + strings.Repeat("a", 6) + " HTTP/1.1\r\n" + host + "\r\n", nil},
		{"line and one", "GET /" + strings.Repeat("a", 7) + " HTTP/1.1\r\n" + host + "\r\n", errLong},
		{"line and one, and bare LF", "GET /" + strings.Repeat("a", 8) + " HTTP/1.1\n" + host + "\r\n", errLong},
		{"headers", "GET / HTTP/1.1\r\n" + host + "a:b\r\nc:d\r\n\r\n", nil},
		{"headers and one", "GET / HTTP/1.1\r\n" + host + "a:b\r\nc:d\r\ne:f\r\n\r\n", errMany},
		{"headers and a bad one", "GET / HTTP/1.1\r\n" + host + "a:b\r\nc:d\r\ne\r\n\r\n", errMany},
		{"header bytes", "GET / HTTP/1.1\r\n" + host + "a:" + strings.Repeat("b", 27) + "\r\n\r\n", nil},
		{"header bytes and one", "GET / HTTP/1.1\r\n" + host + "a:" + strings.Repeat("b", 28) + "\r\n\r\n", errLarge},
		{"header bytes and a CR", "GET / HTTP/1.1\r\n" + host + "a:" + strings.Repeat("b", 27) + "\r\n\r", nil},
		{"header bytes without an end", "GET / HTTP/1.1\r\n" + strings.Repeat("b", 40), errLarge},
		{"length", "POST / HTTP/1.1\r\n" + host + "Content-Length:8\r\n\r\n12345678", nil},
		{"length and one", "POST / HTTP/1.1\r\n" + host + "Content-Length:9\r\n\r\n", errBody},
		{"chunk", chunked + "8\r\n12345678\r\n0\r\n\r\n", nil},
		{"chunk and one", chunked + "9\r\n", errBody},
		{"chunks", chunked + "4\r\n1234\r\n4\r\n5678\r\n0\r\n\r\n", nil},
		{"chunks and one", chunked + "4\r\n1234\r\n5\r\n", errBody},
		{"chunks of one", chunked + strings.Repeat("1\r\nx\r\n", 8) + "0\r\n\r\n", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			for how, o := range map[string]outcome{
				"whole":        parseWhole([]byte(c.in), lim),
				"byte by byte": parsePieces(t, []byte(c.in), everyByte(len(c.in)), lim),
			} {
				if o.err != c.want {
					t.Errorf("%s: %v, want %v", how, o.err, c.want)
				}
			}
		})
	}
}

// TestHTTPLimitOfSmallChunks: framing may take a sixty-fourth of the body limit
// and 16 KiB, no more, however small the chunks.
func TestHTTPLimitOfSmallChunks(t *testing.T) {
	lim := &HTTPLimits{Body: 64 << 10}
	wire := chunkedWireMax(lim.Body)
	const one = "1\r\nx\r\n"
	// What is bounded ends before the last line end of the data.
	fits := (wire + 2) / len(one)
	body := func(chunks int) []byte {
		return []byte(chunkedHead + strings.Repeat(one, chunks) + "0\r\n\r\n")
	}
	if o := parseWhole(body(fits), lim); o.err != nil || int(o.req.Body.Len) != fits {
		t.Errorf("%d chunks: %v", fits, o)
	}
	if o := parseWhole(body(fits+1), lim); o.err != errBody {
		t.Errorf("%d chunks: %v, want %v", fits+1, o, errBody)
	}
}

// TestHTTPLimitsMessage feeds requests that never end and others that spend each
// limit: given Message bytes, the parser always knows.
func TestHTTPLimitsMessage(t *testing.T) {
	lim := &HTTPLimits{Line: 32, Headers: 4, HeaderBytes: 64, Body: 256}
	most := lim.Message()
	big := strings.Repeat("x", most)
	head := "\r\nPOST /" + strings.Repeat("a", 17) + " HTTP/1.1\r\n" + "Host:h\r\nTransfer-Encoding:chunked\r\n"
	for _, in := range []string{
		big,
		"GET /" + big,
		"GET / HTTP/1.1\r\n" + big,
		"GET / HTTP/1.1\r\n" + strings.Repeat("a:b\r\n", most),
		"POST / HTTP/1.1\r\n" + host + "Content-Length: 256\r\n\r\n" + big,
		chunkedHead + big,
		chunkedHead + strings.Repeat("1\r\nx\r\n", most),
		chunkedHead + "100\r\n" + strings.Repeat("x", 256) + "\r\n0\r\n" + strings.Repeat("x:y\r\n", most),
		head + "a:" + strings.Repeat("b", 26) + "\r\n\r\n" + strings.Repeat("1\r\nx\r\n", 250) + "0;" + big,
	} {
		var (
			scan [2]uint64
			req  Request
		)
		msg := []byte(in)[:min(len(in), most)]
		if n, _, err := ParseRequest(msg, &scan, lim, &req); n == 0 && err == nil {
			t.Errorf("%d bytes of %.40q do not do", len(msg), in)
		}
	}
	var none *HTTPLimits
	if got, want := none.Message(), (&HTTPLimits{}).Message(); got != want {
		t.Errorf("no limits say %d, the zero value %d", got, want)
	}
}

// TestHTTPLimitsSane: whatever the fields say, offsets fit a Span.
func TestHTTPLimitsSane(t *testing.T) {
	for _, v := range []int{math.MinInt, -1, 0, 1, math.MaxInt32, math.MaxInt} {
		l := &HTTPLimits{Line: v, Headers: v, HeaderBytes: v, Body: v}
		if got := l.Message(); uint64(got) > math.MaxUint32 {
			t.Errorf("limits of %d make messages of %d bytes", v, got)
		}
		if r := l.resolve(); r.Headers < 1 || r.Headers > math.MaxUint16 {
			t.Errorf("limit of %d makes %d headers", v, r.Headers)
		}
	}
}

// TestExpect: leave is asked for once, when the head is there and nothing of the
// body, and what the head says can be read then.
func TestExpect(t *testing.T) {
	head := "POST /mcp HTTP/1.1\r\n" + host + "Expect: 100-continue\r\nOrigin: http://o\r\n"
	for _, c := range []struct {
		name, head, body string
		wait             bool
	}{
		{"length", head + "Content-Length: 5\r\n\r\n", "hello", true},
		{"chunked", head + "Transfer-Encoding: chunked\r\n\r\n", "5\r\nhello\r\n0\r\n\r\n", true},
		{"nothing to send", head + "Content-Length: 0\r\n\r\n", "", false},
		{"no length", head + "\r\n", "", false},
		{"not expected", "POST / HTTP/1.1\r\n" + host + "Content-Length: 5\r\n\r\n", "hello", false},
		{"old", "POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n", "hello", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			all := []byte(c.head + c.body)
			asks := 0
			if c.wait {
				asks = 1
			}
			if o := parsePieces(t, all, everyByte(len(all)), nil); o.asks != asks || o.n != len(all) {
				t.Errorf("byte by byte: asked %d times, want %d; %v", o.asks, asks, o)
			}
			if o := parsePieces(t, all, []int{len(c.head)}, nil); o.asks != asks || o.n != len(all) {
				t.Errorf("head, then body: asked %d times, want %d; %v", o.asks, asks, o)
			}
			if o := parseWhole(all, nil); o.asks != 0 || o.n != len(all) {
				t.Errorf("whole: asked %d times; %v", o.asks, o)
			}
			if !c.wait {
				return
			}
			if o := parsePieces(t, all, []int{len(c.head) + 1}, nil); o.asks != 0 {
				t.Error("asked for a body of which a byte was there")
			}
			o := parseWhole([]byte(c.head), nil)
			if o.n != 0 || o.asks != 1 || o.req.Method != MethodPost || o.req.Flags&FlagExpect == 0 ||
				string(o.req.Path.Of(o.msg)) != "/mcp" || string(o.req.Origin.Of(o.msg)) != "http://o" || o.req.Body != (Span{}) {
				t.Errorf("head alone: %+v", o)
			}
		})
	}
}

// TestPipeline reads many requests off one buffer with one pair of scan words.
func TestPipeline(t *testing.T) {
	var in []byte
	for i := range 100 {
		body := strings.Repeat("b", i)
		switch i % 3 {
		case 0:
			in = fmt.Appendf(in, "GET /%d HTTP/1.1\r\n%s\r\n", i, host)
		case 1:
			in = fmt.Appendf(in, "POST /%d HTTP/1.1\r\n%sContent-Length: %d\r\n\r\n%s", i, host, i, body)
		case 2:
			in = fmt.Appendf(in, "POST /%d HTTP/1.1\r\n%sTransfer-Encoding: chunked\r\n\r\n", i, host)
			in = AppendLastChunk(AppendChunk(AppendChunk(in, []byte(body[:i/2])), []byte(body[i/2:])))
		}
	}
	var (
		scan [2]uint64
		req  Request
	)
	for i := range 100 {
		n, _, err := ParseRequest(in, &scan, nil, &req)
		if err != nil || n == 0 {
			t.Fatalf("request %d: %d, %v", i, n, err)
		}
		if got := string(req.Path.Of(in)); got != fmt.Sprintf("/%d", i) {
			t.Fatalf("request %d is for %s", i, got)
		}
		want := ""
		if i%3 != 0 {
			want = strings.Repeat("b", i)
		}
		if got := string(req.Body.Of(in)); got != want {
			t.Fatalf("request %d has body %q", i, got)
		}
		in = in[n:]
	}
	if len(in) > 0 {
		t.Errorf("%d bytes left over", len(in))
	}
}

// TestParseRequestShrunk: scan words of another buffer are the caller's mistake;
// they make the parser wait, not panic.
func TestParseRequestShrunk(t *testing.T) {
	for _, in := range []string{"GET / HTTP/1.1\r\nHost", "POST / HTTP/1.1\r\n" + host + "Content-Length: 9\r\n\r\n1", chunkedHead + "9\r\n1", chunkedHead + "9;a", chunkedHead + "0\r\nX: y"} {
		var (
			scan [2]uint64
			req  Request
		)
		for n := len(in); n >= 0; n-- {
			if n, _, err := ParseRequest([]byte(in)[:n], &scan, nil, &req); n != 0 || err != nil {
				t.Errorf("%q: %d, %v", in, n, err)
			}
		}
	}
}

// TestParseRequestChanged: bytes changed between calls are the caller's mistake
// too. They are refused if they are bad then; nothing is read beyond them.
func TestParseRequestChanged(t *testing.T) {
	for _, in := range []string{
		"GET / HTTP/1.1\r\n" + host + "\r\n",
		"POST / HTTP/1.1\r\n" + host + "Content-Length: 3\r\n\r\nabc",
		chunkedHead + "3\r\nabc\r\n0\r\nX: y\r\n\r\n",
	} {
		for cut := 20; cut < len(in); cut++ {
			for _, bad := range []struct {
				at int
				as byte
			}{{2, 0}, {15, '\r'}, {cut - 1, '\n'}, {len(host), 'A'}, {cut - 4, '9'}} {
				var (
					scan [2]uint64
					req  Request
				)
				msg := []byte(in)
				if n, _, err := ParseRequest(msg[:cut], &scan, nil, &req); n != 0 || err != nil {
					t.Fatal(n, err)
				}
				msg[bad.at] = bad.as
				n, _, err := ParseRequest(msg, &scan, nil, &req)
				if bad.at == 2 && err != errMethod {
					t.Errorf("%q cut at %d: %d, %v", msg, cut, n, err)
				}
				if n > 0 {
					req.Body.Of(msg)
				}
			}
		}
	}
}

func everyByte(n int) []int {
	cuts := make([]int, n)
	for i := range cuts {
		cuts[i] = i
	}
	return cuts
}
