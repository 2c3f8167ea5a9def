// Package mcp is the Model Context Protocol without a network: what a server
// answers, whom it tells of changes, and how it waits for a client, for all
// revisions from 2024-11-05 to 2026-07-28. It declares what it needs of the
// world, connections to write to ([Host]) and a table to keep sessions in
// ([Sessions]), and never starts a goroutine or a timer of its own: the
// handler of a task goes on where [TaskOptions].Run puts it.
//
// Both eras of the protocol live on one endpoint. A request whose
// MCP-Protocol-Version is 2026-07-28 or later brings all there is to know of
// its client along; any other belongs to a session that initialize began.
// Newline-delimited JSON-RPC over TCP speaks the same methods: there the
// connection is the session.
//
// It promises:
//
//   - An idle session costs a [Session], 56 bytes without a pointer, and an open
//     stream of subscriptions/listen a record of 64; a subscription costs 24
//     and, the first of its URI, that URI. No goroutine, timer, closure or
//     buffer waits for a client, except for a handler that does.
//   - With [Options.Events], a client of a session that takes up a stream again
//     gets what it missed: all of it, once, in order, or the answer that this is
//     no longer possible. That goes for GET streams, of which a session may have
//     several, and for the responses of calls that run or are over.
//   - No input makes it panic, and every exchange ends in a complete response.
//     A handler that panics fails its call: it is logged with its stack,
//     counted and answered with an internal error.
//   - What reaches a tool's handler satisfies the tool's schema.
//   - A stream carries its head and acknowledgement before anything else and
//     misses nothing from the moment the client can know that it is open.
//   - A publication holds no lock while it writes and yields every few hundred
//     clients; a slow or closed one costs the others nothing.
//   - In a cluster ([Replicas]) a session has one home, which alone writes to its
//     client. Moving it turns its record under the lock that delivers to it, so
//     that an event goes to the client before, or is part of what moves, or
//     finds the new home.
//
// A server is built and driven like this (package server does it over real
// connections):
//
//	s := mcp.New(mcp.Options{Host: host, Sessions: table, Calls: rpc.NewTable(1000)})
//	err := mcp.AddTool(s, mcp.Tool{Name: "greet"},
//		func(ctx context.Context, c *mcp.Call, in struct {
//			Name string `json:"name"`
//		}) (string, error) {
//			return "Hello, " + in.Name, nil
//		})
//	...
//	x := mcp.Exchange{Stream: connection, Req: &req, Msg: request}
//	if s.Plan(&x) == mcp.OnWorker { … hand it over, with x.Worker … }
//	s.ServeHTTP(&x) // x.Out is the response
//
// Where the specification leaves room:
//
//   - A message goes to the latest GET stream of its session that is open, to
//     one only. Until the client is back it is kept under the number of the
//     latest, for a client that takes that one up again; what a client that
//     begins a new one instead has missed is lost to it.
//   - A stream that cannot be taken up without a gap is refused with 404, after
//     which a client begins a new session.
//   - A response is JSON, and becomes a stream of events with the first message
//     a handler sends before its result, if the client's Accept allows it. A
//     client that allows only one of the two gets that one; a client that names
//     streams first always gets one.
//   - Arguments that break a tool's schema are a result with isError since
//     2025-11-25 and the error -32602 before; an unknown tool is always -32602.
//   - An unknown session is answered with 404 and -32001, a missing one with 400
//     and -32600. Pages of loopback origins may call, others get 403.
//   - A cancelled request gets no answer over TCP; over HTTP, which needs one,
//     the error -32800.
//   - A question to a client of the era without sessions ends its call
//     ([ErrInputRequired]), and the handler runs again with the answers. Those of
//     earlier rounds are sealed in requestState, for the same method, name and
//     arguments and for Options.AskTimeout. An answer that comes unasked counts,
//     one that is not what was asked for is -32602.
//   - A Mcp-Param header must come exactly once if its argument does, and not
//     without it; whether the tool likes the argument is looked at later.
//   - A tool's policy ([TaskPolicy]) says whether its calls become tasks, for
//     clients that know them; tasks/cancel makes them cancelled at once,
//     whatever the handler does then. Results are kept for as long as the
//     handler was given. Whoever knows a task's id, 128 random bits, may use it.
//
// Over TCP there is an extension, rookery/resume, by which a client takes its
// session up again on another connection: see docs/resume-tcp.md.
//
// Limits: notifications of a session that never had a stream are lost; the
// streams of 2026-07-28, and of TCP without the extension, cannot be taken up
// again; tasks and calls live in one process and end with it.
package mcp
