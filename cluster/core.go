package cluster

import (
	"cmp"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rookery-server/rookery/batch"
)

// CoreOptions configures a Core. Self, Store, Now and Wake are required.
type CoreOptions struct {
	Self  Peer
	Store Store

	// Replicas is on how many nodes a session is, its home included; 0 means
	// ReplicasDefault, less than 0 all.
	Replicas int
	// Acked makes publications return only when every live copy of what they
	// put into logs, and at least one, has it. Otherwise copies follow. A node
	// that knows of no other, dead or alive, has nobody to wait for.
	Acked bool
	// AckTimeout is how long that may take, also while copies are made anew
	// after a loss; 0 means AckTimeoutDefault.
	AckTimeout time.Duration
	// HoldTimeout is how long a request for a session may wait for the verdict
	// on the peer that has it; 0 means HoldTimeoutDefault.
	HoldTimeout time.Duration
	// DigestEvery is how often copies are compared with their homes; 0 means
	// DigestEveryDefault, less than 0 never.
	DigestEvery time.Duration

	// Now is a monotonic clock.
	Now func() time.Duration
	// Wake says that a link to a peer may have something to write. It must not
	// block or call back.
	Wake func(Peer)
	// Attention says that Step has something to do. Likewise.
	Attention func()
	// Unread reports whether bytes of a peer have arrived that the core has not
	// been given. It must not block. Optional.
	Unread func(Peer) bool

	Link   batch.Options // of each link; Local and Remote are set by the Core
	Logger *slog.Logger  // slog.Default
}

// Defaults of CoreOptions.
const (
	ReplicasDefault    = 3
	AckTimeoutDefault  = 5 * time.Second
	HoldTimeoutDefault = 1500 * time.Millisecond
	DigestEveryDefault = 10 * time.Second
)

// Errors of a Core.
var (
	// ErrNotHeld says that a publication was not held by a copy of each session
	// in time. It may have been delivered to some or all; to publish again with
	// the same key delivers it to the others only.
	ErrNotHeld = errors.New("cluster: not held by every live copy in time; it may have been delivered")
	// ErrCongested says that links had no room for too long. Nothing was sent.
	ErrCongested = errors.New("cluster: links to other peers are full")
	// ErrUnknown says that no peer that can be asked knows the session.
	ErrUnknown = errors.New("cluster: no such session")
	// ErrUnavailable says that the session may be where nobody can ask now.
	ErrUnavailable = errors.New("cluster: the session cannot be reached now")
	// ErrBusy says that a session with calls in flight cannot move.
	ErrBusy = errors.New("cluster: the session is busy elsewhere")
	// ErrPeerGone says that a peer is dead.
	ErrPeerGone = errors.New("cluster: the peer is gone")
)

// Core is everything a cluster decides, without sockets, clock or goroutines:
// who holds what, who is home of a session, what copies are told, how requests
// and publications find their way. Its methods are safe for concurrent use.
// Step does what takes time, a little at each call, from one goroutine.
type Core struct {
	o       CoreOptions
	log     *slog.Logger
	plan    atomic.Pointer[plan]
	count   counters
	scratch sync.Pool // of *scratch

	// ids serialises who decides about the home of one session.
	ids [idLocks]sync.Mutex

	mu      sync.Mutex
	next    *View            // guarded by mu; to be applied by Step
	byInc   map[uint64]*Link // guarded by mu; by the peer's incarnation
	links   []*Link          // guarded by mu; by number-1
	jobs    []func()         // guarded by mu; for Step, in order
	answers []func()         // guarded by mu; for Step: what clients of ours are told
	routes  routes           // guarded by mu
	parting parting
	pubs    publishing // guarded by mu
	notes   notes
	copying copying
	fetches fetches // guarded by mu
	// arriving are the epochs of sessions that were handed over to this peer and
	// have not come home yet, by ref.
	arriving map[uint64]uint32 // guarded by mu
	leaving  departures        // guarded by mu
	roster   roster            // guarded by mu
	merging  merges            // guarded by mu
	// dismissing are clients of sessions that have a newer home.
	dismissing dismissals // guarded by mu

	// Used by Step only.
	spread  spreading
	late    lateWrites
	taking  takeover
	fill    filler
	tidy    tidying
	away    moveAway
	meeting meeting
	tally   tally
	gather  gathering // but for Gathering
	amends  amends
	applied uint64        // View.Version
	unread  time.Duration // since when a view waits, see lastWords; 0: none does

	viewed atomic.Int64 // when the latest view was applied
}

const idLocks = 64

// scratch is room for one message.
type scratch struct{ b []byte }

// NewCore returns a Core that is alone until SetView says otherwise.
func NewCore(o CoreOptions) *Core {
	if o.Replicas == 0 {
		o.Replicas = ReplicasDefault
	}
	o.AckTimeout = cmp.Or(o.AckTimeout, AckTimeoutDefault)
	o.HoldTimeout = cmp.Or(o.HoldTimeout, HoldTimeoutDefault)
	o.DigestEvery = cmp.Or(o.DigestEvery, DigestEveryDefault)
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Attention == nil {
		o.Attention = func() {}
	}
	c := &Core{o: o, log: o.Logger, byInc: map[uint64]*Link{}, roster: roster{o.Self.Node}}
	c.scratch.New = func() any { return new(scratch) }
	c.spread.seen, c.spread.refusing = map[uint64]uint64{}, map[uint64]uint64{}
	c.spread.base, c.spread.round.most = map[uint64]uint64{}, roundVisits
	c.spread.inRing = map[Origin]publication{}
	c.routes.byNum, c.routes.byConn = map[uint64]*route{}, map[uint64]*route{}
	c.fetches.m, c.fetches.denied, c.arriving = map[ID][]*fetch{}, map[ID]*denial{}, map[uint64]uint32{}
	c.plan.Store(newPlan(c, nil, nil))
	return c
}

// SetView tells the core who is in the cluster. Views with an older Version
// than one that was given are ignored.
func (c *Core) SetView(v *View) {
	c.mu.Lock()
	if c.next == nil || v.Version > c.next.Version {
		c.next = v
	}
	c.mu.Unlock()
	c.wakeUp()
}

// Open returns the link to a peer for the use of a mesh. When it is asked again
// for the same peer the link begins anew: one of the two had forgotten it.
func (c *Core) Open(p Peer) *Link {
	c.mu.Lock()
	l := c.linkTo(p)
	c.mu.Unlock()
	c.beginAnew(l)
	return l
}

// beginAnew resets a link that was used before. Streams and requests that went
// over it end.
func (c *Core) beginAnew(l *Link) {
	if l.reset() {
		c.count.forgotten.Add(1)
		c.later(func() {
			c.o.Store.PeerGone(l.num)
			c.routes.viewChanged(c, []*Link{l}, nil)
			c.notes.lost(c.o.Now())
			c.greet(l)
		})
	}
}

// linkFor returns the link to a peer.
func (c *Core) linkFor(p Peer) *Link {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.linkTo(p)
}

// linkTo is linkFor for those who hold mu.
func (c *Core) linkTo(p Peer) *Link {
	l := c.byInc[p.Incarnation]
	if l == nil {
		l = newLink(c, p, uint32(len(c.links)+1))
		c.byInc[p.Incarnation] = l
		c.links = append(c.links, l)
	}
	return l
}

// link returns the link of that number, nil for 0.
func (c *Core) link(num uint32) *Link {
	c.mu.Lock()
	defer c.mu.Unlock()
	if num == 0 || int(num) > len(c.links) {
		return nil
	}
	return c.links[num-1]
}

// linkOf returns the link to the peer of an incarnation, nil if there is none.
func (c *Core) linkOf(inc uint64) *Link {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.byInc[inc]
}

func (c *Core) wakeUp() { c.o.Attention() }

// wake has what was appended to a link written: it tells the mesh unless that is
// to look anyway.
func (c *Core) wake(l *Link) {
	if !l.woken.Swap(true) {
		c.o.Wake(l.peer)
	}
}

// later lets Step run f, behind what was given before and between two
// publications.
func (c *Core) later(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.job(f)
}

// job is later for those who hold mu.
func (c *Core) job(f func()) {
	c.jobs = append(c.jobs, f)
	c.wakeUp()
}

// locked locks the decisions about one session.
func (c *Core) locked(id ID) *sync.Mutex {
	m := &c.ids[id[15]%idLocks]
	m.Lock()
	return m
}

// stepEvery is how long Step may be left alone when it said that there is
// nothing to do.
const stepEvery = 20 * time.Millisecond

// Step does a little of what there is to do and reports whether there is more.
// It does not block. Call it again when Attention says so, when it returned
// true, and after stepEvery at the latest.
func (c *Core) Step() (more bool) {
	now := c.o.Now()
	c.applyView(now)
	c.runAnswers()
	if c.taking.step(c, now) {
		return true // before anything else: sessions without a home wait
	}
	c.runJobs()
	more = c.spread.step(c, now)
	c.late.step(c, now)
	more = c.fill.step(c, now) || more
	more = c.away.step(c, now) || more
	c.routes.expire(c, now)
	c.pubs.expire(c, now)
	c.notes.expire(c, now)
	c.fetches.expire(c, now)
	c.stranded(now)
	c.merging.step(c, now)
	c.dismissing.step(c, now)
	c.tidy.step(c, now)
	c.meeting.step(c, now)
	c.tally.step(c, now)
	c.gather.step(c, now)
	c.amends.step(c, now)
	c.copying.step(c, now)
	return more
}

// runJobs runs what others left to Step, unless a publication is on its way
// through the sessions: what moves them stands between two.
func (c *Core) runJobs() {
	if c.spread.busy() {
		return
	}
	c.mu.Lock()
	jobs := c.jobs
	c.jobs = nil
	c.mu.Unlock()
	for _, f := range jobs {
		f()
	}
}
