// Package e2e tests the built binary from outside, over the wire only: the
// official Go and TypeScript MCP clients of both protocol eras, the MCP
// Inspector, streams that break and are taken up again, both eras side by side,
// plain TCP lines, hostile input, signals, clusters of several nodes and under
// faults, HAProxy and nginx in front of one, the load generator, and as many connections as the
// descriptor limit allows. It imports nothing of this module; what it knows is
// what a client knows.
//
// TestClusterNetwork puts each node into a network namespace whose only
// interface is a TUN device that the test holds: it needs /dev/net/tun and user
// namespaces that are open to everybody, or root. With E2E_RACE set in the
// environment the programs are built with the race detector (make e2e-race).
package e2e
