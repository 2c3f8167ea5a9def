package cluster

import (
	"math"
	"time"
)

// A request that a peer has sent on over a link that broke arrives when the
// network is well again. Nobody waits for it any more: the peer saw this one dead
// and asked elsewhere, or its client has gone there. To serve it does harm, if it
// takes up a stream: the session would be taken to have its client here, and to
// know by its last event id what that has had, while it heard more elsewhere. So
// of a peer that was dead in our view nothing is served until it has greeted us,
// behind all that it had sent before, or has been alive for outdatedMax.

// outdatedMax is longer than it takes for what waited in a link to arrive.
const outdatedMax = HoldTimeoutDefault

// judged notes that the peer is dead in our view or alive again, or for the first
// time. Step calls it.
func (l *Link) judged(alive bool, now time.Duration) {
	switch {
	case !alive:
		l.died = true
		l.said.Store(math.MaxInt64)
		l.core.amends.returns(l, 0)
	case l.died && l.said.CompareAndSwap(math.MaxInt64, int64(now+outdatedMax)):
		l.core.amends.returns(l, now+owedMax)
	case l.died: // its greeting was faster
		l.core.amends.returns(l, now+gatherMax)
	}
}

// greets notes that the peer has greeted us: all it had sent before has come, and
// what it may owe us is due.
func (l *Link) greets(now time.Duration) {
	l.said.Store(0)
	if owes := l.owes.Load(); owes > int64(now+gatherMax) {
		l.owes.CompareAndSwap(owes, int64(now+gatherMax)) // or it has died, or said that it owes nothing
	}
}

// outdated reports whether what the peer asks may be from before.
func (l *Link) outdated(now time.Duration) bool { return int64(now) < l.said.Load() }
