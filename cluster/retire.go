package cluster

import "github.com/rookery-server/rookery/batch"

// retire gives back what the links to processes hold that v does not know any
// more: another one runs in their place, or they were forgotten. Their numbers
// stay taken, because sessions and connections may name them. If such a process
// does return, both ends begin anew. Step calls it.
func (c *Core) retire(v *View, links []*Link) {
	for _, l := range links {
		if !l.alive.Load() && !v.knows(l.peer.PeerID) {
			l.retire()
		}
	}
}

// knows reports whether a process is one of those in the view, in whatever state.
func (v *View) knows(id PeerID) bool {
	n := v.Node(id.Node)
	if n == nil {
		return false
	}
	for i := range n.Workers {
		if w := &n.Workers[i]; w.Worker == id.Worker && w.Incarnation == id.Incarnation {
			return true
		}
	}
	return false
}

// retire begins the link anew without anything that is to be copied to its peer.
// Whoever waits for what was sent waits no more.
func (l *Link) retire() {
	l.rx.Lock()
	defer l.rx.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.retired == l.life {
		return
	}
	l.renew()
	l.parts, l.retired = nil, l.life
}

// leave leaves a message for a peer that is dead, should it return: not for one
// that is known not to.
func (l *Link) leave(msg []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.retired == l.life {
		return
	}
	if seq, err := l.m.AppendMust(batch.Data, msg); err == nil {
		l.appended[batch.Data] = seq
	}
}

// renew forgets what was on its way in both directions. rx and mu are held.
func (l *Link) renew() {
	l.life++
	l.m = l.machine()
	l.in = inbound{}
	l.in.init(l)
	l.appended, l.written = [batch.Lanes]uint64{}, [batch.Lanes]uint64{}
	l.bodies = [batch.Lanes]*bodyOut{}
	l.run = nil
	l.notes, l.reports = notesOut{}, notesIn{}
	l.filling, l.filled, l.behind, l.stalled = 0, nil, 0, false
}
