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
	last  uint64      // number drawn
	open  []*Outgoing // by number
	notes map[uint64]*note
	noted uint64 // number drawn
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
	again    bool
	deadline time.Duration

	waiting   []uint32 // links that have not reported; 0 is this peer
	retry     []uint32 // of those, the ones to be sent it again
	retryAt   time.Duration
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
		if l.room(batch.Data) < len(payload)+publishHead {
			return nil, ErrCongested
		}
	}
	p.last++
	out := &Outgoing{
		number: p.last, origin: c.originOf(p.last, key), payload: payload, again: key != "",
		deadline: c.o.Now() + c.o.AckTimeout, waiting: []uint32{0}, done: make(chan struct{}),
	}
	p.open = append(p.open, out)
	view := c.plan.Load().hash
	for _, l := range links {
		if c.o.Acked {
			out.waiting = append(out.waiting, l.num)
		}
		c.publishTo(out, l, view)
	}
	c.spread.enqueue(c, c.incoming(out, view))
	c.count.published.Add(1)
	return out, nil
}

// publishHead is more than what stands before the payload in a message.
const publishHead = 80

// originOf returns the identity of a publication.
func (c *Core) originOf(number uint64, key string) Origin {
	if key == "" {
		return Origin{c.o.Self.Incarnation, number}
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

// publishTo sends a publication to one peer, or has it sent later. mu is held.
func (c *Core) publishTo(out *Outgoing, l *Link, view uint64) {
	b := append(make([]byte, 0, publishHead+len(out.payload)), kindPublish)
	b = binary.AppendUvarint(b, out.number)
	b = binary.AppendUvarint(b, c.pubs.open[0].number)
	b = append(b, flagsOf(out.again, c.o.Acked))
	b = le.AppendUint64(b, view)
	b = append(appendOrigin(b, out.origin), out.payload...)
	if l.send(batch.Data, b) != nil {
		out.sendAgain(l.num, c.o.Now()+publishAgain)
	}
}

const (
	flagAgain = 1 << iota
	flagAcked
	flagBegan
)

// greet tells a peer that has just come which publications were before it.
func (c *Core) greet(l *Link) {
	c.mu.Lock()
	defer c.mu.Unlock()
	b := binary.AppendUvarint([]byte{kindPublish}, c.pubs.last)
	b = append(binary.AppendUvarint(b, 0), flagBegan)
	b = appendOrigin(le.AppendUint64(b, 0), Origin{})
	if l.must(batch.Data, b) != nil {
		c.count.lostReplies.Add(1) // it seldom takes sessions from us until it has seen the next
	}
}

func flagsOf(again, acked bool) (f byte) {
	if again {
		f |= flagAgain
	}
	if acked {
		f |= flagAcked
	}
	return f
}

// incoming is the publication as this peer spreads it itself.
func (c *Core) incoming(out *Outgoing, view uint64) incoming {
	return incoming{
		inc: c.o.Self.Incarnation, number: out.number, base: c.pubs.open[0].number, again: out.again,
		acked: c.o.Acked, view: view, origin: out.origin, payload: out.payload,
	}
}

func (o *Outgoing) sendAgain(link uint32, at time.Duration) {
	if slices.Contains(o.waiting, link) && !slices.Contains(o.retry, link) {
		o.retry, o.retryAt = append(o.retry, link), at
	}
}

// published takes a peer's report. mu is held.
func (p *publishing) published(c *Core, link uint32, number uint64, st status, delivered int) {
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
	out.delivered += delivered
	if st != statusHeld {
		out.sendAgain(link, c.o.Now()+publishAgain)
		return
	}
	if at := slices.Index(out.waiting, link); at >= 0 {
		out.waiting = slices.Delete(out.waiting, at, at+1)
		out.retry = slices.DeleteFunc(out.retry, func(l uint32) bool { return l == link })
	}
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
	if c.o.Acked {
		now := c.o.Now()
		links := c.liveLinks()
		for _, out := range p.open {
			out.again, out.waiting, out.retry = true, []uint32{0}, []uint32{0}
			out.retryAt = now
			for _, l := range links {
				out.waiting, out.retry = append(out.waiting, l.num), append(out.retry, l.num)
			}
		}
	}
	for _, n := range p.sorted() {
		n.lost(c)
	}
}

// expire sends again what is due and ends what has waited too long.
func (p *publishing) expire(c *Core, now time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var late []*Outgoing
	view := c.plan.Load().hash
	var full []uint32 // links on which a publication waits: later ones wait too
	for _, out := range p.open {
		if now >= out.deadline {
			late = append(late, out)
			continue
		}
		if len(out.retry) == 0 || now < out.retryAt {
			continue
		}
		links := out.retry
		out.retry = nil
		for _, num := range links {
			switch {
			case num == 0:
				c.spread.enqueue(c, c.incoming(out, view))
			case slices.Contains(full, num) || !c.links[num-1].alive.Load() ||
				c.links[num-1].room(batch.Data) < len(out.payload)+publishHead:
				full = append(full, num)
				out.sendAgain(num, now+publishAgain)
			default:
				c.publishTo(out, c.links[num-1], view)
			}
		}
	}
	for _, out := range late {
		p.end(c, out, ErrNotHeld)
	}
	p.expireNotes(c, now)
}

func (in *inbound) published(r *reader, _ batch.Lane) error {
	number, st, delivered := r.uvarint(), status(r.uint8()), r.uvarint()
	if err := r.end(); err != nil {
		return err
	}
	c := in.l.core
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pubs.published(c, in.l.num, number, st, int(min(delivered, 1<<31)))
	return nil
}
