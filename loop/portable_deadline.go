package loop

import "time"

// portFar is when a connection is looked at if no deadline runs.
const portFar = 24 * time.Hour

// dueLocked returns the time at which the earliest deadline should be looked at. A
// deadline that turns out not to hold then (a worker has the connection) is
// computed anew.
func (c *portConn) dueLocked(now time.Time) time.Time {
	o := c.b.o
	if c.mu.ending {
		if c.mu.sent {
			return c.mu.lingerTo
		}
		return now.Add(portFar) // the sender has a deadline of its own
	}
	due := now.Add(portFar)
	for _, t := range [...]time.Time{c.handshakeDue(), c.requestDue(), c.tickDueLocked(), c.idleDueLocked()} {
		if !t.IsZero() && t.Before(due) {
			due = t
		}
	}
	if c.b.stopping() && now.Before(c.b.hurryAt) && c.b.hurryAt.Before(due) {
		due = c.b.hurryAt // settle ends it
	}
	if c.mu.paused&(1<<PauseBudget) != 0 {
		if look := now.Add(o.TickEvery); look.Before(due) {
			due = look
		}
	}
	return due
}

// The deadlines of a connection; zero: does not run.

func (c *portConn) handshakeDue() time.Time {
	if !c.greets {
		return time.Time{}
	}
	return portDue(c.opened, c.b.o.HandshakeTimeout)
}

func (c *portConn) requestDue() time.Time { return portDue(c.tailAt, c.b.o.RequestTimeout) }

func (c *portConn) tickDueLocked() time.Time {
	if !c.mu.held {
		return time.Time{}
	}
	return c.tickAt
}

// idleDueLocked is about silence between messages; the others bound silence in
// one, and before the first.
func (c *portConn) idleDueLocked() time.Time {
	if c.mu.held || c.greets || !c.tailAt.IsZero() {
		return time.Time{}
	}
	if c.active.Before(c.mu.workedAt) {
		c.active = c.mu.workedAt
	}
	return portDue(c.active, c.b.o.IdleTimeout)
}

// portDue returns the end of d from t on; without t or d there is none.
func portDue(t time.Time, d time.Duration) time.Time {
	if t.IsZero() || d <= 0 {
		return time.Time{}
	}
	return t.Add(d)
}

// deadlines does what is due; it was to wake at due. It reports false when the
// connection is over.
func (c *portConn) deadlines(due time.Time) bool {
	now := time.Now()
	if !due.IsZero() && now.After(due) {
		c.b.n.lag.observe(now.Sub(due))
	}
	passed := func(t time.Time) bool { return !t.IsZero() && !now.Before(t) }
	c.mu.Lock()
	if c.mu.ending {
		defer c.mu.Unlock()
		return !c.mu.sent || !passed(c.mu.lingerTo)
	}
	if c.busyLocked() {
		c.active = now
	}
	if c.mu.paused&pausesStep != 0 && !c.tailAt.IsZero() {
		c.tailAt = now // it is we who keep the message from arriving
	}
	starved := c.mu.paused&(1<<PauseBudget) != 0
	tick, idle := passed(c.tickDueLocked()), passed(c.idleDueLocked())
	c.mu.Unlock()
	switch {
	case passed(c.handshakeDue()):
		c.close(ReasonHandshake)
	case passed(c.requestDue()) && starved:
		c.close(ReasonBudget)
	case passed(c.requestDue()):
		c.close(ReasonRequestTimeout)
	case tick:
		c.tickAt = now.Add(c.b.o.KeepAlive)
		c.guard("Tick", func() { c.p.Tick(c.conn()) })
	case idle:
		c.close(ReasonIdle)
	}
	return true
}
