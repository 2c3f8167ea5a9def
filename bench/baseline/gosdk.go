package main

import (
	"context"
	"net"
	"net/http"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

type echoArguments struct {
	Text string `json:"text" jsonschema:"what to say back"`
}

func echoTool(_ context.Context, _ *mcp.CallToolRequest, in echoArguments) (*mcp.CallToolResult, any, error) {
	return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: in.Text}}}, nil, nil
}

func serveGoSDK(l net.Listener) error { return serveSDK(l, nil) }

func serveGoSDKStateless(l net.Listener) error {
	return serveSDK(l, &mcp.StreamableHTTPOptions{Stateless: true})
}

func serveSDK(l net.Listener, o *mcp.StreamableHTTPOptions) error {
	s := mcp.NewServer(&mcp.Implementation{Name: "baseline", Version: "1"}, nil)
	mcp.AddTool(s, &mcp.Tool{Name: "echo", Description: "says text back"}, echoTool)
	mux := http.NewServeMux()
	mux.Handle("/mcp", mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return s }, o))
	return http.Serve(l, mux)
}
