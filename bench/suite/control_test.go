package suite

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/rookery-server/rookery/bench"
	"github.com/rookery-server/rookery/bench/report"
	"github.com/rookery-server/rookery/memprof"
)

// forChecks returns a run that has the checks of the small scale and measures
// nothing.
func forChecks(t *testing.T) *run {
	t.Helper()
	o, err := Options{Server: "x", Scale: Scales[0]}.filled()
	if err != nil {
		t.Fatal(err)
	}
	return &run{Options: o, ctx: t.Context(), report: &report.Report{Checks: o.checks()}}
}

func collector(cycles uint64, p memprof.Pauses) memprof.GC {
	return memprof.GC{Cycles: cycles, PauseMax: p.Max(), Pauses: p}
}

// TestPauses: the worst process counts, not the sum of a node's, and one that
// was started anew has no past.
func TestPauses(t *testing.T) {
	const ms = time.Millisecond
	before := []look{
		{gc: []memprof.GC{collector(5, memprof.Pauses{{Max: ms, Count: 10}}), collector(9, memprof.Pauses{{Max: 90 * ms, Count: 18}})}},
		{gc: []memprof.GC{collector(1, nil)}},
	}
	after := []look{
		{gc: []memprof.GC{
			collector(100, memprof.Pauses{{Max: ms, Count: 208}, {Max: 40 * ms, Count: 2}}), // 198 short ones, then 2: p99 is 1 ms
			collector(2, memprof.Pauses{{Max: 3 * ms, Count: 4}}),                           // another process by now
		}},
		{gc: []memprof.GC{collector(2, memprof.Pauses{{Max: 2 * ms, Count: 2}})}},
	}
	r := forChecks(t)
	r.pauses(before, after)
	if got := *r.check("resources.gc-p99").Got; got != 3 {
		t.Errorf("p99 %v ms", got)
	}
	if c := r.check("resources.gc-max"); *c.Got != 40 || c.Samples != 206 {
		t.Errorf("longest %v ms of %d", *c.Got, c.Samples)
	}
	if v := longestPause(before[0].gc, after[0].gc); v != 40 {
		t.Errorf("longest of the node: %v", v)
	}
	if v := longestPause(before[0].gc, before[0].gc); !math.IsNaN(v) {
		t.Errorf("no pause took %v", v)
	}
}

// TestControlPauses: the control process stands beside the servers, without a
// verdict, and one that says nothing fails its checks.
func TestControlPauses(t *testing.T) {
	const ms = time.Millisecond
	r := forChecks(t)
	r.ControlShare = 0.12
	servers := memprof.GC{Pauses: memprof.Pauses{{Max: 3 * ms, Count: 99}, {Max: 9 * ms, Count: 1}}, Stopping: memprof.Pauses{{Max: ms, Count: 100}}}
	r.controlPauses(servers, bench.ControlReading{
		GC: collector(3, memprof.Pauses{{Max: ms, Count: 5}, {Max: 7 * ms, Count: 1}}), Delays: memprof.Pauses{{Max: 2 * ms, Count: 100}},
	}, nil)
	for id, want := range map[string]float64{"resources.control-p99": 7, "resources.control-max": 7, "resources.control-late": 2} {
		if c := r.check(id); c.Got == nil || *c.Got != want || c.Verdict != report.Noted {
			t.Errorf("%s: %+v", id, c)
		}
	}
	if d := r.check("resources.gc-max").Detail; !strings.Contains(d, "longest 7ms") {
		t.Errorf("beside the servers stands %q", d)
	}
	if d, want := r.check("resources.gc-p99").Detail, "all servers: 100 pauses, median, 90th, 99th percentile and longest 3ms, 3ms, 3ms, 9ms, "+
		"until all threads had stopped 1ms, 1ms, 1ms, 1ms; a control process meanwhile, kept busy for 12 % of a processor: 6 pauses"; !strings.HasPrefix(d, want) {
		t.Errorf("of the pauses stands %q", d)
	}
	for want, err := range map[string]error{"measured nothing": nil, "gone": errors.New("gone")} {
		r := forChecks(t)
		r.controlPauses(memprof.GC{}, bench.ControlReading{}, err)
		for _, id := range controlChecks {
			if c := r.check(id); c.Verdict != report.Failed || !strings.Contains(c.Detail, want) {
				t.Errorf("%s: %+v", id, c)
			}
		}
	}
}

// TestNoControl: without a control process there is nothing to read or to end.
func TestNoControl(t *testing.T) {
	c, err := startControl(nil, 2, 2, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.read(t.Context()); !errors.Is(err, errNoControl) {
		t.Error(err)
	}
	if err := c.stop(); err != nil {
		t.Error(err)
	}
	if _, err := startControl([]string{"/nothing/of/this/name"}, 2, 2, 0); err == nil {
		t.Error("a program that is not there has started")
	}
}

func TestAccounts(t *testing.T) {
	for text, want := range map[string]struct{ processes, free int64 }{
		`{"gc":{"cycles":3},"heap":{"free":5}}`: {1, 5},
		`{"gc":{"cycles":3},"workers":[{"gc":{"cycles":1},"heap":{"free":2}},{"gc":{"cycles":2},"heap":{"free":9}}]}`: {2, 11},
	} {
		list, err := accounts([]byte(text))
		free := int64(0)
		for _, a := range list {
			free += a.Heap.Free
		}
		if err != nil || int64(len(list)) != want.processes || list[0].GC.Cycles == 0 || free != want.free {
			t.Errorf("%s: %+v, %v", text, list, err)
		}
	}
	if _, err := accounts([]byte("x")); err == nil {
		t.Error("x is an account")
	}
	if used := usedOf(look{pss: 9, free: 4}); used != 5 {
		t.Errorf("%v are in use of 9 of which 4 are free", used)
	}
}

// TestFailureCharts: what clients saw around the death of a node, by the time
// since it, with its marks.
func TestFailureCharts(t *testing.T) {
	c := newCharts([]string{"n1"})
	for i := range 60 {
		c.clients.Add(float64(i), 100, 5)
		c.rate.Add(float64(i), 10, 10, 0)
	}
	if list := c.failed(); list != nil {
		t.Errorf("nothing has failed: %+v", list)
	}
	c.failure = &failure{killed: 20 * time.Second, detected: 20500 * time.Millisecond, served: 24 * time.Second}
	list := c.failed()
	if len(list) != 2 || list[0].X[0] != -5 || list[0].X[len(list[0].X)-1] != 14 {
		t.Fatalf("%+v", list)
	}
	m := list[1].Marks
	if len(m) != 3 || m[0].X != 0 || m[1].X != 0.5 || m[2].X != 4 || !strings.Contains(m[2].Text, "4.0 s") || list[1].Spans[0].To != 4 {
		t.Errorf("%+v %+v", m, list[1].Spans)
	}
	c.span(time.Second, 2*time.Second, "x")
	for _, one := range c.list() {
		if one.ID == "failure" && one.Marks == nil || one.ID == "ramp" && len(one.Spans) != 1 {
			t.Errorf("%+v", one)
		}
	}
}
