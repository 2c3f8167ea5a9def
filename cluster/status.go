package cluster

import (
	"errors"
	"sync/atomic"
	"time"
)

var errMoving = errors.New("cluster: sessions are being moved away already")

// counters count what a Core did; all only grow.
type counters struct {
	takeovers, fenced, merged, moved, arrived atomic.Uint64
	forwarded, unavailable                    atomic.Uint64
	published, notHeld, congested, refused    atomic.Uint64
	replayed, badPublications                 atomic.Uint64
	filled, refills, repaired, collected      atomic.Uint64
	refusedCopies, lostReplies, lostMerges    atomic.Uint64
	lapses, forgotten, stalls                 atomic.Uint64
	fetchesRefused                            atomic.Uint64

	observe atomic.Pointer[func(time.Duration)]
}

func (c *counters) ackSeconds(d time.Duration) {
	if f := c.observe.Load(); f != nil {
		(*f)(d)
	}
}

// Stats is what a Core did so far.
type Stats struct {
	Takeovers   uint64 `json:"takeovers"`   // sessions whose home was lost and that live here since
	Fenced      uint64 `json:"fenced"`      // sessions of which we were home with an old epoch
	Lapses      uint64 `json:"lapses"`      // times the process did not run for so long that its streams were ended
	Merged      uint64 `json:"merged"`      // events that came from the other side of a split
	HandedOver  uint64 `json:"handed_over"` // sessions that went to another home
	Arrived     uint64 `json:"arrived"`     // sessions that came from one
	Forwarded   uint64 `json:"forwarded"`   // requests for sessions at home elsewhere
	Unavailable uint64 `json:"unavailable"` // of those, the ones answered with 503
	Published   uint64 `json:"published"`
	NotHeld     uint64 `json:"not_held"`  // publications and notifications that copies did not have in time
	Congested   uint64 `json:"congested"` // that had to wait for room
	Refused     uint64 `json:"refused"`   // that came again, because peers saw others alive
	Replayed    uint64 `json:"replayed"`  // brought to sessions that had just come
	Malformed   uint64 `json:"malformed"` // publications that the store did not understand
	Forgotten   uint64 `json:"forgotten"` // links that began anew because one end had forgotten the other
	Stalled     uint64 `json:"stalled"`   // links that took nothing for so long that clients were not kept waiting any more
	Filled      uint64 `json:"filled"`    // sessions sent to those who are to hold them
	Refills     uint64 `json:"refills"`   // partitions that were to be filled again for want of room
	Repaired    uint64 `json:"repaired"`  // partitions whose copies differed
	Collected   uint64 `json:"collected"` // copies that nobody kept
	NoRoom      uint64 `json:"no_room"`   // copies, replies, events and fetches refused because a table or a link was full
}

// Stats returns a snapshot.
func (c *Core) Stats() Stats {
	n := &c.count
	return Stats{
		Takeovers: n.takeovers.Load(), Fenced: n.fenced.Load(), Lapses: n.lapses.Load(), Merged: n.merged.Load(),
		HandedOver: n.moved.Load(), Arrived: n.arrived.Load(),
		Forwarded: n.forwarded.Load(), Unavailable: n.unavailable.Load(),
		Published: n.published.Load(), NotHeld: n.notHeld.Load(), Congested: n.congested.Load(),
		Refused: n.refused.Load(), Replayed: n.replayed.Load(), Malformed: n.badPublications.Load(),
		Forgotten: n.forgotten.Load(), Stalled: n.stalls.Load(), Filled: n.filled.Load(), Refills: n.refills.Load(), Repaired: n.repaired.Load(), Collected: n.collected.Load(),
		NoRoom: n.fetchesRefused.Load() + n.refusedCopies.Load() + n.lostReplies.Load() + n.lostMerges.Load(),
	}
}

// ObserveAcks has f called with the time from the end of each publication's
// spreading here until all copies had it. f must not block.
func (c *Core) ObserveAcks(f func(time.Duration)) { c.count.observe.Store(&f) }
