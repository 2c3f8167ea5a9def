// Package bench measures servers from outside: what a client costs them in
// memory, also while handlers wait for it or events are retained for it, what a
// request costs them in processor time, how fast they accept, how long their
// collector stops them, and how fast a change reaches everybody.
//
// It speaks the wire with its own parsers and imports nothing of the server,
// so that it cannot share its mistakes. Three kinds of processes take part,
// so that none is measured with another:
//
//	orchestrator   starts the others, reads /proc, computes, prints   [RunMem], [RunCPU]
//	   |-- keeper ---- server under test (rookery serve, or a baseline)
//	   `-- worker      holds the clients: one thread on one epoll set
//
// Keeper and worker are hidden subcommands of the same binary. Each ends when
// its standard input closes, so nothing outlives the orchestrator, however it
// dies.
//
// Promises:
//
//   - Every figure is measured in the run that prints it. Nothing is printed
//     from a constant.
//   - Every reply is verified: an echo that returns other bytes, a reply to
//     another id or a lost connection fails the run.
//   - Every step is bounded in time, and an error names the remedy.
//   - While a server's memory is measured nothing asks it anything; the account
//     by component comes from a run of its own.
//
// Limits: Linux only (epoll, /proc), IPv4 only. A worker holds as many clients
// as its descriptor limit allows, and so does the server. A closed loop
// measures cost, not latency under a given rate: its percentiles hide the time
// in which a request could not be sent, and reports say so.
//
// Of a cluster several servers run at once, each with its standard input as its
// lifeline, and clients that know all of them ([RunCluster]).
//
// README.md beside this file explains the method and the JSON forms.
package bench
