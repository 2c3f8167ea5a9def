package fleet

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// A merger adds up the metrics of processes, which come as pages in Prometheus
// text format. A process that has ended takes its counters with it; the sum of
// the rest would fall, and what reads it would take that for a restart and count
// everything anew. So the last page of each process is remembered: counters and
// histograms of processes that are gone, or do not answer in time, go on
// counting as they last were, and only gauges leave with their process.
type merger struct {
	mu   sync.Mutex
	last map[int]*page      // guarded by mu: by worker
	gone map[string]float64 // guarded by mu: counters of processes replaced since, by key
	// guarded by mu: all families seen so far, in order of appearance, so that
	// those of which only gone processes knew are still described
	families []*mergedFamily
	byName   map[string]*mergedFamily
}

// page is what one process says.
type page struct {
	worker      int
	incarnation uint64
	text        []byte // nil: it did not answer

	samples map[string]float64 // of text, by key
}

// mergedFamily is a metric: its description and the keys of its samples, in
// order of appearance. A key is all of a line before the value.
type mergedFamily struct {
	name, help, kind string
	keys             []string
	known            map[string]bool
}

func newMerger() *merger {
	return &merger{last: map[int]*page{}, gone: map[string]float64{}, byName: map[string]*mergedFamily{}}
}

// merge returns one page for all of the processes that run now.
func (m *merger) merge(pages []*page) []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	fresh := map[int]*page{}
	for _, p := range pages {
		old := m.last[p.worker]
		if old != nil && old.incarnation != p.incarnation {
			m.bury(old)
			old = nil
		}
		if p.text == nil {
			if old == nil {
				delete(m.last, p.worker) // what is buried must not count twice
			}
			continue
		}
		p.samples = map[string]float64{}
		m.parse(p)
		p.text = nil
		m.last[p.worker], fresh[p.worker] = p, p
	}
	var out bytes.Buffer
	for _, f := range m.families {
		m.write(&out, f, fresh)
	}
	return out.Bytes()
}

// bury keeps the counters of a process that was replaced.
func (m *merger) bury(p *page) {
	for _, f := range m.families {
		if !f.cumulative() {
			continue
		}
		for _, key := range f.keys {
			if v, ok := p.samples[key]; ok {
				m.gone[key] = f.join(m.gone[key], v) // of none: 0
			}
		}
	}
}

// cumulative reports whether samples only grow.
func (f *mergedFamily) cumulative() bool { return f.kind == "counter" || f.kind == "histogram" }

// Metrics of which the largest or the smallest value stands for all, by the end
// of their name: what all processes see alike, ages, and what is true if it is
// true everywhere.
var (
	largestOf  = []string{"_info", "uptime_seconds", "_cluster_nodes", "_cluster_view_version"}
	smallestOf = []string{"_cluster_filled"}
)

// join returns what the values of two processes are together.
func (f *mergedFamily) join(a, b float64) float64 {
	is := func(end string) bool { return strings.HasSuffix(f.name, end) }
	switch {
	case slices.ContainsFunc(largestOf, is):
		return max(a, b)
	case slices.ContainsFunc(smallestOf, is):
		return min(a, b)
	}
	return a + b
}

// parse reads p.text. The samples of a family stand behind its TYPE line, as
// the format asks; lines that cannot be read are left out.
func (m *merger) parse(p *page) {
	help := ""
	var f *mergedFamily
	for line := range strings.Lines(string(p.text)) {
		line = strings.TrimSuffix(line, "\n")
		if rest, ok := strings.CutPrefix(line, "# HELP "); ok {
			_, help, _ = strings.Cut(rest, " ")
			continue
		}
		if rest, ok := strings.CutPrefix(line, "# TYPE "); ok {
			name, kind, _ := strings.Cut(rest, " ")
			f = m.family(name, help, kind)
			continue
		}
		i := strings.LastIndexByte(line, ' ')
		if f == nil || i < 0 || line[0] == '#' {
			continue
		}
		v, err := strconv.ParseFloat(line[i+1:], 64)
		if err != nil {
			continue
		}
		key := line[:i]
		if !f.known[key] {
			f.known[key] = true
			f.keys = append(f.keys, key)
		}
		p.samples[key] = v
	}
}

func (m *merger) family(name, help, kind string) *mergedFamily {
	f := m.byName[name]
	if f == nil {
		f = &mergedFamily{name: name, help: help, kind: kind, known: map[string]bool{}}
		m.byName[name] = f
		m.families = append(m.families, f)
	}
	return f
}

// write writes a family, unless no process has it now.
func (m *merger) write(out *bytes.Buffer, f *mergedFamily, fresh map[int]*page) {
	from := fresh
	if f.cumulative() {
		from = m.last
	}
	described := false
	for _, key := range f.keys {
		v, found := m.gone[key]
		for _, p := range from {
			one, ok := p.samples[key]
			switch {
			case !ok:
			case found:
				v = f.join(v, one)
			default:
				v, found = one, true
			}
		}
		if !found {
			continue
		}
		if !described {
			described = true
			fmt.Fprintf(out, "# HELP %s %s\n# TYPE %s %s\n", f.name, f.help, f.name, f.kind)
		}
		fmt.Fprintf(out, "%s %s\n", key, formatValue(v))
	}
}

// formatValue writes whole numbers as such: not everybody who greps reads
// exponents.
func formatValue(v float64) string {
	if v == math.Trunc(v) && math.Abs(v) < 1<<53 {
		return strconv.FormatInt(int64(v), 10)
	}
	return strconv.FormatFloat(v, 'g', -1, 64)
}
