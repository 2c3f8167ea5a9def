package shard

import (
	"encoding/binary"
	"maps"
	"testing"

	"go.uber.org/goleak"
	"pgregory.net/rapid"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// numbered returns key number i of a family that differs in few bits.
func numbered(i int) (k Key) {
	binary.BigEndian.PutUint64(k[8:], uint64(i))
	return k
}

func TestMapBasics(t *testing.T) {
	m := New(0)
	k := numbered(1)
	if v, ok := m.Get(k); ok || v != 0 {
		t.Errorf("Get of an empty map = %d, %v", v, ok)
	}
	if v, ok := m.Delete(k); ok || v != 0 {
		t.Errorf("Delete of an empty map = %d, %v", v, ok)
	}
	if m.CompareAndDelete(k, 0) {
		t.Error("CompareAndDelete removed an absent key whose value would be 0")
	}
	if old, replaced := m.Put(k, 10); replaced || old != 0 {
		t.Errorf("first Put = %d, %v", old, replaced)
	}
	if old, replaced := m.Put(k, 11); !replaced || old != 10 {
		t.Errorf("second Put = %d, %v", old, replaced)
	}
	if m.Insert(k, 12) {
		t.Error("Insert replaced a present key")
	}
	if v, ok := m.Get(k); !ok || v != 11 {
		t.Errorf("Get = %d, %v, want 11", v, ok)
	}
	if m.CompareAndDelete(k, 10) {
		t.Error("CompareAndDelete removed a key of another value")
	}
	if !m.CompareAndDelete(k, 11) || m.Len() != 0 {
		t.Error("CompareAndDelete kept the key")
	}
	if !m.Insert(k, 0) {
		t.Error("Insert of an absent key refused")
	}
	if v, ok := m.Get(k); !ok || v != 0 {
		t.Errorf("the value 0 is lost: %d, %v", v, ok)
	}
	if v, ok := m.Delete(k); !ok || v != 0 {
		t.Errorf("Delete = %d, %v", v, ok)
	}
}

// The zero key and keys of all ones are keys like any other.
func TestMapTakesAnyKey(t *testing.T) {
	m := New(0)
	var ones Key
	for i := range ones {
		ones[i] = 0xff
	}
	for i, k := range []Key{{}, ones, {15: 1}, {0: 1}} {
		if !m.Insert(k, uint64(i)) {
			t.Errorf("key %x refused", k)
		}
	}
	for i, k := range []Key{{}, ones, {15: 1}, {0: 1}} {
		if v, ok := m.Get(k); !ok || v != uint64(i) {
			t.Errorf("Get(%x) = %d, %v", k, v, ok)
		}
	}
}

// TestMapAgainstTwin runs random operations on a Map and on a built-in map. The
// bulk operations are there to split, clean and shrink buckets.
func TestMapAgainstTwin(t *testing.T) {
	const keys = 3000
	rapid.Check(t, func(t *rapid.T) {
		m := New(rapid.SampledFrom([]int{0, 1, 1_000_000}).Draw(t, "hint"))
		m.depthMax = rapid.SampledFrom([]uint8{2, depthMax}).Draw(t, "depthMax")
		m.depthMax = max(m.depthMax, m.dir.load().depth())
		twin := map[Key]uint64{}
		key := rapid.Custom(func(t *rapid.T) Key { return numbered(rapid.IntRange(0, keys-1).Draw(t, "key")) })
		value := rapid.Uint64Range(0, 2)
		t.Repeat(map[string]func(*rapid.T){
			"put": func(t *rapid.T) {
				k, v := key.Draw(t, "k"), value.Draw(t, "v")
				want, present := twin[k]
				if old, replaced := m.Put(k, v); old != want || replaced != present {
					t.Fatalf("Put = %d, %v, want %d, %v", old, replaced, want, present)
				}
				twin[k] = v
			},
			"insert": func(t *rapid.T) {
				k, v := key.Draw(t, "k"), value.Draw(t, "v")
				_, present := twin[k]
				if m.Insert(k, v) == present {
					t.Fatalf("Insert = %v", present)
				}
				if !present {
					twin[k] = v
				}
			},
			"delete": func(t *rapid.T) {
				k := key.Draw(t, "k")
				want, present := twin[k]
				if v, ok := m.Delete(k); v != want || ok != present {
					t.Fatalf("Delete = %d, %v, want %d, %v", v, ok, want, present)
				}
				delete(twin, k)
			},
			"compareAndDelete": func(t *rapid.T) {
				k, v := key.Draw(t, "k"), value.Draw(t, "v")
				have, present := twin[k]
				want := present && have == v
				if m.CompareAndDelete(k, v) != want {
					t.Fatalf("CompareAndDelete = %v, want %v", !want, want)
				}
				if want {
					delete(twin, k)
				}
			},
			"putMany": func(t *rapid.T) {
				from, n, v := rapid.IntRange(0, keys).Draw(t, "from"), rapid.IntRange(0, 2500).Draw(t, "n"), value.Draw(t, "v")
				for i := from; i < from+n; i++ {
					m.Put(numbered(i%keys), v)
					twin[numbered(i%keys)] = v
				}
			},
			"deleteMany": func(t *rapid.T) {
				from, n := rapid.IntRange(0, keys).Draw(t, "from"), rapid.IntRange(0, 2500).Draw(t, "n")
				for i := from; i < from+n; i++ {
					m.Delete(numbered(i % keys))
					delete(twin, numbered(i%keys))
				}
			},
			"": func(t *rapid.T) {
				if m.Len() != len(twin) {
					t.Fatalf("Len = %d, want %d", m.Len(), len(twin))
				}
				for range 20 {
					k := key.Draw(t, "k")
					want, present := twin[k]
					if v, ok := m.Get(k); v != want || ok != present {
						t.Fatalf("Get(%x) = %d, %v, want %d, %v", k, v, ok, want, present)
					}
				}
				if rapid.IntRange(0, 3).Draw(t, "compare everything") > 0 {
					return
				}
				if got := collect(t, m); !maps.Equal(got, twin) {
					t.Fatalf("Range gave %d pairs, not the %d of the twin", len(got), len(twin))
				}
				checkInvariants(t, m)
			},
		})
	})
}

// collect returns what Range gives and fails when a key comes twice.
func collect(t rapid.TB, m *Map) map[Key]uint64 {
	got := map[Key]uint64{}
	m.Range(func(k Key, v uint64) bool {
		if _, twice := got[k]; twice {
			t.Fatalf("Range gave %x twice", k)
		}
		got[k] = v
		return true
	})
	return got
}

func TestRangeStops(t *testing.T) {
	m := New(0)
	for i := range 5000 {
		m.Put(numbered(i), 0)
	}
	for _, want := range []int{1, 2, 700, 5000} {
		n := 0
		m.Range(func(Key, uint64) bool { n++; return n < want })
		if n != want {
			t.Errorf("Range went on to %d after false at %d", n, want)
		}
	}
}

// f may use the map it is called from.
func TestRangeHoldsNoLock(t *testing.T) {
	m := New(0)
	for i := range 5000 {
		m.Put(numbered(i), uint64(i))
	}
	m.Range(func(k Key, v uint64) bool {
		if got, ok := m.Delete(k); !ok || got != v {
			t.Fatalf("Delete within Range = %d, %v, want %d", got, ok, v)
		}
		return true
	})
	if m.Len() != 0 {
		t.Errorf("%d keys left", m.Len())
	}
}

func TestNoAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	m := New(0)
	const n = 10_000
	for i := range n {
		m.Put(numbered(i), 0)
	}
	i := 0
	for name, f := range map[string]func(){
		"Get":         func() { m.Get(numbered(i % n)) },
		"Get, absent": func() { m.Get(numbered(n + i)) },
		"Put":         func() { m.Put(numbered(i%n), 1) },
		"Delete and Insert of one key": func() {
			m.Delete(numbered(5))
			m.Insert(numbered(5), 2)
		},
		"CompareAndDelete and Insert": func() {
			m.CompareAndDelete(numbered(6), 0)
			m.Insert(numbered(6), 0)
		},
		"Len":   func() { m.Len() },
		"Bytes": func() { m.Bytes() },
	} {
		if a := testing.AllocsPerRun(1000, func() { f(); i++ }); a != 0 {
			t.Errorf("%s: %v allocations, want 0", name, a)
		}
	}
}
