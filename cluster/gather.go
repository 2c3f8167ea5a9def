package cluster

import (
	"maps"
	"sync"
	"time"
)

// gathering are the sessions that this peer has taken over from a home that is
// lost. Other copies may bring events that this one lacks, for a moment: those
// that the home could tell them and not us. A client that has heard one of them
// names it, and waits until then: before, the same event would come to it once
// more, under another number.
//
// If what is lost may only be cut off, its clients hear of it still, and of others
// there. One that comes from there, and names what is not here, comes perhaps
// because the network is well again, and nobody here has noticed. It waits too, for
// those to come who know what it has heard: see amends.
//
// It is bounded by the sessions here, 52 to 82 B each with what a map needs, and in
// time by gatherMax, or by how long such a peer is away.
type gathering struct {
	mu sync.Mutex
	m  map[uint64]gathered // guarded by mu; by ref

	// Used by Step only.
	begun  []uint64 // since the last step
	rounds []gatherRound
	told   bool // some are, see gathered
}

// gathered is a session that was taken over.
type gathered struct {
	last  uint32        // number of the last event that was known
	told  bool          // other copies have brought what they have
	named uint32        // what its client has named since, and nobody has brought
	since time.Duration // when first
}

// gatherRound is some sessions taken over together.
type gatherRound struct {
	refs  []uint64
	marks []linkMark
	stage gatherStage
	until time.Duration // in the last stage
	by    time.Duration
}

type gatherStage uint8

const (
	gatherOpened gatherStage = iota // who is to have copies hears of the new home
	gatherTold                      // so do those whose copies are not kept: see announce
	gatherWaits                     // all have sent what they have more
)

const (
	// gatherMax is how long a session is waited for at most: as long as a client
	// may have to wait for its home.
	gatherMax = 1500 * time.Millisecond
	// gatherGrace is for what peers have sent with their acknowledgement, and
	// behind it.
	gatherGrace = 100 * time.Millisecond
)

// begin adds a session whose log is still that of the lost home. Step runs it.
func (g *gathering) begin(c *Core, ref uint64) {
	last := c.o.Store.Latest(ref)
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.m == nil {
		g.m = map[uint64]gathered{}
	}
	g.m[ref] = gathered{last: last}
	g.begun = append(g.begun, ref)
}

// Gathering reports whether an event with that number, of a session that was
// taken over and whose log here does not have it, may still come: from another
// copy, a moment after the takeover, or from a peer that has returned, or is about
// to. Of one that has been named for gatherMax in vain nothing is expected.
func (c *Core) Gathering(ref uint64, seq uint32) bool {
	return c.gather.expects(ref, seq, c.o.Now()) || c.owing()
}

func (g *gathering) expects(ref uint64, seq uint32, now time.Duration) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	s, ok := g.m[ref]
	switch {
	case !ok || seq <= s.last:
		return false
	case !s.told:
		return true
	case s.named != seq: // it has heard more there since it was here
		s.named, s.since = seq, now
		g.m[ref] = s
	}
	return now-s.since < gatherMax
}

func (g *gathering) step(c *Core, now time.Duration) {
	if len(g.begun) > 0 {
		g.rounds = append(g.rounds, gatherRound{refs: g.begun, marks: c.marks(), by: now + gatherMax})
		g.begun = nil
	}
	left, absent := g.rounds[:0], c.plan.Load().absent
	for i := range g.rounds {
		if r := &g.rounds[i]; r.step(c, now) {
			g.end(r, absent)
		} else {
			left = append(left, *r)
		}
	}
	clear(g.rounds[len(left):])
	g.rounds = left
	if g.told && !absent {
		g.forget()
	}
}

// step reports whether nothing more is to come.
func (r *gatherRound) step(c *Core, now time.Duration) (over bool) {
	switch {
	case now >= r.by:
		return true
	case r.stage == gatherWaits:
		return now >= r.until
	case !reached(r.marks):
		return false
	case r.stage == gatherOpened:
		r.stage, r.marks = gatherTold, c.marks()
	default:
		r.stage, r.until = gatherWaits, now+gatherGrace
	}
	return false
}

// end is for sessions of which no other copy brings more. If nobody is away that
// could, they are forgotten here: to go through all of them with each round would
// take longer than the takeover.
func (g *gathering) end(r *gatherRound, absent bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, ref := range r.refs {
		if s, ok := g.m[ref]; ok && absent {
			s.told, g.told = true, true
			g.m[ref] = s
		} else {
			delete(g.m, ref)
		}
	}
	if len(g.m) == 0 {
		g.m = nil
	}
}

// forget forgets those of which only a peer that is away could bring more.
func (g *gathering) forget() {
	g.mu.Lock()
	defer g.mu.Unlock()
	maps.DeleteFunc(g.m, func(_ uint64, s gathered) bool { return s.told })
	if len(g.m) == 0 {
		g.m = nil
	}
	g.told = false
}
