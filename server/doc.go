// Package server is what a program imports to serve JSON-RPC 2.0 and the Model
// Context Protocol to very many clients from one process. It joins event loops,
// protocols, sessions, workers and metrics; everything it needs stands in one
// [Options] value whose zero value is useful:
//
//	s, err := server.New(server.Options{TCP: "127.0.0.1:7600", HTTP: "127.0.0.1:7680"})
//	if err != nil {
//		return err
//	}
//	defer s.Close()
//	server.Handle(s, "add", func(ctx context.Context, in struct{ A, B int }) (int, error) {
//		return in.A + in.B, nil
//	})
//	return s.Run(ctx)
//
// # Listeners
//
//   - TCP (or a unix socket): JSON-RPC 2.0, one message a line. Methods come
//     from [Handle] and [Server.HandleRaw]; those of MCP are known too.
//   - HTTP: MCP Streamable HTTP at /mcp, both protocol eras on one endpoint.
//     Tools, resources and prompts are registered with [Server.MCP].
//     /readyz beside it is 200, or 503 while the node gives its sessions away.
//   - Admin: /metrics, /livez, /readyz, /debug/mem, /debug/pprof/; loopback
//     unless an address says otherwise.
//
// # What is promised
//
//   - An idle client costs its slot in the loop and four bytes here: no
//     goroutine, timer, context or buffer.
//   - Messages of one connection are handled one after another in the order of
//     arrival, and HTTP responses leave in the order of their requests.
//   - What may not wait does not: answers to the server's own questions,
//     cancellations and methods marked [Urgent] are handled on the loop even
//     while a handler of the same connection runs or waits.
//   - A raw echo allocates nothing in steady state, inline or through a worker.
//   - A handler's panic is logged with its stack, counted and answered with
//     -32603. The text of a JSON-RPC method's error that is not a
//     [*codec.Error] never reaches the client; package mcp says what becomes of
//     errors of tools.
//   - Nothing is shed silently: a request that waited longer than
//     [Options.RequestDeadline] for a worker is answered (-32000, or 503 with
//     Retry-After) and counted.
//   - The library handles no signal, never ends the process and keeps no global
//     state: several servers live in one process. After [Server.Close] or
//     [Server.Shutdown] no goroutine of a server is left (netpoll's pollers are
//     the process's and stay).
package server
