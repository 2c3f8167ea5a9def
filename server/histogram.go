package server

import (
	"sync/atomic"
	"time"
)

// histogram counts durations in buckets with upper bounds of its own. It is one of
// ours because that of the metrics library takes a lock for each value, which all
// loops and workers of a process share, and leaves about 7 KiB of garbage each
// time it is shown: most of what a process collected whose clients leave none.
type histogram struct {
	series
	bounds []time.Duration // ascending
	counts []atomic.Uint64 // by bucket, the last is above all bounds
	sum    atomic.Int64    // ns
}

func newHistogram(name, labels string, bounds []time.Duration) *histogram {
	return &histogram{series: series{name, labels}, bounds: bounds, counts: make([]atomic.Uint64, len(bounds)+1)}
}

// observe counts one duration. Any goroutine may call it.
func (h *histogram) observe(d time.Duration) {
	i := 0
	for i < len(h.bounds) && d > h.bounds[i] {
		i++
	}
	h.counts[i].Add(1)
	h.sum.Add(int64(d))
}

// write writes what was counted. Values that are counted meanwhile may be in the
// buckets and not in the sum.
func (h *histogram) write(p page) {
	var n uint64
	for i, bound := range h.bounds {
		n += h.counts[i].Load()
		p.bucket(&h.series, bound.Seconds(), n)
	}
	p.totals(&h.series, n+h.counts[len(h.bounds)].Load(), time.Duration(h.sum.Load()))
}
