package cluster

import (
	"sync"
	"time"
)

// gathering are the sessions that this peer has taken over from a home that is
// lost, for as long as other copies may bring events that this one lacks: those
// that the home could tell them and not us. A client that has heard one of them
// names it, and waits until then: before, the same event would come to it once
// more, under another number.
//
// It is bounded by the sessions here, and in time by gatherMax.
type gathering struct {
	mu   sync.Mutex
	last map[uint64]uint32 // guarded by mu; by ref: the number of the last event that was known

	// Used by Step only.
	begun  []uint64 // since the last step
	rounds []gatherRound
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
	if g.last == nil {
		g.last = map[uint64]uint32{}
	}
	g.last[ref] = last
	g.begun = append(g.begun, ref)
}

// Gathering reports whether an event with that number, of a session that was
// taken over and whose log here does not have it, may still come: from another
// copy, a moment after the takeover, or from a peer that has returned.
func (c *Core) Gathering(ref uint64, seq uint32) bool {
	g := &c.gather
	g.mu.Lock()
	last, ok := g.last[ref]
	g.mu.Unlock()
	return ok && seq > last || c.owing()
}

func (g *gathering) step(c *Core, now time.Duration) {
	if len(g.begun) > 0 {
		g.rounds = append(g.rounds, gatherRound{refs: g.begun, marks: c.marks(), by: now + gatherMax})
		g.begun = nil
	}
	left := g.rounds[:0]
	for i := range g.rounds {
		if r := &g.rounds[i]; r.step(c, now) {
			g.end(r)
		} else {
			left = append(left, *r)
		}
	}
	clear(g.rounds[len(left):])
	g.rounds = left
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

func (g *gathering) end(r *gatherRound) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, ref := range r.refs {
		delete(g.last, ref)
	}
	if len(g.last) == 0 {
		g.last = nil
	}
}
