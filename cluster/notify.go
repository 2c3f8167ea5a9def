package cluster

import (
	"context"
	"slices"
	"sync"
	"time"
)

// note is a notification to one session on its way to the session's home. It is
// asked for again until its copies have it, with the same identity, so that it
// arrives once.
type note struct {
	number   uint64
	id       ID
	origin   Origin
	payload  []byte
	deadline time.Duration
	nextTry  time.Duration // 0: not now
	unknown  bool          // the last who was asked did not know the session
	asked    int           // how many peers were asked themselves, because nobody knew it
	done     func(error)   // may be nil
	err      error         // for done

	before, after *note // in the order in which they began
}

// noteNumber keeps notifications apart from publications, which have numbers of
// their own, where both name events. It does not travel.
const noteNumber = 1 << 63

const (
	notesMax  = 1 << 16
	noteAgain = 20 * time.Millisecond

	noteTableMin = 64
	noteTableMax = 1024 // of a table that is kept while it is empty
)

// notes are the notifications of this process that are not through. The zero
// value has none.
type notes struct {
	mu   sync.Mutex
	last uint64 // guarded by mu; number drawn
	open int    // guarded by mu
	// table has them by number: a power of two of places, at most half of them
	// taken. A number whose place is taken is not drawn, so one that hangs holds
	// up nobody.
	table          []*note  // guarded by mu
	oldest, latest *note    // guarded by mu
	again          []uint64 // guarded by mu; numbers of those to be asked for again
}

// notePool has notes that are through. Nobody may have kept one: whoever wants a
// note later finds it by its number.
var notePool = sync.Pool{New: func() any { return new(note) }}

// begin adds a notification and returns it as it travels, false if there are too
// many. n belongs to t from then on.
func (t *notes) begin(c *Core, n *note, key string) (notifying, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.open == notesMax {
		return notifying{}, false
	}
	if 2*(t.open+1) > len(t.table) {
		t.grow()
	}
	mask := uint64(len(t.table) - 1)
	for t.last++; t.table[t.last&mask] != nil; {
		t.last++
	}
	n.number = t.last | noteNumber
	n.origin = c.originOf(n.number, key)
	t.table[t.last&mask] = n
	t.open++
	if n.before = t.latest; n.before != nil {
		n.before.after = n
	} else {
		t.oldest = n
	}
	t.latest = n
	return n.travels(c), true
}

func (t *notes) grow() {
	table := make([]*note, max(2*len(t.table), noteTableMin))
	for n := t.oldest; n != nil; n = n.after {
		table[n.number&uint64(len(table)-1)] = n
	}
	t.table = table
}

// find returns a notification that is not through. mu is held.
func (t *notes) find(number uint64) *note {
	if len(t.table) == 0 {
		return nil
	}
	if n := t.table[number&uint64(len(t.table)-1)]; n != nil && n.number == number {
		return n
	}
	return nil
}

// end takes a notification out and puts it in front of those in through. mu is
// held.
func (t *notes) end(n *note, err error, through *note) *note {
	t.table[n.number&uint64(len(t.table)-1)] = nil
	t.open--
	if n.before != nil {
		n.before.after = n.after
	} else {
		t.oldest = n.after
	}
	if n.after != nil {
		n.after.before = n.before
	} else {
		t.latest = n.before
	}
	n.err, n.before, n.after = err, nil, through
	return n
}

// tell tells those who wait, with no lock held.
func (n *note) tell() {
	for n != nil {
		next, done, err := n.after, n.done, n.err
		*n = note{}
		notePool.Put(n)
		if done != nil {
			done(err)
		}
		n = next
	}
}

// travels returns the notification as we send it.
func (n *note) travels(c *Core) notifying {
	return notifying{inc: c.o.Self.Incarnation, number: n.number, hops: hopsMax, origin: n.origin, id: n.id, payload: n.payload}
}

// Notify brings payload to one session, wherever its home is, and returns when
// its home has it or, with CoreOptions.Acked, when its copies have it as well:
// ErrNotHeld, ErrUnknown, ErrCongested. About key see Publish. payload is not to
// be changed until then, or ever if ctx ended first.
func (c *Core) Notify(ctx context.Context, id ID, payload []byte, key string) error {
	w := noteWaiters.Get().(*noteWaiter)
	err := c.uncongested(ctx, func() error { return c.StartNotify(id, payload, key, w.done) })
	if err != nil {
		noteWaiters.Put(w)
		return err
	}
	select {
	case err = <-w.ended:
		noteWaiters.Put(w)
		return err
	case <-ctx.Done():
		return ctx.Err() // w is told later
	}
}

// noteWaiter is a call of Notify that waits.
type noteWaiter struct {
	ended chan error
	done  func(error)
}

var noteWaiters = sync.Pool{New: func() any {
	w := &noteWaiter{ended: make(chan error, 1)}
	w.done = func(err error) { w.ended <- err }
	return w
}}

// StartNotify begins what Notify does and does not block: ErrCongested at once.
// done is called once, with what Notify would have returned, from a goroutine of
// the core that it must not keep; nil tells nobody. payload is not to be changed
// before.
func (c *Core) StartNotify(id ID, payload []byte, key string, done func(error)) error {
	n := notePool.Get().(*note)
	n.id, n.payload, n.done, n.deadline = id, payload, done, c.o.Now()+c.o.AckTimeout
	in, ok := c.notes.begin(c, n, key)
	if !ok {
		*n = note{}
		notePool.Put(n)
		return ErrCongested
	}
	c.sendNote(in)
	return nil
}

// sendNote has a notification delivered here or sends it towards the home.
func (c *Core) sendNote(in notifying) { c.notify(in, c.later) }

// How a notification ended where it was brought to.
const (
	noteHeld    = iota + 1
	noteRetry   // the session was moving, or a copy was lost
	noteUnknown // no such session there
	noteLost    // the session has no stream and no log for it
	notePassed  // it was sent on: the home reports
)

// ended takes a report about some notifications.
func (t *notes) ended(c *Core, how uint8, numbers ...uint64) {
	lost := how == noteUnknown && c.plan.Load().lost
	var now time.Duration
	others := 0
	switch {
	case how == noteRetry || lost:
		now = c.o.Now()
	case how == noteUnknown:
		now, others = c.o.Now(), min(c.lives(), askedMax)
	}
	var through *note
	t.mu.Lock()
	for _, number := range numbers {
		n := t.find(number)
		if n == nil {
			continue // it came twice, or gave up
		}
		switch {
		case how == noteHeld:
			through = t.end(n, nil, through)
		case how == noteLost:
			through = t.end(n, ErrNotHeld, through)
		case how == noteUnknown && n.asked < others:
			n.asked++ // those who are to hold it may not have been brought it yet
			t.askAgain(n, now)
		case how == noteUnknown && !lost:
			through = t.end(n, ErrUnknown, through)
		case how != notePassed:
			n.unknown = how == noteUnknown
			t.askAgain(n, now+noteAgain)
		}
	}
	t.mu.Unlock()
	through.tell()
}

// askAgain has a notification asked for again at a time. mu is held.
func (t *notes) askAgain(n *note, at time.Duration) {
	if n.nextTry == 0 {
		t.again = append(t.again, n.number)
	}
	n.nextTry = at
}

// lost has all notifications asked for again, in order: their homes may be gone.
func (t *notes) lost(now time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for n := t.oldest; n != nil; n = n.after {
		t.askAgain(n, now)
	}
}

// expire ends what has waited too long and asks again what is due.
func (t *notes) expire(c *Core, now time.Duration) {
	var through *note
	var due []asking
	t.mu.Lock()
	for n := t.oldest; n != nil && now >= n.deadline; n = t.oldest { // deadlines are in order
		err := ErrNotHeld
		if n.unknown {
			err = ErrUnavailable
		}
		through = t.end(n, err, through)
	}
	left := t.again[:0]
	for _, number := range t.again {
		switch n := t.find(number); {
		case n == nil:
		case now < n.nextTry:
			left = append(left, number)
		default:
			n.nextTry = 0
			due = append(due, asking{n.travels(c), n.asked})
		}
	}
	if t.again = left; t.open == 0 {
		t.again = nil
		if len(t.table) > noteTableMax {
			t.table = nil
		}
	}
	t.mu.Unlock()
	through.tell()
	for _, in := range due {
		c.later(func() { c.askOther(in) })
	}
}

// asking is a notification that is asked for again.
type asking struct {
	notifying
	asked int // which peer to ask, 0: who is to know it
}

// askOther sends a notification to a peer that was not asked yet. What is here of
// the session may lead to one that does not know it, so it is followed only for
// the first time, or where the session is at home here, or is to be taken over.
func (c *Core) askOther(a asking) {
	others := c.othersToAsk(partitionOf(a.id))
	f := c.find(a.id)
	if a.asked == 0 || a.asked > len(others) || f.ref != 0 || f.known && !f.home {
		c.sendNote(a.notifying)
		return
	}
	a.hops--
	if others[a.asked-1].notify(&a.notifying) != nil {
		c.notes.ended(c, noteRetry, a.number)
	}
}

// othersToAsk returns the links to live peers: those that hold a partition first.
func (c *Core) othersToAsk(part uint16) (all []*Link) {
	p := c.plan.Load()
	for _, n := range p.order(part) {
		if l := p.nodes[n].worker(part); l != nil && l.alive.Load() {
			all = append(all, l)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, l := range c.liveLinks() {
		if !slices.Contains(all, l) {
			all = append(all, l)
		}
	}
	return all
}

// lives returns how many peers are alive.
func (c *Core) lives() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.liveLinks())
}
