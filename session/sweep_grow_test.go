package session

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestSweepWhileGrowing has sweepers claim slots of a table that grows.
func TestSweepWhileGrowing(t *testing.T) {
	for range 20 {
		table := NewTable(Options{IdleTimeout: time.Hour})
		var stop atomic.Bool
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for !stop.Load() {
					if first, slots, _ := table.claim(chunkRecords); first >= max(slots, 1) {
						t.Errorf("slot %d of %d", first, slots)
						return
					}
				}
			})
		}
		for range 64 * chunkRecords {
			mustCreate(t, table, Record{})
		}
		stop.Store(true)
		wg.Wait()
	}
}
