package session

import "time"

// EventsOptions configures Events. The zero value is useful.
type EventsOptions struct {
	Count  int              // events a log keeps; 0 means 256, less than 0 that nothing is kept
	Bytes  int              // bytes of bodies a log keeps; 0 means 256 KiB
	Age    time.Duration    // how long an event is kept; 0 means 5 minutes
	Budget int64            // bytes that the events of all logs may cost; 0 means 64 MiB
	Now    func() time.Time // the clock; nil means time.Now
}

// EventsStats says what Events holds and what it has let go.
type EventsStats struct {
	Logs, Events, Bodies, Bytes                           int64
	EvictedCount, EvictedBytes, EvictedAge, EvictedBudget uint64
	TooLarge                                              uint64
}

// Events keeps what was sent to sessions, so that a client that comes back gets
// what it missed.
type Events struct{}

// NewEvents returns an empty store.
func NewEvents(o EventsOptions) *Events { return &Events{} }

// Keep copies msg.
func (e *Events) Keep(msg []byte) (body uint32) { return 0 }

// Release gives a reference back.
func (e *Events) Release(body uint32) {}

// Append adds an event to a log.
func (e *Events) Append(log, stream, body uint32) (newLog, seq uint32) { return log, 0 }

// Draw draws a number without an event.
func (e *Events) Draw(log uint32) (newLog, seq uint32) { return log, 0 }

// Last returns the last number drawn.
func (e *Events) Last(log uint32) (seq uint32) { return 0 }

// Since calls f for the events of stream after a number.
func (e *Events) Since(log, stream, after uint32, f func(seq uint32, msg []byte)) (covered bool) {
	return false
}

// Drop removes a log.
func (e *Events) Drop(log uint32) {}

// Sweep removes what is too old.
func (e *Events) Sweep(max int) (removed int) { return 0 }

// Stats returns counts.
func (e *Events) Stats() EventsStats { return EventsStats{} }

// Export returns what the log holds.
func (e *Events) Export(log uint32) LogSnapshot { return LogSnapshot{} }

// Import makes a log of what Export returned.
func (e *Events) Import(s LogSnapshot) (log uint32) { return 0 }
