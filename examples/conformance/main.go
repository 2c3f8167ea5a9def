// Conformance is the server that the public MCP conformance suite is run
// against (make conformance): every tool, resource and prompt that the suite
// looks for, under the names it expects, written the way any other server is.
// It shows each feature of package mcp once:
//
//	go run ./examples/conformance --http 127.0.0.1:7680
//	npx @modelcontextprotocol/conformance server --url http://127.0.0.1:7680/mcp
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

	"github.com/rookery-server/rookery/mcp"
	"github.com/rookery-server/rookery/server"
)

// drainTimeout is how long calls that run may go on after the signal.
const drainTimeout = 5 * time.Second

func main() {
	http := flag.String("http", "127.0.0.1:7680", "address to listen on; port 0 is any free one")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := serve(ctx, *http); err != nil {
		log.Fatal(err)
	}
}

// serve runs the server until ctx ends and its clients are served.
func serve(ctx context.Context, http string) error {
	s, err := server.New(server.Options{Name: "rookery-conformance", Version: "1.0.0", HTTP: http})
	if err != nil {
		return err
	}
	defer s.Close()
	for _, add := range []func(*mcp.Server) error{addTools, addResources, addPrompts, addAsking, addStreams, addInput, addModern, addTasks} {
		if err := add(s.MCP()); err != nil {
			return err
		}
	}
	if err := s.Start(); err != nil {
		return err
	}
	fmt.Printf("listening http %s\n", s.HTTPAddr())

	updateWatched(ctx, s.MCP()) // until ctx ends
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
	defer cancel()
	return s.Shutdown(drain)
}
