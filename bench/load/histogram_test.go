package load

import (
	"math/rand/v2"
	"testing"
	"time"
)

func exponential(n int, mean time.Duration) (l []int64) {
	r := rand.New(rand.NewPCG(1, 2))
	for range n {
		l = append(l, int64(r.ExpFloat64()*float64(mean)))
	}
	return l
}

// What a process measured arrives at the coordinator value for value.
func TestHistogramsTravel(t *testing.T) {
	h, sum := newHistogram(), newHistogram()
	for _, v := range exponential(25_000, 3*time.Millisecond) {
		record(h, v)
	}
	record(h, int64(time.Hour)) // out of range: counts as the longest
	record(h, -1)
	if err := unpack(sum, packed(h)); err != nil {
		t.Fatal(err)
	}
	if !sum.Equals(h) || sum.TotalCount() != 25_002 {
		t.Errorf("%d values of %d arrived", sum.TotalCount(), h.TotalCount())
	}
	if err := unpack(sum, ""); err != nil || packed(newHistogram()) != "" || encoded(newHistogram()) != "" {
		t.Errorf("an empty histogram: %v", err)
	}
	for _, bad := range []string{"!", "AAAA", "gICAgICAgICAAQ==", "/////w8B"} {
		if err := unpack(sum, bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

func TestLatenciesAddUp(t *testing.T) {
	a, b, both := newHistogram(), newHistogram(), newHistogram()
	for i, v := range exponential(10_000, 5*time.Millisecond) {
		if i%3 == 0 {
			record(a, v)
		} else {
			record(b, v)
		}
		record(both, v)
	}
	got, err := AddLatencies(latencyOf(a), latencyOf(b), Latency{})
	if want := latencyOf(both); err != nil || got.Count != want.Count || got.P99 != want.P99 || got.Max != want.Max || got.Mean != want.Mean {
		t.Errorf("%+v, %v; want %+v", got, err, want)
	}
	if _, err := AddLatencies(Latency{Histogram: "x"}); err == nil {
		t.Error("nonsense was added")
	}
	bars, err := got.Bars()
	var n int64
	for i, b := range bars {
		n += b.Count
		if i > 0 && b.To <= bars[i-1].To {
			t.Errorf("bar %d ends at %v, the one before at %v", i, b.To, bars[i-1].To)
		}
	}
	if err != nil || n != got.Count || bars[0].Count == 0 || bars[len(bars)-1].Count == 0 || bars[len(bars)-1].To < got.Max {
		t.Errorf("%d values in %d bars, %v", n, len(bars), err)
	}
}

func BenchmarkPack(b *testing.B) {
	h := newHistogram()
	for _, v := range exponential(25_000, 3*time.Millisecond) {
		record(h, v)
	}
	b.ReportAllocs()
	for b.Loop() {
		_ = packed(h)
	}
}
