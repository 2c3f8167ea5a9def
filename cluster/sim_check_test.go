package cluster

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rookery-server/rookery/batch"
	"github.com/rookery-server/rookery/shard"
)

// simPub is a publication or a notification that was begun.
type simPub struct {
	p       *proc
	what    string // unique
	payload string
	key     string
	order   int // of its publisher
	first   bool
	out     *Outgoing
	note    *simNote
	to      *client // of a notification
	before  []*client
	expect  []*client
	begun   time.Duration // when it was last
	ready   bool          // its publisher knew everybody then
	over    bool
	held    bool
	// astray: it was on its way when a split began or ended, or a process
	// returned. Such ones reach a client once, but those on the two sides have
	// no common order.
	astray bool
}

// publish begins one publication.
func (w *world) publish(p *proc) {
	if p.dead || p.paused {
		return
	}
	n := len(w.pubs)
	pub := &simPub{p: p, what: fmt.Sprintf("e%d", n), order: n, first: true}
	if w.chance(30) {
		pub.key = "key " + pub.what
	}
	kind := "all"
	switch {
	case w.chance(30):
		kind = fmt.Sprintf("t%d", w.rng.IntN(3))
	case w.chance(20):
		pub.to = w.clients[w.rng.IntN(len(w.clients))]
		if pub.to.id == "" || pub.to.stream == 0 || pub.to.ended {
			return
		}
		kind = "one"
	}
	for _, c := range w.clients {
		if c.stream != 0 && !c.ended && (kind == "all" || c.settled[kind] || pub.to == c) {
			pub.before = append(pub.before, c)
		}
	}
	pub.payload = kind + " " + pub.what
	w.pubs = append(w.pubs, pub)
	pub.astray = w.now < w.settles || !w.cfg.acked && !p.ready // it goes to those it has met
	w.launch(pub)
}

func (w *world) launch(pub *simPub) {
	var err error
	if pub.to != nil {
		pub.note, err = pub.p.core.startNote(pub.to.sid, []byte(pub.payload), pub.key)
	} else {
		pub.out, err = pub.p.core.StartPublish([]byte(pub.payload), pub.key)
	}
	w.note("%s publishes %s %q: %v", pub.p.id, pub.payload, pub.key, err)
	pub.begun, pub.ready, pub.over = w.now, pub.p.ready, err != nil
}

// checkPubs looks at what a process has published.
func (w *world) checkPubs(p *proc) {
	for _, pub := range w.pubs {
		if pub.p != p || pub.over {
			continue
		}
		var err error
		switch {
		case pub.note != nil && isDone(pub.note.done):
			err = pub.note.err
		case pub.out != nil && isDone(pub.out.done):
			_, err = pub.out.Result()
		default:
			continue
		}
		w.note("%s through: %v", pub.what, err)
		switch {
		case errors.Is(err, ErrUnknown) && pub.ready:
			w.fail("%s: %s is told that client %d has no session", pub.what, p.id, pub.to.n)
		case err != nil && w.quiet && pub.begun > w.rests && w.nodes() > 1:
			w.fail("%s of %s fails in a cluster at rest: %w", pub.what, p.id, err)
		}
		if err != nil && w.quiet {
			w.dump()
		}
		pub.over, pub.held = true, err == nil
		pub.astray = pub.astray || w.now < w.settles
		if pub.held {
			w.expect(pub)
		} else if pub.key != "" && !p.dead && (!w.quiet || w.chance(70) && w.now+2*AckTimeoutDefault+simSettle < w.ends) {
			pub.first = false
			w.after(w.between(time.Millisecond, 200*time.Millisecond), func() {
				p.do(func() { w.launch(pub) })
			})
		}
	}
}

// simNote is a notification that was begun.
type simNote struct {
	done chan struct{}
	err  error // valid once done is closed
}

// startNote is StartNotify for those who look at it later.
func (c *Core) startNote(id ID, payload []byte, key string) (*simNote, error) {
	n := &simNote{done: make(chan struct{})}
	return n, c.StartNotify(id, payload, key, func(err error) {
		n.err = err
		close(n.done)
	})
}

func isDone(c chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// expect notes who must have a publication that was acknowledged: those whose
// sessions were known, when it was, to a process that its publisher saw alive.
func (w *world) expect(pub *simPub) {
	if !w.cfg.acked {
		return
	}
	for _, c := range pub.before {
		known := pub.to != nil
		for _, q := range w.live() {
			if !pub.p.acts[q.id] {
				continue
			}
			if s := q.store.byID[c.sid]; s != nil && !s.isPointer() && !q.leftover(s) {
				known = true
			}
		}
		if known {
			pub.expect = append(pub.expect, c)
			w.checkHome(c)
		}
	}
}

// leftover reports whether a copy is one that the home it names, which is heard,
// does not keep here: an earlier fault left it behind, and tidying.collect lets it
// go. It counts for nobody.
func (p *proc) leftover(s *simSession) bool {
	if s.Home == 0 || !p.core.link(s.home()).alive.Load() {
		return false
	}
	kept := false
	p.core.link(s.home()).in.each(func(ref uint64) uint64 {
		kept = kept || ref == s.ref
		return ref
	})
	return !kept
}

// checkHome finds out, whenever something is acknowledged, whether somebody answers
// for a session: is its home, has handed it over and not heard what became of that,
// or is one whose loss others have yet to notice.
func (w *world) checkHome(c *client) {
	copies := 0
	for _, p := range w.procs {
		s := p.store.byID[c.sid]
		switch {
		case s == nil:
		case s.Home == 0 || !p.dead && p.core.answersFor(c.sid):
			return
		case p.dead:
		default:
			if q := w.procOf(p.core.link(s.home()).peer.PeerID); q.dead || !p.core.link(s.home()).alive.Load() {
				return // it will be taken over
			}
			copies++
		}
	}
	if copies > 0 && !c.deleted && !c.ended {
		w.whereIs(c.sid)
		w.fail("nobody is home of session %x of client %d", c.sid[:2], c.n)
	}
}

// homeOf notes that a process has become the home of a session: nobody else is
// or was in that epoch.
func (w *world) homeOf(p *proc, s *simSession) {
	w.happened(uint64(s.Epoch))
	at := ownership{s.ID, s.Epoch}
	if q := w.owners[at]; q != nil && q != p {
		w.fail("%s and %s are both home of %x in epoch %x", q.id, p.id, s.ID[:2], s.Epoch)
	}
	w.owners[at] = p
}

// ownership is one epoch of a session.
type ownership struct {
	id    ID
	epoch uint32
}

// check finds what is wrong when all is quiet.
func (w *world) check() {
	for _, c := range w.clients {
		w.checkClient(c)
	}
	for _, pub := range w.pubs {
		if !pub.over && !pub.p.dead {
			w.fail("%s never ended", pub.what)
		}
		for _, c := range pub.expect {
			if c.got[pub.what] == 0 && !c.deleted && !c.ended {
				w.fail("client %d (session %x) has %s, which %s was told is held, 0 times", c.n, c.sid[:2], pub.what, pub.p.id)
			}
		}
	}
	w.checkCopies()
	for _, p := range w.live() {
		w.checkQuiet(p)
	}
}

// checkClient looks at the order in which a client has heard.
func (w *world) checkClient(c *client) {
	if !c.deleted && (c.conn == nil || !c.conn.open) {
		w.fail("client %d has no stream", c.n)
	}
	for _, pub := range w.pubs {
		if n := c.got[pub.what]; n > 1 && pub.held {
			w.fail("client %d has %s of %s %d times", c.n, pub.what, pub.p.id, n)
		}
	}
	latest := map[*proc]int{}
	for _, what := range c.order {
		i := 0
		fmt.Sscanf(what, "e%d", &i)
		pub := w.pubs[i]
		if pub.to != nil || !pub.held || !pub.first || pub.astray || !slices.Contains(pub.before, c) {
			continue // no order was promised
		}
		if pub.order < latest[pub.p] {
			w.fail("client %d has %s of %s behind e%d", c.n, what, pub.p.id, latest[pub.p])
		}
		latest[pub.p] = pub.order
	}
}

// checkCopies compares what the processes have.
func (w *world) checkCopies() {
	homes := map[ID]*simSession{}
	at := map[ID]*proc{}
	live := w.live()
	for _, p := range live {
		for _, s := range p.store.sorted() {
			if s.Home != 0 {
				continue
			}
			if q := at[s.ID]; q != nil {
				w.fail("session %x is at home at %s and %s", s.ID[:2], q.id, p.id)
			}
			homes[s.ID], at[s.ID] = s, p
		}
	}
	for _, c := range w.clients {
		if c.id != "" && !c.deleted && !c.ended && homes[c.sid] == nil {
			w.fail("session %x of client %d has no home", c.sid[:2], c.n)
		}
	}
	for _, p := range live {
		for _, s := range p.store.sorted() {
			home := homes[s.ID]
			switch {
			case s.Home == 0:
				w.checkHeld(p, s, live)
			case home == nil:
				w.fail("%s has a copy of %x, which nobody is home of", p.id, s.ID[:2])
			case p.core.link(s.home()).peer.PeerID != at[s.ID].id:
				w.fail("%s has a copy of %x whose home is said to be %s, not %s", p.id, s.ID[:2], p.core.link(s.home()).peer, at[s.ID].id)
			case s.isPointer():
			default:
				if a, b := s.text(), home.text(); a != b {
					w.fail("copies of %x differ:\n%s: %s\n%s: %s", s.ID[:2], at[s.ID].id, b, p.id, a)
				}
				if !slices.ContainsFunc(at[s.ID].core.plan.Load().of(shard.PartitionOf(shard.Key(s.ID))), func(l *Link) bool { return l.peer.PeerID == p.id }) {
					w.fail("%s has a copy of %x that it should not have", p.id, s.ID[:2])
				}
			}
		}
	}
}

// checkHeld finds out whether those have a session who should.
func (w *world) checkHeld(p *proc, s *simSession, live []*proc) {
	targets := p.core.plan.Load().of(shard.PartitionOf(shard.Key(s.ID)))
	nodes := 0
	for _, l := range targets {
		q := w.procOf(l.peer.PeerID)
		if q.store.byID[s.ID] == nil {
			w.fail("%s has no copy of %x, which is at home at %s", q.id, s.ID[:2], p.id)
		}
		if q.id.Node != p.id.Node {
			nodes++
		}
	}
	all := map[string]bool{}
	for _, q := range live {
		all[q.id.Node] = true
	}
	if want := min(w.cfg.replicas-1, len(all)-1); nodes < want {
		w.fail("session %x has %d copies, not %d", s.ID[:2], nodes, want)
	}
}

// text is what copies have alike.
func (s *simSession) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "epoch %d state %x topics %v last %x:", s.Epoch, s.State, slices.Sorted(slices.Values(s.topics)), s.log.Last)
	for i := range s.log.Events {
		e := &s.log.Events[i]
		fmt.Fprintf(&b, " %d-%x=%s", e.Stream, e.Seq, e.Msg)
	}
	return b.String()
}

// checkQuiet finds what is left over.
func (w *world) checkQuiet(p *proc) {
	c := p.core
	held := 0
	for _, r := range c.routes.sorted() {
		if !r.held {
			w.fail("%s: a request for %x is left", p.id, r.id[:2])
		}
		if p.conns[r.conn] == nil {
			w.fail("%s: a stream of %x without a connection is left", p.id, r.id[:2])
		}
		held++
	}
	for what, n := range map[string]int{
		"publications": len(c.pubs.open), "notifications": c.notes.open, "fetches": len(c.fetches.m),
		"jobs": len(c.jobs), "bytes of requests": c.routes.bytes, "queue": len(c.spread.queue), "held back": len(c.spread.held.of),
		"waits": len(c.spread.waits), "orphans": len(c.taking.orphans),
		"announcements": len(c.tidy.moved), "departures": len(c.leaving.m),
		"merges": len(c.merging.m), "merges taken": len(c.merging.taken), "dismissals": len(c.dismissing.list), "amends": len(c.amends.asked),
	} {
		if n != 0 {
			w.fail("%s: %s left: %d", p.id, what, n)
		}
	}
	if c.taking.on.Load() || !c.fill.idle() || c.spread.busy() || c.away.on {
		w.fail("%s: busy: takeover %v fill idle %v spread %v away %v", p.id, c.taking.on.Load(), c.fill.idle(), c.spread.busy(), c.away.on)
	}
	for _, e := range p.sortedEnds() {
		for lane := range batch.Lanes {
			if n, _ := e.link.m.Pending(batch.Lane(lane)); n > 0 {
				w.fail("%s: %d messages to %s on the %s lane", p.id, n, e.link.peer, batch.Lane(lane))
			}
		}
	}
}

// dump notes what everybody waits for.
func (w *world) dump() {
	if !w.trace {
		return
	}
	for _, p := range w.live() {
		c := p.core
		for _, o := range c.pubs.open {
			w.note("%s: %s waits for %v, resend %+v", p.id, o.payload, o.waiting, c.pubs.resend)
		}
		for _, x := range c.spread.waits {
			w.note("%s: %s waits, held %v, view %x of %x", p.id, x.in.payload, x.held(), x.view>>52, c.plan.Load().hash>>52)
		}
		w.note("%s: queue %d taking %v fill %+v covered %v refusing %v", p.id, len(c.spread.queue), c.taking.on.Load(), c.fill.idle(), c.fill.covered(c), c.spread.refusing)
		for _, e := range p.sortedEnds() {
			var states [4]int
			for i := range e.link.parts {
				states[e.link.parts[i].state]++
			}
			m := e.link.mark()
			w.note("    %d %s: parts %v acked %d of %d, %d of %d; pending %v", e.link.num, e.link.peer, states,
				e.link.m.Acked(batch.Data), m.data, e.link.m.Acked(batch.Bulk), m.bulk, e.flying)
		}
	}
}

// whereIs notes who knows a session.
func (w *world) whereIs(id ID) {
	part := shard.PartitionOf(shard.Key(id))
	for _, p := range w.live() {
		plan := p.core.plan.Load()
		for _, n := range plan.order(part) {
			w.note("%s: order %s", p.id, plan.nodes[n].name)
		}
		for _, l := range plan.of(part) {
			w.note("%s: target %s, state %d", p.id, l.peer, l.state(part))
		}
		if s := p.store.byID[id]; s != nil {
			home := p.id
			if l := p.core.link(s.home()); l != nil {
				home = l.peer.PeerID
			}
			w.note("%s has %x: home %s, pointer %v, epoch %d", p.id, id[:2], home, s.isPointer(), s.Epoch)
		}
	}
}
