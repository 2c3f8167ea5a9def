package cluster

import (
	"cmp"
	"slices"
	"time"
)

// This file takes this process from one view to the next.

// applyView acts on the latest view: it says who died, who came or returned,
// and who is to hold what.
func (c *Core) applyView(now time.Duration) {
	c.mu.Lock()
	v := c.next
	c.mu.Unlock()
	if v == nil || v.Version == c.applied || c.lastWords(v, now) {
		return
	}
	p := newPlan(c, v, c.plan.Load())
	links, died, returned := c.turn(v, p, now)
	c.fill.due = p.tell(links, returned) || c.fill.due
	c.spread.greetings.expect(returned, died, now)
	c.fill.uncertain = true
	c.retire(v, links)
	for _, l := range died {
		c.log.Info("peer lost", "peer", l.peer.String())
		c.o.Store.PeerGone(l.num)
	}
	c.routes.viewChanged(c, died, v)
	c.pubs.viewChanged(c)
	c.wakeUp()
}

// turn makes a view the one that everybody here goes by. Who looks for a session
// meanwhile may meet both: so a pass of takeover begins first, during which nobody
// says that a session is unknown.
func (c *Core) turn(v *View, p *plan, now time.Duration) (links, died, returned []*Link) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.applied = v.Version
	for i := range v.Nodes {
		c.roster.add(v.Nodes[i].Name)
	}
	c.viewed.Store(int64(now))
	live := c.livesIn(v)
	for _, l := range c.links {
		switch was, is := l.alive.Load(), slices.Contains(live, l); {
		case was && !is:
			died = append(died, l)
		case !was && is:
			returned = append(returned, l)
		}
	}
	c.taking.begin(len(died) > 0)
	for _, l := range returned {
		c.greetLocked(l) // before it is alive: what is published from then on comes behind
	}
	for _, l := range slices.Concat(died, returned) {
		l.alive.Store(!l.alive.Load())
		l.spoke.Store(false)
		l.judged(l.alive.Load(), now)
	}
	c.plan.Store(p)
	return slices.Clone(c.links), died, returned
}

// livesIn returns the links to the processes that a view has alive. mu is held.
func (c *Core) livesIn(v *View) (live []*Link) {
	for _, p := range v.Peers(nil) {
		if p.Incarnation != c.o.Self.Incarnation {
			live = append(live, c.linkTo(p))
		}
	}
	return live
}

// viewChanged ends what waits for peers that are lost: streams are cut, so that
// their clients resume them elsewhere, and requests that may be repeated are.
// Others wait for who may only have been silent, as v says, and answer yet: on a
// busy machine that is the case more often than not. Without v, what was on the
// links is lost.
func (t *routes) viewChanged(c *Core, died []*Link, v *View) {
	now := c.o.Now() // a view takes a busy process long
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(died) > 0 {
		t.lost = now
	}
	for _, r := range t.sorted() {
		lost := slices.Contains(died, r.at)
		unsent := !lost && !r.taken && r.msg != nil && slices.Contains(died, r.via)
		switch {
		case !lost && !unsent:
		case r.msg != nil && r.repeat:
			r.at, r.via, r.taken, r.asked, r.tried, r.named, r.waited = nil, nil, false, false, nil, home{}, 0
			r.retryAt, r.deadline = now, now+c.o.HoldTimeout
		case unsent, // it may have arrived: who has it says so
			r.msg != nil && v.mayReturn(r.at.peer.PeerID):
			r.giveUp = now + c.o.HoldTimeout
		case r.msg != nil:
			c.refuse(r, RefusedLost)
		default:
			c.cut(r)
		}
	}
}

// mayReturn reports whether a process that is dead in the view may be alive.
func (v *View) mayReturn(id PeerID) bool {
	if v == nil {
		return false
	}
	n := v.Node(id.Node)
	return n != nil && n.mayHave(func(w *WorkerInfo) bool { return w.Worker == id.Worker && w.Incarnation == id.Incarnation })
}

// mayHave reports whether a process of the node for which match holds may be
// alive, whatever its state.
func (n *Node) mayHave(match func(*WorkerInfo) bool) bool {
	for i := range n.Workers {
		if w := &n.Workers[i]; n.State != Left && !w.Gone && match(w) {
			return true
		}
	}
	return false
}

// sorted returns the routes in a fixed order.
func (t *routes) sorted() []*route {
	all := make([]*route, 0, len(t.byNum))
	for _, r := range t.byNum {
		all = append(all, r)
	}
	slices.SortFunc(all, func(a, b *route) int { return cmp.Compare(a.num, b.num) })
	return all
}

// lastWordsMax is how long a view waits for what the dead have said.
const lastWordsMax = 500 * time.Millisecond

// lastWords reports whether a process that a view has dead has said something
// that has arrived here and not been read. A process that was killed has sent its
// copies what its clients have had of it: to take its sessions over before that
// is read would send it to them once more. Only who is short of processor time
// gets there: one that was merely silent has sent nothing.
func (c *Core) lastWords(v *View, now time.Duration) bool {
	if c.o.Unread == nil {
		return false
	}
	c.mu.Lock()
	live := c.livesIn(v)
	var died []*Link
	for _, l := range c.links {
		if l.alive.Load() && !slices.Contains(live, l) {
			died = append(died, l)
		}
	}
	c.mu.Unlock()
	unread := slices.ContainsFunc(died, func(l *Link) bool { return c.o.Unread(l.peer) })
	switch {
	case !unread:
		c.unread = 0
	case c.unread == 0:
		c.unread = now
	case now-c.unread >= lastWordsMax:
		unread, c.unread = false, 0
	}
	return unread
}
