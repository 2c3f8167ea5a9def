package server

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/rookery-server/rookery/cluster"
)

// fakeNet joins servers of one process: what one sends to another arrives, in
// order, unless a test says otherwise. It knows at once who is home of what.
type fakeNet struct {
	t     testing.TB
	cores []*fakeCore // link n of any of them leads to cores[n-1]
	wg    sync.WaitGroup
}

// fakeCore is one server's core.
type fakeCore struct {
	net   *fakeNet
	num   uint32
	store cluster.Store
	drawn atomic.Uint64
	inbox chan func() // what others send it, one after another

	published atomic.Uint64

	mu      sync.Mutex
	told    []string // hooks that were called
	full    bool     // Reply finds no room
	gone    map[uint32]bool
	refuse  cluster.Refusal   // of the next Route
	routes  map[uint64]uint32 // by connection: who has the request
	stays   bool              // HandOverTo does nothing
	later   bool              // HandOverTo wants to be asked again
	publish func(payload []byte, key string) (int, error)
}

var errNoRoom = errors.New("no room")

// startFleet starts n servers of one cluster.
func startFleet(t testing.TB, n int, o Options, setup func(s *Server)) (*fakeNet, []*Server) {
	t.Helper()
	net := &fakeNet{t: t}
	var servers []*Server
	for i := range n {
		c := &fakeCore{net: net, num: uint32(i + 1), inbox: make(chan func(), 1<<12), gone: map[uint32]bool{}, routes: map[uint64]uint32{}}
		net.cores = append(net.cores, c)
		o := o
		o.connect = func(s cluster.Store) (core, error) {
			c.store = s
			return c, nil
		}
		net.wg.Go(func() {
			for f := range c.inbox {
				f()
			}
		})
		servers = append(servers, startServer(t, o, setup))
	}
	t.Cleanup(net.stop)
	return net, servers
}

// stop closes the servers first, because they may still send.
func (n *fakeNet) stop() {
	for _, c := range n.cores {
		c.store.(replicas).c.s.Close()
	}
	for _, c := range n.cores {
		close(c.inbox)
	}
	n.wg.Wait()
}

func (c *fakeCore) link(num uint32) *fakeCore { return c.net.cores[num-1] }

func (c *fakeCore) tell(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.told = append(c.told, fmt.Sprintf(format, args...))
}

// hooks returns what was told since the last call.
func (c *fakeCore) hooks() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	told := c.told
	c.told = nil
	return told
}

func (c *fakeCore) Opened(uint64)            { c.tell("opened") }
func (c *fakeCore) Changed(uint64)           { c.tell("changed") }
func (c *fakeCore) Ended(uint64, cluster.ID) { c.tell("ended") }
func (c *fakeCore) Noted(_ uint64, stream, seq uint32, _ cluster.Origin, msg []byte) {
	c.tell("noted %x %d %s", stream, seq, msg)
}
func (c *fakeCore) Subscribed(_ uint64, topic string, on bool) { c.tell("subscribed %s %v", topic, on) }

// home returns who is home of a session, 0 if nobody is.
func (c *fakeCore) home(id cluster.ID) uint32 {
	for _, other := range c.net.cores {
		if ref, ok := other.store.Find(id); ok && !c.isGone(other.num) {
			if s, ok := other.store.Load(ref); ok && s.Home == 0 {
				return other.num
			}
		}
	}
	return 0
}

func (c *fakeCore) isGone(num uint32) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.gone[num]
}

// Route implements core.
func (c *fakeCore) Route(conn uint64, id cluster.ID, msg []byte, _ bool) {
	c.mu.Lock()
	why := c.refuse
	c.refuse = 0
	c.mu.Unlock()
	home := c.home(id)
	switch {
	case why != 0:
		c.store.Refuse(conn, why)
	case home == 0:
		c.store.Refuse(conn, cluster.RefusedUnknown)
	case home == c.num:
		c.store.Serve(0, conn, msg)
	default:
		c.mu.Lock()
		c.routes[conn] = home
		c.mu.Unlock()
		msg, to := slices.Clone(msg), c.link(home)
		to.inbox <- func() { to.store.Serve(c.num, conn, msg) }
	}
}

// Reply implements core.
func (c *fakeCore) Reply(to uint32, conn uint64, flags cluster.ReplyFlags, p []byte) error {
	c.mu.Lock()
	full, gone := c.full, c.gone[to]
	c.mu.Unlock()
	switch {
	case gone:
		return cluster.ErrPeerGone
	case full:
		return errNoRoom
	}
	p, other := slices.Clone(p), c.link(to)
	other.inbox <- func() {
		if flags&(cluster.ReplyLast|cluster.ReplyClose) != 0 {
			other.forget(conn)
		}
		other.store.Deliver(conn, flags, p)
	}
	return nil
}

func (c *fakeCore) forget(conn uint64) (home uint32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	home = c.routes[conn]
	delete(c.routes, conn)
	return home
}

// ConnGone implements core.
func (c *fakeCore) ConnGone(conn uint64) {
	if home := c.forget(conn); home != 0 && !c.isGone(home) {
		to := c.link(home)
		to.inbox <- func() { to.store.ClientGone(c.num, conn) }
	}
}

// HandOverTo implements core. It runs where the server's own calls do not.
func (c *fakeCore) HandOverTo(ref uint64, link uint32) bool {
	c.mu.Lock()
	stays, later := c.stays, c.later
	c.mu.Unlock()
	if !stays && !later {
		c.inbox <- func() { c.handOver(ref, link) }
	}
	return !later
}

// settles has c move sessions only when it is asked again, or at once.
func (c *fakeCore) settles(is bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.later = is
}

func (c *fakeCore) handOver(ref uint64, link uint32) bool {
	s, ok := c.store.Load(ref)
	if !ok || s.Home != 0 {
		return false
	}
	to := c.link(link)
	return c.store.HandOver(ref, link, s.Epoch+1, func(full *cluster.Snapshot, conn uint64, framing uint8) {
		moved := cloneSnapshot(full)
		moved.Home, moved.Epoch = c.num, s.Epoch+1
		to.inbox <- func() { to.settle(moved, conn, framing) }
	})
}

// settle takes a session that was handed over.
func (c *fakeCore) settle(s *cluster.Snapshot, conn uint64, framing uint8) {
	ref, ok := c.store.Find(s.ID)
	if !ok {
		var err error
		if ref, err = c.store.Adopt(s); err != nil {
			c.net.t.Errorf("adopt: %v", err)
			return
		}
	} else if _, ok := c.store.Replace(ref, s); !ok {
		c.net.t.Error("not replaced")
	}
	if conn != 0 {
		c.forget(conn)
		c.store.Attach(ref, conn, framing)
	}
	if !c.store.Promote(ref, s.Epoch, false) {
		c.net.t.Error("not promoted")
	}
	c.Opened(ref)
}

func cloneSnapshot(s *cluster.Snapshot) *cluster.Snapshot {
	c := *s
	c.Topics, c.Log.Events = slices.Clone(s.Topics), slices.Clone(s.Log.Events)
	for i := range c.Log.Events {
		c.Log.Events[i].Msg = slices.Clone(c.Log.Events[i].Msg)
	}
	return &c
}

// stay has sessions of c stay where they are.
func (c *fakeCore) stay() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stays = true
}

// lose has peer num be gone for c, with what it was to answer.
func (c *fakeCore) lose(num uint32) {
	c.mu.Lock()
	c.gone[num] = true
	var conns []uint64
	for conn, home := range c.routes {
		if home == num {
			conns = append(conns, conn)
		}
	}
	c.mu.Unlock()
	done := make(chan struct{})
	c.inbox <- func() {
		defer close(done)
		for _, conn := range conns {
			c.forget(conn)
			if f := c.store.(replicas).c.forwards.get(conn); f != nil && !f.answered() {
				c.store.Refuse(conn, cluster.RefusedLost)
			} else {
				c.store.Deliver(conn, cluster.ReplyClose, nil)
			}
		}
		c.store.PeerGone(num)
	}
	<-done
}

// answered reports whether bytes of the response have come.
func (f *forward) answered() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.begun || f.streaming
}

// origin draws the identity of a publication.
func (c *fakeCore) origin() cluster.Origin {
	return cluster.Origin{Peer: uint64(c.num), Seq: c.drawn.Add(1)}
}

// Publish implements core.
func (c *fakeCore) Publish(_ context.Context, payload []byte, key string) (int, error) {
	if c.publish != nil {
		return c.publish(payload, key)
	}
	total := 0
	origin := cluster.Origin{Peer: uint64(c.num), Seq: c.published.Add(1)}
	for _, other := range c.net.cores {
		w, err := other.store.Spread(payload, origin, key != "")
		if err != nil {
			return total, err
		}
		for done := false; !done; w.Commit(100) {
			done = w.Step(100)
		}
		total += w.Delivered()
	}
	return total, nil
}

// Notify implements core.
func (c *fakeCore) Notify(_ context.Context, id cluster.ID, payload []byte, key string) error {
	home := c.home(id)
	if home == 0 {
		return cluster.ErrUnknown
	}
	store := c.link(home).store
	ref, _ := store.Find(id)
	if err := store.SpreadTo(ref, payload, c.origin(), key != ""); err != nil {
		return err
	}
	store.Commit(ref, store.Latest(ref))
	return nil
}

// Fetch implements core.
func (c *fakeCore) Fetch(_ context.Context, id cluster.ID) (uint64, error) {
	home := c.home(id)
	if home == 0 {
		return 0, cluster.ErrUnknown
	}
	other := c.link(home)
	ref, _ := other.store.Find(id)
	if home == c.num {
		return ref, nil
	}
	if !other.handOver(ref, c.num) {
		return 0, cluster.ErrBusy
	}
	done := make(chan uint64)
	c.inbox <- func() { ref, _ := c.store.Find(id); done <- ref }
	return <-done, nil
}
