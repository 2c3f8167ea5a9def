package cluster

import (
	"encoding/binary"
	"slices"
	"time"

	"github.com/rookery-server/rookery/batch"
)

// asked is a request of a connection of another peer.
type asked struct {
	inc, num uint64 // the peer's, and what it calls the request
	hops     uint8
	id       ID
	msg      []byte
	outdated bool          // when it came, see outdated.go
	until    time.Duration // of waiting to meet the peer
}

// A process that has just begun may be known to the one that sends its request
// on, and not here yet, or be linked with us and not be alive in our view, so that
// it could not be answered. Such requests wait, as many as earlyMax and of
// earlyBytesMax each; others are dropped, and who asks finds out for itself.
const (
	earlyMax      = 256
	earlyBytesMax = 64 << 10
)

func (in *inbound) forward(r *reader, _ batch.Lane) error {
	a := asked{inc: r.uint64(), num: r.uvarint(), hops: r.uint8(), id: r.id()}
	a.msg = r.rest()
	if err := r.end(); err != nil {
		return err
	}
	c := in.l.core
	a.outdated = in.l.outdated(c.o.Now())
	if !c.linkOf(a.inc).begun(c.o.Now()) {
		c.mu.Lock()
		defer c.mu.Unlock()
		if len(c.routes.early) < earlyMax && len(a.msg) <= earlyBytesMax {
			a.msg, a.until = slices.Clone(a.msg), c.o.Now()+c.o.HoldTimeout
			c.routes.early = append(c.routes.early, a)
		}
		return nil
	}
	c.forward(&a, in.l)
	return nil
}

// met takes the requests whose peer we have met meanwhile. Core.mu is held.
func (t *routes) met(c *Core, now time.Duration) (met []asked) {
	t.early = slices.DeleteFunc(t.early, func(a asked) bool {
		is := c.byInc[a.inc].begun(now)
		if is {
			met = append(met, a)
		}
		return is || now >= a.until
	})
	return met
}

// begun reports whether the peer has been alive in our view. One that has died
// since is not served either, see outdated.
func (l *Link) begun(now time.Duration) bool {
	return l != nil && (l.alive.Load() || l.outdated(now))
}

// forward serves a request of a connection of a peer that we have met, if the
// session is at home here, or sends it on. It came from via.
func (c *Core) forward(a *asked, via *Link) {
	from := c.linkOf(a.inc)
	f := c.find(a.id)
	switch now := c.o.Now(); {
	case a.outdated || via.outdated(now) || from.outdated(now):
		f.ref, f.known, f.home = 0, true, false // who asks, if anybody does still, asks again
		c.sayNotHere(from, a.num, &f)
	case f.ref != 0 && c.takes(from, a.num):
		defer c.parting.serving.Done()
		c.o.Store.Serve(from.num, a.num, a.msg)
	case f.ref != 0: // it goes elsewhere, or is lost with us and taken over
		c.sayNotHere(from, a.num, &f)
	case f.known && !f.soon && !f.arriving && f.to != nil && f.to != from && !f.to.leaving.Load() && a.hops > 1 &&
		f.to.send(batch.Data, appendForward(a.inc, a.num, a.hops-1, a.id, a.msg)) == nil:
		c.tellAt(from, a.num, f.to.peer.Incarnation)
	default:
		c.sayNotHere(from, a.num, &f)
	}
}

// What kindNotHere says besides.
const (
	notSure  byte = iota // it may be here soon, or is elsewhere
	notKnown             // nothing is here of it
	notHome              // what is here of it says that the one who asks is its home
)

// sayNotHere answers a request for a session that is not at home here.
func (c *Core) sayNotHere(to *Link, num uint64, f *found) {
	lane, sure := batch.Control, notKnown
	switch {
	case c.taking.on.Load(), f.ref != 0:
		sure = notSure
	case f.home && !f.arriving && f.to == to:
		lane, sure = batch.Data, notHome // not in front of what brings it there
	case f.known:
		sure = notSure
	}
	b := append(binary.AppendUvarint([]byte{kindNotHere}, num), sure)
	if to.must(lane, le.AppendUint64(b, c.plan.Load().hash)) != nil {
		c.count.lostReplies.Add(1)
	}
}

// tellAt says where a request has gone, so that it is not waited for in vain if
// that peer is lost.
func (c *Core) tellAt(from *Link, num, inc uint64) {
	b := binary.AppendUvarint([]byte{kindAt}, num)
	if from.must(batch.Control, le.AppendUint64(b, inc)) != nil {
		c.count.lostReplies.Add(1)
	}
}

func (in *inbound) at(r *reader, _ batch.Lane) error {
	num, inc := r.uvarint(), r.uint64()
	if err := r.end(); err != nil {
		return err
	}
	c := in.l.core
	c.mu.Lock()
	defer c.mu.Unlock()
	at, rt := c.byInc[inc], c.routes.byNum[num]
	switch {
	case rt == nil || rt.msg == nil || at == nil:
	case at == in.l:
		rt.at, rt.taken, rt.retryAt = at, true, 0
		if at.alive.Load() { // it answers, or is lost
			rt.giveUp = 0
		}
	case rt.taken: // who has it was faster than who sent it there
	default:
		rt.passed = append(rt.passed, in.l)
		if in.l == rt.first && rt.via != nil {
			return nil // who it sent it to was faster to say that it sent it further
		}
		rt.at, rt.via = at, in.l
		c.sentOn(rt)
	}
	return nil
}

// sentOn looks whether a request can still be where others have sent it. Core.mu
// is held.
func (c *Core) sentOn(r *route) {
	switch now := c.o.Now(); {
	case r.at.leaving.Load():
		c.notTakenBy(r, r.at)
	case r.at.alive.Load():
	case r.repeat: // we have given that peer up already
		r.retryAt = now
	default:
		r.giveUp = now + c.o.HoldTimeout
	}
}

func (in *inbound) notHere(r *reader, _ batch.Lane) error {
	num, sure, view := r.uvarint(), r.uint8(), r.uint64()
	if err := r.end(); err != nil {
		return err
	}
	c := in.l.core
	c.mu.Lock()
	rt := c.routes.byNum[num]
	c.mu.Unlock()
	if rt == nil {
		return nil
	}
	ref, known := c.o.Store.Find(rt.id)
	var s Session
	if known {
		s, known = c.o.Store.Load(ref)
	}
	c.mu.Lock()
	if c.routes.byNum[num] != rt || rt.msg == nil {
		c.mu.Unlock()
		return nil
	}
	rt.giveUp = 0 // it was not served
	if c.leaving.m[rt.id] != nil {
		sure = notSure // it is on its way from here to there
	}
	if sure == notSure && rt.waited < unsureAgain {
		rt.unsure = true
		rt.waited++
		rt.retryAt = c.o.Now() + routeAgain
		c.mu.Unlock()
		return nil
	}
	rt.tryNoMore(in.l)
	for _, l := range rt.passed { // what they have of it leads astray
		rt.tryNoMore(l)
		rt.unsure = true
	}
	switch {
	case sure == notSure, sure == notHome && known, // it has just come
		view != c.plan.Load().hash: // one of us does not know yet who else to ask
		rt.unsure = true
	case sure == notKnown && known && s.home() == in.l.num:
		rt.left = &leftover{ref, s}
	}
	c.mu.Unlock()
	if sure == notHome && known && s.home() == in.l.num && !c.arrives(ref, s.Epoch) {
		c.contradict(in.l, &s)
	}
	c.try(rt)
	return nil
}

// unsureAgain is how often peers that are not sure of a session are asked once
// more in a round, before others are. Who is not sure has something of it, which
// others are less likely to have.
const unsureAgain = 5

func (r *route) tryNoMore(l *Link) {
	if !slices.Contains(r.tried, l) {
		r.tried = append(r.tried, l)
	}
}

func (in *inbound) reply(r *reader, _ batch.Lane) error {
	num, flags := r.uvarint(), ReplyFlags(r.uint8())
	p := r.rest()
	if err := r.end(); err != nil {
		return err
	}
	c := in.l.core
	c.mu.Lock()
	rt := c.routes.byNum[num]
	if rt == nil || rt.msg == nil && rt.at != in.l {
		c.mu.Unlock()
		c.gone(in.l, num)
		return nil
	}
	if rt.msg != nil && flags&ReplyClose != 0 && len(p) == 0 {
		c.unanswered(rt, in.l)
		c.mu.Unlock()
		return nil
	}
	rt.at = in.l
	c.routes.answered(rt)
	rt.held = rt.held || flags&ReplyHold != 0
	if flags&(ReplyLast|ReplyClose) != 0 {
		c.routes.drop(rt)
	}
	c.mu.Unlock()
	c.o.Store.Deliver(rt.conn, flags, p)
	return nil
}

// unanswered: a peer ends a request to which nothing has been answered, as one
// does that had us dead meanwhile. One that may be repeated is tried again, if it
// is not with somebody else by now. mu is held.
func (c *Core) unanswered(r *route, by *Link) {
	switch {
	case !r.repeat:
		c.refuse(r, RefusedLost)
	case r.at == by:
		r.at, r.via, r.taken, r.asked, r.tried, r.named, r.waited = nil, nil, false, false, nil, home{}, 0
		r.retryAt = c.o.Now() + routeAgain
	}
}

func (in *inbound) gone(r *reader, _ batch.Lane) error {
	num := r.uvarint()
	if err := r.end(); err != nil {
		return err
	}
	in.l.core.o.Store.ClientGone(in.l.num, num)
	return nil
}
