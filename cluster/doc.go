// Package cluster makes several processes one server: who is a member, where a
// session's copies live, how they are kept equal, and how a request finds its
// session.
//
// A peer is one process that holds client connections, named by a PeerID: its
// node, its worker number and a random incarnation that is new with each start.
// A node is one member of the gossip: one peer, or a supervisor with several
// worker processes, each a peer.
//
// # Members
//
// Members joins two sources. Gossip (hashicorp/memberlist, behind gossip.go)
// says who is there, at which addresses, and spreads joins and leaves. The links
// between peers say who lives: they carry a heartbeat ten times a second, end
// when a process ends, and are refused when nobody listens any more. A Detector,
// a machine without clock and goroutine, turns both into verdicts. Every change
// makes a new View, immutable and numbered, which a supervisor can send to its
// workers (AppendView, ParseView).
//
// Promises, each held by a test:
//
//   - Gossip alone declares nobody dead from whom anything is heard on a link.
//   - A process that was killed is dead to the others as soon as its link has
//     ended and dialling it again has been refused, without waiting for gossip.
//   - A judge that was itself stopped or starved does not judge: silence counts
//     only in ticks that came on time.
//   - A verdict is reversible: whoever is heard again is alive again.
//   - Wall-clock time decides nothing.
//
// A node looks for the others at the addresses of its join list, which may be
// names or stand in a file, until one answers, and later for those that gossip
// has lost, so that a cluster that was split becomes one again. Gossip is
// encrypted with AES-GCM; its keys can be replaced while it runs. A node
// announces itself in 512 bytes: incarnations, addresses, draining, and at most
// WorkersMax processes.
package cluster
