package shard

import (
	"crypto/rand"
	"sync"
	"testing"

	"github.com/puzpuzpuz/xsync/v4"
)

// randomKeys returns n keys as sessions have them.
func randomKeys(n int) []Key {
	keys := make([]Key, n)
	for i := range keys {
		rand.Read(keys[i][:])
	}
	return keys
}

// BenchmarkLookup reads 100,000 keys from all cores, the same keys in the same
// order for every kind of map.
func BenchmarkLookup(b *testing.B) {
	const n = 100_000
	keys := randomKeys(n)

	b.Run("rookery", func(b *testing.B) {
		m := New(0)
		for i, k := range keys {
			m.Put(k, uint64(i))
		}
		lookup(b, keys, m.Get)
	})
	b.Run("xsync", func(b *testing.B) {
		m := xsync.NewMap[Key, uint64]()
		for i, k := range keys {
			m.Store(k, uint64(i))
		}
		lookup(b, keys, m.Load)
	})
	b.Run("syncmap", func(b *testing.B) {
		var m sync.Map
		for i, k := range keys {
			m.Store(k, uint64(i))
		}
		lookup(b, keys, func(k Key) (uint64, bool) {
			v, ok := m.Load(k)
			if !ok {
				return 0, false
			}
			return v.(uint64), true
		})
	})
	b.Run("rwmutex", func(b *testing.B) {
		var mu sync.RWMutex
		m := make(map[Key]uint64)
		for i, k := range keys {
			m[k] = uint64(i)
		}
		lookup(b, keys, func(k Key) (uint64, bool) {
			mu.RLock()
			v, ok := m[k]
			mu.RUnlock()
			return v, ok
		})
	})
}

func lookup(b *testing.B, keys []Key, get func(Key) (uint64, bool)) {
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		i := 0
		for pb.Next() {
			if v, ok := get(keys[i]); !ok || v != uint64(i) {
				b.Errorf("key %d: got %d, %v", i, v, ok)
				return
			}
			// A prime step, so that neither keys nor slots are read in order.
			if i += 7919; i >= len(keys) {
				i -= len(keys)
			}
		}
	})
}
