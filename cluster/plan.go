package cluster

import (
	"slices"
	"strconv"

	"github.com/rookery-server/rookery/shard"
)

// plan is who holds what in one view, computed once.
type plan struct {
	view *View
	// hash is the same for peers that see the same peers alive, and for others
	// practically never.
	hash uint64
	// nodes are those that accept sessions, or all that serve if none does; rank
	// holds for each partition their numbers in its rendezvous order.
	nodes []*planNode
	rank  []uint8
	// draining are nodes that accept nothing and have not left. They hold copies
	// if no node but the home does.
	draining []*planNode
	// targets are the lists of links to which sessions at home here are copied,
	// each once; target names that of each partition.
	targets [][]*Link
	target  []uint16
	width   int  // of the longest list that there may be
	others  bool // other nodes are alive
	alone   bool // there is no other node, nor one that may come back
	lost    bool // a node is dead, or not found yet, that may have sessions nobody else has
	absent  bool // a process is dead only in that nobody hears it: it may be serving others
	same    bool // as the plan before: who holds what has not changed
}

type planNode struct {
	name     string
	self     bool
	draining bool
	workers  []planWorker
	best     []uint8 // for each partition which of several workers holds it
}

// planWorker is one process; link is nil for this one.
type planWorker struct {
	hash uint64
	link *Link
}

// newPlan computes the plan of a view; former is the one before, nil for none.
func newPlan(c *Core, v *View, former *plan) *plan {
	p := &plan{view: v, alone: true, lost: v == nil}
	if v == nil {
		p.nodes = []*planNode{{name: c.o.Self.Node, self: true, workers: []planWorker{{}}}}
	} else {
		p.read(c, v)
	}
	p.ranks(former)
	most := len(p.nodes) + len(p.draining)
	copies := c.o.Replicas - 1
	if c.o.Replicas < 0 || copies > most {
		copies = most
	}
	p.width = copies + 1
	if p.same = former != nil && p.width == former.width && slices.EqualFunc(p.nodes, former.nodes, sameNode) &&
		slices.EqualFunc(p.draining, former.draining, sameNode); p.same {
		p.targets, p.target = former.targets, former.target
		return p
	}
	p.target = make([]uint16, partitions)
	known := map[string]uint16{}
	targets, key := make([]*Link, 0, p.width), []byte(nil)
	for part := range uint16(partitions) {
		targets = p.aim(targets[:0], part, copies)
		key = appendNumbers(key[:0], targets)
		n, ok := known[string(key)]
		if !ok {
			n = uint16(len(p.targets))
			known[string(key)] = n
			p.targets = append(p.targets, slices.Clone(targets))
		}
		p.target[part] = n
	}
	return p
}

// ranks finds out in which order nodes hold partitions, and which worker of each.
// Where neither has changed that is known: views come several at a time when a
// process has died, and to compute this takes milliseconds then.
func (p *plan) ranks(former *plan) {
	for _, n := range append(slices.Clone(p.nodes), p.draining...) {
		n.bests(former)
	}
	if former != nil && slices.EqualFunc(p.nodes, former.nodes, func(a, b *planNode) bool { return a.name == b.name }) {
		p.rank = former.rank
		return
	}
	names := make([]uint64, len(p.nodes))
	for i, n := range p.nodes {
		names[i] = shard.NameHash(n.name)
	}
	p.rank = make([]uint8, partitions*len(names))
	order := make([]int, 0, len(names))
	for part := range uint16(partitions) {
		order = shard.Rank(order, part, names)
		at := p.rank[int(part)*len(names):][:len(names)]
		for i, n := range order {
			at[i] = uint8(n)
		}
	}
}

// bests sets best.
func (n *planNode) bests(former *plan) {
	if len(n.workers) < 2 {
		return
	}
	if former != nil {
		for _, old := range append(slices.Clone(former.nodes), former.draining...) {
			if slices.EqualFunc(n.workers, old.workers, func(a, b planWorker) bool { return a.hash == b.hash }) {
				n.best = old.best
				return
			}
		}
	}
	n.best = make([]uint8, partitions)
	for part := range uint16(partitions) {
		best := uint64(0)
		for i := range n.workers {
			if w := shard.Weight(part, n.workers[i].hash); i == 0 || w > best {
				best, n.best[part] = w, uint8(i)
			}
		}
	}
}

func sameNode(a, b *planNode) bool {
	return a.name == b.name && slices.Equal(a.workers, b.workers)
}

// read takes from the view who is alive.
func (p *plan) read(c *Core, v *View) {
	p.lost = v.Searching
	for _, peer := range v.Peers(nil) {
		p.hash = mix(p.hash ^ peer.Incarnation)
	}
	for i := range v.Nodes {
		n := &v.Nodes[i]
		self := n.Name == c.o.Self.Node
		p.others = p.others || !self && n.State.Serves()
		p.alone = p.alone && (self || n.State == Left)
		p.lost = p.lost || n.State == Dead || n.State == Suspect
		p.absent = p.absent || n.mayHave(func(w *WorkerInfo) bool { return !w.State.Serves() })
		if !n.State.Serves() || len(p.nodes) == maxNodes {
			continue
		}
		node := &planNode{name: n.Name, self: self, draining: n.Draining}
		for j := range n.Workers {
			w := &n.Workers[j]
			if !w.State.Serves() {
				continue
			}
			hash := shard.NameHash(n.Name + "/" + strconv.Itoa(int(w.Worker)))
			if w.Incarnation == c.o.Self.Incarnation {
				node.workers = append(node.workers, planWorker{hash: hash})
			} else {
				node.workers = append(node.workers, planWorker{hash, c.linkFor(n.peer(w))})
			}
		}
		switch {
		case len(node.workers) == 0:
		case node.draining:
			p.draining = append(p.draining, node)
		default:
			p.nodes = append(p.nodes, node)
		}
	}
	if len(p.nodes) == 0 { // somebody has to take over what is lost
		p.nodes, p.draining = p.draining, nil
	}
}

// tell sets what each link's peer is to hold and reports whether one of them has
// not got all of it. Those that have returned are brought everything again.
func (p *plan) tell(links, returned []*Link) (wanted bool) {
	if p.same && len(returned) == 0 {
		return false // they hold what they held
	}
	for _, l := range links {
		holds := func(part uint16) bool { return p.holds(l, part) }
		wanted = l.plan(holds, slices.Contains(returned, l)) > 0 || wanted
	}
	return wanted
}

// accepts reports whether sessions may be placed on a peer.
func (p *plan) accepts(l *Link) bool {
	return slices.ContainsFunc(p.nodes, func(n *planNode) bool {
		return !n.draining && slices.ContainsFunc(n.workers, func(w planWorker) bool { return w.link == l })
	})
}

// maxNodes is how many nodes hold copies; a rank is one byte.
const maxNodes = 255

// worker returns the link to the process of a node that holds a partition, nil
// for this process.
func (n *planNode) worker(part uint16) *Link {
	if n.best == nil {
		return n.workers[0].link
	}
	return n.workers[n.best[part]].link
}

// order returns the numbers of the nodes that hold a partition, the first first.
func (p *plan) order(part uint16) []uint8 { return p.rank[int(part)*len(p.nodes):][:len(p.nodes)] }

// aim appends the targets of a partition: copies on the first nodes that are not
// this one, and for who asks the first node, a pointer if that is this node and
// another worker is asked. A node that alone accepts sessions is covered by those
// that drain, until they leave.
func (p *plan) aim(targets []*Link, part uint16, copies int) []*Link {
	for i, n := range p.order(part) {
		node := p.nodes[n]
		switch l := node.worker(part); {
		case node.self && l != nil && i == 0:
			targets = append(targets, l)
		case !node.self && copies > 0:
			targets = append(targets, l)
			copies--
		}
		if len(targets) == p.width {
			break
		}
	}
	if len(p.nodes) == 1 && p.nodes[0].self {
		for _, node := range p.draining[:min(len(p.draining), copies)] {
			targets = append(targets, node.worker(part))
		}
	}
	return targets
}

// appendNumbers appends what names a list of targets. There are far fewer lists
// than partitions.
func appendNumbers(key []byte, targets []*Link) []byte {
	for _, l := range targets {
		key = le.AppendUint32(key, l.num)
	}
	return key
}

// of returns the links to which sessions of a partition at home here are copied.
func (p *plan) of(part uint16) []*Link { return p.targets[p.target[part]] }

// holds reports whether a peer is to hold copies of a partition.
func (p *plan) holds(l *Link, part uint16) bool { return slices.Contains(p.of(part), l) }

// first reports whether this process is asked first for a partition.
func (p *plan) first(part uint16) bool {
	order := p.order(part)
	if len(order) == 0 {
		return false
	}
	node := p.nodes[order[0]]
	return node.self && node.worker(part) == nil
}

// successor returns who takes over the sessions of a partition whose home was on
// a node that is lost, or on a lost worker of it: the holder of the first copy.
// here says that it is this process; a nil link without here, that there is none.
func (p *plan) successor(part uint16, lost string) (l *Link, here bool) {
	for _, n := range p.order(part) {
		if node := p.nodes[n]; node.name != lost {
			l = node.worker(part)
			return l, l == nil
		}
	}
	return nil, false
}

// successorAfter is successor when those up to a peer have said that they have
// no copy: the next holder is asked. So all who have one agree on who takes it.
// here is true as well if there is none left: who asks has one.
func (p *plan) successorAfter(part uint16, lost string, after *Link) (l *Link, here bool) {
	passed := false
	for _, n := range p.order(part) {
		node := p.nodes[n]
		if l := node.worker(part); passed && node.name != lost {
			return l, l == nil
		} else if l == after {
			passed = true
		}
	}
	return nil, true
}

// mix is the finalizer of SplitMix64.
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
