package gosdk_test

import (
	"context"
	"fmt"
	"log"
	"log/slog"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/rookery-server/rookery/mcp/gosdk"
	"github.com/rookery-server/rookery/server"
)

// A server of the SDK behind a server of ours, with a client of the SDK's.
func ExampleHandler() {
	srv := sdk.NewServer(&sdk.Implementation{Name: "greeter", Version: "1"}, nil)
	sdk.AddTool(srv, &sdk.Tool{Name: "greet"}, func(context.Context, *sdk.CallToolRequest, struct{}) (*sdk.CallToolResult, any, error) {
		return &sdk.CallToolResult{Content: []sdk.Content{&sdk.TextContent{Text: "Hello!"}}}, nil, nil
	})

	s, err := server.New(server.Options{
		HTTP: "127.0.0.1:0", MCPBackend: gosdk.Handler(srv), Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		log.Fatal(err)
	}
	defer s.Close()
	if err := s.Start(); err != nil {
		log.Fatal(err)
	}

	ctx := context.Background()
	client, err := sdk.NewClient(&sdk.Implementation{Name: "guest", Version: "1"}, nil).Connect(ctx,
		&sdk.StreamableClientTransport{Endpoint: "http://" + s.HTTPAddr().String() + "/mcp"}, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	r, err := client.CallTool(ctx, &sdk.CallToolParams{Name: "greet"})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(r.Content[0].(*sdk.TextContent).Text)
	// Output: Hello!
}
