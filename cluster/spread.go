package cluster

import (
	"encoding/binary"
	"slices"
	"time"

	"github.com/rookery-server/rookery/batch"
)

// spreading brings publications to the sessions that are at home here, in
// rounds. It is the only place where a session at home gets them, and sessions
// come and go between two rounds only, so that what it has spread is a number
// for each publisher: seen.
//
// Step uses it; queue is guarded by Core.mu.
type spreading struct {
	queue []incoming
	round round

	// seen is, for each publisher, the last publication that was spread here.
	seen map[uint64]uint64
	// base is, for each publisher, the oldest that was not through when it sent
	// its latest.
	base      map[uint64]uint64
	greetings greetings
	held      heldBack
	// refusing is, for each publisher of which one was refused, its number:
	// later ones are refused too until it comes again.
	refusing map[uint64]uint64
	ring     []replayed // the latest, for sessions that come from elsewhere
	ringSize int        // bytes
	inRing   map[Origin]publication
	waits    []wait // spread, but not yet held by all copies
}

// incoming is a publication that is to be spread here.
type incoming struct {
	from    *Link // nil: ours
	inc     uint64
	number  uint64
	base    uint64 // the publisher's oldest that is not through
	round   uint64 // to be reported
	acked   bool
	began   bool // no publication: number is the publisher's last when it first saw us, payload its roster
	view    uint64
	origin  Origin
	payload []byte
	size    int // held back from the peer's credit
}

// publication names one by its publisher and its number there.
type publication struct{ inc, number uint64 }

const (
	spreadStep  = 512 // sessions in a step
	flushWait   = 50 * time.Millisecond
	verdictWait = time.Second // for a link without a connection
	waitsMax    = 4096
)

// status is how a publication ended at one peer.
type status uint8

const (
	statusHeld  status = iota + 1 // copies have it
	statusRetry                   // not spread, or somebody was lost meanwhile: send it again
)

// wait is a publication whose copies are on their way.
type wait struct {
	in        incoming
	view      uint64
	delivered int
	marks     []linkMark
	report    func(st status) // nil: to the publisher of in
	at        time.Duration
}

// tell reports how it ended.
func (w *wait) tell(c *Core, st status) {
	if w.report != nil {
		w.report(st)
		return
	}
	c.spread.done(c, &w.in, st, w.delivered)
}

type linkMark struct {
	l *Link
	m mark
}

// enqueue adds a publication. Core.mu is held. The queue is bounded by what
// publishers may have on their way and by the credit of the links.
func (s *spreading) enqueue(c *Core, in incoming) {
	s.queue = append(s.queue, in)
	c.wakeUp()
}

func (in *inbound) publish(r *reader, _ batch.Lane) error {
	size := len(r.left)
	p := incoming{from: in.l, inc: in.l.peer.Incarnation, size: size}
	p.number, p.base, p.round = r.uvarint(), r.uvarint(), r.uvarint()
	flags := r.uint8()
	p.acked, p.began = flags&flagAcked != 0, flags&flagBegan != 0
	if p.began {
		in.l.greets(in.l.core.o.Now())
	}
	p.view, p.origin = r.uint64(), r.origin()
	p.payload = slices.Clone(r.rest())
	if err := r.end(); err != nil {
		return err
	}
	in.l.hold(batch.Data, size)
	c := in.l.core
	c.mu.Lock()
	defer c.mu.Unlock()
	c.spread.enqueue(c, p)
	return nil
}

// busy reports whether publications are on their way through the sessions.
func (s *spreading) busy() bool { return s.round.stage != roundOver }

// step does a part of the current round, or begins the next.
func (s *spreading) step(c *Core, now time.Duration) (more bool) {
	s.settle(c, now)
	return s.round.step(c, now)
}

// next begins the walk of the next publication that may be spread.
func (s *spreading) next(c *Core, now time.Duration) (u underway, ok bool) {
	for {
		in, ok := s.pop(c, now)
		if !ok {
			return u, false
		}
		s.base[in.inc] = max(s.base[in.inc], in.base)
		if in.began {
			s.seen[in.inc] = max(s.seen[in.inc], in.number)
			s.done(c, &in, statusHeld, 0)
			continue
		}
		if s.refuses(c, &in) {
			s.done(c, &in, statusRetry, 0)
			continue
		}
		// It may have come before: by way of a copy that was taken over, with a
		// session that moved here or from the other side of a split.
		walk, err := c.o.Store.Spread(in.payload, in.origin, true)
		if err != nil {
			c.count.badPublications.Add(1)
			s.done(c, &in, statusHeld, 0) // nobody will ever understand it
			continue
		}
		s.seen[in.inc] = max(s.seen[in.inc], in.number)
		s.remember(&in, now)
		return underway{in: in, walk: walk, view: c.plan.Load().hash}, true
	}
}

// pop takes what is next out of the queue, or out of what was held back.
func (s *spreading) pop(c *Core, now time.Duration) (in incoming, ok bool) {
	if in, ok = s.held.next(c, now); ok {
		return in, true
	}
	for {
		c.mu.Lock()
		if len(s.queue) == 0 {
			c.mu.Unlock()
			return in, false
		}
		in = s.queue[0]
		s.queue[0] = incoming{}
		s.queue = s.queue[1:]
		c.mu.Unlock()
		if in.began {
			s.greeted(c, &in, now)
		}
		if !s.held.takes(c, &in, now) {
			return in, true
		}
	}
}

// greeted takes the greeting of a peer. That all it has published before was
// spread here is true only behind what is held back of that.
func (s *spreading) greeted(c *Core, in *incoming, now time.Duration) {
	c.mu.Lock()
	c.roster.read(in.payload)
	live := c.liveLinks()
	c.mu.Unlock()
	for _, l := range s.greetings.came(in.from, live, now) {
		c.greet(l)
	}
	c.amends.greeted(c, in.from)
}

// refuses reports whether a publication must come again: its publisher sees
// other peers alive than we do, or an earlier one has been refused. Those that
// nobody waits for are spread as they come.
func (s *spreading) refuses(c *Core, in *incoming) bool {
	if !in.acked {
		return false
	}
	if first, ok := s.refusing[in.inc]; ok {
		if in.number > first && in.base <= first {
			return true
		}
		if in.number >= first {
			delete(s.refusing, in.inc)
		}
	}
	if in.view != c.plan.Load().hash || c.taking.unsettled() || s.full() || s.greetings.missing(c.o.Now()) || c.owing() {
		if _, ok := s.refusing[in.inc]; !ok || in.number < s.refusing[in.inc] {
			s.refusing[in.inc] = in.number
		}
		c.count.refused.Add(1)
		return true
	}
	return false
}

// letGo gives the publisher its credit back: the logs have the message now.
// That must not wait for acknowledgements, which may be behind messages that
// the same is true of at another peer: two that publish to each other would
// wait for ever.
func (in *incoming) letGo() {
	if in.from != nil && in.size > 0 {
		in.from.release(batch.Data, in.size)
	}
	in.size, in.payload = 0, nil
}

// full reports whether as many as may are waiting for copies. More are refused,
// and come again: to leave them in the queue would keep credit as well.
func (s *spreading) full() bool { return len(s.waits) >= waitsMax }

// settle reports the publications that all copies have.
func (s *spreading) settle(c *Core, now time.Duration) {
	for len(s.waits) > 0 {
		w := &s.waits[0]
		p := c.plan.Load()
		switch {
		case now-w.at > c.o.AckTimeout:
			// Its publisher has given up. Asked to repeat this publication it would
			// repeat those behind it too, which sessions have and may have dropped.
			if w.report != nil {
				w.report(statusRetry)
			}
		case p.hash != w.view || c.taking.unsettled():
			w.tell(c, statusRetry)
		case !p.alone && (!p.others || !c.fill.covered(c) || !w.held() || c.leftBefore(w.at)):
			return
		default:
			c.count.ackSeconds(now - w.at)
			w.tell(c, statusHeld)
		}
		s.waits[0] = wait{}
		s.waits = s.waits[1:]
	}
}

func (w *wait) held() bool {
	for _, m := range w.marks {
		if !m.l.reached(m.m) {
			return false
		}
	}
	return true
}

// done tells the publisher and gives its credit back.
func (s *spreading) done(c *Core, in *incoming, st status, delivered int) {
	if in.from == nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.pubs.published(c, 0, in.number, in.round, st, delivered)
		return
	}
	in.letGo()
	if !in.acked {
		return
	}
	b := append(make([]byte, 0, 24), kindPublished)
	b = binary.AppendUvarint(binary.AppendUvarint(b, in.number), in.round)
	b = append(b, byte(st))
	if in.from.must(batch.Control, binary.AppendUvarint(b, uint64(delivered))) != nil {
		c.count.lostReplies.Add(1) // the publisher sends it again
	}
}
