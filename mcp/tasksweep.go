package mcp

import (
	expiry "container/heap"
	"context"
	"time"
)

// TaskStats counts tasks. Its fields are totals unless they say otherwise.
type TaskStats struct {
	Created                      uint64
	Completed, Failed, Cancelled uint64 // with those that still run they sum to Created
	Expired                      uint64 // of Failed, handlers that took longer than the TTL
	Dropped                      uint64 // of Failed, results that found no room
	Panicked                     uint64 // of Failed, handlers that panicked
	Refused                      uint64 // calls refused because the store was full

	// As they stand.
	Tasks, Running int
	Bytes          int64
}

// snapshot returns the counters.
func (t *taskStore) snapshot() TaskStats {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.stats
	s.Tasks, s.Running, s.Bytes = len(t.byID), t.running, t.bytes
	return s
}

// expiredGrace is how long a task that failed because its time was over can
// still be asked for.
const expiredGrace = time.Minute

// sweep forgets tasks that are over and makes those fail whose handler took
// too long, which stay until it has returned.
func (t *taskStore) sweep(now time.Time) (removed int) {
	var late []context.CancelCauseFunc
	t.mu.Lock()
	for len(t.byExpiry) > 0 && !t.byExpiry[0].expires.After(now) {
		k := t.byExpiry[0]
		if !k.running {
			t.remove(k)
			removed++
			continue
		}
		if !k.terminal() {
			late = append(late, k.cancel)
			t.stats.Expired++
			t.end(k, taskFailed, errTaskExpiredRPC.Message, taskExpired)
		}
		k.expires = now.Add(expiredGrace)
		expiry.Fix(&t.byExpiry, 0)
	}
	t.mu.Unlock()
	for _, cancel := range late {
		cancel(ErrTaskExpired) // outside the lock: it runs what others hung on the context
	}
	return removed
}

// SweepTasks ends tasks whose time is over at now and returns how many were
// forgotten. Call it every second or so; it costs what it finds and does not
// block. Without it tasks stay until the store is full.
func (s *Server) SweepTasks(now time.Time) (removed int) { return s.tasks.sweep(now) }

// WaitTasks returns when the handlers of all tasks have returned, or with the
// error of ctx. To shut down, see that no more calls are served, cancel
// Options.Context, which ends the tasks' contexts, and wait.
func (s *Server) WaitTasks(ctx context.Context) error {
	t := &s.tasks
	for {
		t.mu.Lock()
		if t.running == 0 {
			t.mu.Unlock()
			return nil
		}
		if t.idle == nil {
			t.idle = make(chan struct{})
		}
		idle := t.idle
		t.mu.Unlock()
		select {
		case <-idle:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
