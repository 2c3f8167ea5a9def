package server

import (
	"bytes"
	"io"
	"sync"
	"testing"
)

// Pages that are written at the same time, from buffers that were used before,
// are whole, and have each line once.
func TestExposeAtTheSameTime(t *testing.T) {
	s := startServer(t, Options{}, nil)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 4 {
				var b bytes.Buffer
				if err := s.expose(&b); err != nil {
					t.Error(err)
					return
				}
				seen := map[string]bool{}
				for line := range bytes.Lines(b.Bytes()) {
					if seen[string(line)] {
						t.Errorf("twice: %s", line)
					}
					seen[string(line)] = true
				}
				for _, want := range []string{"# TYPE rookery_uptime_seconds gauge\n", "# TYPE go_gc_pause_seconds histogram\n"} {
					if !seen[want] {
						t.Errorf("no line %q", want)
					}
				}
			}
		})
	}
	wg.Wait()
}

// BenchmarkExpose: what a look at the metrics costs, and leaves to collect.
func BenchmarkExpose(b *testing.B) {
	s := startServer(b, Options{}, nil)
	b.ReportAllocs()
	for b.Loop() {
		if err := s.expose(io.Discard); err != nil {
			b.Fatal(err)
		}
	}
}
