package cluster

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Members is this node's membership of the cluster: it gossips, judges by what
// gossip and the links say, and shows the result as a View.
//
// All methods may be called from any goroutine. None blocks but Start, Leave
// and Close.
type Members struct {
	o    MembersOptions
	join *joinList
	log  *slog.Logger

	view    atomic.Pointer[View]
	updates chan struct{} // cap 1
	origin  time.Time     // of the monotonic time the Detector is told

	gossip *gossip            // set by Start before any goroutine runs
	cancel context.CancelFunc // likewise
	ended  <-chan struct{}    // likewise; closed by cancel
	tasks  sync.WaitGroup

	announced chan struct{} // cap 1; the meta data has changed
	contested chan struct{} // cap 1; others know this node's name at another address
	search    chan struct{} // cap 1; there may be somebody to join

	// Lock order: locks of memberlist, then mu. Nothing of memberlist is called
	// under mu.
	mu    sync.Mutex
	det   *Detector
	self  nodeMeta             // guarded by mu, like all below
	local map[uint64]string    // sockets of own workers, by incarnation
	nodes map[string]*nodeInfo // the others
	stats MembersStats
	phase phase
}

type phase uint8

const (
	phaseNew phase = iota
	phaseRunning
	phaseLeft // still gossiping, so that others hear of it
	phaseClosed
)

// nodeInfo is what gossip told last of another node.
type nodeInfo struct {
	addr  string // of its gossip
	meta  nodeMeta
	alive bool // gossip holds it for alive
	since time.Time
	state NodeState // of the last view
}

// MembersStats count what happened since Start.
type MembersStats struct {
	Joins        uint64 // addresses that answered an attempt to join
	JoinFailures uint64 // addresses that did not
	Deaths       uint64 // verdicts against nodes
	Returns      uint64 // verdicts revoked, new incarnations included
	Conflicts    uint64 // claims to a name at two addresses
	Health       int    // memberlist's score now, 0 is best: how late its own probes are answered
	Joined       bool   // another node was reached, or there is none to look for
}

// NewMembers checks the options. Nothing runs before Start.
func NewMembers(o MembersOptions) (*Members, error) {
	o.Join = slices.Clone(o.Join)
	if err := o.check(); err != nil {
		return nil, err
	}
	o.Detector = o.Detector.withDefaults()
	join, err := newJoinList(o.Join, o.Resolver)
	if err != nil {
		return nil, err
	}
	m := &Members{
		o: o, join: join, log: o.Logger,
		updates:   make(chan struct{}, 1),
		announced: make(chan struct{}, 1),
		contested: make(chan struct{}, 1),
		search:    make(chan struct{}, 1),
		origin:    time.Now(),
		det:       NewDetector(o.Node, o.Detector),
		self:      nodeMeta{incarnation: o.Incarnation, peer: o.Peer, admin: o.Admin, workers: o.Workers},
		local:     make(map[uint64]string),
		nodes:     make(map[string]*nodeInfo),
	}
	if err := m.self.check(); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.setLocal(o.Workers)
	m.det.Gossip(o.Node, GossipAlive, o.Workers)
	m.publish()
	return m, nil
}

// Start begins to gossip and to look for the nodes of the join list, with
// growing pauses until one answers. It returns once the address is bound; the
// view fills as nodes are found.
func (m *Members) Start() error {
	m.mu.Lock()
	if m.phase != phaseNew {
		m.mu.Unlock()
		return errors.New("cluster: members were started before")
	}
	m.phase = phaseRunning
	m.mu.Unlock()

	g, err := startGossip(gossipOptions{
		name: m.o.Node, bind: m.o.Gossip, advertise: m.o.Advertise, label: m.o.Label, keys: m.o.Keys,
		logger: m.log, meta: m.metaData, events: m.onGossip, left: m.leftState, takeLeft: m.takeLeft,
	})
	if err != nil {
		m.mu.Lock()
		m.phase = phaseClosed
		m.mu.Unlock()
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	m.mu.Lock()
	defer m.mu.Unlock()
	m.gossip, m.cancel, m.ended = g, cancel, ctx.Done()
	if m.phase != phaseRunning { // closed meanwhile
		cancel()
		return errors.Join(errors.New("cluster: members were closed"), g.close())
	}
	m.publish() // the address is known now
	m.tasks.Go(m.judge)
	m.tasks.Go(m.announce)
	m.tasks.Go(func() { m.lookFor(ctx) })
	return nil
}

// View returns the cluster as it is known now. It is never nil.
func (m *Members) View() *View { return m.view.Load() }

// Updates has a value after each change of the view. Changes in quick
// succession may share one. It is for one receiver, and is never closed.
func (m *Members) Updates() <-chan struct{} { return m.updates }

// Self returns the process that gossips, as worker 0 of its node.
func (m *Members) Self() PeerID { return PeerID{Node: m.o.Node, Incarnation: m.o.Incarnation} }

// GossipAddr returns the address under which others reach gossip, "" before
// Start.
func (m *Members) GossipAddr() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.gossipAddr()
}

func (m *Members) gossipAddr() string {
	if m.gossip == nil {
		return ""
	}
	return m.gossip.addr
}

// Evidence takes what happened on a link to a process. Verdicts that follow
// from it are in View when it returns.
func (m *Members) Evidence(p PeerID, e Evidence) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.det.Evidence(p, e) {
		m.publish()
	}
}

// SetDraining says whether this node gives its sessions away, and tells the
// others. It is an error once the node has left or is closed.
func (m *Members) SetDraining(on bool) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.phase > phaseRunning {
		return errors.New("cluster: this node is no member any more")
	}
	if m.self.draining != on {
		m.self.draining = on
		m.publish()
		poke(m.announced)
	}
	return nil
}

// SetWorkers replaces the processes of this node, by number, and tells the
// others; their State is not read. The list is copied.
func (m *Members) SetWorkers(workers []WorkerInfo) error {
	meta := nodeMeta{workers: slices.Clone(workers)}
	if err := meta.check(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.self.workers = meta.workers
	m.setLocal(workers)
	state := GossipAlive
	if m.self.leaving {
		state = GossipLeft
	}
	m.det.Gossip(m.o.Node, state, workers)
	m.publish()
	poke(m.announced)
	return nil
}

func (m *Members) setLocal(workers []WorkerInfo) {
	clear(m.local)
	for _, w := range workers {
		m.local[w.Incarnation] = w.Local
	}
}

// SetKeys replaces the keys of gossip while it runs: the first encrypts, all
// decrypt. To rotate, give every node old and new, then every node new and old,
// then every node new.
func (m *Members) SetKeys(keys [][]byte) error {
	m.mu.Lock()
	g := m.gossip
	m.mu.Unlock()
	if g == nil {
		return errors.New("cluster: members do not run")
	}
	return g.setKeys(keys)
}

// Stats returns the counts.
func (m *Members) Stats() MembersStats {
	m.mu.Lock()
	s, g := m.stats, m.gossip
	m.mu.Unlock()
	if g != nil {
		s.Health = g.health()
	}
	return s
}

// Joined reports whether another node was reached, or there is none to look for.
func (m *Members) Joined() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.stats.Joined
}

// leaveTimeout bounds Leave when its context does not.
const leaveTimeout = 5 * time.Second

// Leave tells the others that this node goes, so that nobody waits for a
// verdict. It blocks until the message is on its way, or ctx is done. The node
// goes on gossiping until Close, but joins nobody any more.
func (m *Members) Leave(ctx context.Context) error {
	m.mu.Lock()
	if m.phase != phaseRunning {
		m.mu.Unlock()
		return errors.New("cluster: members do not run")
	}
	m.phase = phaseLeft
	m.self.leaving = true
	m.det.Gossip(m.o.Node, GossipLeft, m.self.workers)
	m.publish()
	g := m.gossip
	m.mu.Unlock()
	// Those who miss the first of the two messages, or both, take the leave for
	// a death: the links are refused soon.
	g.announce(min(announceWait, until(ctx)))
	if err := ctx.Err(); err != nil {
		return err
	}
	return g.leave(until(ctx))
}

// until returns the time that is left to ctx, more than nothing and bounded by
// leaveTimeout: memberlist takes 0 for ever.
func until(ctx context.Context) time.Duration {
	left := leaveTimeout
	if end, ok := ctx.Deadline(); ok {
		left = min(left, time.Until(end))
	}
	return max(left, time.Millisecond)
}

// Close ends membership without a word, unless Leave was called, and waits for
// what Start began and for a Leave on its way. A second call does nothing.
func (m *Members) Close() error {
	m.mu.Lock()
	g, cancel := m.gossip, m.cancel
	closed := m.phase == phaseClosed
	m.phase = phaseClosed
	m.mu.Unlock()
	if closed || g == nil {
		return nil
	}
	cancel()
	err := g.close()
	m.tasks.Wait()
	return err
}

// poke leaves a value in a channel of capacity 1.
func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
