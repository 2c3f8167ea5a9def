// Gosdk is a server written with the official Go SDK, served at the density of
// this project. What is marked is all that changes:
//
//	go run ./examples/gosdk --http 127.0.0.1:7682
package main

import (
	"context"
	"flag"
	"log"
	"os"
	"os/signal"
	"syscall"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/rookery-server/rookery/mcp/gosdk"
)

type greeting struct {
	Name string `json:"name" jsonschema:"whom to greet"`
}

func greet(_ context.Context, _ *mcp.CallToolRequest, in greeting) (*mcp.CallToolResult, any, error) {
	return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: "Hello, " + in.Name + "!"}}}, nil, nil
}

func main() {
	addr := flag.String("http", "127.0.0.1:7682", "address to listen on; MCP is at /mcp")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	srv := mcp.NewServer(&mcp.Implementation{Name: "greeter", Version: "1.0.0"}, nil)
	mcp.AddTool(srv, &mcp.Tool{Name: "greet", Description: "Says hello."}, greet)

	// Before:
	//
	//	h := mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return srv }, nil)
	//	err := http.ListenAndServe(*addr, h)
	//
	// After:
	if err := gosdk.Handler(srv).ListenAndServe(ctx, *addr); err != nil {
		log.Fatal(err)
	}
}
