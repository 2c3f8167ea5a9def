package cluster

import (
	"context"
	"slices"
	"sync"
	"time"
)

// copying are callers of Copied: each waits for at most
// CoreOptions.HoldTimeout, and who calls bounds how many there are.
type copying struct {
	mu    sync.Mutex
	waits []*copyWait // guarded by mu
}

type copyWait struct {
	marks []linkMark
	by    time.Duration
	done  chan struct{}
}

// Copied returns when every copy of a session at home here that is complete or
// being made has processed what was told of the session until now, or its peer is
// dead: a session that has just begun lives on from then on if this process is
// killed. It gives up with ctx, and after CoreOptions.HoldTimeout: by then somebody
// who does not answer is about to be dead, and new clients are to be served. It
// returns at once if there is no other node, and without CoreOptions.Acked.
func (c *Core) Copied(ctx context.Context, ref uint64) {
	if w := c.startCopied(ref); w != nil {
		select {
		case <-w.done:
		case <-ctx.Done():
		}
	}
}

// startCopied begins what Copied does; nil says that there is nothing to wait for.
func (c *Core) startCopied(ref uint64) *copyWait {
	s, ok := c.o.Store.Load(ref)
	if !c.o.Acked || !ok || s.Home != 0 {
		return nil
	}
	marks := c.copyMarks(partitionOf(s.ID))
	if reached(marks) {
		return nil
	}
	w := &copyWait{marks, c.o.Now() + c.o.HoldTimeout, make(chan struct{})}
	c.copying.mu.Lock()
	c.copying.waits = append(c.copying.waits, w)
	c.copying.mu.Unlock()
	c.wakeUp() // it may have been reached meanwhile
	return w
}

// copyMarks returns where the links to the copies of a partition stand. Changes
// of a complete copy do not go over the bulk lane, which may take long.
func (c *Core) copyMarks(part uint16) []linkMark {
	var marks []linkMark
	for _, l := range c.plan.Load().of(part) {
		state := l.state(part)
		if l.sameNode() || state != partLive && state != partFilling {
			continue
		}
		m := l.mark()
		if state == partLive {
			m.bulk = 0
		}
		marks = append(marks, linkMark{l, m})
	}
	return marks
}

// step ends what waits no more.
func (t *copying) step(_ *Core, now time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.waits = slices.DeleteFunc(t.waits, func(w *copyWait) bool {
		over := now >= w.by || reached(w.marks)
		if over {
			close(w.done)
		}
		return over
	})
}
