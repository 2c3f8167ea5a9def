package suite

import (
	"testing"
	"time"
)

func TestGrowth(t *testing.T) {
	start := time.Unix(1000, 0)
	s := &sampler{}
	for i := range 30 {
		// Half a megabyte a second under a sawtooth of 40 MB.
		s.held = append(s.held, memoryAt{start.Add(time.Duration(i)*time.Second + time.Millisecond), 1e8 + float64(i)*5e5 + float64(i%5)*1e7})
	}
	end := start.Add(30 * time.Second)
	if got, n := s.growth(start, end, 99); got != 15 || n != 30 {
		t.Errorf("growth %v MB from %d looks, want 15 from 30", got, n)
	}
	if got, n := s.growth(start, start.Add(5*time.Second), 99); got != 99 || n != 2 {
		t.Errorf("growth %v MB from %d looks, want that of the ends", got, n)
	}
	if got, n := s.growth(end, end.Add(time.Minute), 7); got != 7 || n != 2 {
		t.Errorf("growth %v MB from %d looks, want that of the ends", got, n)
	}
}
