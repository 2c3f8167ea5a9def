// Package loop runs network connections on event loops: it accepts, reads,
// writes, times out and pushes back, and knows nothing of what the bytes mean.
//
// A [Group] owns listeners, loops and connections. A [Protocol] gives the bytes
// a meaning: the group calls [Protocol.Step] on the loop's goroutine with the
// bytes that arrived, and the protocol answers on the spot or hands a record to
// a worker. On Linux each loop owns an epoll set that a netpoll poller watches;
// elsewhere, and where [Options.Portable] is set, the same interface runs on
// one goroutine per connection over package net.
//
// # What is promised
//
//   - An idle connection costs one pointer-free slot (see slotBytes) and its
//     descriptor: no goroutine, timer, closure or buffer.
//   - A [Handle] names one connection for ever. After the connection is closed
//     its handle is an error ([ErrClosed]), never another client's socket, even
//     when the descriptor and the slot have been used again.
//   - Writes of one connection are ordered and whole: bytes of two writes never
//     mix. What the kernel refuses is kept up to [Options.OutMax] bytes; past
//     that the client is closed as slow. Nothing is dropped silently.
//   - Records of one connection are worked on one after another, in the order
//     of arrival, by at most one worker at a time (unless a record releases the
//     connection with [Job.Leave]).
//   - Every queue is bounded. When one is full, reading of the connections
//     concerned stops and starts again by itself.
//   - A panic in a protocol's method closes the connection concerned, is logged
//     with its stack and counted; the loop goes on.
//   - Running out of descriptors pauses accepting; it never ends a loop.
//
// # Threads
//
// Step, Open, Tick, Drain and Closed of a connection run on the goroutine of
// its loop and must not block. Work runs on the pool. The methods of [Conn] may
// be called from any goroutine.
package loop
