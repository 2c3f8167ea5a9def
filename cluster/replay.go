package cluster

import "time"

// This file remembers what was spread here for sessions that come from
// elsewhere.

// Bounds of the ring. At either the oldest publications are forgotten: a session
// whose former home had not seen them stays there (covers).
const (
	ringMax      = 1024
	ringBytesMax = 4 << 20
)

// replayed is a publication that was spread here.
type replayed struct {
	publication
	origin  Origin
	payload []byte
	at      time.Duration
}

// remember keeps a publication for sessions that come.
func (s *spreading) remember(in *incoming, now time.Duration) {
	if _, there := s.inRing[in.origin]; there {
		return // it came again
	}
	name := publication{in.inc, in.number}
	s.ring = append(s.ring, replayed{name, in.origin, in.payload, now})
	s.inRing[in.origin] = name
	s.ringSize += len(in.payload)
	drop := 0
	for len(s.ring)-drop > ringMax || s.ringSize > ringBytesMax && drop < len(s.ring)-1 {
		s.ringSize -= len(s.ring[drop].payload)
		delete(s.inRing, s.ring[drop].origin)
		s.ring[drop] = replayed{}
		drop++
	}
	s.ring = s.ring[drop:]
}

// replay brings a session that has just come what was spread here before it
// came and not there. seen is what its former home had spread. Of a publisher of
// which that had heard nothing, and with nil of all, everything of the last
// seconds, and all that was not through, is offered that is behind what the
// session's log has of it: homes spread in the order of the publisher. ok is
// false if too much has happened meanwhile.
func (s *spreading) replay(c *Core, ref uint64, seen map[uint64]uint64) (ok bool) {
	if !s.covers(seen) {
		return false
	}
	s.offer(c, ref, seen, c.o.Now()-replayAge)
	return true
}

// replayMissed brings a session that nobody was home of all that was spread here
// meanwhile: others have acknowledged that. Nobody knows since when that is. It
// had a home when the latest event of its log was spread here, and is found
// within homelessMax.
func (s *spreading) replayMissed(c *Core, ref uint64) {
	since := c.o.Now() - homelessMax
	log := map[Origin]bool{}
	c.o.Store.Export(ref, func(full *Snapshot) {
		for i := range full.Log.Events {
			log[full.Log.Events[i].Origin] = true
		}
	})
	for i := len(s.ring) - 1; i >= 0; i-- {
		if log[s.ring[i].origin] {
			since = max(since, s.ring[i].at-replayAge)
			break
		}
	}
	s.offer(c, ref, nil, since)
}

// offer brings a session what the ring has and its home had not, by seen: of who
// is not in it what was spread here since then, and all that was not through, if
// it is behind what the log has of that publisher. Where seen knows better the
// log would mislead: what was published again with its key may be there from the
// first time, and stands in the ring behind what came in between.
func (s *spreading) offer(c *Core, ref uint64, seen map[uint64]uint64, since time.Duration) {
	var had map[uint64]uint64
	for i := range s.ring {
		e := &s.ring[i]
		there, known := seen[e.inc]
		if known && e.number <= there || !known && e.at < since && e.number < s.base[e.inc] {
			continue
		}
		if !known { // else what its home had is known, not guessed
			if had == nil {
				had = s.had(c, ref)
			}
			if e.number <= had[e.inc] {
				continue
			}
		}
		if c.o.Store.SpreadTo(ref, e.payload, e.origin, true) == nil {
			c.late.add(ref)
			c.count.replayed.Add(1)
		}
	}
}

// had returns, for each publisher, the latest of its publications in a session's
// log, as far as they are in the ring.
func (s *spreading) had(c *Core, ref uint64) map[uint64]uint64 {
	had := make(map[uint64]uint64)
	c.o.Store.Export(ref, func(full *Snapshot) {
		for i := range full.Log.Events {
			if p, ok := s.inRing[full.Log.Events[i].Origin]; ok {
				had[p.inc] = max(had[p.inc], p.number)
			}
		}
	})
	return had
}

const (
	// replayAge is longer than it takes to notice that a peer is dead.
	replayAge = 2 * time.Second
	// homelessMax is longer than it takes to notice that nobody is home of a
	// session: three comparisons of copies, if all that is faster fails.
	homelessMax = time.Minute
)

// covers reports whether the ring has everything that was spread here and not
// there, of publishers of which was heard there.
func (s *spreading) covers(seen map[uint64]uint64) bool {
	oldest := map[uint64]uint64{}
	for i := range s.ring {
		e := &s.ring[i]
		if _, ok := oldest[e.inc]; !ok {
			oldest[e.inc] = e.number
		}
	}
	for inc, there := range seen {
		if there < s.seen[inc] && (oldest[inc] == 0 || oldest[inc] > there+1) {
			return false
		}
	}
	return true
}
