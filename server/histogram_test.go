package server

import (
	"bytes"
	"testing"
	"time"
)

// A value counts in the bucket whose bound it does not exceed and in all above; what
// is above all bounds counts in the last.
func TestHistogramPage(t *testing.T) {
	h := newHistogram("x_seconds", `on="loop"`, []time.Duration{time.Microsecond, time.Millisecond})
	for _, d := range []time.Duration{0, time.Microsecond, time.Microsecond + 1, time.Second} {
		h.observe(d)
	}
	var out bytes.Buffer
	h.write(page{&out})
	const want = `x_seconds_bucket{on="loop",le="1e-06"} 2
x_seconds_bucket{on="loop",le="0.001"} 3
x_seconds_bucket{on="loop",le="+Inf"} 4
x_seconds_sum{on="loop"} 1.000002001
x_seconds_count{on="loop"} 4
`
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", &out, want)
	}
	out.Reset()
	newHistogram("y_seconds", "", nil).write(page{&out})
	if got, want := out.String(), "y_seconds_bucket{le=\"+Inf\"} 0\ny_seconds_sum 0\ny_seconds_count 0\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// A page leaves no garbage for what it shows, but for what the library's counters do.
func TestPageBudget(t *testing.T) {
	s := startServer(t, Options{}, nil)
	var out bytes.Buffer
	s.writePage(page{&out}) // it has room from then on
	h := s.metrics.methodLoop
	if n := testing.AllocsPerRun(100, func() {
		out.Reset()
		h.observe(time.Millisecond)
		h.write(page{&out})
	}); n != 0 {
		t.Errorf("%v allocations for a histogram", n)
	}
	got := testing.Benchmark(func(b *testing.B) {
		b.ReportAllocs()
		for range b.N {
			out.Reset()
			s.writePage(page{&out})
		}
	}).AllocedBytesPerOp()
	if got > 12<<10 {
		t.Errorf("%d bytes for a page", got)
	}
	t.Logf("%d bytes for a page", got)
}
