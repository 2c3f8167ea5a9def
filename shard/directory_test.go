package shard

import (
	"sync"
	"testing"
)

// Whoever reads the current directory gets a size and entries that belong
// together, however often it is replaced meanwhile.
func TestNewestIsWhole(t *testing.T) {
	var n newest
	sizes := make([]directory, 8)
	for depth := range sizes {
		sizes[depth] = newDirectory(uint8(depth))
	}
	n.store(sizes[0])
	done := make(chan struct{})
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				if d := n.load(); d != sizes[d.depth()] {
					t.Errorf("depth %d came with the entries of another", d.depth())
					return
				}
			}
		})
	}
	for i := range 100_000 {
		n.store(sizes[i%len(sizes)])
	}
	close(done)
	readers.Wait()
}

// A lookup that goes by an outdated size of a table finds what is there.
func TestOutdatedSizes(t *testing.T) {
	b := newBucket(0, 5)
	for h := range uint64(20) {
		b.place(h<<32, h, h, h)
	}
	for guess := range 2 * groupsMax {
		for h := range uint64(20) {
			if v, ok := b.get(guess, h<<32, h, h); !ok || v != h {
				t.Fatalf("with %d groups for %d, key %d is %d, %v", guess, b.groups, h, v, ok)
			}
		}
		if _, ok := b.get(guess, 1<<32, 1, 2); ok {
			t.Fatalf("with %d groups an absent key is found", guess)
		}
	}
}
