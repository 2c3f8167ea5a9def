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
//   - Admin: /metrics, /livez, /readyz, /cluster, /debug/mem, /debug/pprof/;
//     loopback unless an address says otherwise.
//
// # Clusters
//
// With [Options.Cluster] several servers have the same sessions. Each session is
// at home in one process, and others hold copies. A request for a session that
// is at home elsewhere is forwarded:
//
//   - A POST or DELETE waits on a worker that has left the count of running
//     ones, so that responses keep their order, a shutdown lets it finish, and an
//     answer to a question takes effect whatever stands before it. At most
//     [Options.WaitingMax] wait; one more is answered with 503.
//   - A GET is held by the loop. Once its stream is open the session moves to
//     the process that has the connection, if it rests, and the stream goes on
//     without a break.
//   - The process that has the connection keeps streams alive and says goodbye
//     on them. If the home is lost, streams close and their clients resume them
//     here or elsewhere; a POST that was under way is answered with 502, because
//     it may have been served.
//   - Handlers for other processes' clients run beside those for one's own, at
//     most [Options.Workers] of each; 4,096 requests or 64 MiB wait, the rest is
//     answered with 503.
//
// Being in a cluster costs a request of a session at home a look at its record
// and no allocation; a server that is alone, one comparison.
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
