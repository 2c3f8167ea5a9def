package bench

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rookery-server/rookery/memprof"
	"pgregory.net/rapid"
)

func TestCounts(t *testing.T) {
	for _, test := range []struct {
		name        string
		descriptors int
		o           MemOptions
		want        []int
		err         string
		noted       bool
	}{
		{name: "default", descriptors: 20000, want: defaultCounts},
		{name: "quick", descriptors: 20000, o: MemOptions{Quick: true}, want: quickCounts},
		{name: "few descriptors", descriptors: 4096, want: []int{99, 398, 1194, 3584}, noted: true},
		{name: "hardly any", descriptors: 514, want: []int{1, 2, 3, 4}, noted: true},
		{name: "none", descriptors: 512, err: "ulimit"},
		{name: "own", descriptors: 4096, o: MemOptions{Counts: []int{10, 20}}, want: []int{10, 20}},
		{name: "too many", descriptors: 4096, o: MemOptions{Counts: []int{10, 4000}}, err: "ask for 3,584 at most"},
		{name: "falling", descriptors: 4096, o: MemOptions{Counts: []int{20, 10}}, err: "must ascend"},
		{name: "zero", descriptors: 4096, o: MemOptions{Counts: []int{0}}, err: "start at 1"},
	} {
		r := &MemReport{Machine: Machine{Descriptors: test.descriptors}}
		got, err := test.o.counts(r)
		if test.err != "" {
			if err == nil || !strings.Contains(err.Error(), test.err) {
				t.Errorf("%s: error %v, want %q", test.name, err, test.err)
			}
			continue
		}
		if err != nil || !slices.Equal(got, test.want) || (len(r.Notes) > 0) != test.noted {
			t.Errorf("%s: %v, %v, notes %v", test.name, got, err, r.Notes)
		}
	}
	if !slices.Equal(defaultCounts, []int{500, 2000, 6000, 18000}) {
		t.Error("fitting the counts changed the default")
	}
}

func TestSubjects(t *testing.T) {
	names := func(list []*subject) (all []string) {
		for _, s := range list {
			all = append(all, s.name())
		}
		return all
	}
	r := &MemReport{Machine: Machine{Descriptors: 20000}}
	o := MemOptions{Server: "rookery"}
	list, err := o.subjects(r)
	if want := []string{"rookery tcp", "rookery jsonrpc-session", "rookery mcp-stream", "rookery listen"}; err != nil || !slices.Equal(names(list), want) {
		t.Errorf("without baselines: %v, %v", names(list), err)
	}
	if len(r.Notes) != 1 || !strings.Contains(r.Notes[0], "make baseline") {
		t.Errorf("notes %v do not say how to get baselines", r.Notes)
	}
	o = MemOptions{Server: "rookery", Baseline: self(t)[0], Kinds: []Kind{Stream}, Runs: 5}
	list, err = o.subjects(r)
	if want := []string{"rookery mcp-stream", "gosdk-rookery mcp-stream", "httpsse sse", "gosdk mcp-stream", "mcpgo mcp-stream"}; err != nil || !slices.Equal(names(list), want) {
		t.Errorf("one kind: %v, %v", names(list), err)
	}
	if s := list[1]; s.runs != baselineRunsMax || !s.full || !slices.Equal(s.counts, defaultCounts) {
		t.Errorf("the adapter: %+v", s)
	}
	if s := list[2]; s.runs != baselineRunsMax || s.full || !slices.Equal(s.counts, []int{1000, 3000}) {
		t.Errorf("a baseline: %+v", s)
	}
	for _, bad := range []MemOptions{{Kinds: []Kind{"parrot"}}, {Kinds: []Kind{Caller}}, {Baseline: "nothing/there"}} {
		if _, err := bad.subjects(r); err == nil {
			t.Errorf("no error for %+v", bad)
		}
	}
}

// TestNewMemRow computes a row from figures that can be checked by hand.
func TestNewMemRow(t *testing.T) {
	const mb = 1 << 20
	s := &subject{program: program{name: "x"}, kind: TCP, counts: []int{1000, 3000}, full: true}
	slabs := func(objects int64) memprof.Slabs {
		return memprof.Slabs{"TCP": {Name: "TCP", Objects: objects, Size: 2000, Bytes: objects * 2500}, "filp": {Name: "filp", Objects: 10}}
	}
	run := func(zero, small, large int64) memRun {
		return memRun{
			zero: zero, own: []int64{small, large}, slabs: []memprof.Slabs{slabs(100), slabs(2100), slabs(6100)},
			opening: 500 * time.Millisecond, peak: large + mb, after: large + large/10, closed: zero + 1, reopened: large + 3000,
			burst: BurstResult{Took: 2 * time.Second}, back: time.Second,
		}
	}
	row := newMemRow(s, []memRun{run(mb, 2*mb, 4*mb), run(mb, 2*mb, 5*mb), run(mb, 2*mb, 3*mb)})
	for name, test := range map[string][2]float64{
		"average":  {row.Average.Median, 3 * mb / 3000.0},
		"slope":    {row.Slope.Median, 2 * mb / 2000.0},
		"max":      {row.Slope.Max, 3 * mb / 2000.0},
		"min":      {row.Slope.Min, mb / 2000.0},
		"rate":     {row.OpenRate.Median, 4000},
		"kernel":   {row.Kernel.Median, 2500},
		"growth":   {row.Burst.Growth.Max, 0.1},
		"peak":     {row.Burst.Peak.Median, 5 * mb},
		"back":     {row.Burst.Back.Median, 1},
		"closed":   {row.Closed.Median, mb + 1},
		"reopened": {row.Reopened.Median, 3*mb/3000.0 + 1},
	} {
		if diff := test[0] - test[1]; diff > 1e-6 || diff < -1e-6 {
			t.Errorf("%s is %v, want %v", name, test[0], test[1])
		}
	}
	if want := []PerEach{{Name: "TCP", Bytes: 2500}}; !reflect.DeepEqual(row.KernelBy, want) {
		t.Errorf("kernel by slab: %v, want %v", row.KernelBy, want)
	}
	blind := run(mb, 2*mb, 4*mb)
	blind.slabs = nil
	if row := newMemRow(s, []memRun{blind}); row.Kernel != nil {
		t.Error("kernel memory that nobody could read")
	}
	single := &subject{program: program{name: "x"}, kind: TCP, counts: []int{1024}}
	if row := newMemRow(single, []memRun{{zero: mb, own: []int64{2 * mb}, opening: time.Second}}); row.Slope.Median != 1024 {
		t.Errorf("one count: slope %v", row.Slope.Median)
	}
}

func TestGrowthOf(t *testing.T) {
	before := memprof.Report{Components: []memprof.Component{{Name: "slots", Count: 1, Bytes: 10}, {Name: memprof.FilePages, Bytes: 5}, {Name: memprof.Unaccounted, Bytes: 3}}}
	after := memprof.Report{Components: []memprof.Component{{Name: "slots", Count: 4, Bytes: 40}, {Name: "new", Bytes: 7}, {Name: memprof.FilePages, Bytes: 9}, {Name: memprof.Unaccounted, Bytes: 1}}}
	want := []memprof.Component{{Name: "slots", Count: 3, Bytes: 30}, {Name: "new", Bytes: 7}, {Name: memprof.Unaccounted, Bytes: -2}}
	if got := growthOf(before, after); !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestSpread(t *testing.T) {
	for _, test := range []struct {
		runs []float64
		want Spread
	}{
		{[]float64{3}, Spread{Median: 3, Min: 3, Max: 3}},
		{[]float64{4, 1}, Spread{Median: 2.5, Min: 1, Max: 4}},
		{[]float64{9, 1, 4}, Spread{Median: 4, Min: 1, Max: 9}},
	} {
		got := spreadOf(test.runs)
		test.want.Runs = test.runs
		if !reflect.DeepEqual(got, test.want) {
			t.Errorf("got %+v, want %+v", got, test.want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		runs := rapid.SliceOfN(rapid.Float64Range(-1e9, 1e9), 1, 20).Draw(t, "runs")
		kept := slices.Clone(runs)
		s := spreadOf(runs)
		if s.Min > s.Median || s.Median > s.Max || !slices.Equal(s.Runs, kept) {
			t.Fatalf("%+v of %v", s, kept)
		}
	})
}

func TestThousands(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", 18000: "18,000", 1234567: "1,234,567", -1000: "-1,000", -999: "-999"} {
		if got := thousands(n); got != want {
			t.Errorf("thousands(%d) = %q, want %q", n, got, want)
		}
	}
}
