package cluster

import (
	"encoding/binary"
	"slices"

	"github.com/rookery-server/rookery/batch"
)

// This file moves sessions at rest from one home to another: to the peer that
// has the client's connection, or away from a node that drains. The whole
// session goes in one message; the former home answers for it until the new one
// says that it and its copies hold it (leaving.go).

// HandOverTo moves a session at home here to a peer, if the session rests when
// its turn comes: to where its client has just opened a stream. It reports false
// if that is to be asked again later, because a peer was lost and the processors
// are for its clients now. Until then the client is served through this peer.
func (c *Core) HandOverTo(ref uint64, link uint32) bool {
	if c.settles() {
		return false
	}
	if l := c.link(link); l != nil && c.plan.Load().accepts(l) { // a node that drains would give it away again
		c.handOverSoon(ref, l)
	}
	return true
}

// settles reports whether a loss has yet to settle.
func (c *Core) settles() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.o.Now() < c.routes.settled(c)
}

// handOverSoon hands a session over as soon as nobody waits for something to be
// written: a handover writes it at once.
func (c *Core) handOverSoon(ref uint64, l *Link) {
	c.later(func() {
		if c.late.busy() {
			c.handOverSoon(ref, l)
			return
		}
		c.handOver(ref, l)
	})
}

// handOver runs in Step, between two publications. It reports whether the
// session has moved.
func (c *Core) handOver(ref uint64, l *Link) bool {
	s, ok := c.o.Store.Load(ref)
	if !ok || s.Home != 0 || !l.alive.Load() || c.late.busy() {
		return false
	}
	defer c.locked(s.ID).Unlock()
	if l.room(batch.Data) < handOverRoom {
		return false // it stays; its client is served through us
	}
	ok = c.o.Store.HandOver(ref, l.num, s.Epoch+1, func(full *Snapshot, conn uint64, framing uint8) {
		b := binary.AppendUvarint([]byte{kindMoved}, conn)
		b = append(b, framing)
		b = c.spread.appendSeen(b)
		full.Epoch = s.Epoch + 1
		c.left(s.ID, l, full.Epoch, l.mark().life)
		b = appendSnapshot(b, full, nil)
		if full.Log.Fork != 0 && l.m.Agreed()&batch.FeatureForks != 0 {
			b = binary.AppendUvarint(b, uint64(full.Log.Fork))
		}
		if l.must(batch.Data, b) != nil {
			c.count.lostReplies.Add(1) // see stranded
		}
	})
	if ok {
		c.count.moved.Add(1)
	}
	return ok
}

// handOverRoom is what must be free on a link before a session is sent over it.
const handOverRoom = 1 << 20

func (s *spreading) appendSeen(b []byte) []byte {
	incs := make([]uint64, 0, len(s.seen))
	for inc := range s.seen {
		incs = append(incs, inc)
	}
	slices.Sort(incs)
	b = binary.AppendUvarint(b, uint64(len(incs)))
	for _, inc := range incs {
		b = binary.AppendUvarint(le.AppendUint64(b, inc), s.seen[inc])
	}
	return b
}

// moved: a session has come. It becomes a copy at once and a home in its turn.
func (in *inbound) moved(r *reader, lane batch.Lane) error {
	num, framing := r.uvarint(), r.uint8()
	seen := map[uint64]uint64{}
	for n := r.count(9); n > 0; n-- {
		inc := r.uint64()
		seen[inc] = r.uvarint()
	}
	s := r.snapshot(in.body(lane))
	if len(r.left) > 0 {
		s.Log.Fork = r.uint32()
		r.bad = r.bad || s.Log.Fork == 0
	}
	if err := r.end(); err != nil {
		return err
	}
	s.Home = in.l.num
	c, l := in.l.core, in.l
	ref := c.accept(l, &s, true)
	if ref == 0 {
		return c.notTaken(l, s.ID, s.Epoch, num)
	}
	in.later(func() {
		c.settleIn(l, ref, s.ID, s.Epoch, num, framing, seen)
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.arriving[ref] == s.Epoch {
			delete(c.arriving, ref)
		}
	})
	return nil
}

// settleIn makes this peer the home of a session that was handed to it.
func (c *Core) settleIn(l *Link, ref uint64, id ID, epoch uint32, num uint64, framing uint8, seen map[uint64]uint64) {
	lock := c.locked(id)
	defer lock.Unlock()
	s, ok := c.o.Store.Load(ref)
	if !ok || s.Home != l.num || s.Epoch != epoch { // somebody was faster
		if ok && s.home() != l.num {
			c.stale(l, &s)
		}
		_ = c.notTaken(l, id, epoch, num) // its error is counted
		return
	}
	if !c.spread.covers(seen) || c.tidy.full() {
		_ = c.notTaken(l, id, epoch, num) // likewise
		return
	}
	c.mu.Lock()
	conn := uint64(0)
	if rt := c.routes.byNum[num]; rt != nil && rt.held && rt.at == l {
		conn = rt.conn
		c.routes.drop(rt)
	}
	c.mu.Unlock()
	if conn != 0 {
		c.o.Store.Attach(ref, conn, framing) // first: what is sent from then on goes to it
	}
	if !c.o.Store.Promote(ref, epoch, false) {
		return
	}
	c.count.arrived.Add(1)
	c.Opened(ref)
	c.merging.comeHome(c, id, ref)
	c.spread.replay(c, ref, seen)
	c.tidy.announceLater(c, ref, l)
	c.arrived(id, ref, nil)
}

// notTaken gives a session back to the peer that wanted to hand it over. A
// stream that came along ends; its client takes it up again.
func (c *Core) notTaken(l *Link, id ID, epoch uint32, num uint64) error {
	c.cutAlong(num)
	c.sayKept(l, id, epoch)
	c.arrived(id, 0, ErrBusy)
	return nil
}

// cutAlong ends the stream that came along with a session.
func (c *Core) cutAlong(num uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if rt := c.routes.byNum[num]; rt != nil && rt.held {
		c.cut(rt)
	}
}

// kept: a session that we asked for cannot come, or one that we handed over was
// not taken.
func (in *inbound) kept(r *reader, _ batch.Lane) error {
	id, epoch := r.id(), r.uint32()
	if err := r.end(); err != nil {
		return err
	}
	c, l := in.l.core, in.l
	in.later(func() {
		if epoch != 0 {
			c.takeBack(l, id, epoch)
		} else {
			c.keeps(id, l)
		}
		c.arrived(id, 0, ErrBusy)
	})
	return nil
}

// takeBack makes this peer home again of a session that l did not take. What was
// spread here while it was away passed it by. What is here says whether it has a
// home: as long as that is l in the epoch that l has declined, nobody is.
func (c *Core) takeBack(l *Link, id ID, epoch uint32) {
	defer c.locked(id).Unlock()
	defer c.settled(id, epoch)
	ref, ok := c.o.Store.Find(id)
	if !ok {
		return
	}
	s, ok := c.o.Store.Load(ref)
	if !ok || s.home() != l.num || s.Epoch != epoch {
		return // a newer home has it
	}
	if s.isPointer() {
		c.contradict(l, &s) // what came there is a copy
		return
	}
	if c.o.Store.Promote(ref, s.Epoch+1, false) {
		c.Opened(ref)
		c.merging.comeHome(c, id, ref)
		c.spread.replay(c, ref, nil)
		c.tidy.announceLater(c, ref, l)
	}
}

// sayKept answers a wish for a session, with epoch 0, or a handover.
func (c *Core) sayKept(l *Link, id ID, epoch uint32) {
	if l.must(batch.Data, binary.AppendUvarint(appendID(nil, kindKept, id), uint64(epoch))) != nil {
		c.count.lostReplies.Add(1)
	}
}
