// Package batch is the peer protocol as a machine: messages in, frames out, and
// the other way round. It opens no socket, reads no clock and starts no
// goroutine; whoever owns a Link moves the bytes. SPEC.md in this folder is the
// protocol for another implementer.
//
// # A link
//
// A Link joins two processes for as long as both live. Connections under it
// come and go: what was not acknowledged on one is sent again on the next, and
// the receiver drops what it has already had. So every message is handed over
// exactly once and in the order of its lane, or stays in the sender's queue.
// There is no order between lanes.
//
//	a.Append(batch.Data, msg)       // copied into the lane's queue
//	out = a.NextFrame(out[:0])      // as often as it adds something
//	n, err := b.Receive(in, handle) // handle has the message: it is acknowledged
//	a.Acked(batch.Data)             // after a has received b's next frame
//
// # Bounds
//
// A lane holds Cap bytes that are not acknowledged; beyond, Append says ErrFull
// and the producer waits. AppendMust is for what its producer bounds already
// (replies to requests that came over a window): it may go up to Hard. What a
// receiver has not processed is bounded by the credits it grants, Window bytes
// for each lane, so that one lane that is slow holds up no other. Nothing is
// dropped.
//
// # Handshake
//
// Each end sends a Hello and reads one; Agree judges it. The connection must
// prove who speaks before that (TLS, or a private socket): frames and Hellos
// carry checksums against accidents, not signatures against enemies.
//
// Resume carries version and features beside the sequence numbers, so
// Connect(other.Resume()) is a whole handshake in a simulation.
//
// # Memory
//
// A link whose messages are all acknowledged has no queue. One that is busy has
// its queues in pieces of 64 KiB, which all links share when they are free. A
// link that has received compressed frames keeps one buffer of a frame's size to
// decompress them; that for a longer message is let go at once. Coders are shared
// by all links. In the steady state a message allocates nothing.
package batch
