package cluster

import "time"

// answer lets Step tell a client of ours something of its request. Clients do not
// wait for publications as jobs do: nothing moves with an answer. mu is held.
func (c *Core) answer(f func()) {
	c.answers = append(c.answers, f)
	c.wakeUp()
}

// runAnswers tells clients what became of their requests.
func (c *Core) runAnswers() {
	c.mu.Lock()
	answers := c.answers
	c.answers = nil
	c.mu.Unlock()
	for _, f := range answers {
		f()
	}
}

// settleWaits is for how many HoldTimeouts after a loss requests wait for who takes
// their sessions over: of tens of thousands of clients that return at once the
// first come before a busy machine has taken their sessions over. Turned away they
// would come again, behind all others. What helps none of them waits for as long:
// sessions do not follow other clients, and copies are not compared.
const settleWaits = 4

// holdsOn reports whether a request that has waited for HoldTimeout waits on, for
// what a loss has left to do, and gives it the time. mu is held.
func (t *routes) holdsOn(c *Core, r *route, now time.Duration) bool {
	until := t.settled(c)
	if !r.repeat || now >= until {
		return false
	}
	r.deadline = until
	return true
}

// settled returns until when clients of a peer that was lost may be on their way
// back, 0 if none was. mu is held.
func (t *routes) settled(c *Core) time.Duration {
	if t.lost == 0 {
		return 0
	}
	return t.lost + settleWaits*c.o.HoldTimeout
}

// mayBeFound reports whether a session may turn up: not all have been asked, or one
// of them was not sure. mu is held.
func (r *route) mayBeFound(c *Core) bool {
	if !r.asked || r.unsure || r.doubted {
		return true
	}
	_, known := c.o.Store.Find(r.id)
	return known
}
