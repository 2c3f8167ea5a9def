package mcp

import (
	"context"
	"errors"
)

// This file declares what a cluster of servers needs to know and to be asked.
// A session has its home in one process, the only one that writes to its
// client; in others there may be copies of it, ready to become its home.

// Origin is the identity of an event in the whole cluster: who published it,
// and its number there. The zero Origin is none: Events.Keep draws one.
type Origin = struct{ Peer, Seq uint64 }

// Replicas is the cluster as far as the protocol needs it. Its methods are
// safe for concurrent use.
type Replicas interface {
	// Noted says that an event was put into the log of a session at home here,
	// with the number seq: body 0 is an event that could not be kept, stream 0 a
	// number drawn for none. It is called under the session's delivery lock, in
	// the order of the log: it must not block, nor call Server. body is good
	// until it returns.
	Noted(ref uint64, stream, seq, body uint32)
	// Subscribed says that a session at home here subscribed to uri or stopped
	// doing so, in the order in which it happened. It is called under locks:
	// it must not block, nor call Server.
	Subscribed(ref uint64, uri string, on bool)
	// Publish brings p to the clients of all processes, this one included, by
	// way of Server.Spread. It returns to how many clients it went or for how
	// many it is kept, as far as is known then. p is not changed any more and may
	// be kept. In acked mode it blocks until the copies hold each event or ctx
	// is done; its error is ErrNotHeld then.
	Publish(ctx context.Context, p *Publication) (delivered int, err error)
	// Notify is Publish to one session, wherever its home is, here too.
	Notify(ctx context.Context, id [16]byte, p *Publication) error
}

// Errors of a server in a cluster.
var (
	// ErrNotHeld says that the copies of an event were not confirmed in time. It
	// may have been delivered all the same; publishing it again under the same
	// key is safe.
	ErrNotHeld = errors.New("mcp: not held by a copy in time; it may have been delivered")
	// ErrMoved says that another process is the home of the session now; it is
	// the cause of calls cancelled for it.
	ErrMoved = errors.New("mcp: the session has moved to another process")
	// ErrBusy says that a session cannot be handed over while calls or
	// questions are in flight or several streams open.
	ErrBusy = errors.New("mcp: the session is busy")
)

// errHasIt says that a session's log has an event of that Origin already.
var errHasIt = errors.New("mcp: the session has the event")

// Bound reports whether the session lives and dies with its TCP connection: it
// has no event log, and copies of it are of no use.
func (s *Session) Bound() bool { return s.Flags&kindFlags == flagTCP }
