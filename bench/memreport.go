package bench

import (
	"slices"
	"time"

	"github.com/rookery-server/rookery/memprof"
)

// MemSchema is the version of MemReport's JSON form. It rises when a field is
// renamed, removed or changes its meaning.
const MemSchema = 1

// MemReport is the result of RunMem. Bytes of a server are RssAnon + RssShmem.
type MemReport struct {
	Schema  int            `json:"schema"`
	Taken   time.Time      `json:"taken"`
	Machine Machine        `json:"machine"`
	Rows    []MemRow       `json:"rows"`
	Waiting *WaitingResult `json:"waiting,omitempty"`
	Events  []EventsResult `json:"events,omitempty"`
	// Notes say what could not be measured, and why.
	Notes    []string `json:"notes"`
	Breaches []Breach `json:"breaches"`
}

// MemRow is one server holding one kind of client.
type MemRow struct {
	Server string     `json:"server"`
	Kind   Kind       `json:"kind"`
	Runs   int        `json:"runs"`
	Zero   Spread     `json:"zero_bytes"` // the process without clients
	Points []MemPoint `json:"points"`
	// Average is all growth since zero ÷ clients, at the last count.
	Average Spread `json:"average_bytes_per_client"`
	// Slope is the growth between the last two counts ÷ their difference:
	// what one more client costs.
	Slope Spread `json:"slope_bytes_per_client"`
	// OpenRate is handshakes completed a second in the last step.
	OpenRate Spread `json:"opened_per_second"`
	// Kernel is the growth of the kernel's slabs ÷ 2 × clients: the client's
	// end of each connection lives on the same machine. Nil: not readable.
	Kernel     *Spread   `json:"kernel_bytes_per_connection,omitempty"`
	KernelBy   []PerEach `json:"kernel_by_slab,omitempty"`
	Burst      *MemBurst `json:"burst,omitempty"`
	Closed     *Spread   `json:"closed_bytes,omitempty"`                      // the process when all clients have left
	Reopened   *Spread   `json:"reopened_average_bytes_per_client,omitempty"` // with as many new ones, since zero
	LiveHeap   *float64  `json:"live_heap_bytes_per_client,omitempty"`
	Components []PerEach `json:"components,omitempty"` // add up to the growth in the run of the account
}

// MemPoint is the process at one count of clients.
type MemPoint struct {
	Clients int    `json:"clients"`
	Bytes   Spread `json:"bytes"`
}

// PerEach is a part of what one client costs.
type PerEach struct {
	Name  string  `json:"name"`
	Bytes float64 `json:"bytes_per_client"`
}

// MemBurst is the process while and after all clients spoke at once.
type MemBurst struct {
	Before  Spread  `json:"before_bytes"`
	Peak    Spread  `json:"peak_bytes"`
	After   Spread  `json:"after_bytes"`
	Growth  Spread  `json:"growth"`       // After ÷ Before − 1
	Seconds Spread  `json:"seconds"`      // until all were answered
	Back    Spread  `json:"back_seconds"` // from then until After was reached
	Latency Latency `json:"latency"`      // of the last run
}

// newMemRow computes the figures of s from its runs.
func newMemRow(s *subject, runs []memRun) MemRow {
	n := len(s.counts)
	clients := float64(s.last())
	row := MemRow{
		Server:  s.program.name,
		Kind:    s.kind,
		Runs:    len(runs),
		Zero:    spreadBy(runs, func(r memRun) float64 { return float64(r.zero) }),
		Average: spreadBy(runs, func(r memRun) float64 { return float64(r.own[n-1]-r.zero) / clients }),
		Slope:   spreadBy(runs, s.slope),
		OpenRate: spreadBy(runs, func(r memRun) float64 {
			return float64(s.last()-s.before(n-1)) / r.opening.Seconds()
		}),
	}
	for i, count := range s.counts {
		bytes := spreadBy(runs, func(r memRun) float64 { return float64(r.own[i]) })
		row.Points = append(row.Points, MemPoint{Clients: count, Bytes: bytes})
	}
	if !slices.ContainsFunc(runs, func(r memRun) bool { return len(r.slabs) != n+1 }) {
		row.addKernel(s, runs)
	}
	if s.full {
		row.addStress(clients, runs[:min(stressRuns, len(runs))])
	}
	return row
}

// before returns the count that preceded the i-th.
func (s *subject) before(i int) int {
	if i == 0 {
		return 0
	}
	return s.counts[i-1]
}

// slope is the cost of one more client between the last two counts; with one
// count only, since zero.
func (s *subject) slope(r memRun) float64 {
	n := len(s.counts)
	base := r.zero
	if n > 1 {
		base = r.own[n-2]
	}
	return float64(r.own[n-1]-base) / float64(s.last()-s.before(n-1))
}

// slabShare is how much of an object each end must have grown a slab by to
// count: less is the noise of a living machine.
const slabShare = 0.2

// addKernel adds what the kernel holds for each end of a connection.
func (row *MemRow) addKernel(s *subject, runs []memRun) {
	ends := 2 * float64(s.last())
	grown := func(r memRun) (list []PerEach) {
		first, last := r.slabs[0], r.slabs[len(r.slabs)-1]
		for _, name := range memprof.ConnectionSlabs {
			alias := last.Alias(name)
			if objects := last[alias].Objects - first[alias].Objects; float64(objects) < slabShare*ends {
				continue
			}
			if alias != name {
				name += ", counted as " + alias
			}
			list = append(list, PerEach{Name: name, Bytes: float64(last[alias].Bytes-first[alias].Bytes) / ends})
		}
		return list
	}
	total := spreadBy(runs, func(r memRun) (bytes float64) {
		for _, each := range grown(r) {
			bytes += each.Bytes
		}
		return bytes
	})
	row.Kernel, row.KernelBy = &total, grown(runs[len(runs)-1])
}

func (row *MemRow) addStress(clients float64, runs []memRun) {
	n := len(row.Points)
	bytes := func(f func(memRun) int64) Spread {
		return spreadBy(runs, func(r memRun) float64 { return float64(f(r)) })
	}
	row.Burst = &MemBurst{
		Before:  row.Points[n-1].Bytes,
		Peak:    bytes(func(r memRun) int64 { return r.peak }),
		After:   bytes(func(r memRun) int64 { return r.after }),
		Growth:  spreadBy(runs, func(r memRun) float64 { return float64(r.after)/float64(r.own[n-1]) - 1 }),
		Seconds: spreadBy(runs, func(r memRun) float64 { return r.burst.Took.Seconds() }),
		Back:    spreadBy(runs, func(r memRun) float64 { return r.back.Seconds() }),
		Latency: runs[len(runs)-1].burst.Latency,
	}
	closed := bytes(func(r memRun) int64 { return r.closed })
	row.Closed = &closed
	reopened := spreadBy(runs, func(r memRun) float64 { return float64(r.reopened-r.zero) / clients })
	row.Reopened = &reopened
}

// addAccount adds the growth by component.
func (row *MemRow) addAccount(s *subject, a account) {
	clients := float64(s.last())
	live := float64(a.liveHeap) / clients
	row.LiveHeap = &live
	for _, c := range a.growth {
		row.Components = append(row.Components, PerEach{Name: c.Name, Bytes: float64(c.Bytes) / clients})
	}
}
