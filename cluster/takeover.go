package cluster

import (
	"cmp"
	"slices"
	"sync/atomic"
	"time"

	"github.com/rookery-server/rookery/batch"
	"github.com/rookery-server/rookery/shard"
)

// accept takes what a peer says of a session it is home of and returns the ref
// of the copy, 0 if there is none: the peer is not home any more, or there is
// no room. The higher epoch is right, of equal ones that of the greater peer.
func (c *Core) accept(l *Link, s *Snapshot) (ref uint64) {
	defer c.locked(s.ID).Unlock()
	store := c.o.Store
	ref, ok := store.Find(s.ID)
	var cur Session
	if ok {
		cur, ok = store.Load(ref)
	}
	if !ok {
		c.homeIs(l)
		ref, err := store.Adopt(s)
		if err != nil {
			c.count.refusedCopies.Add(1)
			return 0
		}
		return ref
	}
	switch {
	case cur.home() != l.num && !c.newer(l, s.Epoch, &cur):
		c.stale(l, &cur)
		return 0
	case cur.home() == l.num && s.Epoch < cur.Epoch:
		return ref // overtaken by what was said later
	}
	if cur.Home == 0 {
		c.count.fenced.Add(1)
		c.log.Warn("a session had a newer home elsewhere; what this one wrote to its protocol state is lost",
			"home", l.peer.String(), "epoch", s.Epoch, "ours", cur.Epoch)
	}
	if former := c.link(cur.home()); former != nil && former != l && former.alive.Load() && s.Epoch>>movesBits > cur.Epoch>>movesBits {
		c.stale(former, &s.Session) // a split has ended, and we may be the first to know both sides
	}
	c.homeIs(l)
	extra, ok := store.Replace(ref, s)
	if !ok {
		return 0
	}
	if len(extra) > 0 {
		c.merge(l, s.ID, extra)
	}
	return ref
}

// newer reports whether what l's peer says of a session with that epoch counts
// more than cur.
func (c *Core) newer(l *Link, epoch uint32, cur *Session) bool {
	if epoch != cur.Epoch {
		return epoch > cur.Epoch
	}
	return l.peer.Compare(c.homeOf(cur)) > 0
}

// homeOf returns who is home of a session.
func (c *Core) homeOf(s *Session) PeerID {
	if l := c.link(s.home()); l != nil {
		return l.peer.PeerID
	}
	return c.o.Self.PeerID
}

// stale tells a peer that it is not home of a session any more.
func (c *Core) stale(l *Link, cur *Session) {
	b := appendID(nil, kindStale, cur.ID)
	b = le.AppendUint32(b, cur.Epoch)
	b = le.AppendUint64(b, c.homeOf(cur).Incarnation)
	if l.must(batch.Data, b) != nil {
		c.count.lostReplies.Add(1) // it opens the session again with its next fill
	}
}

// merge sends events that the peer's log of a session lacks, a few at a time.
func (c *Core) merge(l *Link, id ID, events []Event) {
	for chunk := range slices.Chunk(events, mergeEvents) {
		b := appendEvents(appendID(nil, kindMerge, id), chunk, nil)
		if l.must(batch.Bulk, b) != nil {
			c.count.lostMerges.Add(uint64(len(chunk)))
			c.log.Error("events of a session could not be brought to its home: the link is full",
				"home", l.peer.String(), "events", len(chunk))
		}
	}
}

// mergeEvents is how many events go into one message.
const mergeEvents = 64

// stale: a session that we thought to be home of is home elsewhere. Its events
// go there. A copy of another home becomes one of that home, so that nobody
// takes it over when the former one is lost.
func (in *inbound) stale(r *reader, _ batch.Lane) error {
	id := r.id()
	var epoch uint32
	if b := r.take(4); b != nil {
		epoch = le.Uint32(b)
	}
	inc := r.uint64()
	if err := r.end(); err != nil {
		return err
	}
	c := in.l.core
	defer c.locked(id).Unlock()
	home := c.linkOf(inc)
	ref, ok := c.o.Store.Find(id)
	if !ok || home == nil {
		return nil
	}
	cur, ok := c.o.Store.Load(ref)
	if !ok || cur.home() == home.num || !c.newer(home, epoch, &cur) {
		return nil
	}
	if cur.Home == 0 {
		c.pointTo(ref, &cur, home, epoch)
	} else {
		c.relabel(ref, home, epoch)
	}
	return nil
}

// elsewhere: the peer is home of a session, others hold copies of it, and what we
// have gets out of date.
func (in *inbound) elsewhere(r *reader, _ batch.Lane) error {
	id, epoch := r.id(), r.uint32()
	if err := r.end(); err != nil {
		return err
	}
	c, l := in.l.core, in.l
	defer c.locked(id).Unlock()
	ref, ok := c.o.Store.Find(id)
	if !ok {
		return nil
	}
	cur, ok := c.o.Store.Load(ref)
	if ok && (cur.home() == l.num && cur.Epoch <= epoch || cur.home() != l.num && c.newer(l, epoch, &cur)) {
		c.pointTo(ref, &cur, l, epoch)
	}
	return nil
}

// pointTo makes of a session here an entry that only says who is home of it.
// What that may lack goes there.
func (c *Core) pointTo(ref uint64, cur *Session, home *Link, epoch uint32) {
	if cur.Home == 0 {
		c.count.fenced.Add(1)
		c.log.Warn("a session had a newer home elsewhere; what this one wrote to its protocol state is lost",
			"home", home.peer.String(), "epoch", epoch, "ours", cur.Epoch)
	}
	c.homeIs(home)
	bare := Snapshot{Session: Session{ID: cur.ID, Epoch: epoch, Home: home.num | homePointer, State: cur.State}}
	extra, ok := c.o.Store.Replace(ref, &bare)
	if ok && (cur.Home == 0 || epoch>>movesBits != cur.Epoch>>movesBits) {
		c.merge(home, cur.ID, extra)
	}
}

// relabel makes a copy one of another home, as it is.
func (c *Core) relabel(ref uint64, home *Link, epoch uint32) {
	c.homeIs(home)
	var copied Snapshot
	if c.o.Store.Export(ref, func(full *Snapshot) { copied = full.clone() }) {
		copied.Home, copied.Epoch = home.num|copied.Home&homePointer, epoch
		c.o.Store.Replace(ref, &copied)
	}
}

// clone returns a snapshot that is valid for longer.
func (s *Snapshot) clone() Snapshot {
	copied := *s
	copied.Topics = slices.Clone(s.Topics)
	copied.Log.Events = slices.Clone(s.Log.Events)
	for i := range copied.Log.Events {
		e := &copied.Log.Events[i]
		e.Msg = slices.Clone(e.Msg)
	}
	return copied
}

func (in *inbound) merge(r *reader, lane batch.Lane) error {
	id := r.id()
	events := r.events(&in.bodies[lane])
	if err := r.end(); err != nil {
		return err
	}
	c := in.l.core
	ref, ok := c.o.Store.Find(id)
	if !ok {
		return nil // the session has ended
	}
	s, ok := c.o.Store.Load(ref)
	switch home := c.link(s.home()); {
	case !ok:
	case s.Home == 0:
		c.o.Store.Merge(ref, events)
		c.count.merged.Add(uint64(len(events)))
	case home != in.l:
		c.merge(home, id, events) // it has moved on
	default:
		c.count.lostMerges.Add(uint64(len(events))) // each of us takes the other for its home
	}
	return nil
}

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
}

// begin starts a pass, from the start if one runs: the view has changed.
func (t *takeover) begin(died bool) {
	if died || t.on.Load() || t.doubt.Load() {
		t.on.Store(true)
		t.at, t.orphans, t.left = 0, nil, false
	}
}

// unsettled reports whether sessions may be here without a home that is alive:
// what is spread now may pass them by.
func (t *takeover) unsettled() bool { return t.on.Load() || t.doubt.Load() }

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
		return false
	}
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
func takeoverEpoch(epoch uint32) uint32 { return (epoch | (1<<movesBits - 1)) + 1 }

// movesBits is how many bits of an epoch count the moves since the last
// takeover; more of them count as a takeover.
const movesBits = 16

// take makes this peer the home of a copy whose home is lost. Step runs it.
func (c *Core) take(ref uint64, id ID) {
	defer c.locked(id).Unlock()
	s, ok := c.o.Store.Load(ref)
	if !ok || s.Home == 0 || s.isPointer() || c.link(s.Home).alive.Load() {
		return
	}
	if !c.o.Store.Promote(ref, takeoverEpoch(s.Epoch), true) {
		return
	}
	c.count.takeovers.Add(1)
	// Should it return, it hears this before anything else.
	c.stale(c.link(s.Home), &Session{ID: id, Epoch: takeoverEpoch(s.Epoch)})
	c.Opened(ref)
	c.tidy.announceLater(c, ref, nil)
	c.spread.replay(c, ref, nil)
}

// sendOrphans asks those who are to take sessions whether they have them.
func (t *takeover) sendOrphans(c *Core) {
	links := make([]*Link, 0, len(t.orphans))
	for l := range t.orphans {
		links = append(links, l)
	}
	slices.SortFunc(links, func(a, b *Link) int { return cmp.Compare(a.num, b.num) })
	for _, l := range links {
		for ids := range slices.Chunk(t.orphans[l], orphanIDs) {
			if l.must(batch.Data, appendOrphans(orphanTake, ids)) != nil {
				t.on.Store(true) // once more, when there is room
				t.at = 0
				return
			}
		}
	}
	t.orphans = nil
}

const orphanIDs = 512 // in a message

// What kindOrphan wants.
const (
	orphanTake = iota // take it if you have it
	orphanKeep        // I have none: take it yourself
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

func (in *inbound) orphan(r *reader, _ batch.Lane) error {
	mode := r.uint8()
	var back []ID
	var mine []orphaned
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
		case ok && there && c.link(s.home()).alive.Load():
			c.stale(in.l, &s) // it is at home there
		case ok && there && mode == orphanKeep && s.isPointer():
			c.o.Store.Remove(ref) // nobody knows more of it
		case ok && there && !s.isPointer():
			mine = append(mine, orphaned{ref, id})
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
	if len(back) > 0 && in.l.must(batch.Data, appendOrphans(orphanKeep, back)) != nil {
		c.count.lostReplies.Add(1) // they stay copies until their client comes
	}
	return nil
}
