package session

import (
	"sync"
	"sync/atomic"
	"time"
	"unsafe"
)

// body is one message, stored once however many logs refer to it. Its number is
// 1 + the index of its slot.
//
// A body is evicted when it is too old or the budget is used up: its bytes go,
// the slot stays until the last reference is given back. A number that somebody
// holds therefore never comes to mean another message.
type body struct {
	data  atomic.Pointer[byte] // of size bytes, never changed; nil once evicted
	size  uint32               // immutable while state is not 0
	stamp uint32               // seconds since the store was made; immutable likewise
	prev  uint32               // guarded by bodies.mu; towards older ones
	next  uint32               // guarded by bodies.mu; while the slot is free, the next free one

	chain uint32 // guarded by bodies.mu; the next one of its bucket in the index of origins

	// state = references<<refShift | why it was evicted. References above 2^30
	// would overflow; budgetMax buys half as many.
	state atomic.Uint32

	origin Origin // immutable while state is not 0
	born   uint64 // immutable likewise; counts the bodies of the store from 1 on
}

const (
	evictedAge    = 1 // bits of body.state
	evictedBudget = 2
	evictedMask   = evictedAge | evictedBudget
	refShift      = 2
	refOne        = 1 << refShift

	bodyBytes = int64(unsafe.Sizeof(body{}))

	// bucketBytes is what the index of origins takes for a body.
	bucketBytes = int64(unsafe.Sizeof(uint32(0)))

	// bodiesChunk slots and the word that Go's allocator puts before objects
	// with pointers fill a size class of 8 KiB; one more would take the next.
	bodiesChunk = 146

	budgetMax = 8 << 30
)

// bodies holds the bodies of all logs, oldest first. mu is the last lock that
// anybody takes; it is held for some list operations.
type bodies struct {
	sizeMax int              // immutable; longest body kept, less than 0 for none
	age     uint32           // immutable; seconds
	budget  int64            // immutable
	peer    uint64           // immutable; of the origins made here
	now     func() time.Time // immutable
	start   time.Time        // immutable

	chunks   atomic.Pointer[[]*[bodiesChunk]body] // replaced under mu
	tooLarge atomic.Uint64
	origins  atomic.Uint64 // made so far
	births   atomic.Uint64 // bodies so far; written under mu

	// used is what the budget is compared to: for each body not evicted its
	// cost, and entryBytes for each reference.
	used atomic.Int64

	// condemned counts references to evicted bodies: entries to be removed.
	condemned atomic.Int64

	mu          sync.Mutex
	first, last uint32 // guarded by mu; numbers of the oldest and the newest body not evicted
	free        uint32 // guarded by mu; number of the first free slot
	fresh       uint32 // guarded by mu; slots ever used
	held        int64  // guarded by mu; slots not free
	live        int64  // guarded by mu; bodies not evicted
	liveBytes   int64  // guarded by mu; sum of their costs

	heads slab[uint32] // guarded by mu; index of origins, see origin.go
}

// cost returns what a body of size bytes takes, its slot and its place in the
// index included: allocations up to 256 bytes come in steps of 16, above that it is up to an eighth more.
func cost(size uint32) int64 { return bodyBytes + bucketBytes + (int64(size)+15)&^15 }

// seconds returns the time since the store was made, in whole seconds.
func (b *bodies) seconds() uint32 {
	return uint32(max(b.now().Sub(b.start), 0) / time.Second)
}

// at returns the slot of body number n, which somebody must hold.
func (b *bodies) at(n uint32) *body {
	return &(*b.chunks.Load())[(n-1)/bodiesChunk][(n-1)%bodiesChunk]
}

// keep copies msg and returns its number with one reference; 0 if it is too long.
func (b *bodies) keep(msg []byte) uint32 {
	if b.sizeMax < 0 {
		return 0
	}
	if len(msg) > b.sizeMax {
		b.tooLarge.Add(1)
		return 0
	}
	data := make([]byte, len(msg))
	copy(data, msg)
	n := b.link(data, b.newOrigin())
	b.enforce()
	return n
}

// link makes data the newest body, with one reference.
func (b *bodies) link(data []byte, o Origin) uint32 {
	now := b.seconds()
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.linkLocked(data, o, now)
}

func (b *bodies) linkLocked(data []byte, o Origin, now uint32) uint32 {
	n := b.free
	if n != 0 {
		b.free = b.at(n).next
	} else {
		if b.fresh%bodiesChunk == 0 {
			longer := append(*b.chunks.Load(), new([bodiesChunk]body))
			b.chunks.Store(&longer)
		}
		b.fresh++
		n = b.fresh
	}
	s := b.at(n)
	s.size, s.stamp, s.prev, s.next, s.origin = uint32(len(data)), now, b.last, 0, o
	s.born = b.births.Add(1)
	s.data.Store(unsafe.SliceData(data))
	s.state.Store(refOne)
	if b.last != 0 {
		b.at(b.last).next = n
	} else {
		b.first = n
	}
	b.last = n
	b.held++
	b.live++
	b.liveBytes += cost(s.size)
	b.used.Add(cost(s.size) + entryBytes)
	b.indexLocked(n, s)
	return n
}

// refer adds a reference to a body that the caller holds. It returns 0, or why
// the body was evicted: then there is no new reference.
func (b *bodies) refer(n uint32) (evicted uint32) {
	s := b.at(n)
	if evicted = s.state.Add(refOne) & evictedMask; evicted != 0 {
		s.state.Add(^uint32(refOne - 1))
		return evicted
	}
	b.used.Add(entryBytes)
	return 0
}

// release gives one reference back.
func (b *bodies) release(n uint32) {
	s := b.at(n)
	state := s.state.Add(^uint32(refOne - 1))
	if state&evictedMask == 0 {
		b.used.Add(-entryBytes)
	} else {
		b.condemned.Add(-1)
	}
	if state>>refShift != 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if s.state.Load()&evictedMask == 0 {
		b.used.Add(-cost(s.size))
		b.unlinkLocked(n, s)
	}
	s.state.Store(0)
	s.next = b.free
	b.free = n
	b.held--
}

// unlinkLocked takes a body out of the list and the index and its bytes away.
func (b *bodies) unlinkLocked(n uint32, s *body) {
	if s.prev != 0 {
		b.at(s.prev).next = s.next
	} else {
		b.first = s.next
	}
	if s.next != 0 {
		b.at(s.next).prev = s.prev
	} else {
		b.last = s.prev
	}
	b.unindexLocked(n, s)
	s.data.Store(nil)
	b.live--
	b.liveBytes -= cost(s.size)
}

// evictLocked takes the bytes of the oldest body away. The reason is set before
// the bytes go: who finds them gone finds the reason.
func (b *bodies) evictLocked(reason uint32) {
	n := b.first
	s := b.at(n)
	references := int64(s.state.Or(reason) >> refShift)
	b.used.Add(-cost(s.size) - references*entryBytes)
	b.condemned.Add(references)
	b.unlinkLocked(n, s)
}

// enforce evicts the oldest bodies until the budget holds.
func (b *bodies) enforce() {
	if b.used.Load() <= b.budget {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for b.first != 0 && b.used.Load() > b.budget {
		b.evictLocked(evictedBudget)
	}
}

// agedBatch is how many bodies evictAged takes under one lock.
const agedBatch = 64

// evictAged evicts what is older than age, and gives the slots' memory back when
// none is in use.
func (b *bodies) evictAged() {
	now := b.seconds()
	for b.evictAgedBatch(now) {
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.held == 0 && b.fresh != 0 {
		b.chunks.Store(new([]*[bodiesChunk]body))
		b.free, b.fresh, b.heads = 0, 0, slab[uint32]{}
	}
}

// evictAgedBatch reports whether there may be more to evict.
func (b *bodies) evictAgedBatch(now uint32) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for range agedBatch {
		if b.first == 0 {
			return false
		}
		// Seconds are rounded down, so only the one after the last is certain.
		if stamp := b.at(b.first).stamp; now <= stamp || now-stamp <= b.age {
			return false
		}
		b.evictLocked(evictedAge)
	}
	return true
}

// bytes returns the message of a body that the caller holds, false when it was
// evicted. The slice outlives an eviction and is never changed.
func (s *body) bytes() ([]byte, bool) {
	data := s.data.Load()
	if data == nil {
		return nil, false
	}
	return unsafe.Slice(data, s.size), true
}

// stats returns how many bodies there are, and the memory of all with their slots.
func (b *bodies) stats() (live, memory int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	chunks := *b.chunks.Load()
	slots := int64(len(chunks)) * bodiesChunk
	memory = b.liveBytes - b.live*bucketBytes + b.heads.memory()
	return b.live, memory + (slots-b.live)*bodyBytes + int64(cap(chunks))*int64(unsafe.Sizeof(chunks[0]))
}
