package codec_test

import (
	"fmt"

	"github.com/rookery-server/rookery/codec"
)

// Bytes come in as the network cuts them. One pair of scan words is all that is
// kept between calls; requests behind the first wait their turn.
func ExampleParseRequest() {
	var (
		scan [2]uint64
		req  codec.Request
		in   []byte
		out  []byte
	)
	for _, piece := range []string{
		"POST /mcp HTTP/1.1\r\nHost: localhost:7680\r\nContent-Type: application/json\r\nContent-Le",
		"ngth: 2\r\n\r\n{",
		"}GET /mcp HTTP/1.1\r\nHost: localhost:7680\r\nAccept: text/event-stream\r\n\r\n",
	} {
		in = append(in, piece...)
		for {
			n, wants100, err := codec.ParseRequest(in, &scan, nil, &req)
			if err != nil {
				fmt.Printf("%s", err.AppendResponse(out))
				return
			}
			if wants100 {
				out = codec.AppendContinue(out)
			}
			if n == 0 {
				break
			}
			fmt.Printf("%s %q json=%v events=%v\n", req.Path.Of(in), req.Body.Of(in),
				codec.MediaTypeIs(req.ContentType.Of(in), "application/json"),
				codec.Accepts(req.Accept.Of(in), "text/event-stream"))
			in = in[n:]
		}
	}
	fmt.Println(len(in), len(out))
	// Output:
	// /mcp "{}" json=true events=true
	// /mcp "" json=false events=true
	// 0 0
}

// A stream of events: each is built where it will be sent from, inside a chunk.
func ExampleBeginChunk() {
	out := codec.AppendResponse(nil, &codec.Response{
		Status: 200, ContentType: "text/event-stream", Length: codec.LengthChunked,
		Extra: codec.AppendHeader(nil, "X-Accel-Buffering", "no"),
	})
	out, mark := codec.BeginChunk(out)
	out = codec.AppendEvent(out, "1_0", "message", []byte(`{"jsonrpc":"2.0","method":"ping"}`))
	out = codec.EndChunk(out, mark)
	out = codec.AppendLastChunk(out)
	fmt.Printf("%q\n", out[mark:])
	// Output:
	// "00000040\r\nid: 1_0\nevent: message\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"ping\"}\n\n\r\n0\r\n\r\n"
}
