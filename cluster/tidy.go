package cluster

import (
	"encoding/binary"
	"slices"
	"time"

	"github.com/rookery-server/rookery/batch"
	"github.com/rookery-server/rookery/shard"
)

// tidying compares copies with their homes, has partitions that differ twice in
// a row filled again, and forgets copies that their homes do not keep here.
type tidying struct {
	next      time.Duration
	leftovers map[uint64]int     // copies that nobody keeps, by ref: rounds
	differed  map[*Link][]uint16 // guarded by Core.mu; partitions that differed in the last round
	moved     []announced
	look      time.Duration // when those are looked at again
	filled    bool          // everybody had what they are to hold
}

// announced is a session that has come here: those who have copies of a former
// home, and get none from us, are told once those who do have them.
type announced struct {
	ref    uint64
	s      Session
	former *Link // nil if it is lost
	marks  []linkMark
}

// announcedMax bounds how many wait. With as many a session that is handed over
// is not taken, and of one that was taken over is told at once.
const announcedMax = 1 << 14

func (t *tidying) announceLater(c *Core, ref uint64, former *Link) {
	s, ok := c.o.Store.Load(ref)
	if !ok {
		return
	}
	if t.full() && former == nil {
		c.announce(&announced{ref: ref, s: s})
		return
	}
	var marks []linkMark
	for _, l := range c.plan.Load().of(partitionOf(s.ID)) {
		marks = append(marks, linkMark{l, l.mark()})
	}
	t.moved = append(t.moved, announced{ref, s, former, marks})
}

func (t *tidying) announce(c *Core) {
	t.moved = slices.DeleteFunc(t.moved, func(a announced) bool {
		p := c.plan.Load() // with no other node there is none to wait for
		if a.former != nil && p.others && len(p.of(partitionOf(a.s.ID))) > 0 && !c.fill.covered(c) {
			return false
		}
		for _, m := range a.marks {
			if m.l.alive.Load() && !m.l.reached(m.m) {
				return false
			}
		}
		return c.announce(&a)
	})
}

// lookEvery is how long Step leaves alone what there may be ten thousand of, and
// what waits for others: sessions that have come, requests on their way. To look
// at each whenever there is something to do costs more than what there is to do.
const lookEvery = 5 * time.Millisecond

// full reports whether as many sessions have come as may wait.
func (t *tidying) full() bool { return len(t.moved) >= announcedMax }

// announce tells those of the first holders of a session who have no copy of
// ours that we are home of it, and the former home that it need not answer for
// it any more. It reports false if it is too early for that: the session has
// gone further and has not arrived there.
func (c *Core) announce(a *announced) bool {
	if s, ok := c.o.Store.Load(a.ref); !ok || s.Home != 0 || s.Epoch != a.s.Epoch {
		if a.former != nil && c.answersFor(a.s.ID) {
			return false
		}
		c.sayArrived(a)
		return true // it has moved on
	}
	c.sayArrived(a)
	p := c.plan.Load()
	part := partitionOf(a.s.ID)
	targets := p.of(part)
	b := binary.AppendUvarint(appendID(nil, kindElsewhere, a.s.ID), uint64(a.s.Epoch))
	tell := func(l *Link) {
		if l != nil && !slices.Contains(targets, l) && l.must(batch.Data, b) != nil {
			c.count.lostReplies.Add(1) // its copy is collected
		}
	}
	tell(a.former)
	order := p.order(part)
	for _, n := range order[:min(len(order), p.width)] {
		if l := p.nodes[n].worker(part); l != a.former {
			tell(l)
		}
	}
	return true
}

// sayArrived tells the former home that this one answers for the session.
func (c *Core) sayArrived(a *announced) {
	if a.former == nil {
		return
	}
	b := binary.AppendUvarint(appendID(nil, kindArrived, a.s.ID), uint64(a.s.Epoch))
	if a.former.must(batch.Data, b) != nil {
		c.count.lostReplies.Add(1) // it goes on asking for copies to hold publications
	}
}

// leftoverRounds is after how many rounds a copy that its home, or who takes
// that over, has not claimed is asked for; a pointer is forgotten.
const leftoverRounds = 2

func partitionOf(id ID) uint16 { return shard.PartitionOf(shard.Key(id)) }

// restBefore is how long after copies were filled they are compared, at the
// latest, though not before a loss has settled. Fills rest many times while sessions
// whose home was lost are taken over, and tens of thousands of clients wait for the
// processor then.
const restBefore = 2 * time.Second

func (t *tidying) step(c *Core, now time.Duration) {
	if now >= t.look {
		t.look = now + lookEvery
		t.announce(c)
	}
	idle := c.fill.idle()
	if idle && !t.filled && t.next != 0 {
		t.next = min(t.next, now+restBefore) // copies that others have now are let go
	}
	t.filled = idle
	if c.o.DigestEvery < 0 || now < t.next || !idle || c.settles() {
		return
	}
	first := t.next == 0
	t.next = now + c.o.DigestEvery
	if first {
		return
	}
	t.sendDigests(c)
	t.collect(c)
}

// differ: partitions of ours that a peer holds otherwise. Changes on their way
// explain that once.
func (in *inbound) differ(r *reader, _ batch.Lane) error {
	parts := r.partitions()
	if err := r.end(); err != nil {
		return err
	}
	c, l := in.l.core, in.l
	c.mu.Lock()
	if c.tidy.differed == nil {
		c.tidy.differed = map[*Link][]uint16{}
	}
	before := c.tidy.differed[l]
	c.tidy.differed[l] = parts
	c.mu.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range parts {
		if slices.Contains(before, p) && l.parts != nil && l.parts[p].state == partLive {
			l.want(&l.parts[p])
			c.count.repaired.Add(1)
		}
	}
	return nil
}

// collect looks for copies that nobody keeps here: their home is alive and has
// not named them for two rounds. That alone is no reason to forget one: its home
// may be waiting for a word about where it went (leaving.go), or have lost it.
// So the home is asked, and a copy is forgotten only if that knows nothing of
// the session.
func (t *tidying) collect(c *Core) {
	kept := map[uint64]bool{}
	c.mu.Lock()
	links := slices.Clone(c.links)
	c.mu.Unlock()
	for _, l := range links {
		l.rx.Lock()
		l.in.each(func(ref uint64) uint64 {
			if s, ok := c.o.Store.Load(ref); ok && l.in.holds(&s) {
				kept[ref] = true
			}
			return ref
		})
		l.rx.Unlock()
	}
	ask := map[*Link][]ID{}
	was := t.leftovers
	t.leftovers = map[uint64]int{}
	c.o.Store.Range(0, func(ref uint64, s Session) bool {
		switch {
		case s.Home == 0:
			return true
		case !c.link(s.home()).alive.Load():
			c.taking.again() // nobody has taken it over, or nobody has told us
			return true
		case kept[ref], c.answersFor(s.ID), c.mergesOf(s.ID):
			return true
		}
		switch t.leftovers[ref] = was[ref] + 1; {
		case t.leftovers[ref] < leftoverRounds:
		case s.isPointer():
			c.forget(ref, s)
		default:
			l := c.link(s.home())
			ask[l] = append(ask[l], s.ID)
		}
		return true
	})
	for _, l := range sortedLinks(ask) {
		c.sendOrphans(l, orphanLeft, ask[l])
	}
}

func (c *Core) forget(ref uint64, was Session) {
	defer c.locked(was.ID).Unlock()
	if s, ok := c.o.Store.Load(ref); ok && s.Home == was.Home && s.Epoch == was.Epoch && !c.answersFor(s.ID) {
		c.o.Store.Remove(ref)
		c.count.collected.Add(1)
	}
}

// leftover answers who has a copy that this peer does not keep there, or takes
// that answer.
func (in *inbound) leftover(r *reader, mode byte) error {
	var gone []ID
	c := in.l.core
	for len(r.left) > 0 && !r.bad {
		id := r.id()
		ref, ok := c.o.Store.Find(id)
		s, there := c.o.Store.Load(ref)
		switch ok = ok && there; {
		case r.bad:
		case mode == orphanGone:
			if !c.denies(id, in.l) && ok && s.home() == in.l.num {
				c.forget(ref, s)
			}
		case !ok:
			gone = append(gone, id)
		case s.Home != 0 && c.answersFor(id):
		case s.Home == in.l.num && c.o.Self.Compare(in.l.peer.PeerID) > 0:
			c.contradict(in.l, &s) // of two that have a copy one takes it over
		case s.Home != 0:
			c.stale(in.l, &s)
		case !c.plan.Load().holds(in.l, partitionOf(id)): // else a fill brings it
			b := binary.AppendUvarint(appendID(nil, kindElsewhere, id), uint64(s.Epoch))
			if in.l.must(batch.Data, b) != nil {
				c.count.lostReplies.Add(1) // it asks again
			}
		}
	}
	if err := r.end(); err != nil {
		return err
	}
	if len(gone) > 0 && !c.sendOrphans(in.l, orphanGone, gone) {
		c.count.lostReplies.Add(1) // likewise
	}
	return nil
}
