package fleet

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/rookery-server/rookery/memprof"
)

// text is a page with each kind of metric.
func text(n int) []byte {
	return fmt.Appendf(nil, `# HELP a_total A counter.
# TYPE a_total counter
a_total{cause="x y} 1"} %d
a_total{cause="only %d"} 1
# HELP g A gauge.
# TYPE g gauge
g %d
# HELP b_info A constant.
# TYPE b_info gauge
b_info{version="1"} 1
# HELP h_seconds A histogram.
# TYPE h_seconds histogram
h_seconds_bucket{le="0.5"} %d
h_seconds_bucket{le="+Inf"} %d
h_seconds_sum %g
h_seconds_count %d
`, n, n, n, n, 2*n, 1.5*float64(n), 2*n)
}

// values are the samples of a merged page.
func values(t *testing.T, merged []byte) map[string]string {
	t.Helper()
	all := map[string]string{}
	for line := range strings.Lines(string(merged)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		i := strings.LastIndexByte(line, ' ')
		key := line[:i]
		if _, twice := all[key]; twice {
			t.Errorf("%s twice", key)
		}
		all[key] = strings.TrimSpace(line[i+1:])
	}
	return all
}

func expect(t *testing.T, when string, got map[string]string, want map[string]string) {
	t.Helper()
	for key, v := range want {
		if got[key] != v {
			t.Errorf("%s: %s is %q, want %q", when, key, got[key], v)
		}
	}
}

func TestMergeAddsUp(t *testing.T) {
	m := newMerger()
	merged := m.merge([]*page{{worker: 0, incarnation: 1, text: text(2)}, {worker: 1, incarnation: 2, text: text(3)}})
	expect(t, "two", values(t, merged), map[string]string{
		`a_total{cause="x y} 1"}`: "5", `a_total{cause="only 2"}`: "1", `a_total{cause="only 3"}`: "1",
		`g`: "5", `b_info{version="1"}`: "1",
		`h_seconds_bucket{le="0.5"}`: "5", `h_seconds_bucket{le="+Inf"}`: "10", `h_seconds_sum`: "7.5", `h_seconds_count`: "10",
	})
	for _, line := range []string{"# HELP a_total A counter.\n# TYPE a_total counter\na_total{", "# TYPE h_seconds histogram\nh_seconds_bucket"} {
		if n := strings.Count(string(merged), line); n != 1 {
			t.Errorf("%q stands %d times in\n%s", line, n, merged)
		}
	}
}

// Counters never fall: not when a process does not answer, ends, or is replaced.
// Gauges are those of the processes that answer.
func TestMergeNeverFalls(t *testing.T) {
	m := newMerger()
	one := func(incarnation uint64, text []byte) *page {
		return &page{worker: 1, incarnation: incarnation, text: text}
	}
	zero := func(n int) *page { return &page{worker: 0, incarnation: 1, text: text(n)} }
	const key = `a_total{cause="x y} 1"}`
	for _, c := range []struct {
		when         string
		pages        []*page
		count, gauge string
		observations string
	}{
		{"both", []*page{zero(10), one(2, text(5))}, "15", "15", "30"},
		{"one is silent", []*page{zero(11), one(2, nil)}, "16", "11", "32"},
		{"one has ended", []*page{zero(12)}, "17", "12", "34"},
		{"its successor is silent", []*page{zero(12), one(3, nil)}, "17", "12", "34"},
		{"and again", []*page{zero(12), one(3, nil)}, "17", "12", "34"},
		{"its successor counts", []*page{zero(12), one(3, text(1))}, "18", "13", "36"},
		{"and is replaced", []*page{zero(12), one(4, text(2))}, "20", "14", "40"},
		{"nobody", nil, "20", "", "40"},
	} {
		got := values(t, m.merge(c.pages))
		expect(t, c.when, got, map[string]string{key: c.count, "g": c.gauge, "h_seconds_count": c.observations})
	}
}

// What all processes see alike counts once, and what is true must be so
// everywhere.
func TestMergeAlike(t *testing.T) {
	m := newMerger()
	text := func(nodes, version, filled int) []byte {
		return fmt.Appendf(nil, "# TYPE x_cluster_nodes gauge\nx_cluster_nodes %d\n# TYPE x_cluster_view_version counter\nx_cluster_view_version %d\n"+
			"# TYPE x_cluster_filled gauge\nx_cluster_filled %d\n", nodes, version, filled)
	}
	got := values(t, m.merge([]*page{{worker: 0, incarnation: 1, text: text(4, 7, 1)}, {worker: 1, incarnation: 2, text: text(4, 9, 0)}}))
	expect(t, "two", got, map[string]string{"x_cluster_nodes": "4", "x_cluster_view_version": "9", "x_cluster_filled": "0"})
	got = values(t, m.merge([]*page{{worker: 0, incarnation: 1, text: text(4, 8, 1)}, {worker: 1, incarnation: 3, text: text(3, 8, 1)}}))
	expect(t, "replaced", got, map[string]string{"x_cluster_nodes": "4", "x_cluster_view_version": "9", "x_cluster_filled": "1"})
}

// What is not in the format is left out.
func TestMergeIgnoresNonsense(t *testing.T) {
	m := newMerger()
	got := values(t, m.merge([]*page{{text: []byte("stray 1\n\n# comment\n# TYPE a_total counter\na_total many\nno-value\na_total 1e3\n")}}))
	if len(got) != 1 || got["a_total"] != "1000" {
		t.Errorf("samples %v", got)
	}
}

// The rows of the sum add up to its resident memory, as those of each part do.
func TestSumMemory(t *testing.T) {
	report := func(n int64, own ...memprof.Component) memprof.Report {
		r := memprof.Report{Schema: memprof.Schema, PID: int(n), Clients: n, Components: own}
		r.Components = append(r.Components, memprof.Component{Name: memprof.Stacks, Count: n, Bytes: n})
		for _, c := range r.Components {
			r.Resident.RSS += c.Bytes
		}
		r.Heap.Goroutines = n
		r.GC = memprof.GC{Cycles: uint64(n), PauseMax: time.Duration(n), Pauses: []memprof.PauseBucket{{Max: time.Duration(n), Count: 1}, {Max: 10, Count: 1}}}
		return r
	}
	slots := memprof.Component{Name: "slots", Count: 2, Bytes: 96}
	sum := sumMemory(report(1), []memprof.Report{report(2, slots), report(3, slots)})
	var rows int64
	for _, c := range sum.Components {
		rows += c.Bytes
	}
	if rows != sum.Resident.RSS || rows != 96+96+1+2+3 {
		t.Errorf("rows %d, resident %d", rows, sum.Resident.RSS)
	}
	if len(sum.Components) != 2 || sum.Components[0] != (memprof.Component{Name: "slots", Count: 4, Bytes: 192}) || sum.Components[1].Bytes != 6 {
		t.Errorf("components %+v", sum.Components)
	}
	if sum.Clients != 6 || sum.PID != 1 || sum.Heap.Goroutines != 6 || len(sum.Workers) != 2 || sum.Workers[0].Clients != 2 {
		t.Errorf("sum %+v", sum)
	}
	if sum.GC.Cycles != 6 || sum.GC.PauseMax != 3 || len(sum.GC.Pauses) != 4 || sum.GC.Pauses[3].Count != 3 {
		t.Errorf("collector %+v", sum.GC)
	}
}
