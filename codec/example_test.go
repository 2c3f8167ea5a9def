package codec_test

import (
	"fmt"

	"github.com/rookery-server/rookery/codec"
)

// A server's side of newline-delimited JSON-RPC: what has arrived is cut into
// lines, each is parsed where it lies, and the answers are appended to a buffer.
func Example() {
	in := []byte(`{"jsonrpc":"2.0","id":1,"method":"echo","params":{"text":"hi"}}` + "\n" +
		`{"jsonrpc":"2.0","id":2,"method":"nope"}` + "\n" +
		`{"jsonrpc":"1.0","id":3,"method":"echo"}` + "\n" +
		`{"jsonrpc":"2.0","id":4,"met`)
	var out []byte
	var scan uint64
	for {
		line, n, err := codec.NextLine(in, &scan, 0)
		if n == 0 || err != nil {
			break
		}
		in = in[n:]
		var env codec.Envelope
		fault := codec.ParseEnvelope(line, nil, &env)
		switch id := env.ID.Of(line); {
		case fault != nil:
			out = codec.AppendError(out, id, fault)
		case string(env.MethodName(line)) == "echo":
			out = codec.AppendResult(out, id, env.Params.Of(line))
		default:
			out = codec.AppendError(out, id, &codec.Error{Code: codec.CodeMethodNotFound, Message: "Method not found"})
		}
		out = append(out, '\n')
	}
	fmt.Printf("%swaiting with %d bytes\n", out, len(in))
	// Output:
	// {"jsonrpc":"2.0","id":1,"result":{"text":"hi"}}
	// {"jsonrpc":"2.0","id":2,"error":{"code":-32601,"message":"Method not found"}}
	// {"jsonrpc":"2.0","id":3,"error":{"code":-32600,"message":"Invalid Request: \"jsonrpc\" is not \"2.0\""}}
	// waiting with 28 bytes
}

func ExampleEachInBatch() {
	msg := []byte(`[{"jsonrpc":"2.0","id":1,"method":"a"}, 2, {"jsonrpc":"2.0","method":"b"}]`)
	var env codec.Envelope
	if err := codec.ParseEnvelope(msg, nil, &env); err != nil || env.Kind != codec.KindBatch {
		return
	}
	_ = codec.EachInBatch(msg, nil, func(elem []byte, env codec.Envelope, err *codec.Error) bool {
		fmt.Printf("%s: method %q, %v\n", elem, env.MethodName(elem), err)
		return true
	})
	// Output:
	// {"jsonrpc":"2.0","id":1,"method":"a"}: method "a", <nil>
	// 2: method "", jsonrpc error -32600: Invalid Request: not an object
	// {"jsonrpc":"2.0","method":"b"}: method "b", <nil>
}

func ExampleNextFrame() {
	wire := codec.AppendFrame(nil, []byte("first"))
	wire = codec.AppendFrame(wire, []byte("second"))
	for {
		payload, n, err := codec.NextFrame(wire, 1024)
		if n == 0 || err != nil {
			break
		}
		fmt.Printf("%s\n", payload)
		wire = wire[n:]
	}
	// Output:
	// first
	// second
}

// Errors of Unmarshal are fit to be sent.
func ExampleUnmarshal() {
	var args struct {
		Count int `json:"count"`
	}
	err := codec.Unmarshal([]byte(`{"count":"many"}`), &args)
	fmt.Println(err)
	// Output:
	// jsonrpc error -32602: Invalid params: count: cannot decode string into int
}
