// Rookery runs a node: JSON-RPC and MCP over TCP, MCP over Streamable HTTP,
// and an admin listener with metrics and health.
//
//	rookery serve          run a node with the demo app
//	rookery cluster ...    run, show and steer several nodes
//	rookery top            watch the nodes of a cluster
//	rookery health         ask a node whether it is well
//	rookery tune ...       check and set what this machine needs to hold clients
//	rookery check-config   print the settings in effect and where each is from
//	rookery version        print version, commit and Go version
//	rookery load           load a server with very many clients
//	rookery bench-...      measure a node from outside
//	rookery suite          run the 100K suite
//	rookery report         show or compare runs of the suite
//	rookery completion     shell completion
//
// It exits with 0 when all went well, 1 when something failed, 2 when it was
// used wrongly and 130 when load or suite was interrupted.
package main

import "os"

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr, os.Environ()))
}
