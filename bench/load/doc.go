// Package load is a load generator for servers that hold very many clients:
// JSON-RPC over TCP and MCP over Streamable HTTP of both eras. `rookery load` is
// a thin command above it; a suite drives the same clients step by step.
//
// A run in one call, and the same in steps:
//
//	result, err := load.Run(ctx, load.Options{Protocol: load.JSONRPC, Targets: targets, Clients: 1000, Rate: 5000})
//
//	f, err := load.Start(ctx, options)          // processes, no client yet
//	defer f.Close()                             // ends them all
//	ramp, err := f.Ramp(ctx, 100_000, 8000)     // opens clients, waits until each was served
//	err = f.Rate(ctx, 25_000)                   // calls a second, from now on
//	err = f.Hold(ctx, 10*time.Second)           // warm-up: belongs to no phase
//	phase, err := f.Phase(ctx, "sustained")     // from here on ...
//	err = f.Hold(ctx, 5*time.Minute)
//	measured, err := phase.End(ctx)             // ... to here
//	told, err := f.Publish(ctx)                 // a numbered event for every client with a stream
//	heard, err := f.Audit(ctx)                  // did each client hear each event, once, in order?
//	err = f.Drain(ctx)                          // calls no more, and waits for answers under way
//	result := f.Result()
//
// A failure, from the moment it happens to the last client that is served again:
//
//	phase, err := f.Phase(ctx, "failover")
//	... kill a node ...
//	_, err = f.Until(ctx, func(s load.Status) bool { return s.Total.Lost >= 25_000 })
//	err = f.Recovered(ctx)
//	measured, err := phase.End(ctx)             // measured.Outages: how long, first lost, last back
//
// # Processes
//
// The caller of [Start] coordinates; clients live in processes of their own, as
// many as the limit of descriptors demands, which are this program's hidden
// subcommand ([Options].Self). Each is one thread on one epoll set, its orders
// included: 64 bytes a TCP client and as many as its ids have more for an MCP
// session, no goroutine and no timer per client.
// A process ends when its standard input does, so nothing outlives the
// coordinator, however it dies.
//
// # Open model
//
// Calls are due on a schedule that knows nothing of the answers: evenly spaced
// or, with [Options].Poisson, at random. Each due call goes to the client that
// has been ready for longest. Two latencies are kept of each:
//
//   - corrected: from the moment the call was due. It is what a user sees, and
//     includes the time in which the generator could not send because every
//     client was still waiting (coordinated omission).
//   - uncorrected: from the moment it was sent, for comparison.
//
// A call that was sent more than [LateAfter] after it was due counts as late;
// its latency counts all the same. A call for which no client was ready within
// [Options].DropAfter, or no time of the generator's, counts as dropped and is
// not sent. A call that is not
// answered within [Options].Timeout is an error, and its time goes into the
// histograms as that timeout. Due = Sent + Notes + Dropped, and
// Sent = Replies + Failures but for what is under way when a phase begins or
// ends.
//
// The loop sleeps for [Options].Tick at least, so that a call may be that much
// late for the generator's own sake. Its processor time a call
// ([PhaseResult].Generator) is mostly the kernel's, and the less the more calls
// one turn of the loop sends.
//
// # What is verified
//
// Every reply: its id, that it is no error, and (tool echo, method echo) each
// byte of its text, which differs from call to call. On a TCP connection replies
// come in the order of the requests ([Checks].OutOfOrder; with [Options].Burst
// above 1 there is an order to verify, and [Checks].Ordered says how often).
// Events carry a number: those missed, heard twice and heard out of order are
// counted for each client, over any number of reconnections.
//
// # Clients that lose their connection
//
// They come back like real ones: to another target, after the `retry` of the
// stream if it named one, with exponential backoff and full jitter, with their
// session id and the id of the last event they heard. A 503 is asked again when
// Retry-After says, a 404 is counted as a lost session and makes a new one.
//
// # The result
//
// [Result] in JSON has the schema number [Schema]. Times that end in _ns are
// nanoseconds; at_s, from_s and to_s are seconds since the start of the run.
// Histograms are given as a table of percentiles and whole, in the encoding
// that all HdrHistogram libraries read (V2, deflated, base64), so that runs can
// be added up.
//
// # Limits
//
// Linux only (epoll), IPv4, no TLS. Targets off loopback need
// [Options].AllowRemote. Events need a server with the demo app's tools
// broadcast (sessions) or touch (listen streams). A listener whose stream broke
// is not told again what it missed, and is not asked for it.
//
// Queues are bounded: handshakes under way by handshakesMax a process, calls
// under way by clients × Burst and, with MCP, by pooled connections; what does
// not fit waits on the schedule, where it becomes late and then dropped.
package load
