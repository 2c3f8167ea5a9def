package suite

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rookery-server/rookery/bench"
	"github.com/rookery-server/rookery/bench/load"
	"github.com/rookery-server/rookery/bench/report"
	"github.com/rookery-server/rookery/bench/wire"
)

// TestSpecs: names are there once, limits are in order, each group is there,
// and nothing passes or fails before it is measured.
func TestSpecs(t *testing.T) {
	for _, scale := range Scales {
		seen := map[string]bool{}
		groups := map[int]bool{}
		for _, s := range specsOf(scale, true) {
			if seen[s.id] {
				t.Errorf("%s is there twice", s.id)
			}
			seen[s.id], groups[s.group] = true, true
			c := s.check(scale)
			if c.Verdict != report.Skipped || c.Detail == "" {
				t.Errorf("%s is %s before it is measured", s.id, c.Verdict)
			}
			limits := []*float64{c.Floor, c.Bar, c.Aim}
			for i := 1; i < len(limits); i++ {
				if a, b := limits[i-1], limits[i]; a != nil && b != nil && (s.sense == report.AtMost && *a < *b || s.sense == report.AtLeast && *a > *b) {
					t.Errorf("%s: limits %v and %v are the wrong way round", s.id, *a, *b)
				}
			}
			if c.Floor == nil && c.Bar == nil && s.slack != large && s.slack != beside {
				t.Errorf("%s has no limit: it cannot fail", s.id)
			}
		}
		for g := 1; g < len(report.Groups); g++ {
			if !groups[g] {
				t.Errorf("scale %s: nothing is checked of group %d", scale.Name, g)
			}
		}
		if len(seen) < 30 {
			t.Errorf("scale %s: %d checks", scale.Name, len(seen))
		}
	}
}

// TestHolds: the full scale holds all clients for five minutes and for ten, and
// the checks say so; a soak takes the place of the ten.
func TestHolds(t *testing.T) {
	scale, err := ScaleNamed("100k")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		soak  time.Duration
		short string
		long  string
	}{{0, "5m0s", "10m0s"}, {30 * time.Minute, "5m0s", "30m0s"}} {
		list, err := Checks(Options{Scale: scale, Soak: tt.soak, Checks: []string{"sustained.short", "sustained.long"}})
		if err != nil || len(list) != 2 || !strings.HasSuffix(list[0].What, "held for "+tt.short) || !strings.HasSuffix(list[1].What, "held for "+tt.long) {
			t.Errorf("%+v, %v", list, err)
		}
	}
}

func TestSlackLoosens(t *testing.T) {
	s := spec{sense: report.AtMost, floor: 10, bar: none, aim: 1, slack: slower}
	if c := s.check(Scale{Slack: 4}); *c.Floor != 40 || c.Bar != nil || *c.Aim != 4 {
		t.Errorf("%+v", c)
	}
	s.slack = fewer
	if c := s.check(Scale{Slack: 4}); *c.Floor != 2.5 {
		t.Errorf("%+v", c)
	}
	s.slack = exact
	if c := s.check(Scale{Slack: 4}); *c.Floor != 10 {
		t.Errorf("%+v", c)
	}
	s.slack = large
	if c := s.check(Scale{Slack: 4}); c.Floor != nil {
		t.Errorf("%+v", c)
	}
}

func TestOptions(t *testing.T) {
	good := Options{Server: "x", Scale: Scales[0]}
	for _, tt := range []struct {
		change func(*Options)
		want   string // "": it is right
	}{
		{func(*Options) {}, ""},
		{func(o *Options) { o.Groups = []int{5, 9} }, ""},
		{func(o *Options) { o.Checks = []string{"failure", "scaling.100"} }, ""},
		{func(o *Options) { o.Groups = []int{10} }, "no group 10"},
		{func(o *Options) { o.Checks = []string{"fail"} }, `no check "fail"`},
		{func(o *Options) { o.Groups, o.Checks = []int{1}, []string{"failure"} }, "nothing is left"},
		{func(o *Options) { o.Server = "" }, "which binary"},
		{func(o *Options) { o.Scale = Scale{} }, "ramps"},
		{func(o *Options) { o.Soak = -1 }, "above 0"},
		{func(o *Options) { o.ControlShare = 1.1 }, "share of a processor"},
		{func(o *Options) { o.ControlShare = math.NaN() }, "share of a processor"},
	} {
		o := good
		tt.change(&o)
		_, err := o.filled()
		if (err == nil) != (tt.want == "") || err != nil && (!errors.Is(err, ErrOptions) || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("want %q: %v", tt.want, err)
		}
		if _, runErr := Run(t.Context(), o); tt.want != "" && !errors.Is(runErr, ErrOptions) {
			t.Errorf("want %q: %v", tt.want, runErr)
		}
	}
	if _, err := ScaleNamed("7"); err == nil {
		t.Error("there is a scale 7")
	}
}

// TestChaosIsAskedForByItself: which other checks are chosen does not matter.
func TestChaosIsAskedForByItself(t *testing.T) {
	for _, tt := range []struct {
		change func(*Options)
		want   int
	}{
		{func(*Options) {}, len(chaosSpecs)},
		{func(o *Options) { o.Checks = []string{"failure.lost"} }, len(chaosSpecs) + 1},
		{func(o *Options) { o.Checks = []string{"chaos"} }, len(chaosSpecs)},
		{func(o *Options) { o.Groups, o.Checks = []int{1}, []string{"cluster.ready"} }, len(chaosSpecs) + 1},
		{func(o *Options) { o.Chaos, o.Checks = false, []string{"failure.lost"} }, 0},
	} {
		o := Options{Scale: Scales[0], Chaos: true}
		tt.change(&o)
		list, err := Checks(o)
		if err != nil {
			t.Fatal(err)
		}
		chaos := 0
		for _, c := range list {
			if strings.HasPrefix(c.ID, "chaos.") {
				chaos++
			}
		}
		if o.Chaos != (chaos == len(chaosSpecs)) || tt.want > chaos && len(list) != tt.want {
			t.Errorf("%v of groups %v: %d checks, %d of them of chaos", o.Checks, o.Groups, len(list), chaos)
		}
	}
	if _, err := Checks(Options{Scale: Scales[0], Checks: []string{"chaos"}}); !errors.Is(err, ErrOptions) {
		t.Errorf("chaos that is not asked for: %v", err)
	}
}

// proc makes a /proc with a few files.
func proc(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestPlan(t *testing.T) {
	full, err := ScaleNamed("100k")
	if err != nil {
		t.Fatal(err)
	}
	roomy := map[string]string{"meminfo": "MemTotal: 1 kB\nMemAvailable:   20000000 kB\n", "sys/fs/file-max": "9000000\n", "sys/net/core/somaxconn": "4096\n"}
	p, err := makePlan(bench.Machine{Descriptors: 20_000}, full, false, proc(t, roomy))
	if err != nil || p.workers != 2 || p.oneWorkers != 6 || len(p.notes) != 1 {
		t.Errorf("%+v, %v", p, err)
	}
	if p, err = makePlan(bench.Machine{Descriptors: 20_000}, full, true, proc(t, roomy)); err != nil || p.workers != 3 {
		t.Errorf("two nodes have all clients when a third is killed that took those of the fourth: %+v, %v", p, err)
	}
	p, err = makePlan(bench.Machine{Descriptors: 1 << 20}, full, false, proc(t, roomy))
	if err != nil || p.workers != 1 || p.oneWorkers != 6 || len(p.notes) != 0 {
		t.Errorf("%+v, %v", p, err)
	}
	if p, err = makePlan(bench.Machine{Descriptors: 1 << 20}, full, false, t.TempDir()); err != nil {
		t.Errorf("a machine that says nothing: %+v, %v", p, err)
	}
	for want, files := range map[string]map[string]string{
		"1000 MB of memory are available": {"meminfo": "MemAvailable: 1024000 kB\n"},
		"fs.file-max is 100000":           {"sys/fs/file-max": "100000\n"},
	} {
		if _, err := makePlan(bench.Machine{Descriptors: 20_000}, full, false, proc(t, files)); !errors.Is(err, ErrMachine) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v", files, err)
		}
	}
	if _, err := makePlan(bench.Machine{Descriptors: 900}, full, false, proc(t, roomy)); !errors.Is(err, ErrMachine) {
		t.Error(err)
	}
	p, err = makePlan(bench.Machine{Descriptors: 20_000}, full, false, proc(t, map[string]string{"sys/net/core/somaxconn": "128\n", "sys/net/netfilter/nf_conntrack_max": "65536\n"}))
	if err != nil || len(p.notes) != 3 {
		t.Errorf("%+v, %v", p, err)
	}
}

func TestMetrics(t *testing.T) {
	page := func(text string) wire.Metrics {
		m, err := wire.ParseMetrics(text)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	after := page("# HELP a what\na{le=\"1\",y=\"2\"} 3\na{le=\"1\",y=\"3\"} 5\na{le=\"2\"} 4.5\nb 7\n")
	if all := sums(after); len(all) != 2 || all["a"] != 12.5 || all["b"] != 7 {
		t.Errorf("%v", all)
	}
	counts := map[string]float64{"2": 1}
	grown(counts, page("a{le=\"1\",y=\"3\"} 4\na{le=\"3\"} 9\n"), after, "a", "le")
	if len(counts) != 2 || counts["1"] != 4 || counts["2"] != 5.5 {
		t.Errorf("%v", counts)
	}
}

func TestQuantile(t *testing.T) {
	buckets := map[string]float64{"1e-07": 90, "2e-07": 94, "1e-06": 95, "+Inf": 100}
	for q, want := range map[float64]float64{0.5: 1e-7, 0.94: 2e-7, 0.95: 1e-6, 0.99: math.Inf(1)} {
		if v, n, err := quantile(buckets, q); err != nil || v != want || n != 100 {
			t.Errorf("%v: %v of %d, %v", q, v, n, err)
		}
	}
	for _, bad := range []map[string]float64{nil, {"+Inf": 0}, {"x": 3}} {
		if _, _, err := quantile(bad, 0.5); err == nil {
			t.Errorf("%v has a quantile", bad)
		}
	}
}

// TestLookups: the check of lookups says what of them is the clock.
func TestLookups(t *testing.T) {
	page := func(name string, counts ...int) (text string) {
		for i, le := range []string{"5e-08", "2e-07", "+Inf"} {
			text += fmt.Sprintf("%s_bucket{le=%q} %d\n", name, le, counts[i])
		}
		return text
	}
	parse := func(text string) []wire.Metrics {
		m, err := wire.ParseMetrics(text)
		if err != nil {
			t.Fatal(err)
		}
		return []wire.Metrics{m}
	}
	before := parse(page(lookupMetric, 7, 7, 7))
	clock, clocks := "median 0.05 µs; one reading of the clock is in it, which by itself takes 0.05 µs, 95th percentile 0.2 µs", page(clockMetric, 90, 100, 100)
	for _, c := range []struct{ after, want, detail string }{
		{page(lookupMetric, 67, 107, 107) + clocks, "0.2 of 100", clock},
		{page(lookupMetric, 67, 68, 107) + clocks, "nothing", "no value could be measured"},
		{page(lookupMetric, 7, 7, 7) + clocks, "nothing", "suite: the servers have not measured any lookup of a session"},
		{page(lookupMetric, 9, 9, 9), "nothing", "suite: the servers have not measured any lookup of a session"},
	} {
		r := &run{ctx: t.Context(), report: &report.Report{Checks: (&Options{Checks: []string{"components.registry"}, Scale: Scales[0]}).checks()}}
		r.Progress = func(string) {}
		r.lookups(before, parse(c.after))
		got, check := "nothing", r.check("components.registry")
		if check.Got != nil {
			got = fmt.Sprintf("%.3g of %d", *check.Got, check.Samples)
		}
		if got != c.want || check.Detail != c.detail || (check.Got == nil) != (check.Verdict == report.Failed) {
			t.Errorf("%q: %s, %s, %q", c.after, got, check.Verdict, check.Detail)
		}
	}
}

// TestCharts: two fleets after one another are one series, and marks stand in
// what runs over time.
func TestCharts(t *testing.T) {
	c := newCharts([]string{"n1"})
	c.seconds([]load.Second{{AtS: 0, Connected: 5}, {AtS: 1, Connected: 6}}, 0.5, true)
	c.seconds([]load.Second{{AtS: 0, Connected: 7}, {AtS: 1, Connected: 8}}, 1.5, false)
	c.mark(2, true, "dead")
	list := c.list()
	if len(list) != 2 || len(list[0].X) != 3 || len(list[0].Marks) != 1 {
		t.Fatalf("%+v", list)
	}
	if due := list[1].Series[0].Values; due[0] != 0 || !math.IsNaN(float64(due[2])) {
		t.Errorf("calls that are not to be seen: %v", due)
	}
	if err := c.histogram("h", "h", load.Latency{}); err != nil || len(c.list()) != 2 {
		t.Errorf("nothing measured: %v", err)
	}
	if err := c.histogram("h", "h", load.Latency{Histogram: "AAAA"}); err == nil {
		t.Error("a histogram that is none")
	}
}

func TestShort(t *testing.T) {
	for d, want := range map[time.Duration]string{0: "0s", 35_617_012: "35.6ms", 999: "999ns", 61_997_055_123: "1m2s", 284_851: "285µs"} {
		if got := short(d).String(); got != want {
			t.Errorf("%d: %s, not %s", d, got, want)
		}
	}
}

func TestPercent(t *testing.T) {
	if percent(1, 4) != 25 || percent(0, 0) != 0 {
		t.Error(percent(1, 4), percent(0, 0))
	}
}
