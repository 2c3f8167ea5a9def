// Conformance is a server written with the official Go SDK and served by
// package gosdk, for the public MCP conformance suite: every tool, resource and
// prompt that the suite looks for, under the names it expects. It is to the SDK
// what examples/conformance is to package mcp, and shows each feature that the
// adapter carries once:
//
//	go run ./examples/gosdk/conformance --http 127.0.0.1:7681
//
// It prints "listening http ADDRESS" when it is ready and ends with SIGINT or
// SIGTERM.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"syscall"
	"time"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/rookery-server/rookery/mcp/gosdk"
	"github.com/rookery-server/rookery/server"
)

// drainTimeout is how long calls that run may go on after the signal.
const drainTimeout = 5 * time.Second

func main() {
	http := flag.String("http", "127.0.0.1:7681", "address to listen on; port 0 is any free one")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := serve(ctx, *http); err != nil {
		log.Fatal(err)
	}
}

// serve runs the server until ctx ends and its clients are served.
func serve(ctx context.Context, http string) error {
	fixtures := newServer()
	s, err := server.New(server.Options{HTTP: http, MCPBackend: gosdk.Handler(fixtures)})
	if err != nil {
		return err
	}
	defer s.Close()
	if err := s.Start(); err != nil {
		return err
	}
	fmt.Printf("listening http %s\n", s.HTTPAddr())

	updateWatched(ctx, fixtures) // until ctx ends
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
	defer cancel()
	return s.Shutdown(drain)
}

// newServer returns the SDK's server, which knows nothing of who serves it.
func newServer() *sdk.Server {
	s := sdk.NewServer(&sdk.Implementation{Name: "gosdk-conformance", Version: "1.0.0"}, &sdk.ServerOptions{
		CompletionHandler:  complete,
		SubscribeHandler:   func(context.Context, *sdk.SubscribeRequest) error { return nil },
		UnsubscribeHandler: func(context.Context, *sdk.UnsubscribeRequest) error { return nil },
	})
	addTools(s)
	addAsking(s)
	addInput(s)
	addModern(s)
	addResources(s)
	addPrompts(s)
	return s
}
