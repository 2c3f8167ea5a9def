package bench

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/rookery-server/rookery/memprof"
)

// CPUSchema is the version of CPUReport's JSON form; see MemSchema.
const CPUSchema = 1

// CPUReport is the result of RunCPU.
type CPUReport struct {
	Schema      int           `json:"schema"`
	Taken       time.Time     `json:"taken"`
	Machine     Machine       `json:"machine"`
	Comparisons []Comparison  `json:"comparisons,omitempty"`
	Rates       []Rate        `json:"rates,omitempty"`
	GC          *GCResult     `json:"gc,omitempty"`
	Fanout      *FanoutResult `json:"fan_out,omitempty"`
	Notes       []string      `json:"notes"`
	Breaches    []Breach      `json:"breaches"`
}

// Comparison is ours beside another server under one closed loop.
type Comparison struct {
	Name    string `json:"name"`
	Other   string `json:"other"`
	Clients int    `json:"clients"`
	Pairs   int    `json:"pairs"`
	// Ratio is our processor time a request ÷ the other's, by pair.
	Ratio  Spread `json:"cpu_ratio"`
	Ours   Side   `json:"ours"`
	Theirs Side   `json:"theirs"`
}

// Side is one server of a comparison.
type Side struct {
	CPU       Spread  `json:"cpu_ns_per_request"`
	PerSecond Spread  `json:"requests_per_second"`
	Latency   Latency `json:"latency"` // of the last turn; closed loop
}

func newComparison(c contest, ours, theirs side) Comparison {
	r := Comparison{
		Name: c.name, Other: c.other, Clients: c.clients, Pairs: len(ours.results),
		Ours: newSide(ours.results), Theirs: newSide(theirs.results),
	}
	ratios := make([]float64, r.Pairs)
	for i := range ratios {
		ratios[i] = r.Ours.CPU.Runs[i] / r.Theirs.CPU.Runs[i]
	}
	r.Ratio = spreadOf(ratios)
	return r
}

func newSide(results []LoadResult) Side {
	return Side{
		CPU:       spreadBy(results, func(r LoadResult) float64 { return float64(r.CPUPerRequest()) }),
		PerSecond: spreadBy(results, LoadResult.PerSecond),
		Latency:   results[len(results)-1].Latency,
	}
}

// Rate is how fast clients of a kind are opened, handshake included.
type Rate struct {
	Kind      Kind   `json:"kind"`
	Clients   int    `json:"clients"`
	PerSecond Spread `json:"opened_per_second"`
}

// GCResult is what the collector did while many clients were held.
type GCResult struct {
	Clients  int        `json:"clients"`
	GC       memprof.GC `json:"gc"`        // during the measurement
	P99      int64      `json:"p99_ns"`    // of its pauses
	CPUShare float64    `json:"cpu_share"` // of the whole machine that was busy, 0 to 1
	// StolenShare of the machine was another machine's, on the same hardware:
	// a pause can be as long as a processor was away.
	StolenShare float64    `json:"stolen_share"`
	Load        LoadResult `json:"load"` // the last step of the load
}

func (r *CPUReport) check(b *Budgets) {
	if b == nil {
		return
	}
	breach := func(what string, got, budget float64, unit string) {
		r.Breaches = append(r.Breaches, Breach{What: what, Got: got, Budget: budget, Unit: unit})
	}
	for _, c := range r.Comparisons {
		if most, ok := b.CPURatio[c.Name]; ok && c.Ratio.Median > most {
			breach(c.Name+", CPU a request", c.Ratio.Median, most, "× "+c.Other)
		}
	}
	for _, rate := range r.Rates {
		if least := b.ConnectionsPerSecond; rate.Kind == TCP && rate.PerSecond.Median < least {
			breach(string(rate.Kind)+", opened too slowly", rate.PerSecond.Median, least, "a second at least")
		}
	}
	if g := r.GC; g != nil && g.Clients >= b.GC.AtClients {
		if g.GC.PauseMax > b.GC.PauseMax {
			breach("slowest pause of the collector", float64(g.GC.PauseMax), float64(b.GC.PauseMax), "ns")
		}
		if g.CPUShare > b.GC.CPUShare {
			breach("the machine was too busy to judge pauses", 100*g.CPUShare, 100*b.GC.CPUShare, "% at most")
		}
	} else if g != nil {
		r.Notes = append(r.Notes, fmt.Sprintf("gc: budgets are not checked, they are meant for %s clients", thousands(b.GC.AtClients)))
	}
	if f := r.Fanout; f != nil && f.Clients >= b.Fanout.AtClients {
		if most := float64(b.Fanout.TookMax); f.Took.Median > most {
			breach("fan-out, until the last client has it", f.Took.Median/1e6, most/1e6, "ms")
		}
	} else if f != nil {
		r.Notes = append(r.Notes, fmt.Sprintf("fan-out: budgets are not checked, they are meant for %s clients", thousands(b.Fanout.AtClients)))
	}
}

// writeTable prints the report for people.
func (r *CPUReport) writeTable(w io.Writer, p paint) error {
	t := &table{paint: p}
	t.line("%s", r.Machine)
	if len(r.Comparisons) > 0 {
		t.comparisons(r.Comparisons)
	}
	if len(r.Rates) > 0 {
		t.line("\nClients opened a second, handshake included; median (min..max)")
		t.columns("clients\tcount\ta second\t")
		for _, rate := range r.Rates {
			t.cells(fmt.Sprintf("%s\t%s\t%s\t%s", rate.Kind, thousands(rate.Clients), figure(rate.PerSecond.Median), between(rate.PerSecond)))
		}
		t.flush()
	}
	if g := r.GC; g != nil {
		t.line("\nGarbage collector with %s clients, machine %.0f %% busy, %.1f %% stolen: %d cycles (%d forced), slowest pause %v, p99 %v",
			thousands(g.Clients), 100*g.CPUShare, 100*g.StolenShare, g.GC.Cycles, g.GC.Forced, g.GC.PauseMax, time.Duration(g.P99))
	}
	if f := r.Fanout; f != nil {
		t.line("\nOne change to %s open streams, %d times: until the last client has it, median %.1f ms (%.1f..%.1f); "+
			"a bystander's calls meanwhile p50/p99 %s; loop lag p99 below %v of %d ticks",
			thousands(f.Clients), len(f.Took.Runs), f.Took.Median/1e6, f.Took.Min/1e6, f.Took.Max/1e6,
			quantiles(f.Bystander), time.Duration(f.LagP99), f.LagTicks)
	}
	t.closing(r.Notes, r.Breaches)
	_, err := io.WriteString(w, t.out.String())
	return err
}

func (t *table) comparisons(list []Comparison) {
	t.line("\nServer CPU a request, closed loop, in turns; medians (min..max)")
	t.columns("comparison\tclients\tpairs\tratio\t\tours\ttheirs\tours/s\ttheirs/s\tours p50/p99\ttheirs p50/p99")
	for _, c := range list {
		t.cells(strings.Join([]string{
			c.Name + " ÷ " + c.Other, thousands(c.Clients), fmt.Sprint(c.Pairs),
			fmt.Sprintf("%.3f", c.Ratio.Median), fmt.Sprintf("(%.3f..%.3f)", c.Ratio.Min, c.Ratio.Max),
			micros(c.Ours.CPU.Median), micros(c.Theirs.CPU.Median),
			thousands(int64(c.Ours.PerSecond.Median)), thousands(int64(c.Theirs.PerSecond.Median)),
			quantiles(c.Ours.Latency), quantiles(c.Theirs.Latency),
		}, "\t"))
	}
	t.flush()
	t.line("Percentiles of a closed loop hide the time in which a request could not be sent.")
}

func micros(ns float64) string { return fmt.Sprintf("%.2f µs", ns/1e3) }

func quantiles(l Latency) string {
	return fmt.Sprintf("%.1f/%.1f ms", float64(l.P50)/1e6, float64(l.P99)/1e6)
}
