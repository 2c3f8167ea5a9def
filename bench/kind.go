package bench

import (
	"fmt"
	"slices"
)

// Kind says what a client of ours says before it falls silent.
type Kind string

const (
	// TCP connects and exchanges one JSON-RPC echo.
	TCP Kind = "tcp"
	// Session initializes an MCP session over newline-delimited JSON-RPC.
	Session Kind = "jsonrpc-session"
	// Stream initializes an MCP session of revision 2025-11-25 by POSTs on
	// pooled connections and then holds its GET event stream.
	Stream Kind = "mcp-stream"
	// Listen holds a subscriptions/listen stream of revision 2026-07-28,
	// acknowledged.
	Listen Kind = "listen"
	// Watch is Listen for the changes of one resource of the demo app.
	Watch Kind = "watch"
	// Waiting calls tool confirm of the demo app within an MCP session and
	// leaves its question unanswered until it is told to answer.
	Waiting Kind = "waiting"
	// SharedEvents is Stream with a subscription to one resource of the demo app
	// that all have in common: what is retained for them is the same.
	SharedEvents Kind = "events-shared"
	// OwnEvents is SharedEvents with a resource of its own for each client.
	OwnEvents Kind = "events-own"
	// SSE holds a bare event stream, with no protocol above it.
	SSE Kind = "sse"
	// Caller keeps an MCP session on one keep-alive connection, ready for
	// calls one after another. It is load, not an idle client.
	Caller Kind = "caller"
)

// idleKinds are the kinds of clients a server holds, in the order of reports.
var idleKinds = []Kind{TCP, Session, Stream, Listen}

// stateKinds are the kinds of clients for which the server keeps something
// besides, a handler or events: measured on their own, see RunMem.
var stateKinds = []Kind{Waiting, SharedEvents, OwnEvents}

// memKinds are all that RunMem measures.
var memKinds = slices.Concat(idleKinds, stateKinds)

func (k Kind) check() error {
	if k == Caller || k == SSE || k == Watch || slices.Contains(memKinds, k) {
		return nil
	}
	return fmt.Errorf("no kind of client is called %q (there are %v)", k, memKinds)
}

// pooled reports whether a client's session is opened over shared connections
// before it has one of its own.
func (k Kind) pooled() bool { return k == Stream || slices.Contains(stateKinds, k) }

// lines reports whether k speaks newline-delimited JSON, not HTTP.
func (k Kind) lines() bool { return k == TCP || k == Session }
