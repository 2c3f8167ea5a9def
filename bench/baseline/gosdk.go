package main

import (
	"context"
	"net"
	"net/http"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/rookery-server/rookery/mcp/gosdk"
	"github.com/rookery-server/rookery/server"
)

type echoArguments struct {
	Text string `json:"text" jsonschema:"what to say back"`
}

func echoTool(_ context.Context, _ *mcp.CallToolRequest, in echoArguments) (*mcp.CallToolResult, any, error) {
	return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: in.Text}}}, nil, nil
}

// newSDKServer returns the one server that all of this file serve, so that
// what serves it is the only difference.
func newSDKServer() *mcp.Server {
	s := mcp.NewServer(&mcp.Implementation{Name: "baseline", Version: "1"}, nil)
	mcp.AddTool(s, &mcp.Tool{Name: "echo", Description: "says text back"}, echoTool)
	return s
}

func serveGoSDK(l net.Listener) error { return serveSDK(l, nil) }

func serveGoSDKStateless(l net.Listener) error {
	return serveSDK(l, &mcp.StreamableHTTPOptions{Stateless: true})
}

func serveSDK(l net.Listener, o *mcp.StreamableHTTPOptions) error {
	s := newSDKServer()
	mux := http.NewServeMux()
	mux.Handle("/mcp", mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return s }, o))
	return http.Serve(l, mux)
}

// serveAdapter serves it with rookery's adapter, on addr, and tells about
// itself on admin ("": nowhere).
func serveAdapter(addr, admin string) error {
	return gosdk.Handler(newSDKServer()).Serve(context.Background(), server.Options{HTTP: addr, Admin: admin})
}
