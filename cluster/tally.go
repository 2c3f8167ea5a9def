package cluster

import (
	"slices"
	"sync"
	"time"
)

// tally counts what happens to hundreds of sessions at once, such as being
// fenced, so that the log has one line a second for each peer.
type tally struct {
	mu     sync.Mutex
	fenced map[*Link]int // guarded by mu; sessions, by their newer home
	due    time.Duration // Step uses it; 0: nothing to say
}

// tallyEvery is how long is counted.
const tallyEvery = time.Second

// fencedBy notes a session at home here whose newer home is the peer of l.
func (c *Core) fencedBy(l *Link) {
	c.count.fenced.Add(1)
	t := &c.tally
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.fenced == nil {
		t.fenced = map[*Link]int{}
	}
	t.fenced[l]++
}

func (t *tally) step(c *Core, now time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case len(t.fenced) == 0:
		return
	case t.due == 0:
		t.due = now + tallyEvery
	}
	if now < t.due {
		return
	}
	links := make([]*Link, 0, len(t.fenced))
	for l := range t.fenced {
		links = append(links, l)
	}
	slices.SortFunc(links, func(a, b *Link) int { return int(a.num) - int(b.num) })
	for _, l := range links {
		c.log.Warn("sessions had a newer home elsewhere; what this one wrote to their protocol state is lost",
			"home", l.peer.String(), "sessions", t.fenced[l])
	}
	t.fenced, t.due = nil, 0
}
