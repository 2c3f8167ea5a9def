package cluster

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"slices"
	"time"

	"github.com/rookery-server/rookery/batch"
)

var le = binary.LittleEndian

// publishing is the publisher's side: publications of this peer that are not
// through. They go to every peer in the order of their numbers. A peer that
// sees other peers alive than we do takes none (spread.go), so that those who
// take one agree who is home of what; it is then sent again, with all later
// ones behind it, so that their order holds.
type publishing struct {
	last   uint64      // number drawn
	open   []*Outgoing // by number
	resend []resend    // by when they began
	round  uint64      // how many times all were sent again because the view changed; reports of earlier rounds do not count
}

// resend has a peer sent everything again that it has not reported, in order.
type resend struct {
	link uint32 // 0 is this peer
	from uint64 // number
	at   time.Duration
}

const (
	publishMax   = 1024                  // publications on their way
	publishAgain = 20 * time.Millisecond // until a refused one is sent again
)

// Outgoing is a publication on its way.
type Outgoing struct {
	number   uint64
	origin   Origin
	payload  []byte
	deadline time.Duration

	waiting   []uint32 // links that have not reported; 0 is this peer
	delivered int
	err       error
	done      chan struct{}
}

// Done is closed when the publication is through.
func (o *Outgoing) Done() <-chan struct{} { return o.done }

// Result returns to how many clients it went or for how many it is kept, and
// ErrNotHeld if not every copy has it. Valid once Done is closed.
func (o *Outgoing) Result() (delivered int, err error) { return o.delivered, o.err }

// Publish brings payload to the clients of all peers. Without CoreOptions.Acked
// it returns when this peer's clients have it, and delivered counts only those.
// With it, it returns when every copy of each log that has it has it too, or
// with ErrNotHeld. A publication with the same key as an earlier one reaches
// only those whose log does not have that; "" is no key. It waits while links
// are full, for at most AckTimeout: ErrCongested.
func (c *Core) Publish(ctx context.Context, payload []byte, key string) (delivered int, err error) {
	out, err := c.begin(ctx, func() (*Outgoing, error) { return c.StartPublish(payload, key) })
	if err != nil {
		return 0, err
	}
	select {
	case <-out.done:
		return out.Result()
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// begin calls start until it does not say ErrCongested.
func (c *Core) begin(ctx context.Context, start func() (*Outgoing, error)) (*Outgoing, error) {
	var out *Outgoing
	err := c.uncongested(ctx, func() (err error) {
		out, err = start()
		return err
	})
	return out, err
}

func (c *Core) uncongested(ctx context.Context, start func() error) error {
	err := start()
	if !errors.Is(err, ErrCongested) {
		return err
	}
	c.count.congested.Add(1)
	timeout := time.NewTimer(c.o.AckTimeout)
	defer timeout.Stop()
	tick := time.NewTicker(congestedEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-timeout.C:
			return ErrCongested
		case <-tick.C:
		}
		if err = start(); !errors.Is(err, ErrCongested) {
			return err
		}
	}
}

// congestedEvery is how often a publisher looks for room.
const congestedEvery = 2 * time.Millisecond

// StartPublish begins what Publish does and does not block: ErrCongested at
// once. payload is kept until the publication is through.
func (c *Core) StartPublish(payload []byte, key string) (*Outgoing, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := &c.pubs
	if len(p.open) >= publishMax {
		return nil, ErrCongested
	}
	links := c.liveLinks()
	for _, l := range links {
		if !c.roomFor(payload, l.num) {
			return nil, ErrCongested
		}
	}
	p.last++
	out := &Outgoing{
		number: p.last, origin: c.originOf(p.last, key), payload: payload,
		deadline: c.o.Now() + c.o.AckTimeout, waiting: []uint32{0}, done: make(chan struct{}),
	}
	p.open = append(p.open, out)
	for _, l := range links {
		if c.o.Acked {
			out.waiting = append(out.waiting, l.num)
		}
		c.publishTo(out, l.num)
	}
	c.publishTo(out, 0)
	c.count.published.Add(1)
	return out, nil
}

// publishHead is more than what stands before the payload in a message.
const publishHead = 80

// originOf returns the identity of a publication.
func (c *Core) originOf(number uint64, key string) Origin {
	if key == "" {
		// The complement: a store numbers messages of its own under the incarnation.
		return Origin{^c.o.Self.Incarnation, number}
	}
	sum := sha256.Sum256([]byte(key))
	return Origin{le.Uint64(sum[:]), le.Uint64(sum[8:])}
}

// liveLinks returns the links to peers that are alive. mu is held.
func (c *Core) liveLinks() []*Link {
	live := make([]*Link, 0, len(c.links))
	for _, l := range c.links {
		if l.alive.Load() {
			live = append(live, l)
		}
	}
	return live
}

// publishTo sends a publication for which there was room a moment ago to a peer,
// behind those that it is to be sent again. What a round has put on the link
// since then is no reason to refuse it: one that nobody waits for is not sent
// again. mu is held.
func (c *Core) publishTo(out *Outgoing, link uint32) {
	p := &c.pubs
	if slices.ContainsFunc(p.resend, func(r resend) bool { return r.link == link }) {
		return
	}
	if c.sendPublication(out, link) != nil {
		p.sendAgain(link, out.number, c.o.Now()+publishAgain)
	}
}

// roomFor reports whether a link, 0 for this peer itself, has room for a payload.
// mu is held.
func (c *Core) roomFor(payload []byte, link uint32) bool {
	return link == 0 || c.links[link-1].room(batch.Data) >= len(payload)+publishHead
}

// sendPublication sends one; who calls it has seen that there is room. mu is held.
func (c *Core) sendPublication(out *Outgoing, link uint32) error {
	view := c.plan.Load().hash
	if link == 0 {
		c.spread.enqueue(c, c.incoming(out, view))
		return nil
	}
	b := append(make([]byte, 0, publishHead+len(out.payload)), kindPublish)
	b = binary.AppendUvarint(b, out.number)
	b = binary.AppendUvarint(b, c.pubs.open[0].number)
	b = binary.AppendUvarint(b, c.pubs.round)
	b = append(b, flagsOf(c.o.Acked))
	b = le.AppendUint64(b, view)
	return c.links[link-1].must(batch.Data, append(appendOrigin(b, out.origin), out.payload...))
}

const (
	flagAcked = 1 << iota
	flagBegan
)

// greet tells a peer that has just come which publications were before it. Those
// that are on their way it is sent as well, if they are to be held. And it
// hears which nodes there are and were. Step calls it.
func (c *Core) greet(l *Link) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.greetLocked(l)
}

func (c *Core) greetLocked(l *Link) {
	c.spread.greetings.greets(l, c.o.Now())
	before := c.pubs.last
	if c.o.Acked && len(c.pubs.open) > 0 {
		before = c.pubs.open[0].number - 1
	}
	b := binary.AppendUvarint([]byte{kindPublish}, before)
	b = append(b, 0, 0, flagBegan)
	b = appendOrigin(le.AppendUint64(b, 0), Origin{})
	if l.must(batch.Data, c.roster.append(b)) != nil {
		c.count.lostReplies.Add(1) // it seldom takes sessions from us until it has seen the next
	}
}

func flagsOf(acked bool) (f byte) {
	if acked {
		f |= flagAcked
	}
	return f
}

// incoming is the publication as this peer spreads it itself.
func (c *Core) incoming(out *Outgoing, view uint64) incoming {
	return incoming{
		inc: c.o.Self.Incarnation, number: out.number, base: c.pubs.open[0].number, round: c.pubs.round,
		acked: c.o.Acked, view: view, origin: out.origin, payload: out.payload,
	}
}

// sendAgain has a peer sent everything from a number on. mu is held.
func (p *publishing) sendAgain(link uint32, from uint64, at time.Duration) {
	for i := range p.resend {
		if r := &p.resend[i]; r.link == link {
			r.from = min(r.from, from)
			return
		}
	}
	p.resend = append(p.resend, resend{link, from, at})
}

// published takes a peer's report. mu is held.
func (p *publishing) published(c *Core, link uint32, number, round uint64, st status, delivered int) {
	if round != p.round {
		return // it is on its way again, to those who are alive now
	}
	i, ok := slices.BinarySearchFunc(p.open, number, func(o *Outgoing, n uint64) int {
		switch {
		case o.number < n:
			return -1
		case o.number > n:
			return 1
		}
		return 0
	})
	if !ok {
		return // it gave up
	}
	out := p.open[i]
	at := slices.Index(out.waiting, link)
	switch {
	case at < 0:
		return // it was sent twice
	case st != statusHeld:
		p.sendAgain(link, number, c.o.Now()+publishAgain)
		return
	}
	out.delivered += delivered
	out.waiting = slices.Delete(out.waiting, at, at+1)
	if len(out.waiting) == 0 {
		p.end(c, out, nil)
	}
}

func (p *publishing) end(c *Core, out *Outgoing, err error) {
	i := slices.Index(p.open, out)
	p.open = slices.Delete(p.open, i, i+1)
	out.err = err
	if err != nil {
		c.count.notHeld.Add(1)
	}
	close(out.done)
}

// viewChanged has everything that is on its way spread again by those who are
// alive now: who was asked before may have passed over sessions that it has
// taken since.
func (p *publishing) viewChanged(c *Core) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.o.Acked && len(p.open) > 0 {
		all := []uint32{0}
		for _, l := range c.liveLinks() {
			all = append(all, l.num)
		}
		for _, out := range p.open {
			out.waiting = slices.Clone(all)
		}
		p.resend = p.resend[:0]
		p.round++
		for _, link := range all {
			p.sendAgain(link, p.open[0].number, c.o.Now())
		}
	}
	c.notes.lost(c.o.Now())
}

// expire sends again what is due and ends what has waited too long.
func (p *publishing) expire(c *Core, now time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(p.open) > 0 && now >= p.open[0].deadline { // deadlines are in order
		p.end(c, p.open[0], ErrNotHeld)
	}
	left := p.resend[:0]
	for _, r := range p.resend {
		if now < r.at || !p.sentAgain(c, &r, now) {
			left = append(left, r)
		}
	}
	p.resend = left
}

// sentAgain sends a peer everything again from a number on that it has not
// reported. Without room for all it goes on later and reports false.
func (p *publishing) sentAgain(c *Core, r *resend, now time.Duration) bool {
	for _, out := range p.open {
		if out.number < r.from || !slices.Contains(out.waiting, r.link) {
			continue
		}
		if !c.roomFor(out.payload, r.link) || c.sendPublication(out, r.link) != nil {
			r.from, r.at = out.number, now+publishAgain
			return false
		}
	}
	return true
}

func (in *inbound) published(r *reader, _ batch.Lane) error {
	number, round, st, delivered := r.uvarint(), r.uvarint(), status(r.uint8()), r.uvarint()
	if err := r.end(); err != nil {
		return err
	}
	c := in.l.core
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pubs.published(c, in.l.num, number, round, st, int(min(delivered, 1<<31)))
	return nil
}
