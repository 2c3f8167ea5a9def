// Package e2e tests the built binary from outside, over the wire only: the
// official Go and TypeScript MCP clients of both protocol eras, the MCP
// Inspector, streams that break and are taken up again, both eras side by side,
// plain TCP lines, hostile input, signals, clusters of several nodes and under
// faults, HAProxy and nginx in front of one, and as many connections as the
// descriptor limit allows. It imports nothing of this module; what it knows is
// what a client knows.
package e2e
