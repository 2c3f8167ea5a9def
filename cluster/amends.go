package cluster

import (
	"math"
	"slices"
	"sync/atomic"
	"time"

	"github.com/rookery-server/rookery/batch"
)

// amends are what peers have to say to each other when they meet again. One that
// was dead in our view may have served sessions that were taken over meanwhile:
// until it has brought their events to their homes, a client that comes from
// there cannot be told what it has had. So it says when it has. It says so to who
// has greeted it, when everybody has told it which sessions they took over, and
// the homes and their copies have what it had more. Until then a client that names
// an event which its session's home lacks waits, see Gathering, and so do
// publications, see heldBack: for gatherMax at most once the peer has greeted us,
// and for owedMax since it is alive in our view. On a machine with far too much to
// do a link comes up seconds after gossip has told of the peer.
type amends struct {
	owed atomic.Int64 // until when any peer owes us that

	asked []amend       // guarded by Core.mu; who waits for us to say so
	look  time.Duration // when they are looked at again; Step uses it
}

// owedMax is less than publications wait for their copies.
const owedMax = 4 * time.Second

// amend is a peer that has greeted us.
type amend struct {
	to   *Link
	told bool   // everybody has greeted us since
	last uint64 // number of the latest merge then
	// by is until when it waits for us: its view may have us alive before ours has it.
	by time.Duration
}

// returns notes until when a peer that has returned may owe us something, 0: it
// does not. Step calls it.
func (a *amends) returns(l *Link, until time.Duration) {
	l.owes.Store(int64(until))
	a.owed.Store(max(a.owed.Load(), int64(until)))
}

// owing reports whether any peer has something to bring still.
func (c *Core) owing() bool {
	now := int64(c.o.Now())
	if now >= c.amends.owed.Load() {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.ContainsFunc(c.links, func(l *Link) bool { return now < l.owes.Load() })
}

// greeted notes that a peer greets us: what it took over it has said before. Step
// calls it.
func (a *amends) greeted(c *Core, l *Link) {
	c.mu.Lock()
	defer c.mu.Unlock()
	a.asked = slices.DeleteFunc(a.asked, func(m amend) bool { return m.to == l })
	a.asked = append(a.asked, amend{to: l, by: c.o.Now() + gatherMax})
}

// step tells those who wait that there is nothing more.
func (a *amends) step(c *Core, now time.Duration) {
	if now < a.look || c.spread.greetings.missing(now) {
		return
	}
	a.look = now + lookEvery
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(a.asked) == 0 {
		return
	}
	oldest := uint64(math.MaxUint64)
	for n := range c.merging.m {
		oldest = min(oldest, n)
	}
	left := a.asked[:0]
	for _, m := range a.asked {
		switch alive := m.to.alive.Load(); {
		case !alive && now < m.by:
			left = append(left, m)
			continue
		case !alive:
			continue
		case !m.told:
			m.told, m.last = true, c.merging.last
		}
		if oldest <= m.last || m.to.must(batch.Data, nothingMore) != nil {
			left = append(left, m)
		}
	}
	a.asked = left
}

// nothingMore is a merge of no events into no session.
var nothingMore = append([]byte{kindMerge, 0}, make([]byte, len(ID{})+1)...)
