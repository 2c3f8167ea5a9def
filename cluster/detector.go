package cluster

import "time"

// GossipState is what gossip says of a node. It has no suspicion of its own:
// memberlist does not tell when it begins one.
type GossipState uint8

// The states.
const (
	GossipAlive GossipState = iota + 1
	GossipDead              // probes failed, and nobody refuted in time
	GossipLeft              // the node said so
)

// DetectorOptions are the times of a Detector; the zero value of each means
// its default. The heartbeat of the links is 100 ms.
type DetectorOptions struct {
	// Tick is how often Tick is called. Default 50 ms: a verdict by silence is
	// at most that much late.
	Tick time.Duration
	// Late is by how much a tick may be late and still count; default 200 ms,
	// two heartbeats. A later one shows that the judge did not run, so the
	// silence of others means nothing.
	Late time.Duration
	// Doubt is the silence after which a node is Suspect; default 300 ms.
	Doubt time.Duration
	// Silence is how long a process must have been silent for gossip's word to
	// count; default 700 ms. It is above the pause of 300 ms that a process has
	// to survive, and beyond the mean of gossip's own verdict, 0.59 s.
	Silence time.Duration
	// Alone is the silence that is a verdict without gossip, once dialling has
	// failed too; default 1.2 s.
	Alone time.Duration
	// Grace is Alone for a process that no link has reached yet; default 5 s.
	Grace time.Duration
	// Forget is how long dead nodes, and those that left, stay known; default
	// 30 min.
	Forget time.Duration
}

func (o DetectorOptions) withDefaults() DetectorOptions {
	for _, d := range []struct {
		value    *time.Duration
		standard time.Duration
	}{
		{&o.Tick, 50 * time.Millisecond},
		{&o.Late, 200 * time.Millisecond},
		{&o.Doubt, 300 * time.Millisecond},
		{&o.Silence, 700 * time.Millisecond},
		{&o.Alone, 1200 * time.Millisecond},
		{&o.Grace, 5 * time.Second},
		{&o.Forget, 30 * time.Minute},
	} {
		if *d.value <= 0 {
			*d.value = d.standard
		}
	}
	return o
}

// Detector decides who lives, from what gossip says of nodes and what the links
// show of processes. It is a machine: no clock, no goroutine, no lock; time
// enters through Tick. The same calls give the same verdicts.
//
// A process is dead when
//
//   - its link has ended and dialling it was refused, with nothing heard since
//     either, or another process answers in its place: it is gone, no time needs
//     to pass; or
//   - it has been silent for Silence and gossip calls its node dead; or
//   - it has been silent for Alone and a dial has failed meanwhile.
//
// Silence is counted in ticks that came on time. A late tick starts all counts
// again, so that a judge that was stopped or starved condemns nobody.
//
// A node is dead when all its processes are, and has left when it says so.
// Verdicts are reversible: a process is alive again as soon as it is heard, or
// its node refutes its death in gossip; a node also when gossip tells of new
// processes in it.
type Detector struct {
	o     DetectorOptions
	self  string
	nodes map[string]*suspectNode
	now   time.Duration
	begun bool // a first tick has been seen
}

// suspectNode is a node under judgement.
type suspectNode struct {
	gossip GossipState
	peers  []suspectPeer // by worker
	state  NodeState
	reason string        // of state, for the log
	since  time.Duration // when state changed
}

// suspectPeer is one process of it.
type suspectPeer struct {
	worker      uint16
	incarnation uint64

	linked     bool          // was heard at least once
	ended      bool          // a link ended since it was last heard
	refused    bool          // a dial was refused since
	failed     bool          // a dial failed since, in whatever way
	heard      bool          // since the last tick
	heardTicks int           // ticks in which it was heard since it was found gone
	silence    time.Duration // in ticks on time, since it was last heard

	dead   bool
	gone   bool // dead because its link ended and a dial was refused
	reason string
}

// goneTicks is in how many ticks a process that was found gone must be heard to
// count as alive without a new handshake. One is not enough: the report of
// another worker that heard it last may come late.
const goneTicks = 3

// NewDetector returns a Detector for the node self, which it never doubts.
func NewDetector(self string, o DetectorOptions) *Detector {
	return &Detector{o: o.withDefaults(), self: self, nodes: make(map[string]*suspectNode)}
}

// Gossip takes what gossip says of a node now: its state and the processes it
// announces, which replace those announced before. It reports whether a verdict
// changed. Only Worker and Incarnation of workers are read; workers is not kept.
func (d *Detector) Gossip(node string, s GossipState, workers []WorkerInfo) (changed bool) {
	n := d.nodes[node]
	if n == nil {
		n = &suspectNode{since: d.now}
		d.nodes[node] = n
	}
	returned := n.gossip > GossipAlive && s == GossipAlive
	n.gossip = s
	peers := make([]suspectPeer, len(workers))
	for i, w := range workers {
		peers[i] = suspectPeer{worker: w.Worker, incarnation: w.Incarnation}
		// Only the node itself can refute its death, so its return in gossip
		// is a word from it, and its processes start anew: after a split, when
		// nobody dials the dead, nothing else would be heard of them.
		if old := n.peer(w.Worker, w.Incarnation); old != nil && !returned {
			peers[i] = *old
		}
	}
	changed = len(peers) != len(n.peers)
	for i := range peers {
		changed = changed || n.peer(peers[i].worker, peers[i].incarnation) == nil
	}
	n.peers = peers
	return d.judge(node, n) || changed
}

// Evidence takes what happened on a link and reports whether a verdict changed.
// Evidence of processes that gossip does not announce is ignored: theirs is a
// past or future incarnation.
func (d *Detector) Evidence(id PeerID, e Evidence) (changed bool) {
	n := d.nodes[id.Node]
	if n == nil {
		return false
	}
	p := n.peer(id.Worker, id.Incarnation)
	if p == nil {
		return false
	}
	switch e {
	case LinkUp, Heard:
		p.linked, p.heard, p.silence = true, true, 0
		p.ended, p.refused, p.failed = false, false, false
		if e == LinkUp || !p.gone {
			p.dead, p.gone = false, false
		}
	case LinkEOF, LinkLost, Silent:
		p.ended, p.heardTicks = true, 0
	case Refused:
		p.refused, p.failed, p.heardTicks = true, true, 0
	case Replaced:
		p.ended, p.refused, p.failed, p.heardTicks = true, true, true, 0
	case Failed:
		p.failed = true
	}
	return d.judge(id.Node, n)
}

// Tick tells the time, monotonic and from any origin, and reports whether a
// verdict changed or a node was forgotten. It is to be called every
// DetectorOptions.Tick.
func (d *Detector) Tick(now time.Duration) (changed bool) {
	step := now - d.now
	onTime := d.begun && step >= 0 && step <= d.o.Tick+d.o.Late
	d.now, d.begun = now, true
	for name, n := range d.nodes {
		for i := range n.peers {
			// A tick counts twice its length at most: how much of a longer
			// one the judge was awake for is not known.
			n.peers[i].tick(min(step, 2*d.o.Tick), onTime)
		}
		changed = d.judge(name, n) || changed
		if !n.state.Serves() && n.gossip != GossipAlive && now-n.since >= d.o.Forget {
			delete(d.nodes, name)
			changed = true
		}
	}
	return changed
}

func (p *suspectPeer) tick(step time.Duration, onTime bool) {
	switch {
	case !onTime:
		// A refusal or the end of a link is a fact; a dial that timed out while
		// the judge did not run is none.
		p.silence, p.failed = 0, p.refused
	case !p.heard:
		p.silence += step
	}
	if p.heard {
		p.heardTicks++
	}
	p.heard = false
	if p.gone && p.heardTicks >= goneTicks {
		p.dead, p.gone = false, false
	}
}

// Node returns the state of a node and, for the log, the reason; 0 for one
// that is not known.
func (d *Detector) Node(name string) (NodeState, string) {
	n := d.nodes[name]
	if n == nil {
		return 0, ""
	}
	return n.state, n.reason
}

// Peer returns the state of a process apart from that of its node, and the
// reason; Dead for one that is not announced.
func (d *Detector) Peer(id PeerID) (NodeState, string) {
	n := d.nodes[id.Node]
	if n == nil {
		return Dead, "unknown node"
	}
	p := n.peer(id.Worker, id.Incarnation)
	if p == nil {
		return Dead, "not announced"
	}
	return d.peerState(id.Node, n, p), p.reason
}

// Gone reports whether a process is dead because its link ended and dialling it
// was refused, and not because it is silent.
func (d *Detector) Gone(id PeerID) bool {
	n := d.nodes[id.Node]
	if n == nil {
		return false
	}
	p := n.peer(id.Worker, id.Incarnation)
	return p != nil && p.dead && p.gone
}
