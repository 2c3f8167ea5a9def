package cluster

import (
	"sync/atomic"
	"time"
)

// meeting is the time in which a process that has begun gets to know the others:
// what they have is not known here yet, so that balancers better ask them.
type meeting struct {
	over  atomic.Bool
	begun time.Duration // 0: not yet; Step uses it
}

// meetMax is how long that takes at most: for a node that finds nobody, and one
// that does not answer, balancers need not wait.
const meetMax = 5 * time.Second

// Met reports whether every process that is alive has spoken to this one since
// that began, or there was time enough. It stays true.
func (c *Core) Met() bool { return c.meeting.over.Load() }

// doubtfulFor is how long after a change of the view there may be homes that
// others do not know of. Links and the comparison of copies tell within that.
const doubtfulFor = 10 * time.Second

// Doubt reports whether sessions may have a newer home than this process knows
// of: a node is missing, or processes have come or gone a moment ago.
func (c *Core) Doubt() bool {
	return c.plan.Load().lost || c.o.Now()-time.Duration(c.viewed.Load()) < doubtfulFor || c.taking.on.Load() || c.taking.doubt.Load()
}

func (m *meeting) step(c *Core, now time.Duration) {
	if m.over.Load() {
		return
	}
	if m.begun == 0 {
		m.begun = max(now, 1)
	}
	if now-m.begun >= meetMax || m.all(c) {
		m.over.Store(true)
	}
}

func (m *meeting) all(c *Core) bool {
	p := c.plan.Load()
	if p.view == nil || p.view.Searching {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, l := range c.links {
		if _, spoke := c.spread.greetings.heard[l]; l.alive.Load() && !spoke {
			return false
		}
	}
	return true
}
