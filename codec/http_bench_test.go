package codec

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"testing"
)

// mcpPost is what an MCP client sends for one tool call: ten headers.
var mcpPost = []byte("POST /mcp HTTP/1.1\r\n" +
	"Host: 127.0.0.1:7680\r\n" +
	"User-Agent: Go-http-client/1.1\r\n" +
	"Content-Length: 108\r\n" +
	"Accept: application/json, text/event-stream\r\n" +
	"Content-Type: application/json\r\n" +
	"Mcp-Method: tools/call\r\n" +
	"Mcp-Name: echo\r\n" +
	"Mcp-Protocol-Version: 2025-11-25\r\n" +
	"Mcp-Session-Id: 0123456789abcdef0123456789abcdef\r\n" +
	"Accept-Encoding: gzip\r\n" +
	"\r\n" +
	`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":{"text":"hello, rookery"}}}`[:108])

func BenchmarkParseRequest(b *testing.B) {
	b.SetBytes(int64(len(mcpPost)))
	b.ReportAllocs()
	var (
		scan [2]uint64
		lim  HTTPLimits
		req  Request
	)
	for b.Loop() {
		if n, _, err := ParseRequest(mcpPost, &scan, &lim, &req); n != len(mcpPost) || err != nil {
			b.Fatal(n, err)
		}
	}
}

// BenchmarkParseRequestNetHTTP is the same work by net/http.
func BenchmarkParseRequestNetHTTP(b *testing.B) {
	b.SetBytes(int64(len(mcpPost)))
	b.ReportAllocs()
	src := bytes.NewReader(mcpPost)
	r := bufio.NewReader(src)
	for b.Loop() {
		src.Reset(mcpPost)
		r.Reset(src)
		req, err := http.ReadRequest(r)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, req.Body); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkParseRequestChunked has the body in four chunks. A decoded message
// cannot be decoded again, so each round works on a copy.
func BenchmarkParseRequestChunked(b *testing.B) {
	head, body, _ := bytes.Cut(mcpPost, []byte("\r\n\r\n"))
	msg := bytes.Replace(head, []byte("Content-Length: 108"), []byte("Transfer-Encoding: chunked"), 1)
	msg = append(msg, "\r\n\r\n"...)
	for i := 0; i < len(body); i += 27 {
		msg = AppendChunk(msg, body[i:i+27])
	}
	msg = AppendLastChunk(msg)
	buf := make([]byte, len(msg))
	b.SetBytes(int64(len(msg)))
	b.ReportAllocs()
	var (
		scan [2]uint64
		lim  HTTPLimits
		req  Request
	)
	for b.Loop() {
		copy(buf, msg)
		if n, _, err := ParseRequest(buf, &scan, &lim, &req); n != len(msg) || err != nil {
			b.Fatal(n, err)
		}
	}
}

func BenchmarkAppendResponse(b *testing.B) {
	b.ReportAllocs()
	var clock DateClock
	r := Response{Status: 200, Length: 108, ContentType: "application/json", Date: clock.At(epoch)}
	buf := make([]byte, 0, 512)
	for b.Loop() {
		buf = AppendResponse(buf[:0], &r)
	}
}

func BenchmarkAppendEvent(b *testing.B) {
	b.ReportAllocs()
	data := mcpPost[len(mcpPost)-108:]
	b.SetBytes(int64(len(data)))
	buf := make([]byte, 0, 512)
	for b.Loop() {
		var mark int
		buf, mark = BeginChunk(buf[:0])
		buf = EndChunk(AppendEvent(buf, "7_42", "message", data), mark)
	}
}
