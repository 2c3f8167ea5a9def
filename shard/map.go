package shard

import (
	"encoding/binary"
	"hash/maphash"
	"math/bits"
	"sync"
	"unsafe"
)

// Key is a 128-bit id. Any value is a valid key.
type Key [16]byte

const (
	// hintBuckets bounds how many buckets a new map is prepared for. More
	// would make a map of 1,000 keys pay for tables that are nearly empty.
	hintBuckets = 16

	// depthMax bounds the directory at 128 MB, enough for 5*10^9 keys. No
	// random hash gets there with fewer; were it to, tables would grow instead.
	depthMax = 24
)

// Map maps keys to 64-bit values. All methods may be called from any goroutine.
type Map struct {
	dir      newest
	seed     maphash.Seed // immutable
	depthMax uint8        // immutable; tests lower it

	// mu guards the entries of the current directory and its replacement.
	// Lock order: bucket.mu before Map.mu.
	mu sync.Mutex
}

// New returns an empty map. hint is the number of keys expected soon: it
// spreads the first writers over up to 16 locks, at 8 bytes each. Nothing is
// allocated for keys that have not come.
func New(hint int) *Map {
	m := &Map{seed: maphash.MakeSeed(), depthMax: depthMax}
	buckets := min(max(hint/keysMax, 1), hintBuckets)
	m.dir.store(newDirectory(uint8(bits.Len(uint(buckets - 1)))))
	return m
}

// Get returns the value of k and reports whether k is present.
func (m *Map) Get(k Key) (uint64, bool) {
	h, k0, k1 := m.hash(&k)
	e := m.dir.load().at(h)
	b := e.bucket.Load()
	if b == nil {
		return 0, false
	}
	return b.get(int(e.groups.Load()), h, k0, k1)
}

// Put sets the value of k. It returns the value that was there and reports
// whether there was one.
func (m *Map) Put(k Key, v uint64) (old uint64, replaced bool) {
	return m.store(&k, v, true)
}

// Insert sets the value of k if k is absent and reports whether it was.
func (m *Map) Insert(k Key, v uint64) bool {
	_, present := m.store(&k, v, false)
	return !present
}

// Delete removes k. It returns the value k had and reports whether it was
// present.
func (m *Map) Delete(k Key) (uint64, bool) {
	return m.remove(&k, func(uint64) bool { return true })
}

// CompareAndDelete removes k if it is present with value v and reports whether
// it was.
func (m *Map) CompareAndDelete(k Key, v uint64) bool {
	_, removed := m.remove(&k, func(old uint64) bool { return old == v })
	return removed
}

// Len returns the number of keys, summed over the shards: exact while nobody
// writes, otherwise each shard's count is from some moment of the call.
func (m *Map) Len() int {
	n := int64(0)
	m.dir.load().each(func(b *bucket) { n += b.live.Load() })
	return int(n)
}

// Bytes returns the memory the map holds, without what the allocator adds by
// rounding up (3 % at most, for tables of some size).
func (m *Map) Bytes() int64 {
	d := m.dir.load()
	n := int64(unsafe.Sizeof(*m)) + int64(unsafe.Sizeof(entry{}))<<d.depth()
	d.each(func(b *bucket) { n += b.bytes() })
	return n
}

// Range calls f for every key until f returns false. It copies one shard after
// the other under the shard's lock (writers of that shard wait for some
// microseconds, readers do not wait) and calls f with no lock held: f may use
// the map. A key that is present during the whole call is visited exactly once,
// with a value it had meanwhile; a key that comes or goes, at most once.
func (m *Map) Range(f func(Key, uint64) bool) {
	type pair struct {
		key   Key
		value uint64
	}
	var pairs []pair
	// h walks over the hash space, one bucket's share after the other.
	// Buckets are split but never merged, so h stays at the start of one.
	for h := uint64(0); ; {
		d := m.dir.load()
		depth := d.depth()
		pairs = pairs[:0]
		if b := d.at(h).bucket.Load(); b != nil {
			b.mu.Lock()
			if b.dead {
				b.mu.Unlock()
				continue
			}
			depth = b.depth
			b.each(func(k0, k1, value uint64) {
				pairs = append(pairs, pair{newKey(k0, k1), value})
			})
			b.mu.Unlock()
		}
		for _, p := range pairs {
			if !f(p.key, p.value) {
				return
			}
		}
		if h += 1 << (64 - depth); h == 0 {
			return
		}
	}
}

func (m *Map) store(k *Key, v uint64, replace bool) (old uint64, present bool) {
	h, k0, k1 := m.hash(k)
	for {
		b := m.lock(h)
		if g, i := b.find(h, k0, k1); g != nil {
			old = g.slots[i].value.Load()
			if replace {
				g.slots[i].value.Store(v)
			}
			b.mu.Unlock()
			return old, true
		}
		if b.used < b.room() {
			b.place(h, k0, k1, v)
			b.mu.Unlock()
			return 0, false
		}
		m.enlarge(h, b)
		b.mu.Unlock()
	}
}

func (m *Map) remove(k *Key, agreed func(old uint64) bool) (old uint64, removed bool) {
	h, k0, k1 := m.hash(k)
	if m.dir.load().at(h).bucket.Load() == nil {
		return 0, false
	}
	b := m.lock(h)
	defer b.mu.Unlock()
	g, i := b.find(h, k0, k1)
	if g == nil {
		return 0, false
	}
	if old = g.slots[i].value.Load(); !agreed(old) {
		return 0, false
	}
	b.remove(g, i)
	m.shrink(h, b)
	return old, true
}

// lock returns the bucket of hash h with its lock held. It makes the bucket if
// there is none yet.
func (m *Map) lock(h uint64) *bucket {
	for {
		b := m.dir.load().at(h).bucket.Load()
		if b == nil {
			b = m.plant(h)
		}
		b.mu.Lock()
		if !b.dead {
			return b
		}
		b.mu.Unlock() // its successors are in the directory already
	}
}

// plant makes the first bucket for hash h.
func (m *Map) plant(h uint64) *bucket {
	m.mu.Lock()
	defer m.mu.Unlock()
	d := m.dir.load()
	b := d.at(h).bucket.Load()
	if b == nil {
		b = newBucket(d.depth(), ladder[0])
		d.at(h).set(b)
	}
	return b
}

// hash returns the hash of k and its two words.
func (m *Map) hash(k *Key) (h, k0, k1 uint64) {
	return maphash.Bytes(m.seed, k[:]), binary.LittleEndian.Uint64(k[:8]), binary.LittleEndian.Uint64(k[8:])
}

func newKey(k0, k1 uint64) (k Key) {
	binary.LittleEndian.PutUint64(k[:8], k0)
	binary.LittleEndian.PutUint64(k[8:], k1)
	return k
}
