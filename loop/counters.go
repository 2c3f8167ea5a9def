package loop

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// counters of one loop. Most are written by the loop's goroutine alone, so the
// atomics are uncontended; workers add to bytesOut and outHeld.
type counters struct {
	accepted, acceptOff, held atomic.Int64
	bytesIn, bytesOut         atomic.Int64
	messages, records, panics atomic.Int64
	outHeld                   atomic.Int64
	batched                   atomic.Int64
	closed                    [reasonCount]atomic.Int64
	pauses                    [pauseCount]atomic.Int64
	lag, batch                histogram
}

// histogram is the live form of Histogram.
type histogram struct {
	buckets [24]atomic.Uint64
	sum     atomic.Int64
}

func (h *histogram) observe(d time.Duration) {
	d = max(d, 0)
	i := min(bits.Len64(uint64(d/time.Microsecond)), len(h.buckets)-1)
	h.buckets[i].Add(1)
	h.sum.Add(int64(d))
}

func (h *histogram) addTo(sum *Histogram) {
	for i := range h.buckets {
		sum.Buckets[i] += h.buckets[i].Load()
	}
	sum.Sum += time.Duration(h.sum.Load())
}

func (c *counters) addTo(st *Stats) {
	st.Accepted += c.accepted.Load()
	st.AcceptOff += c.acceptOff.Load()
	st.Held += c.held.Load()
	st.BytesIn += c.bytesIn.Load()
	st.BytesOut += c.bytesOut.Load()
	st.Messages += c.messages.Load()
	st.Records += c.records.Load()
	st.Panics += c.panics.Load()
	st.OutHeld += c.outHeld.Load()
	st.Batched += c.batched.Load()
	for i := range c.closed {
		st.Closed[i] += c.closed[i].Load()
	}
	for i := range c.pauses {
		st.Pauses[i] += c.pauses[i].Load()
	}
	c.lag.addTo(&st.Lag)
	c.batch.addTo(&st.Batch)
}

// perLoop is what the counters of one loop say of it alone.
func (c *counters) perLoop(open int64) LoopStats {
	l := LoopStats{Open: open}
	c.lag.addTo(&l.Lag)
	c.batch.addTo(&l.Batch)
	return l
}
