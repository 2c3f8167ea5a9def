package cluster

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"slices"
	"time"

	"github.com/rookery-server/rookery/batch"
)

// This file moves sessions at rest from one home to another: to the peer that
// has the client's connection, or away from a node that drains. The whole
// session goes in one message; the former home keeps a copy until the new one
// has made its own, or collects it as a leftover.

// fetches are the callers of Fetch:
// more than fetchesMax at once are told ErrUnavailable; each waits for at most
// CoreOptions.HoldTimeout.
type fetches struct {
	m map[ID][]*fetch
	n int
}

const fetchesMax = 1 << 16

type fetch struct {
	done     chan struct{}
	ref      uint64
	err      error
	nextTry  time.Duration
	deadline time.Duration
}

const fetchAgain = 30 * time.Millisecond

// HandOverTo moves a session at home here to a peer, if the session rests when
// its turn comes: to where its client has just opened a stream.
func (c *Core) HandOverTo(ref uint64, link uint32) {
	l := c.link(link)
	if l == nil || !c.plan.Load().accepts(l) {
		return // a node that drains would give it away again
	}
	c.later(func() { c.handOver(ref, l) })
}

// handOver runs in Step, between two publications. It reports whether the
// session has moved.
func (c *Core) handOver(ref uint64, l *Link) bool {
	s, ok := c.o.Store.Load(ref)
	if !ok || s.Home != 0 || !l.alive.Load() {
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
		if l.must(batch.Data, appendSnapshot(b, full, nil)) != nil {
			c.count.lostReplies.Add(1) // we have a copy, which is made home again when it is asked for
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
	s := r.snapshot(&in.bodies[lane])
	if err := r.end(); err != nil {
		return err
	}
	s.Home = in.l.num
	c, l := in.l.core, in.l
	ref := c.accept(l, &s)
	if ref == 0 {
		return c.notTaken(l, s.ID, num)
	}
	c.mu.Lock()
	c.arriving[ref] = s.Epoch
	c.mu.Unlock()
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
	if !ok || s.Home != l.num || s.Epoch != epoch {
		c.cutAlong(num) // nobody else knows of the stream any more
		c.arrived(id, 0, ErrBusy)
		return // somebody was faster
	}
	if !c.spread.covers(seen) {
		_ = c.notTaken(l, id, num) // its error is counted
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
	c.tidy.announceLater(c, ref, l)
	c.spread.replay(c, ref, seen)
	c.arrived(id, ref, nil)
}

// notTaken gives a session back to the peer that wanted to hand it over. A
// stream that came along ends; its client takes it up again.
func (c *Core) notTaken(l *Link, id ID, num uint64) error {
	c.cutAlong(num)
	if l.must(batch.Data, appendID(nil, kindKept, id)) != nil {
		c.count.lostReplies.Add(1)
	}
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
	id := r.id()
	if err := r.end(); err != nil {
		return err
	}
	c, l := in.l.core, in.l
	in.later(func() {
		c.takeBack(l, id)
		c.arrived(id, 0, ErrBusy)
	})
	return nil
}

// takeBack makes this peer home again of a session that l did not take.
func (c *Core) takeBack(l *Link, id ID) {
	defer c.locked(id).Unlock()
	ref, ok := c.o.Store.Find(id)
	if !ok {
		return
	}
	s, ok := c.o.Store.Load(ref)
	if !ok || s.Home != l.num {
		return
	}
	if c.o.Store.Promote(ref, s.Epoch+1, false) {
		c.Opened(ref)
		c.tidy.announceLater(c, ref, l)
	}
}

// Fetch brings a session here, for a client that takes it up on a connection of
// ours, and returns its ref: ErrUnknown, ErrUnavailable, or ErrBusy if it has
// calls in flight elsewhere. It waits for at most CoreOptions.HoldTimeout.
func (c *Core) Fetch(ctx context.Context, id ID) (ref uint64, err error) {
	f := c.startFetch(id)
	select {
	case <-f.done:
		return f.ref, f.err
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

func (c *Core) startFetch(id ID) *fetch {
	f := &fetch{done: make(chan struct{}), deadline: c.o.Now() + c.o.HoldTimeout}
	c.mu.Lock()
	if c.fetches.n == fetchesMax {
		c.mu.Unlock()
		c.count.fetchesRefused.Add(1)
		f.err = ErrUnavailable
		close(f.done)
		return f
	}
	c.fetches.n++
	c.fetches.m[id] = append(c.fetches.m[id], f)
	c.mu.Unlock()
	c.ask(id)
	return f
}

// ask asks for a session that somebody here wants.
func (c *Core) ask(id ID) {
	f := c.find(id)
	if f.ref != 0 {
		c.arrived(id, f.ref, nil)
		return
	}
	err := ErrUnavailable
	if f.to != nil && f.to.send(batch.Data, append(le.AppendUint64(appendID(nil, kindFetch, id), c.o.Self.Incarnation), hopsMax)) == nil {
		return
	}
	if !f.known && !c.plan.Load().lost {
		err = ErrUnknown
	}
	c.arrived(id, 0, err)
}

// arrived ends the fetches of a session, or has them try again.
func (c *Core) arrived(id ID, ref uint64, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fetches.m[id] = slices.DeleteFunc(c.fetches.m[id], func(f *fetch) bool {
		if ref == 0 && !errors.Is(err, ErrUnknown) {
			f.err, f.nextTry = err, c.o.Now()+fetchAgain
			return false
		}
		f.ref, f.err = ref, err
		c.fetches.n--
		close(f.done)
		return true
	})
	if len(c.fetches.m[id]) == 0 {
		delete(c.fetches.m, id)
	}
}

func (t *fetches) expire(c *Core, now time.Duration) {
	c.mu.Lock()
	var again []ID
	for id, all := range t.m {
		due := false
		t.m[id] = slices.DeleteFunc(all, func(f *fetch) bool {
			if now >= f.deadline {
				f.err = cmp.Or(f.err, ErrUnavailable)
				close(f.done)
				return true
			}
			if f.nextTry != 0 && now >= f.nextTry {
				f.nextTry, due = 0, true
			}
			return false
		})
		if due {
			again = append(again, id)
		}
	}
	slices.SortFunc(again, func(a, b ID) int { return slices.Compare(a[:], b[:]) })
	c.mu.Unlock()
	for _, id := range again {
		c.ask(id)
	}
}

func (in *inbound) fetch(r *reader, _ batch.Lane) error {
	id, inc, hops := r.id(), r.uint64(), r.uint8()
	if err := r.end(); err != nil {
		return err
	}
	c := in.l.core
	from := c.linkOf(inc)
	if from == nil {
		return nil
	}
	f := c.find(id)
	switch {
	case f.ref != 0:
		in.later(func() {
			if !c.handOver(f.ref, from) {
				c.say(from, kindKept, id)
			}
		})
	case f.known && f.to != nil && f.to != from && hops > 1:
		if f.to.send(batch.Data, append(le.AppendUint64(appendID(nil, kindFetch, id), inc), hops-1)) != nil {
			c.say(from, kindKept, id)
		}
	default:
		c.say(from, kindKept, id)
	}
	return nil
}

func (c *Core) say(l *Link, kind byte, id ID) {
	if l.must(batch.Data, appendID(nil, kind, id)) != nil {
		c.count.lostReplies.Add(1)
	}
}

// moveAway hands sessions at home here to other nodes at a stated rate.
type moveAway struct {
	on    bool
	all   bool // else those only whose partition another node holds first
	rate  float64
	begun time.Duration
	moved int
	at    uint32
	done  chan error
	left  int // sessions that could not move in this round
}

// Drain moves all sessions that are at home here to the holders of their first
// copies, at most rate a second; streams are ended in the ordinary way and their
// clients take them up again elsewhere. It returns when none is left, or with
// ctx's error. Sessions with calls in flight are tried again. Others must know
// already that this node drains, so that they send nothing new.
func (c *Core) Drain(ctx context.Context, rate float64) error { return c.moveAway(ctx, rate, true) }

// Rebalance moves the sessions whose partition another node holds first, as
// after a join, at most rate a second, each once. Those with an open stream go
// where their client comes back.
func (c *Core) Rebalance(ctx context.Context, rate float64) error {
	return c.moveAway(ctx, rate, false)
}

func (c *Core) moveAway(ctx context.Context, rate float64, all bool) error {
	done := c.startMove(rate, all)
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		c.later(func() {
			if c.away.done == done {
				c.away = moveAway{}
			}
		})
		return ctx.Err()
	}
}

func (c *Core) startMove(rate float64, all bool) chan error {
	done := make(chan error, 1)
	c.later(func() {
		if c.away.on {
			done <- errMoving
			return
		}
		c.away = moveAway{on: true, all: all, rate: max(rate, 1), begun: c.o.Now(), done: done}
	})
	return done
}

// step moves what the rate allows.
func (m *moveAway) step(c *Core, now time.Duration) bool {
	if !m.on || c.spread.busy() {
		return false
	}
	budget := int(m.rate*(now-m.begun).Seconds()) - m.moved
	if budget <= 0 {
		return false
	}
	n, more := 0, false
	c.o.Store.Range(m.at, func(ref uint64, s Session) bool {
		if n++; n > fillStep || budget <= 0 {
			m.at, more = uint32(ref), true
			return false
		}
		switch m.see(c, ref, &s) {
		case movedOn:
			m.moved++
			budget--
		case movesLater:
			m.left++
		}
		return true
	})
	if more {
		return budget > 0
	}
	m.at = 0
	if left := m.left; left > 0 && m.all {
		m.left = 0
		return false
	}
	m.done <- nil
	*m = moveAway{}
	return false
}

type moveResult uint8

const (
	movedNot moveResult = iota
	movedOn
	movesLater
)

func (m *moveAway) see(c *Core, ref uint64, s *Session) moveResult {
	if s.Home != 0 {
		return movedNot
	}
	p := c.plan.Load()
	part := partitionOf(s.ID)
	order := p.order(part)
	if !m.all && (len(order) == 0 || p.nodes[order[0]].self) {
		return movedNot
	}
	to, _ := p.successor(part, c.o.Self.Node)
	if to == nil || !c.handOver(ref, to) {
		return movesLater
	}
	return movedOn
}
