package loop

import "time"

// Stats is a snapshot of a group's counters and gauges. Counters only grow;
// fields are read one by one, so sums may be off by what happens meanwhile.
type Stats struct {
	Open       int64              // connections open now
	Held       int64              // of these, on Hold (open streams)
	Accepted   int64              // connections accepted
	Refused    int64              // accepts that failed, by any error
	AcceptOff  int64              // times accepting was paused for want of descriptors
	Closed     [reasonCount]int64 // closes, by Reason
	BytesIn    int64              // bytes read
	BytesOut   int64              // bytes written to sockets
	Batched    int64              // writes that went to the kernel together with others, through an io_uring
	Rings      int64              // io_urings open: one for each loop and one for batches, from their first use on
	Messages   int64              // whole messages that Step consumed
	Records    int64              // records handed to workers
	Panics     int64              // panics of protocol methods
	Pauses     [pauseCount]int64  // times reading of a connection was paused, by Pause
	OutHeld    int64              // bytes of output held now
	InHeld     int64              // capacity of all attached buffers beyond OutHeld
	Attached   int64              // connections with a buffer attached now
	RingDepth  int64              // connections waiting for a worker now
	RingCap    int64              // bound of the above
	Running    int64              // workers running now
	Waiting    int64              // handlers that left the worker count and wait
	Workers    int64              // bound of Running
	SlotBytes  int64              // memory of slots, used and free
	TableBytes int64              // memory of loops beside slots: read buffers, rings, tables
	Lag        Histogram          // lateness of the loops' clock tick
	Batch      Histogram          // time a loop spent on one batch of events
	Loops      int                // event loops
	PerLoop    []LoopStats        // by loop
	Backend    string             // "epoll" or "portable"
	Uptime     time.Duration      // since Start
}

// LoopStats is the part of Stats that differs by loop.
type LoopStats struct {
	Open  int64 // connections open now
	Lag   Histogram
	Batch Histogram
}

// A Pause is a cause for not reading from a connection.
type Pause uint8

const (
	PauseQueue  Pause = iota // its records waiting for a worker reached QueueMax
	PauseRing                // the ring to the workers is full
	PauseOut                 // its held output passed OutHigh
	PauseHold                // bytes behind an open stream reached HoldMax
	PauseBudget              // the process-wide byte budget is used up
	pauseCount
)

var pauseNames = [pauseCount]string{"queue", "ring", "output", "hold", "budget"}

// String returns the cause's name as metrics show it.
func (p Pause) String() string {
	if p < pauseCount {
		return pauseNames[p]
	}
	return "unknown"
}

// Pauses returns all causes, for whoever exports the counters.
func Pauses() []Pause {
	all := make([]Pause, pauseCount)
	for i := range all {
		all[i] = Pause(i)
	}
	return all
}

// A Histogram counts durations in powers of two of a microsecond: Buckets[i]
// holds those below 1 µs << i that no earlier bucket holds, the last one all
// that is longer.
type Histogram struct {
	Buckets [24]uint64
	Sum     time.Duration
}

// Quantile returns the upper edge of the bucket in which the q-th part of all
// observations lies, zero when there are none.
func (h *Histogram) Quantile(q float64) time.Duration {
	var total uint64
	for _, n := range h.Buckets {
		total += n
	}
	if total == 0 {
		return 0
	}
	rank := uint64(q * float64(total))
	var seen uint64
	for i, n := range h.Buckets {
		seen += n
		if seen > rank || seen == total {
			return time.Microsecond << i
		}
	}
	return time.Microsecond << (len(h.Buckets) - 1)
}
