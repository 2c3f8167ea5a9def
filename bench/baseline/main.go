// Command baseline runs the servers that rookery is compared with, each as
// its users write it: nothing tuned, nothing crippled.
//
//	baseline std ADDR      net: a goroutine and a 4 KB buffer per connection, echoes raw bytes
//	baseline netpoll ADDR  netpoll: a stock Connection per client, echoes raw bytes
//	baseline httpsse ADDR  net/http: every request is an event stream that stays open
//	baseline nethttp ADDR  net/http and encoding/json: MCP by hand at /mcp, tool echo
//	baseline gosdk ADDR    official MCP Go SDK: Streamable HTTP at /mcp, tool echo
//	baseline gosdk-stateless ADDR  the same in the mode that speaks revision 2026-07-28
//	baseline gosdk-rookery ADDR [ADMIN]  the same *mcp.Server behind rookery's mcp/gosdk
//	baseline mcpgo ADDR    mcp-go: Streamable HTTP at /mcp, tool echo
//	baseline nats-route [--messages N] [--mode M] [--json]  a route between two embedded NATS servers:
//	                       messages per second and bytes on the wire for the corpus of the peer link
//
// A server serves until it is killed. A nested module keeps what it imports out of
// the main one.
package main

import (
	"fmt"
	"maps"
	"net"
	"os"
	"slices"
	"strings"
)

// route is no server: it measures and ends.
const route = "nats-route"

// adapter is the server that makes its own listeners.
const adapter = "gosdk-rookery"

// servers maps a subcommand to a function that serves l until it fails.
var servers = map[string]func(l net.Listener) error{
	"std":             serveStd,
	"netpoll":         serveNetpoll,
	"httpsse":         serveSSE,
	"nethttp":         serveNetHTTP,
	"gosdk":           serveGoSDK,
	"gosdk-stateless": serveGoSDKStateless,
	"mcpgo":           serveMCPGo,
}

func main() {
	args := os.Args[1:]
	serve, ok := command(args)
	if !ok {
		names := slices.Sorted(maps.Keys(servers))
		fmt.Fprintf(os.Stderr, "usage: baseline %s ADDR\n       baseline %s ADDR [ADMIN]\n       baseline %s [--help]\n", strings.Join(names, "|"), adapter, route)
		os.Exit(2)
	}
	if err := serve(); err != nil {
		fmt.Fprintf(os.Stderr, "baseline %s: %v\n", args[0], err)
		os.Exit(1)
	}
}

// command returns what args ask for, false if that is nothing.
func command(args []string) (func() error, bool) {
	switch {
	case len(args) >= 1 && args[0] == route:
		return func() error { return natsRoute(args[1:]) }, true
	case len(args) == 2 && servers[args[0]] != nil:
		return func() error { return run(args[0], args[1]) }, true
	case len(args) == 2 && args[0] == adapter:
		return func() error { return serveAdapter(args[1], "") }, true
	case len(args) == 3 && args[0] == adapter:
		return func() error { return serveAdapter(args[1], args[2]) }, true
	default:
		return nil, false
	}
}

func run(name, addr string) error {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	return servers[name](l)
}
