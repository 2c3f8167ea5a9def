package cluster

import "encoding/binary"

// This file is how those hear of a node's leave who missed it. Memberlist takes no
// word of one that it holds for dead, so a member that starved for the moment in
// which a node said that it leaves, and found it dead, would wait for its return
// for as long as the dead are known. With each exchange of whole states members
// tell each other which processes have left; of one of them that is dead that is
// the better word.
//
//	version 1 | count × (name 1+n, incarnation 8)

const (
	leftVersion = 1
	leftMax     = 64 // nodes told in one exchange, any of them
)

// leftState is what this node tells of those that have left. Memberlist calls it
// with none of its locks.
func (m *Members) leftState() []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	b, count := []byte{leftVersion}, 0
	for name, n := range m.nodes {
		if n.state == Left && count < leftMax {
			b = append(append(b, byte(len(name))), name...)
			b = binary.BigEndian.AppendUint64(b, n.meta.incarnation)
			count++
		}
	}
	return b
}

// takeLeft takes what another node tells. Of a node that has returned since, or
// that gossip holds for alive, nothing is believed: its own word comes.
func (m *Members) takeLeft(p []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	changed := false
	eachLeft(p, func(name string, incarnation uint64) {
		n := m.nodes[name]
		if n == nil || n.alive || n.meta.leaving || n.meta.incarnation != incarnation {
			return
		}
		n.meta.leaving = true
		m.det.Gossip(name, GossipLeft, n.meta.workers)
		changed = true
	})
	if changed {
		m.publish()
	}
}

// eachLeft calls f for each node that p tells of. What is of another version says
// nothing, nor does what is cut short from there on.
func eachLeft(p []byte, f func(name string, incarnation uint64)) {
	if len(p) == 0 || p[0] != leftVersion {
		return
	}
	for r := (reader{left: p[1:]}); ; {
		name, incarnation := r.short(), r.take(8)
		if r.bad {
			return
		}
		f(name, binary.BigEndian.Uint64(incarnation))
	}
}
