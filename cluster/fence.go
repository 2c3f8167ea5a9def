package cluster

import (
	"slices"

	"github.com/rookery-server/rookery/batch"
)

// This file decides which of two that say that they are home of a session is.

// accept takes what a peer says of a session it is home of and returns the ref
// of the copy, 0 if there is none: the peer is not home any more, or there is
// no room. The higher epoch is right, of equal ones that of the greater peer.
//
// With moved the peer was its home, and hands it over: the epoch is this peer's,
// also before it has come home.
func (c *Core) accept(l *Link, s *Snapshot, moved bool) (ref uint64) {
	defer c.locked(s.ID).Unlock()
	if ref = c.acceptLocked(l, s, moved); ref != 0 && moved {
		c.mu.Lock()
		c.arriving[ref] = s.Epoch
		c.mu.Unlock()
	}
	return ref
}

func (c *Core) acceptLocked(l *Link, s *Snapshot, moved bool) (ref uint64) {
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
		c.fencedBy(l)
	}
	newer := s.Session
	if moved {
		newer.Home = 0
	}
	c.tellFormer(&cur, &newer)
	c.homeIs(l)
	extra, ok := store.Replace(ref, s)
	if !ok {
		return 0
	}
	if s.Home != cur.Home {
		c.settled(s.ID, s.Epoch)
	}
	if len(extra) > 0 && (!s.isPointer() || mayLack(&cur, s.Epoch)) {
		c.merge(l, s.ID, extra)
	}
	if cur.Home == 0 {
		c.dismiss(ref, s.ID)
	}
	return ref
}

// mayLack reports whether a home in that epoch may lack events of a log here, of
// which it does not send its own. One to which the session was handed over since
// has all that its copies have.
func mayLack(cur *Session, epoch uint32) bool {
	return cur.Home == 0 || epoch>>movesBits != cur.Epoch>>movesBits
}

// tellFormer tells the home that a copy here had of the one that took over
// without its help: a split has ended, and we may be the first to know both sides.
func (c *Core) tellFormer(cur, newer *Session) {
	former := c.link(cur.home())
	if former != nil && cur.home() != newer.home() && former.alive.Load() && newer.Epoch>>movesBits > cur.Epoch>>movesBits {
		c.stale(former, newer)
	}
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

// stale tells a peer that it is not home of a session any more. Of one that is
// arriving the former home is named in our record, but its epoch is ours: two
// that are told of different owners of an epoch would each give way to the other.
func (c *Core) stale(l *Link, cur *Session) {
	home := c.homeOf(cur)
	if ref, ok := c.o.Store.Find(cur.ID); ok && c.arrives(ref, cur.Epoch) {
		home = c.o.Self.PeerID
	}
	b := appendID(nil, kindStale, cur.ID)
	b = le.AppendUint32(b, cur.Epoch)
	b = le.AppendUint64(b, home.Incarnation)
	if l.must(batch.Data, b) != nil {
		c.count.lostReplies.Add(1) // it opens the session again with its next fill
	}
}

// arrives reports whether a session is on its way home here in an epoch.
func (c *Core) arrives(ref uint64, epoch uint32) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	is, ok := c.arriving[ref]
	return ok && is == epoch
}

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
	if inc == c.o.Self.Incarnation {
		in.denied(id)
		return nil
	}
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
		c.tellFormer(&cur, &Session{ID: id, Epoch: epoch, Home: home.num})
		c.relabel(ref, home, epoch)
		c.settled(id, epoch)
	}
	return nil
}

// denied: a peer says that we are home of a session. If that peer is home of it by
// what is here, or one that is lost, and it is not on its way in either direction,
// nobody is: this peer takes it over, with all that was published since. Two that
// name each other should not be. It was seen twice, after splits on a machine with
// far too much to do; whoever gives a session up asks the other one since
// (askHomes), so that it is found at once.
func (in *inbound) denied(id ID) {
	c, l := in.l.core, in.l
	if ref, ok := c.o.Store.Find(id); ok {
		if s, ok := c.o.Store.Load(ref); ok && s.Home == 0 {
			return // it was asked whether it is
		}
	}
	in.later(func() {
		defer c.locked(id).Unlock()
		ref, ok := c.o.Store.Find(id)
		if !ok {
			return
		}
		s, ok := c.o.Store.Load(ref)
		if !ok || s.Home == 0 || s.isPointer() || c.arrives(ref, s.Epoch) || c.answersFor(id) {
			return
		}
		home := c.link(s.Home)
		if home != l && c.aliveOrDoubted(home) {
			return
		}
		c.log.Error("nobody was home of a session: it is taken over", "home", home.peer.String(), "denied", l.peer.String())
		c.seize(ref, home, &s, true)
	})
}

// askHomes asks those who are home of sessions by what is here, and were not when
// this peer was, whether they are. Where only a pointer is left here, it is for
// them to take over.
func (c *Core) askHomes(ids []ID) {
	ask := map[*Link][]ID{}
	for _, id := range ids {
		ref, ok := c.o.Store.Find(id)
		if !ok {
			continue
		}
		s, ok := c.o.Store.Load(ref)
		if !ok || s.Home == 0 || c.answersFor(id) {
			continue
		}
		switch l := c.link(s.home()); {
		case !l.alive.Load(): // it will be taken over
		case s.isPointer():
			c.contradict(l, &s)
		default:
			ask[l] = append(ask[l], id)
		}
	}
	for _, l := range sortedLinks(ask) {
		if !c.sendOrphans(l, orphanLeft, ask[l]) {
			c.count.lostReplies.Add(1) // the comparison of copies finds it out
		}
	}
}

// contradict asks a peer about a session of which each of us says that the other
// one is home. Who of us has a copy takes it over, if both have the greater one.
func (c *Core) contradict(l *Link, s *Session) {
	var err error
	if s.isPointer() {
		b := le.AppendUint32(appendID(nil, kindStale, s.ID), s.Epoch)
		err = l.must(batch.Data, le.AppendUint64(b, l.peer.Incarnation))
	} else {
		err = l.must(batch.Data, appendOrphans(orphanLeft, []ID{s.ID}))
	}
	if err != nil {
		c.count.lostReplies.Add(1) // the next request finds it out again
	}
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
	if cur.Home == l.num|homePointer && cur.Epoch == epoch {
		c.homeIs(l)
		return nil // as it is here
	}
	if ok && (cur.home() == l.num && cur.Epoch <= epoch || cur.home() != l.num && c.newer(l, epoch, &cur)) {
		c.pointTo(ref, &cur, l, epoch)
	}
	return nil
}

// pointTo makes of a session here an entry that only says who is home of it.
// What that may lack goes there.
func (c *Core) pointTo(ref uint64, cur *Session, home *Link, epoch uint32) {
	if cur.Home == 0 {
		c.fencedBy(home)
	}
	c.tellFormer(cur, &Session{ID: cur.ID, Epoch: epoch, Home: home.num})
	c.homeIs(home)
	if home.num != cur.home() {
		c.settled(cur.ID, epoch)
	}
	bare := Snapshot{Session: Session{ID: cur.ID, Epoch: epoch, Home: home.num | homePointer, State: cur.State}}
	extra, ok := c.o.Store.Replace(ref, &bare)
	if ok && mayLack(cur, epoch) {
		c.merge(home, cur.ID, extra)
	}
	if cur.Home == 0 {
		c.dismiss(ref, cur.ID)
	}
}

// relabel makes a copy one of another home. What it holds is still of the former
// one: it keeps the epoch of that, so that what it has more is merged when the
// new home sends its own or says that it keeps none here, and that it counts less
// than a true copy should the new home be lost before.
func (c *Core) relabel(ref uint64, home *Link, epoch uint32) {
	c.homeIs(home)
	var copied Snapshot
	if c.o.Store.Export(ref, func(full *Snapshot) { copied = full.clone() }) {
		copied.Home = home.num | copied.Home&homePointer
		if copied.isPointer() {
			copied.Epoch = epoch // it holds nothing
		}
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
