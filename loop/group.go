package loop

import (
	"context"
	"net"
	"os"
)

// A Group is a set of listeners, the loops that serve them and their
// connections. Several groups may live in one process.
//
// Life: New, Listen, Start, then Shutdown or Close. Listen may be called after
// Start too. All methods are safe for concurrent use.
type Group struct {
	opts Options
	impl groupBackend
}

// groupBackend is one implementation of a group.
type groupBackend interface {
	backend
	listen(addr string, p Protocol) (net.Addr, error)
	listenFile(f *os.File, p Protocol) (net.Addr, error)
	start() error
	shutdown(ctx context.Context) error
	kill()
	stats() Stats
	stage() stage // for a batch; nil: there is none now
}

// New returns a group that does nothing yet. It fails when an option is
// impossible or the kernel refuses an epoll set.
func New(o Options) (*Group, error) {
	if err := o.fill(); err != nil {
		return nil, err
	}
	g := &Group{opts: o}
	var err error
	if o.Portable {
		g.impl, err = newPortable(&g.opts)
	} else {
		g.impl, err = newNative(&g.opts)
	}
	if err != nil {
		return nil, err
	}
	return g, nil
}

// Listen binds addr ("host:port", ":port", "unix:/path") and serves its
// connections with p once the group is started. It returns the bound address.
func (g *Group) Listen(addr string, p Protocol) (net.Addr, error) { return g.impl.listen(addr, p) }

// ListenFile is Listen on a socket that was bound before, by [Bind] here or in
// the process that f is inherited from. Several processes may serve one socket:
// each takes connections when it can, and the kernel keeps for the others what
// one that has paused or ended does not take. The group duplicates f, which
// remains the caller's; a unix socket's path is not removed.
func (g *Group) ListenFile(f *os.File, p Protocol) (net.Addr, error) { return g.impl.listenFile(f, p) }

// Start runs the loops.
func (g *Group) Start() error { return g.impl.start() }

// Shutdown stops accepting, lets what is in flight finish, says goodbye to the
// rest through Protocol.Drain, and returns when all connections are closed and
// all goroutines have ended. Connections that the kernel has accepted already
// are served, and those without a whole request so far have Options.DrainMoment for one. When ctx ends first the remaining connections are
// closed at once and ctx's error is returned.
func (g *Group) Shutdown(ctx context.Context) error { return g.impl.shutdown(ctx) }

// Close closes everything at once and waits for the group's goroutines.
func (g *Group) Close() { g.impl.kill() }

// Conn returns the connection that h names.
func (g *Group) Conn(h Handle) Conn { return Conn{g.impl, h} }

// Stats returns a snapshot of the counters.
func (g *Group) Stats() Stats { return g.impl.stats() }
