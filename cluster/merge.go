package cluster

import (
	"cmp"
	"encoding/binary"
	"maps"
	"slices"
	"time"

	"github.com/rookery-server/rookery/batch"
)

// merges are the events that this peer had of sessions whose home does not have
// them: of a former home, or of a copy that heard more of one that was lost. They
// are on their way to the home. Until that says that it has them and its copies
// too, they are kept here and sent again to whoever is home then: their session
// is a copy of another home by now, so there is no other place for them.
//
// Core.mu guards it.
type merges struct {
	last  uint64
	m     map[uint64]*merging
	of    map[ID]int // how many there are of a session
	size  int        // bytes of messages
	next  time.Duration
	taken []mergeTaken
}

// merging is a message with events of one session.
type merging struct {
	number uint64
	id     ID
	events []Event
	to     *Link // who was asked, nil for nobody
	life   uint32
	again  bool          // it has to be sent again
	doubt  time.Duration // since when nobody knows the session; 0: somebody may
	// from is who sent it to us, to be told in the end; nil for none.
	from *Link
	as   uint64 // the number there
}

// mergeTaken is what came from a peer and is not yet held by our copies.
type mergeTaken struct {
	from  *Link
	as    uint64
	marks []linkMark
}

const (
	mergeEvents = 64 // events in a message
	// mergesMaxSize bounds the bytes of messages that wait: what is more is lost,
	// counted and logged.
	mergesMaxSize = 64 << 20
	mergesEvery   = 50 * time.Millisecond
	// mergeDoubtMax is how long nobody may know a session before what is to be
	// merged into it is dropped with it.
	mergeDoubtMax = 10 * time.Second
)

// How a merge ended where it was sent to.
const (
	mergeHeld    = iota + 1 // the home and its copies have it
	mergeAgain              // its home is not decided
	mergeUnknown            // nothing is known of the session
)

// merge brings events that the home of a session lacks there, a few at a time.
func (c *Core) merge(home *Link, id ID, events []Event) { c.mergeFor(home, id, events, nil, 0) }

// mergeFor is merge of one message of events that another peer has sent us, and
// is to be told of.
func (c *Core) mergeFor(home *Link, id ID, events []Event, from *Link, as uint64) {
	c.mu.Lock()
	t := &c.merging
	if t.m == nil {
		t.m, t.of = map[uint64]*merging{}, map[ID]int{}
	}
	var all []*merging
	for chunk := range slices.Chunk(events, mergeEvents) {
		size := 0
		kept := slices.Clone(chunk)
		for i := range kept {
			kept[i].Msg = slices.Clone(kept[i].Msg)
			size += len(kept[i].Msg)
		}
		if t.size+size > mergesMaxSize {
			c.count.lostMerges.Add(uint64(len(chunk)))
			c.log.Error("events of a session could not be brought to its home: too many wait", "home", home.peer.String(), "events", len(chunk))
			if from != nil {
				c.sayMerged(from, as, mergeAgain)
			}
			continue
		}
		t.size += size
		t.last++
		m := &merging{number: t.last, id: id, events: kept, from: from, as: as}
		t.m[m.number] = m
		t.of[id]++
		all = append(all, m)
	}
	for _, m := range all {
		c.mergeTo(m, home)
	}
	c.mu.Unlock()
}

// mergeTo sends one. Core.mu is held.
func (c *Core) mergeTo(m *merging, to *Link) {
	b := binary.AppendUvarint([]byte{kindMerge}, m.number)
	b = appendEvents(append(b, m.id[:]...), m.events, nil)
	m.to, m.life = to, to.mark().life
	m.again = to.must(batch.Bulk, b) != nil
}

// ended forgets one and tells who sent it. Core.mu is held.
func (t *merges) ended(c *Core, m *merging) {
	delete(t.m, m.number)
	for i := range m.events {
		t.size -= len(m.events[i].Msg)
	}
	if t.of[m.id]--; t.of[m.id] == 0 {
		delete(t.of, m.id)
	}
	if m.from != nil {
		c.sayMerged(m.from, m.as, mergeHeld)
	}
}

func (c *Core) sayMerged(to *Link, number uint64, how uint8) {
	if to.must(batch.Data, append(binary.AppendUvarint([]byte{kindMerged}, number), how)) != nil {
		c.count.lostReplies.Add(1) // the link begins anew, and it is sent again
	}
}

// step sends again what has lost its way and tells others what our copies have.
func (t *merges) step(c *Core, now time.Duration) {
	c.mu.Lock()
	taken := t.taken
	t.taken = nil
	due := now >= t.next && len(t.m) > 0
	c.mu.Unlock()
	taken = slices.DeleteFunc(taken, func(k mergeTaken) bool {
		if !c.plan.Load().alone && !c.fill.covered(c) || !reached(k.marks) {
			return false
		}
		c.sayMerged(k.from, k.as, mergeHeld)
		return true
	})
	c.mu.Lock()
	t.taken = append(taken, t.taken...)
	c.mu.Unlock()
	if due {
		t.retry(c, now)
	}
}

// retry looks where the homes are of what was not brought there.
func (t *merges) retry(c *Core, now time.Duration) {
	c.mu.Lock()
	t.next = now + mergesEvery
	var lost []*merging
	for _, n := range slices.Sorted(maps.Keys(t.m)) {
		m := t.m[n]
		if m.again || m.to == nil || !m.to.alive.Load() || m.to.mark().life != m.life {
			lost = append(lost, m)
		}
	}
	c.mu.Unlock()
	for _, m := range lost {
		f := c.find(m.id)
		switch {
		case f.ref != 0:
			t.mergeHere(c, m, f.ref)
		case f.to == nil && m.doubt == 0:
			m.doubt = now
		case m.doubt != 0 && now-m.doubt > mergeDoubtMax && !c.plan.Load().lost:
			c.count.lostMerges.Add(uint64(len(m.events))) // the session has ended
			c.mu.Lock()
			t.ended(c, m)
			c.mu.Unlock()
		case f.to != nil && f.to.alive.Load() && !f.soon:
			c.mu.Lock()
			if t.m[m.number] == m {
				c.mergeTo(m, f.to)
			}
			c.mu.Unlock()
		}
	}
}

// mergeHere puts into the log of a session that has come home what was to go
// elsewhere.
func (t *merges) mergeHere(c *Core, m *merging, ref uint64) {
	if !c.mergeInto(ref, m.events) {
		return // it has gone again: the next round
	}
	c.mu.Lock()
	from, as := m.from, m.as
	m.from = nil
	t.ended(c, m)
	c.mu.Unlock()
	if from != nil {
		c.mergeTaken(from, as)
	}
}

// comeHome puts into the log of a session that comes home now what is on its way
// from here to where it was: before anything else, of which it may be a part.
func (t *merges) comeHome(c *Core, id ID, ref uint64) {
	var all []*merging
	c.mu.Lock()
	if t.of[id] > 0 {
		for _, n := range slices.Sorted(maps.Keys(t.m)) {
			if m := t.m[n]; m.id == id {
				all = append(all, m)
			}
		}
	}
	c.mu.Unlock()
	for _, m := range all {
		t.mergeHere(c, m, ref)
	}
}

// mergeInto puts events into the log of a session at home here. It reports false
// if it may have left before all were in.
func (c *Core) mergeInto(ref uint64, events []Event) bool {
	before, ok := c.o.Store.Load(ref)
	if !ok || before.Home != 0 {
		return false
	}
	c.o.Store.Merge(ref, events)
	after, ok := c.o.Store.Load(ref)
	if !ok || after.Home != 0 || after.Epoch != before.Epoch {
		return false
	}
	c.count.merged.Add(uint64(len(events)))
	return true
}

// mergeTaken has a peer told when our copies have what it sent.
func (c *Core) mergeTaken(from *Link, as uint64) {
	marks := c.marks()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.merging.taken = append(c.merging.taken, mergeTaken{from, as, marks})
	c.wakeUp()
}

// mergesOf reports whether events of a session are on their way from here to its
// home.
func (c *Core) mergesOf(id ID) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.merging.of[id] > 0
}

func reached(marks []linkMark) bool {
	return !slices.ContainsFunc(marks, func(m linkMark) bool { return m.l.alive.Load() && !m.l.reached(m.m) })
}

func (in *inbound) merge(r *reader, lane batch.Lane) error {
	number, id := r.uvarint(), r.id()
	events := r.events(in.body(lane))
	if err := r.end(); err != nil {
		return err
	}
	if number == 0 {
		in.l.owes.Store(0) // it has nothing more
		in.l.core.wakeUp() // publications may wait for that
		return nil
	}
	c := in.l.core
	ref, ok := c.o.Store.Find(id)
	var s Session
	if ok {
		s, ok = c.o.Store.Load(ref)
	}
	if !ok {
		c.sayMerged(in.l, number, mergeUnknown)
		return nil
	}
	switch home := c.link(s.home()); {
	case home == nil && c.mergeInto(ref, events):
		c.mergeTaken(in.l, number)
	case home == nil:
		c.sayMerged(in.l, number, mergeAgain)
	case home != in.l && home.alive.Load():
		c.mergeFor(home, id, events, in.l, number) // it has moved on
	default:
		c.sayMerged(in.l, number, mergeAgain)
	}
	return nil
}

func (in *inbound) merged(r *reader, _ batch.Lane) error {
	number, how := r.uvarint(), r.uint8()
	if err := r.end(); err != nil {
		return err
	}
	c := in.l.core
	c.mu.Lock()
	defer c.mu.Unlock()
	t := &c.merging
	m := t.m[number]
	if m == nil || m.to != in.l {
		return nil
	}
	switch m.again = how != mergeHeld; {
	case !m.again:
		t.ended(c, m)
	case how == mergeUnknown:
		m.doubt = cmp.Or(m.doubt, c.o.Now())
	default:
		m.doubt = 0
	}
	return nil
}
