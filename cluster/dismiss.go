package cluster

import (
	"slices"
	"time"
)

// dismissals are the sessions that were at home here and have a newer home
// elsewhere. Their clients' streams are open and silent until that home has what
// was sent over them: a client that came there earlier could not be told what of
// it it has had, and would hear some of it again. Then they end, and the clients
// find the new home.
//
// Core.mu guards it; Step ends them. It is bounded by the sessions.
type dismissals struct{ list []dismissal }

type dismissal struct {
	ref uint64
	id  ID
	by  time.Duration // no later
}

// dismissMax is how long a client may hear nothing because its new home cannot be
// told what it has had. It is sent there then, and may hear an event twice.
const dismissMax = 2 * time.Second

// dismiss ends the streams of a session that was at home here as soon as its
// home has the events that were merged there.
func (c *Core) dismiss(ref uint64, id ID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dismissing.list = append(c.dismissing.list, dismissal{ref, id, c.o.Now() + dismissMax})
	c.wakeUp()
}

// step ends the streams whose time has come.
func (d *dismissals) step(c *Core, now time.Duration) {
	var told, late []uint64
	var ended []ID
	c.mu.Lock()
	d.list = slices.DeleteFunc(d.list, func(x dismissal) bool {
		switch {
		case c.merging.of[x.id] == 0:
			told = append(told, x.ref)
		case now >= x.by:
			late = append(late, x.ref)
		default:
			return false
		}
		ended = append(ended, x.id)
		return true
	})
	c.mu.Unlock()
	for _, ref := range told {
		c.o.Store.Dismiss(ref, true)
	}
	for _, ref := range late {
		c.o.Store.Dismiss(ref, false)
	}
	c.askHomes(ended)
}
