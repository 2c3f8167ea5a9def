package memprof

import (
	"cmp"
	"math"
	"runtime/metrics"
	"slices"
	"sync"
	"time"
)

// GC is what the garbage collector did since the process started. Two of them
// taken apart give a period: see [GC.Since].
type GC struct {
	Cycles uint64 `json:"cycles"` // completed
	Forced uint64 `json:"forced"` // of these, asked for by the program
	// PauseMax is the upper bound of the slowest pause's bucket: the true
	// value is at most a quarter lower.
	PauseMax time.Duration `json:"pause_max_ns"`
	// Pauses is a histogram of the times during which nothing ran, from the
	// request to stop until everything runs again. Empty buckets are left
	// out; upper bounds ascend.
	Pauses Pauses `json:"pauses"`
	// Stopping is the part of the same pauses until all threads of the process
	// had stopped: the rest is the collector's work, and starting again. A long
	// one is a thread that could not stop because the machine did not run it.
	Stopping Pauses `json:"stopping"`
}

// Pauses is a histogram of times: buckets with something in them, by ascending
// upper bound.
type Pauses []PauseBucket

// PauseBucket counts the pauses that took at most Max and more than the next
// smaller possible bound.
type PauseBucket struct {
	Max   time.Duration `json:"max_ns"` // math.MaxInt64 for the last
	Count uint64        `json:"count"`
}

const (
	metricPauses   = "/sched/pauses/total/gc:seconds"
	metricStopping = "/sched/pauses/stopping/gc:seconds"
	metricCycles   = "/gc/cycles/total:gc-cycles"
	metricForced   = "/gc/cycles/forced:gc-cycles"
)

// collector are the samples that ReadGC reads. The runtime writes histograms into
// those that are there: a process that is looked at leaves no garbage for it.
var collector = struct {
	sync.Mutex
	samples []metrics.Sample
}{samples: []metrics.Sample{{Name: metricPauses}, {Name: metricCycles}, {Name: metricForced}, {Name: metricStopping}}}

// ReadGC reads the collector of the calling process.
func ReadGC() GC {
	collector.Lock()
	defer collector.Unlock()
	s := collector.samples
	metrics.Read(s)
	g := GC{
		Cycles: s[1].Value.Uint64(), Forced: s[2].Value.Uint64(),
		Pauses: buckets(s[0].Value.Float64Histogram()), Stopping: buckets(s[3].Value.Float64Histogram()),
	}
	g.PauseMax = g.Pauses.Max()
	return g
}

func buckets(h *metrics.Float64Histogram) Pauses {
	full := 0
	for _, n := range h.Counts {
		if n > 0 {
			full++
		}
	}
	if full == 0 {
		return nil
	}
	out := make(Pauses, 0, full)
	for i, n := range h.Counts {
		if n > 0 {
			out = append(out, PauseBucket{Max: fromSeconds(h.Buckets[i+1]), Count: n})
		}
	}
	return out
}

func fromSeconds(s float64) time.Duration {
	if ns := math.Ceil(s * 1e9); ns < math.MaxInt64 {
		return time.Duration(ns)
	}
	return math.MaxInt64
}

// Since returns what happened after base was taken in the same process.
func (g GC) Since(base GC) GC {
	d := GC{
		Cycles: g.Cycles - base.Cycles, Forced: g.Forced - base.Forced,
		Pauses: g.Pauses.Since(base.Pauses), Stopping: g.Stopping.Since(base.Stopping),
	}
	d.PauseMax = d.Pauses.Max()
	return d
}

// Quantile is that of the pauses, see [Pauses.Quantile].
func (g GC) Quantile(q float64) time.Duration { return g.Pauses.Quantile(q) }

// Max returns the upper bound of the last bucket, 0 when nothing was counted.
func (p Pauses) Max() time.Duration {
	if len(p) == 0 {
		return 0
	}
	return p[len(p)-1].Max
}

// Since returns what was counted after base, an earlier state of p.
func (p Pauses) Since(base Pauses) (d Pauses) {
	for _, b := range p {
		if i, known := base.find(b.Max); known {
			b.Count -= base[i].Count
		}
		if b.Count > 0 {
			d = append(d, b)
		}
	}
	return d
}

// Count counts one time whose bucket ends at bound.
func (p *Pauses) Count(bound time.Duration) { p.count(bound, 1) }

// Add counts what q has counted, too.
func (p *Pauses) Add(q Pauses) {
	for _, b := range q {
		p.count(b.Max, b.Count)
	}
}

func (p *Pauses) count(bound time.Duration, n uint64) {
	i, known := p.find(bound)
	if !known {
		*p = slices.Insert(*p, i, PauseBucket{Max: bound})
	}
	(*p)[i].Count += n
}

func (p Pauses) find(bound time.Duration) (int, bool) {
	return slices.BinarySearchFunc(p, bound, func(b PauseBucket, m time.Duration) int { return cmp.Compare(b.Max, m) })
}

// Total returns how many times were counted.
func (p Pauses) Total() (n uint64) {
	for _, b := range p {
		n += b.Count
	}
	return n
}

// Quantile returns the upper bound of the bucket in which the q-th part of
// the times ends, 0 < q ≤ 1; 0 when there was none.
func (p Pauses) Quantile(q float64) time.Duration {
	var seen uint64
	need := uint64(math.Ceil(q * float64(p.Total())))
	for _, b := range p {
		if seen += b.Count; seen >= need {
			return b.Max
		}
	}
	return 0
}
