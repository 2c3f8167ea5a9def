package server

import (
	"crypto/rand"
	"encoding/binary"
	"strconv"
	"sync/atomic"

	"github.com/rookery-server/rookery/cluster"
	"github.com/rookery-server/rookery/session"
	"github.com/rookery-server/rookery/shard"
)

// idDrawer draws the ids of sessions that begin here. Their first two bytes tell
// balancers of this node (shard.Tag), and their partition is one that this very
// process holds first: then whoever looks for the session by its partition finds
// it at its home. 112 bits are from crypto/rand, less the few that it takes to
// find such a partition.
type idDrawer struct {
	self   cluster.PeerID
	view   func() *cluster.View
	latest atomic.Pointer[idRanks]
}

// idRanks is who holds partitions in one view.
type idRanks struct {
	view    *cluster.View
	nodes   []uint64 // hashes of names
	self    int      // index of this node, -1 if it takes no sessions
	workers []uint64 // hashes of this node's processes
	worker  int
}

// idTries is how many partitions are looked at for one id: of 16 processes one
// finds one of its own with a probability of 1 - 10^-7.
const idTries = 256

func (d *idDrawer) draw() (id session.ID) {
	_, _ = rand.Read(id[:]) // never fails
	binary.BigEndian.PutUint16(id[:], shard.Tag(d.self.Node))
	r := d.ranks()
	if r == nil || r.self < 0 {
		return id
	}
	first := id[15]
	for range idTries {
		if r.first(shard.PartitionOf(shard.Key(id))) {
			return id
		}
		id[15]++
	}
	id[15] = first
	return id
}

// first reports whether this process holds a partition first.
func (r *idRanks) first(part uint16) bool {
	var room [64]int
	return shard.Rank(room[:0], part, r.nodes)[0] == r.self &&
		(len(r.workers) < 2 || shard.Rank(room[:0], part, r.workers)[0] == r.worker)
}

// ranks returns what the latest view says.
func (d *idDrawer) ranks() *idRanks {
	v := d.view()
	if v == nil {
		return nil
	}
	if r := d.latest.Load(); r != nil && r.view == v {
		return r
	}
	r := &idRanks{view: v, self: -1}
	for i := range v.Nodes {
		n := &v.Nodes[i]
		if !n.Accepts() {
			continue
		}
		if n.Name == d.self.Node {
			r.self = len(r.nodes)
			r.addWorkers(n, d.self)
		}
		r.nodes = append(r.nodes, shard.NameHash(n.Name))
	}
	d.latest.Store(r)
	return r
}

func (r *idRanks) addWorkers(n *cluster.Node, self cluster.PeerID) {
	for i := range n.Workers {
		w := &n.Workers[i]
		if !w.State.Serves() {
			continue
		}
		if w.Incarnation == self.Incarnation {
			r.worker = len(r.workers)
		}
		r.workers = append(r.workers, shard.NameHash(n.Name+"/"+strconv.Itoa(int(w.Worker))))
	}
}
