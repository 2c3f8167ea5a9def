package cluster

import (
	"encoding/binary"

	"github.com/rookery-server/rookery/shard"
)

// This file is what the store tells of sessions at home here: each change goes
// to every copy. The methods never block and take only leaf locks, so that the
// store may call them inside its own; that keeps changes of one kind in the
// order in which they were made.

// Opened says that a session is at home here from now on. It sends all of it to
// those who are to hold copies.
func (c *Core) Opened(ref uint64) {
	s, ok := c.o.Store.Load(ref)
	if !ok || s.Home != 0 {
		return
	}
	part := shard.PartitionOf(shard.Key(s.ID))
	if targets := c.plan.Load().of(part); len(targets) > 0 {
		c.o.Store.Export(ref, func(full *Snapshot) {
			if full.Home != 0 {
				return // it has left since: in its epoch another one is home
			}
			for _, l := range targets {
				l.change(part, func(b []byte, bodies *bodyOut) []byte { return l.appendOpen(b, ref, full, bodies) })
			}
		})
	}
}

// appendOpen appends kindOpen of a session, stripped for a worker of this node.
func (l *Link) appendOpen(b []byte, ref uint64, s *Snapshot, bodies *bodyOut) []byte {
	b = appendHandle(b, kindOpen, ref)
	if l.sameNode() {
		return appendSnapshot(append(b, 1), &Snapshot{Session: s.Session, Client: s.Client}, bodies)
	}
	return appendSnapshot(append(b, 0), s, bodies)
}

func (l *Link) sameNode() bool { return l.peer.Node == l.core.o.Self.Node }

func appendHandle(b []byte, kind byte, ref uint64) []byte {
	return binary.AppendUvarint(append(b, kind), uint64(uint32(ref)))
}

// Changed says that State of a session changed.
func (c *Core) Changed(ref uint64) {
	c.tell(ref, func(state uint64, b []byte, _ *bodyOut) []byte {
		return binary.LittleEndian.AppendUint64(appendHandle(b, kindState, ref), state)
	})
}

// Subscribed says that a session subscribed to a topic, or no longer is.
func (c *Core) Subscribed(ref uint64, topic string, on bool) {
	c.tell(ref, func(_ uint64, b []byte, _ *bodyOut) []byte {
		b = appendHandle(b, kindTopic, ref)
		if on {
			b = append(b, 1)
		} else {
			b = append(b, 0)
		}
		return appendBytes(b, topic)
	})
}

// tell sends a change to the copies on other nodes. build is given State.
func (c *Core) tell(ref uint64, build func(state uint64, b []byte, bodies *bodyOut) []byte) {
	s, ok := c.o.Store.Load(ref)
	if !ok || s.Home != 0 {
		return
	}
	part := shard.PartitionOf(shard.Key(s.ID))
	for _, l := range c.plan.Load().of(part) {
		if !l.sameNode() {
			l.change(part, func(b []byte, bodies *bodyOut) []byte { return build(s.State, b, bodies) })
		}
	}
}

// Ended says that a session that was at home here has ended.
func (c *Core) Ended(ref uint64, id ID) {
	part := shard.PartitionOf(shard.Key(id))
	for _, l := range c.plan.Load().of(part) {
		l.change(part, func(b []byte, _ *bodyOut) []byte {
			return append(appendHandle(b, kindClose, ref), id[:]...)
		})
	}
}
