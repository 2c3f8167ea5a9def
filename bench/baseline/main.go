// Command baseline runs the servers that rookery is compared with, each as
// its users write it: nothing tuned, nothing crippled.
//
//	baseline std ADDR      net: a goroutine and a 4 KB buffer per connection, echoes raw bytes
//	baseline netpoll ADDR  netpoll: a stock Connection per client, echoes raw bytes
//	baseline httpsse ADDR  net/http: every request is an event stream that stays open
//	baseline gosdk ADDR    official MCP Go SDK: Streamable HTTP at /mcp, tool echo
//	baseline gosdk-stateless ADDR  the same in the mode that speaks revision 2026-07-28
//	baseline mcpgo ADDR    mcp-go: Streamable HTTP at /mcp, tool echo
//
// It serves until it is killed. A nested module keeps what it imports out of
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

// servers maps a subcommand to a function that serves l until it fails.
var servers = map[string]func(l net.Listener) error{
	"std":             serveStd,
	"netpoll":         serveNetpoll,
	"httpsse":         serveSSE,
	"gosdk":           serveGoSDK,
	"gosdk-stateless": serveGoSDKStateless,
	"mcpgo":           serveMCPGo,
}

func main() {
	if len(os.Args) != 3 || servers[os.Args[1]] == nil {
		fmt.Fprintf(os.Stderr, "usage: baseline %s ADDR\n", strings.Join(slices.Sorted(maps.Keys(servers)), "|"))
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintf(os.Stderr, "baseline %s: %v\n", os.Args[1], err)
		os.Exit(1)
	}
}

func run(name, addr string) error {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	return servers[name](l)
}
