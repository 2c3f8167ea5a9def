package codec

import "testing"

// TestHTTPAllocs holds the paths of every request and response to no allocation.
func TestHTTPAllocs(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	var (
		scan  [2]uint64
		req   Request
		clock DateClock
		buf   = make([]byte, 0, 4096)
	)
	chunked := chunkedHead + "5\r\nhello\r\n5;a=b\r\nworld\r\n0\r\nX: y\r\n\r\n"
	clock.At(epoch)
	for name, f := range map[string]func(){
		"post":             parseStep(t, string(mcpPost), len(mcpPost)),
		"post in pieces":   parseStep(t, string(mcpPost), 7),
		"chunks":           parseStep(t, chunked, len(chunked)),
		"chunks in pieces": parseStep(t, chunked, 3),
		"v6 host":          parseStep(t, "GET http://[::1]:7680/ HTTP/1.1\r\nHost: [::1]:7680\r\n\r\n", 1<<10),
		"header": func() {
			if _, ok := req.Header(mcpPost, "Accept-Encoding-And-More-Than-Fits-A-Small-Buffer"); ok {
				t.Fatal("found")
			}
		},
		"accepts": func() {
			if !Accepts([]byte("application/json;q=0.1, text/*"), "text/event-stream") {
				t.Fatal("not accepted")
			}
		},
		"response": func() {
			buf = AppendResponse(buf[:0], &Response{Status: 200, Length: LengthChunked, ContentType: "text/event-stream", Date: clock.At(epoch)})
			buf = AppendHeader(buf, "Mcp-Session-Id", "0123456789abcdef0123456789abcdef")
		},
		"refusal": func() { buf = errBoth.AppendResponse(buf[:0]) },
		"event": func() {
			var mark int
			buf, mark = BeginChunk(buf[:0])
			buf = AppendEvent(buf, "7_42", "message", mcpPost)
			buf = AppendRetry(AppendComment(buf, "keep-alive"), 1000)
			buf = AppendLastChunk(EndChunk(buf, mark))
			buf = AppendChunk(buf, mcpPost)
		},
	} {
		parsed, _, err := ParseRequest(mcpPost, &scan, nil, &req)
		if parsed == 0 {
			t.Fatal(err)
		}
		if got := testing.AllocsPerRun(100, f); got != 0 {
			t.Errorf("%s: %v allocations", name, got)
		}
	}
}

// parseStep returns a function that parses in, step more bytes a call.
func parseStep(t *testing.T, in string, step int) func() {
	var (
		scan [2]uint64
		lim  HTTPLimits
		req  Request
		work = make([]byte, len(in))
	)
	return func() {
		copy(work, in)
		for i := min(step, len(work)); ; i = min(i+step, len(work)) {
			if n, _, err := ParseRequest(work[:i], &scan, &lim, &req); n > 0 {
				return
			} else if err != nil || i == len(work) {
				t.Fatalf("%q: %v", in[:i], err)
			}
		}
	}
}
