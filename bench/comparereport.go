package bench

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// CompareSchema is the version of CompareReport's JSON form; see MemSchema.
const CompareSchema = 1

// CompareReport is the result of RunCompare.
type CompareReport struct {
	Schema  int          `json:"schema"`
	Taken   time.Time    `json:"taken"`
	Took    float64      `json:"took_s"`
	Machine Machine      `json:"machine"`
	Load    float64      `json:"load"` // threads that wanted a processor in the minute before
	Rows    []CompareRow `json:"rows"` // of each load ours comes first
	Notes   []string     `json:"notes"`
}

// CompareRow is one server under one load.
type CompareRow struct {
	Load   string `json:"load"`
	Server string `json:"server"`
	What   string `json:"what"`
	// Clients are held idle; Bytes is the resident memory of one more of them,
	// nil where there are none.
	Clients int     `json:"clients,omitempty"`
	Bytes   *Spread `json:"bytes_per_client,omitempty"`
	// CPU and PerSecond are of a closed loop: the server's processor time a
	// round trip (of a link: of both ends a message), and how many there were.
	CPU       Spread `json:"cpu_ns_per_call"`
	PerSecond Spread `json:"per_second"`
	// Latency is of calls on a schedule of Rate a second, from the moment each
	// was due: medians of the rounds.
	Rate    float64  `json:"rate,omitempty"`
	Latency *Latency `json:"latency,omitempty"`
	// Ratios are this server's figure ÷ ours, by round.
	BytesRatio     *Spread `json:"bytes_ratio,omitempty"`
	CPURatio       *Spread `json:"cpu_ratio,omitempty"`
	PerSecondRatio *Spread `json:"per_second_ratio,omitempty"`
}

func newCompareRow(t *trial, c contender, s turns) CompareRow {
	middle := func(f func(Latency) time.Duration) time.Duration {
		return time.Duration(spreadBy(s.opened, func(r LoadResult) float64 { return float64(f(r.Latency)) }).Median)
	}
	return CompareRow{
		Load: t.name, Server: c.program.name, What: c.what,
		CPU:       spreadBy(s.closed, func(r LoadResult) float64 { return float64(r.CPUPerRequest()) }),
		PerSecond: spreadBy(s.closed, LoadResult.PerSecond),
		Rate:      t.rate,
		Latency: &Latency{
			P50: middle(func(l Latency) time.Duration { return l.P50 }), P99: middle(func(l Latency) time.Duration { return l.P99 }),
			P999: middle(func(l Latency) time.Duration { return l.P999 }), Max: middle(func(l Latency) time.Duration { return l.Max }),
		},
	}
}

// beside sets the ratios to ours.
func (r *CompareRow) beside(ours *CompareRow) {
	if r == ours {
		return
	}
	ratio := func(their, our *Spread) *Spread {
		if their == nil || our == nil || len(their.Runs) != len(our.Runs) || slices.Min(our.Runs) <= 0 || slices.Min(their.Runs) <= 0 {
			return nil // such as memory that has not grown
		}
		list := make([]float64, len(our.Runs))
		for i := range list {
			list[i] = their.Runs[i] / our.Runs[i]
		}
		s := spreadOf(list)
		return &s
	}
	r.BytesRatio, r.CPURatio, r.PerSecondRatio = ratio(r.Bytes, ours.Bytes), ratio(&r.CPU, &ours.CPU), ratio(&r.PerSecond, &ours.PerSecond)
}

// loadNames are the headings of the loads.
var loadNames = map[string]string{
	compareTCP:  "Echo over TCP",
	compareMCP:  "MCP 2025-11-25: tools/call; idle: a session with its stream",
	compareLink: "Between two nodes: a notification for a session",
}

// writeTable prints the report for people.
func (r *CompareReport) writeTable(w io.Writer, p paint) error {
	t := &table{paint: p}
	t.line("%s; load before %.1f; took %.0f s", r.Machine, r.Load, r.Took)
	t.line("Medians of interleaved rounds; × is the figure ÷ rookery's.\n")
	t.columns("\tclients\tan idle one\t×\tCPU a call\t×\ta second\t×\tat a rate of\tp50\tp99")
	last := ""
	for i := range r.Rows {
		row := &r.Rows[i]
		if row.Load != last {
			last = row.Load
			t.cells(loadNames[row.Load] + strings.Repeat("\t", 10))
		}
		t.compared(row)
	}
	t.flush()
	t.line("\nAn idle one: resident memory of one more, without the kernel's. A second: a closed loop, client on the same processors.")
	t.line("At a rate: latency from the moment a call was due.")
	t.closing(r.Notes, nil)
	_, err := io.WriteString(w, t.out.String())
	return err
}

func (t *table) compared(r *CompareRow) {
	clients, bytes, rate, p50, p99 := "-", "-", "-", "-", "-"
	if r.Bytes != nil {
		clients = thousands(r.Clients)
		bytes = thousands(int64(r.Bytes.Median)) + " B"
	}
	if r.Latency != nil {
		rate = thousands(int64(r.Rate)) + "/s"
		p50, p99 = millis(r.Latency.P50), millis(r.Latency.P99)
	}
	t.cells(strings.Join([]string{
		"  " + r.What, clients, bytes, times(r.BytesRatio), micros(r.CPU.Median), times(r.CPURatio),
		thousands(int64(r.PerSecond.Median)), times(r.PerSecondRatio), rate, p50, p99,
	}, "\t"))
}

// times writes a ratio, nothing for none.
func times(s *Spread) string {
	switch {
	case s == nil:
		return ""
	case s.Median >= 10 || s.Median <= -10:
		return fmt.Sprintf("%.0f×", s.Median)
	}
	return fmt.Sprintf("%.2f×", s.Median)
}
