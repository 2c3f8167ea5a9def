package bench

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"
)

// ClusterSchema is the version of ClusterReport's JSON form; see MemSchema.
const ClusterSchema = 1

// ClusterReport is the result of RunCluster.
type ClusterReport struct {
	Schema  int       `json:"schema"`
	Taken   time.Time `json:"taken"`
	Machine Machine   `json:"machine"`
	// Load is how many threads wanted a processor in the minute before: other
	// programs make times longer.
	Load     float64         `json:"load"`
	Figures  []ClusterFigure `json:"figures"`
	Notes    []string        `json:"notes"`
	Breaches []Breach        `json:"breaches"`
}

// ClusterFigure is one figure: times with their percentiles, or a value.
type ClusterFigure struct {
	Kind    string   `json:"kind"`
	What    string   `json:"what"`
	Samples int      `json:"samples"`
	Times   *Latency `json:"times,omitempty"`
	Value   *float64 `json:"value,omitempty"`
	Unit    string   `json:"unit,omitempty"` // of Value
	// Bar is what the 99th percentile of Times, in seconds, or Value is to be
	// at most. Nil: there is none.
	Bar *float64 `json:"bar,omitempty"`
}

// exactLatency returns the exact distribution of times, which it sorts.
func exactLatency(times []time.Duration) Latency {
	if len(times) == 0 {
		return Latency{}
	}
	slices.Sort(times)
	at := func(q float64) time.Duration { return times[max(0, int(math.Ceil(q*float64(len(times))))-1)] }
	return Latency{P50: at(0.50), P99: at(0.99), P999: at(0.999), Max: times[len(times)-1]}
}

// noBar says that a figure has no bar.
const noBar = -1

// times adds a figure of times.
func (r *ClusterReport) times(kind, what string, times []time.Duration, bar float64) {
	l := exactLatency(times)
	f := ClusterFigure{Kind: kind, What: what, Samples: len(times), Times: &l}
	r.add(f, l.P99.Seconds(), bar, "s (p99)")
}

// value adds a figure that is one number.
func (r *ClusterReport) value(kind, what string, samples int, v float64, unit string, bar float64) {
	f := ClusterFigure{Kind: kind, What: what, Samples: samples, Value: &v, Unit: unit}
	r.add(f, v, bar, unit)
}

func (r *ClusterReport) add(f ClusterFigure, got, bar float64, unit string) {
	if bar >= 0 {
		f.Bar = &bar
		if got > bar {
			r.Breaches = append(r.Breaches, Breach{What: f.Kind + ": " + f.What, Got: got, Budget: bar, Unit: unit})
		}
	}
	r.Figures = append(r.Figures, f)
}

func (r *ClusterReport) note(format string, args ...any) {
	r.Notes = append(r.Notes, fmt.Sprintf(format, args...))
}

func (r *ClusterReport) writeTable(w io.Writer, p paint) error {
	t := &table{paint: p}
	t.line("%s; load %.1f at the start", r.Machine, r.Load)
	t.line("")
	t.columns("kind\tfigure\tsamples\tp50\tp99\tmax\tvalue\tbar")
	for i := range r.Figures {
		t.cells(r.Figures[i].row())
	}
	t.flush()
	t.closing(r.Notes, r.Breaches)
	_, err := io.WriteString(w, t.out.String())
	return err
}

func (f *ClusterFigure) row() string {
	cells := []string{f.Kind, f.What, thousands(f.Samples), "", "", "", "", ""}
	if l := f.Times; l != nil {
		cells[3], cells[4], cells[5] = millis(l.P50), millis(l.P99), millis(l.Max)
	}
	if f.Value != nil {
		cells[6] = figure(*f.Value) + " " + f.Unit
	}
	if f.Bar != nil && f.Times != nil {
		cells[7] = fmt.Sprintf("p99 %s", millis(time.Duration(*f.Bar*float64(time.Second))))
	} else if f.Bar != nil {
		cells[7] = figure(*f.Bar)
	}
	return strings.Join(cells, "\t")
}

// millis writes a time with the digits that matter.
func millis(d time.Duration) string {
	if d < 10*time.Millisecond {
		return fmt.Sprintf("%.2f ms", float64(d)/1e6)
	}
	return thousands(d.Milliseconds()) + " ms"
}
