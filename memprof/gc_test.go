package memprof

import (
	"math"
	"reflect"
	"runtime"
	"runtime/metrics"
	"testing"
	"time"
)

func TestReadGC(t *testing.T) {
	base := ReadGC()
	const cycles = 3
	for range cycles {
		runtime.GC()
	}
	d := ReadGC().Since(base)
	if d.Cycles < cycles || d.Forced < cycles || d.PauseMax <= 0 || d.PauseMax > time.Second {
		t.Errorf("after %d collections: %+v", cycles, d)
	}
	var pauses uint64
	for _, b := range d.Pauses {
		pauses += b.Count
	}
	if pauses < 2*cycles { // each cycle stops the world twice
		t.Errorf("%d pauses in %d cycles", pauses, cycles)
	}
	if n := d.Stopping.Total(); n < 2*cycles || d.Stopping.Max() > d.PauseMax {
		t.Errorf("stopping %d times took up to %v, of pauses of up to %v", n, d.Stopping.Max(), d.PauseMax)
	}
}

func TestBuckets(t *testing.T) {
	h := &metrics.Float64Histogram{
		Counts:  []uint64{0, 2, 0, 1},
		Buckets: []float64{math.Inf(-1), 0, 1e-6, 2e-6, math.Inf(1)},
	}
	got := buckets(h)
	want := Pauses{{Max: time.Microsecond, Count: 2}, {Max: math.MaxInt64, Count: 1}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestGCSince(t *testing.T) {
	base := GC{Cycles: 2, Forced: 1, Pauses: []PauseBucket{{10, 3}, {1000, 1}}, Stopping: []PauseBucket{{5, 4}}}
	now := GC{Cycles: 5, Forced: 1, Pauses: []PauseBucket{{10, 4}, {50, 2}, {1000, 1}}, Stopping: []PauseBucket{{5, 6}, {10, 1}}}
	want := GC{Cycles: 3, PauseMax: 50, Pauses: []PauseBucket{{10, 1}, {50, 2}}, Stopping: []PauseBucket{{5, 2}, {10, 1}}}
	if got := now.Since(base); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got := base.Since(base); got.PauseMax != 0 || got.Pauses != nil {
		t.Errorf("since itself: %+v", got)
	}
}

func TestGCQuantile(t *testing.T) {
	g := GC{Pauses: []PauseBucket{{10, 98}, {50, 1}, {1000, 1}}}
	for q, want := range map[float64]time.Duration{0.5: 10, 0.98: 10, 0.99: 50, 1: 1000} {
		if got := g.Quantile(q); got != want {
			t.Errorf("Quantile(%v) = %v, want %v", q, got, want)
		}
	}
	if got := (GC{}).Quantile(0.5); got != 0 {
		t.Errorf("no pauses: %v", got)
	}
}

func TestPausesCount(t *testing.T) {
	var p Pauses
	for _, bound := range []time.Duration{50, 10, 50, 1000, 10, 10} {
		p.Count(bound)
	}
	if want := (Pauses{{10, 3}, {50, 2}, {1000, 1}}); !reflect.DeepEqual(p, want) {
		t.Errorf("got %v, want %v", p, want)
	}
	sum := Pauses{{20, 1}, {50, 1}}
	sum.Add(p)
	if want := (Pauses{{10, 3}, {20, 1}, {50, 3}, {1000, 1}}); !reflect.DeepEqual(sum, want) {
		t.Errorf("added: %v, want %v", sum, want)
	}
	if p.Total() != 6 || p.Max() != 1000 || Pauses(nil).Max() != 0 {
		t.Errorf("%d times, longest %v", p.Total(), p.Max())
	}
}
