package server

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"

	"github.com/rookery-server/rookery/cluster"
	"github.com/rookery-server/rookery/codec"
	"github.com/rookery-server/rookery/mcp"
	"github.com/rookery-server/rookery/session"
)

// core is what this package calls of the cluster: *cluster.Core is one. Its
// hooks (Opened to Subscribed) may be called under any lock.
type core interface {
	Opened(ref uint64)
	Changed(ref uint64)
	Ended(ref uint64, id cluster.ID)
	Noted(ref uint64, stream, seq uint32, origin cluster.Origin, msg []byte)
	Subscribed(ref uint64, topic string, on bool)

	Route(conn uint64, id cluster.ID, msg []byte, repeat bool)
	Reply(to uint32, conn uint64, flags cluster.ReplyFlags, p []byte) error
	ConnGone(conn uint64)
	HandOverTo(ref uint64, link uint32) bool

	Publish(ctx context.Context, payload []byte, key string) (delivered int, err error)
	Notify(ctx context.Context, id cluster.ID, payload []byte, key string) error
	Fetch(ctx context.Context, id cluster.ID) (ref uint64, err error)
}

var _ core = (*cluster.Core)(nil)

// clustering is a server's part in a cluster, nil for one that is alone.
//
// Lock order: forward.mu, the locks of mcp, changed, remote.mu, those of tables.
// Of the core only hooks and Reply are called under any of them.
type clustering struct {
	s       *Server
	core    core
	web     *web
	clients *session.Interner
	count   clusterCounters

	forwards forwards
	remotes  remotes
	foreign  *foreign
	noRoom   atomic.Int64 // requests of peers that were refused and not yet logged

	// changed orders, for each session, what is told of its record: see
	// replicas.describe.
	changed [changedLocks]sync.Mutex
}

const changedLocks = 64 // a power of two

// newClustering joins s to what connect returns for its sessions.
func newClustering(s *Server, clients *session.Interner, connect func(cluster.Store) (core, error)) (*clustering, error) {
	c := &clustering{s: s, web: s.web, clients: clients, count: newClusterCounters(s.metrics.set)}
	c.foreign = newForeign(s, c.runFor)
	var err error
	if c.core, err = connect(replicas{c}); err != nil {
		return nil, err
	}
	c.remotes.core = c.core
	return c, nil
}

func (c *clustering) changes(ref uint64) *sync.Mutex {
	return &c.changed[(ref*0x9e3779b97f4a7c15)>>58]
}

// recordChanged tells the cluster that a record has changed, in an order in which the
// latest state is told last.
func (c *clustering) recordChanged(ref uint64) {
	m := c.changes(ref)
	m.Lock()
	defer m.Unlock()
	c.core.Changed(ref)
}

// The following make *clustering an mcp.Replicas.
var _ mcp.Replicas = (*clustering)(nil)

// Noted implements mcp.Replicas.
func (c *clustering) Noted(ref uint64, stream, seq, body uint32) {
	msg, _ := c.s.events.Message(body) // nil: it could not be kept, or is gone already
	c.core.Noted(ref, stream, seq, c.s.events.Origin(body), msg)
}

// Subscribed implements mcp.Replicas.
func (c *clustering) Subscribed(ref uint64, uri string, on bool) { c.core.Subscribed(ref, uri, on) }

// Publish implements mcp.Replicas.
func (c *clustering) Publish(ctx context.Context, p *mcp.Publication) (delivered int, err error) {
	delivered, err = c.core.Publish(ctx, mcp.AppendPublication(nil, p), publicationKey(p, nil))
	return delivered, heldError(err)
}

// Notify implements mcp.Replicas.
func (c *clustering) Notify(ctx context.Context, id [16]byte, p *mcp.Publication) error {
	return heldError(c.core.Notify(ctx, id, mcp.AppendPublication(nil, p), publicationKey(p, id[:])))
}

// publicationKey returns what makes events of one publication the same: its key,
// its audience and its method, "" without a key. Two publications that share it
// share the message.
func publicationKey(p *mcp.Publication, session []byte) string {
	if p.Key == "" {
		return ""
	}
	bare := *p
	bare.Params = session
	return string(mcp.AppendPublication(nil, &bare))
}

// heldError returns an error as mcp's callers know it.
func heldError(err error) error {
	switch {
	case errors.Is(err, cluster.ErrNotHeld):
		return mcp.ErrNotHeld
	case errors.Is(err, cluster.ErrUnknown):
		return mcp.ErrNoStream
	}
	return err
}

// fetch is mcp.Options.Fetch.
func (c *clustering) fetch(ctx context.Context, id [16]byte) (ref uint64, err error) {
	ref, err = c.core.Fetch(ctx, id)
	switch {
	case errors.Is(err, cluster.ErrUnknown):
		return 0, nil
	case errors.Is(err, cluster.ErrUnavailable), errors.Is(err, cluster.ErrBusy):
		return 0, &codec.Error{Code: codec.CodeOverloaded, Message: err.Error()}
	}
	return ref, err
}

// joined reports whether the cluster was found, or there is none to look for.
func (c *clustering) joined() bool { return c.s.node == nil || c.s.node.joined() }
