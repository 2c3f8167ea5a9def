package server_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"

	"github.com/rookery-server/rookery/codec"
	"github.com/rookery-server/rookery/mcp"
	"github.com/rookery-server/rookery/server"
)

// talk sends lines to a server and prints the answer to each. An empty line in
// front of one leaves its answer out.
func talk(addr net.Addr, lines ...string) {
	c, err := net.Dial(addr.Network(), addr.String())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	answers := bufio.NewScanner(c)
	for _, line := range lines {
		fmt.Fprintln(c, line)
		if answers.Scan(); line[0] != '\n' {
			fmt.Println(answers.Text())
		}
	}
}

func ExampleServer() {
	s, err := server.New(server.Options{TCP: "127.0.0.1:0", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer s.Close()
	s.HandleRaw("echo", func(c *server.Call) error { return c.Result(c.Params()) }, server.Inline())
	if err := s.Start(); err != nil {
		fmt.Println(err)
		return
	}
	talk(s.TCPAddr(), `{"jsonrpc":"2.0","id":1,"method":"echo","params":["hello"]}`)
	if err := s.Shutdown(context.Background()); err != nil {
		fmt.Println(err)
	}
	// Output: {"jsonrpc":"2.0","id":1,"result":["hello"]}
}

func ExampleHandle() {
	s, err := server.New(server.Options{TCP: "127.0.0.1:0", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer s.Close()
	type in struct{ A, B int }
	server.Handle(s, "divide", func(_ context.Context, in in) (int, error) {
		if in.B == 0 {
			return 0, &codec.Error{Code: 1, Message: "division by zero"} // goes to the client
		}
		if in.A%in.B != 0 {
			return 0, errors.New("not whole; see the log") // does not
		}
		return in.A / in.B, nil
	})
	if err := s.Start(); err != nil {
		fmt.Println(err)
		return
	}
	talk(s.TCPAddr(),
		`{"jsonrpc":"2.0","id":1,"method":"divide","params":{"A":6,"B":3}}`,
		`{"jsonrpc":"2.0","id":2,"method":"divide","params":{"A":6,"B":0}}`,
		`{"jsonrpc":"2.0","id":3,"method":"divide","params":{"A":6,"B":4}}`,
		`{"jsonrpc":"2.0","id":4,"method":"divide","params":{"A":"six"}}`)
	// Output:
	// {"jsonrpc":"2.0","id":1,"result":2}
	// {"jsonrpc":"2.0","id":2,"error":{"code":1,"message":"division by zero"}}
	// {"jsonrpc":"2.0","id":3,"error":{"code":-32603,"message":"Internal error"}}
	// {"jsonrpc":"2.0","id":4,"error":{"code":-32602,"message":"Invalid params: A: cannot decode string into int"}}
}

func ExampleCall_Ask() {
	s, err := server.New(server.Options{TCP: "127.0.0.1:0", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer s.Close()
	s.HandleRaw("greet", func(c *server.Call) error {
		name, err := c.Ask(c.Context(), "who", nil) // the handler holds no worker meanwhile
		if err != nil {
			return err
		}
		return c.Result(name)
	})
	if err := s.Start(); err != nil {
		fmt.Println(err)
		return
	}
	c, err := net.Dial("tcp", s.TCPAddr().String())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	messages := bufio.NewScanner(c)
	fmt.Fprintln(c, `{"jsonrpc":"2.0","id":1,"method":"greet"}`)
	messages.Scan()
	var question codec.Envelope
	if e := codec.ParseEnvelope(messages.Bytes(), nil, &question); e != nil {
		fmt.Println(e)
		return
	}
	fmt.Println("asked:", string(question.MethodName(messages.Bytes())))
	fmt.Fprintf(c, `{"jsonrpc":"2.0","id":%s,"result":"Ada"}`+"\n", question.ID.Of(messages.Bytes()))
	messages.Scan()
	fmt.Println(messages.Text())
	// Output:
	// asked: who
	// {"jsonrpc":"2.0","id":1,"result":"Ada"}
}

func ExampleServer_MCP() {
	s, err := server.New(server.Options{TCP: "127.0.0.1:0", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer s.Close()
	type in struct {
		Text string `json:"text" jsonschema:"what to shout"`
	}
	err = mcp.AddTool(s.MCP(), mcp.Tool{Name: "shout", Description: "Shouts."},
		func(_ context.Context, _ *mcp.Call, in in) (*mcp.ToolResult, error) {
			return mcp.Text(in.Text + "!"), nil
		})
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := s.Start(); err != nil {
		fmt.Println(err)
		return
	}
	// The same tool is served at /mcp of an HTTP listener.
	talk(s.TCPAddr(),
		"\n"+`{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"x","version":"1"}}}`,
		`{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"shout","arguments":{"text":"hello"}}}`)
	// Output: {"jsonrpc":"2.0","id":2,"result":{"content":[{"type":"text","text":"hello!"}]}}
}
