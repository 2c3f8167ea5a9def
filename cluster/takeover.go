package cluster

import (
	"cmp"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"github.com/rookery-server/rookery/batch"
	"github.com/rookery-server/rookery/shard"
)

// takeover finds the sessions whose home is lost and makes their first copy
// their home.
type takeover struct {
	on      atomic.Bool   // others read it
	doubt   atomic.Bool   // a copy here may have a home that is not alive, and no pass has seen it
	doubted time.Duration // when there was no doubt
	// A home that speaks to us though it is dead in our view is likely to be
	// alive in the next one: a pass leaves its sessions, unless it is impatient.
	impatient, left bool
	at              uint32
	orphans         map[*Link][]ID
	// open are the sessions that another peer was asked to take, until we hear
	// where their home is: what is spread now passes them by.
	open []ID
	look time.Duration // when they are looked at again
}

// orphanAgain is how long the answer of who was asked to take a session may take
// before somebody is asked once more.
const orphanAgain = 50 * time.Millisecond

// begin starts a pass, from the start if one runs: the view has changed.
func (t *takeover) begin(died bool) {
	if died || t.on.Load() || t.doubt.Load() {
		t.on.Store(true)
		t.at, t.orphans, t.open, t.left = 0, nil, nil, false
	}
}

// unsettled reports whether sessions may be here without a home that is alive:
// what is spread now may pass them by.
func (t *takeover) unsettled() bool { return t.on.Load() || t.doubt.Load() || len(t.open) > 0 }

// homeIs notes that a copy here has a home now.
func (c *Core) homeIs(l *Link) {
	if !l.alive.Load() {
		l.spoke.Store(true)
		c.taking.doubt.Store(true) // the next view has it alive, or a pass takes over
	}
}

// again has Step begin a pass if none runs.
func (t *takeover) again() {
	if !t.on.Load() {
		t.begin(true)
	}
}

// doubtMax is how long a home that speaks to us may be dead in our view.
const doubtMax = time.Second

const takeoverStep = 1024 // sessions looked at in one step

// step looks at some sessions and reports whether there are more.
func (t *takeover) step(c *Core, now time.Duration) bool {
	switch {
	case !t.doubt.Load():
		t.doubted = now
	case now-t.doubted > doubtMax && !t.on.Load():
		t.begin(true)
		t.impatient = true
	}
	if !t.on.Load() {
		t.lookAgain(c, now)
		return false
	}
	t.look = now + orphanAgain
	p, n, full := c.plan.Load(), 0, false
	c.o.Store.Range(t.at, func(ref uint64, s Session) bool {
		if n++; n > takeoverStep {
			full = true
			t.at = uint32(ref)
			return false
		}
		t.see(c, p, ref, &s)
		return true
	})
	if full {
		return true
	}
	t.on.Store(false)
	t.doubt.Store(t.left)
	t.impatient, t.left = false, false
	t.sendOrphans(c)
	return false
}

// lookAgain asks once more for the sessions that nobody seems to have taken: the
// one that was asked may not have known then that their home is lost.
func (t *takeover) lookAgain(c *Core, now time.Duration) {
	if len(t.open) == 0 || now < t.look {
		return
	}
	t.look = now + orphanAgain
	p, open := c.plan.Load(), t.open
	t.open = nil
	for _, id := range open {
		if ref, ok := c.o.Store.Find(id); ok {
			if s, ok := c.o.Store.Load(ref); ok {
				t.see(c, p, ref, &s)
			}
		}
	}
	if t.left {
		t.left = false
		t.doubt.Store(true)
	}
	t.sendOrphans(c)
}

func (t *takeover) see(c *Core, p *plan, ref uint64, s *Session) {
	l := c.link(s.home())
	if l == nil || l.alive.Load() {
		return
	}
	if l.spoke.Load() && !t.impatient {
		t.left = true
		return
	}
	part := shard.PartitionOf(shard.Key(s.ID))
	next, here := p.successor(part, l.peer.Node)
	switch {
	case here && s.isPointer():
		c.forget(ref, *s) // those who have a copy ask whether we have one, and take it themselves
	case here:
		c.take(ref, s.ID)
	case next != nil:
		if t.orphans == nil {
			t.orphans = map[*Link][]ID{}
		}
		t.orphans[next] = append(t.orphans[next], s.ID)
	case p.alone: // it was on a worker of this node, of which no other has copies
		c.forget(ref, *s)
	}
}

// takeoverEpoch returns the epoch of who takes over from a home of that epoch
// without its help. It is higher than any number of moves makes it that the lost
// home and those on its side of a split may see meanwhile: the numbers of events
// begin a new range with each takeover, and who has the highest must win.
//
// place is the place of the node that takes over. On two sides of a split two
// nodes may take over from the same home; their epochs, and with them the ranges
// of the numbers that they draw, must not be the same: a client that heard one
// of them and comes to the other would be taken to have heard that.
func takeoverEpoch(epoch uint32, place int) uint32 {
	round := epoch>>movesBits>>placeBits + 1
	return (round<<placeBits | uint32(place)&(1<<placeBits-1)) << movesBits
}

const (
	// movesBits is how many bits of an epoch count the moves since the last
	// takeover; more of them count as a takeover.
	movesBits = 16
	// placeBits is how many bits say who took over. Of ten bits of a number that
	// leaves seven for how often.
	placeBits = 3
)

// take makes this peer the home of a copy whose home is lost. Step runs it.
func (c *Core) take(ref uint64, id ID) {
	defer c.locked(id).Unlock()
	s, ok := c.o.Store.Load(ref)
	if !ok || s.Home == 0 || s.isPointer() || c.link(s.Home).alive.Load() {
		return
	}
	c.seize(ref, c.link(s.Home), &s, false)
	c.settled(id, s.Epoch)
}

// seize makes this peer home of a copy without the former home's help. homeless
// says that there has been none for nobody knows how long. The ID is locked.
func (c *Core) seize(ref uint64, former *Link, s *Session, homeless bool) {
	epoch := takeoverEpoch(s.Epoch, c.place())
	c.gather.begin(c, ref)
	if !c.o.Store.Promote(ref, epoch, true) {
		return
	}
	c.count.takeovers.Add(1)
	// Should it return, it hears this before anything else.
	c.stale(former, &Session{ID: s.ID, Epoch: epoch})
	c.Opened(ref)
	c.merging.comeHome(c, s.ID, ref)
	if homeless {
		c.spread.replayMissed(c, ref)
	} else {
		c.spread.replay(c, ref, nil)
	}
	c.tidy.announceLater(c, ref, nil)
}

// sendOrphans asks those who are to take sessions whether they have them.
func (t *takeover) sendOrphans(c *Core) {
	for _, l := range sortedLinks(t.orphans) {
		t.open = append(t.open, t.orphans[l]...)
		if !c.sendOrphans(l, orphanTake, t.orphans[l]) {
			t.on.Store(true) // once more, when there is room
			t.at, t.open = 0, nil
			return
		}
	}
	t.orphans = nil
}

func (c *Core) sendOrphans(l *Link, mode byte, all []ID) bool {
	for ids := range slices.Chunk(all, orphanIDs) {
		if l.must(batch.Data, appendOrphans(mode, ids)) != nil {
			return false
		}
	}
	return true
}

// sortedLinks returns the links of which something is known, by number.
func sortedLinks[T any](m map[*Link]T) []*Link {
	return slices.SortedFunc(maps.Keys(m), func(a, b *Link) int { return cmp.Compare(a.num, b.num) })
}

const orphanIDs = 512 // in a message

// What kindOrphan wants.
const (
	orphanTake = iota // take it if you have it
	orphanKeep        // I have none: take it yourself
	orphanLeft        // you are its home by what I have, and do not keep it here
	orphanGone        // I know nothing of it: forget it
)

func appendOrphans(mode byte, ids []ID) []byte {
	b := []byte{kindOrphan, mode}
	for i := range ids {
		b = append(b, ids[i][:]...)
	}
	return b
}

// orphaned is a session that this peer is to take over.
type orphaned struct {
	ref uint64
	id  ID
}

// aliveOrDoubted reports whether a home is alive, or has spoken to us since it
// was dead in our view: no pass takes its sessions either, until one is impatient.
func (c *Core) aliveOrDoubted(home *Link) bool {
	return home.alive.Load() || home.spoke.Load() && c.taking.doubt.Load()
}

func (in *inbound) orphan(r *reader, _ batch.Lane) error {
	mode := r.uint8()
	switch {
	case mode > orphanGone:
		return errMalformed
	case mode >= orphanLeft:
		return in.leftover(r, mode)
	}
	var back []ID
	var mine []orphaned
	further := map[*Link][]ID{}
	c := in.l.core
	for len(r.left) > 0 && !r.bad {
		id := r.id()
		ref, ok := c.o.Store.Find(id)
		s, there := c.o.Store.Load(ref)
		switch {
		case r.bad:
		case ok && there && s.Home == 0:
			c.stale(in.l, &s)
		case mode == orphanTake && ok && there && s.home() == in.l.num:
			back = append(back, id) // it handed it over to one that is lost
		case ok && there && c.aliveOrDoubted(c.link(s.home())):
			c.stale(in.l, &s) // it is at home there
		case ok && there && mode == orphanKeep && s.isPointer():
			c.o.Store.Remove(ref) // nobody knows more of it
		case ok && there && !s.isPointer():
			next, here := (*Link)(nil), true
			if mode == orphanKeep {
				next, here = c.plan.Load().successorAfter(partitionOf(id), c.link(s.home()).peer.Node, in.l)
			}
			if here {
				mine = append(mine, orphaned{ref, id})
			} else {
				further[next] = append(further[next], id)
			}
		case mode == orphanTake:
			back = append(back, id)
		}
	}
	if err := r.end(); err != nil {
		return err
	}
	if len(mine) > 0 {
		in.later(func() {
			for _, o := range mine {
				c.take(o.ref, o.id) // not if its home is alive, or this is it
			}
		})
	}
	for _, l := range sortedLinks(further) {
		if l.must(batch.Data, appendOrphans(orphanTake, further[l])) != nil {
			c.count.lostReplies.Add(1)
		}
	}
	if len(back) > 0 && in.l.must(batch.Data, appendOrphans(orphanKeep, back)) != nil {
		c.count.lostReplies.Add(1) // they stay copies until their client comes
	}
	return nil
}
