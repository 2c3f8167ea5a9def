// Package ring holds the bounded queue that stands between event loops and
// workers: preallocated, with sequence-numbered slots after D. Vyukov, for any
// number of producers and consumers.
//
// What it promises, each held by a test:
//
//   - Memory is fixed by New. A push or pop allocates nothing.
//   - TryPush and TryPop never block and take no lock.
//   - A pushed value is popped exactly once. Values of one producer leave in
//     the order in which it pushed them.
//   - A full queue refuses; it never overwrites and never grows.
//   - A slot is cleared when its value leaves: what was popped can be collected
//     although the queue lives on.
//
// What it does not: a producer that has claimed a position and is suspended
// before it has written holds back the values pushed behind it, and TryPop
// answers false until it goes on. So a consumer that sleeps must be woken after
// TryPush has returned, by every producer; a consumer then finds at least the
// value it was woken for, or another consumer has taken it.
package ring

import (
	"math/bits"
	"sync/atomic"
)

// cacheLine separates what producers write from what consumers write. 128 and
// not 64, because the prefetcher of current x86 cores fetches lines in pairs.
const cacheLine = 128

// capacityMax bounds what New accepts; beyond it a capacity is a mistake.
const capacityMax = 1 << 30

// Queue is a bounded first-in first-out queue for any number of producers and
// consumers.
type Queue[T any] struct {
	slots []slot[T] // immutable; the length is a power of two, at least 2
	mask  uint64    // immutable; len(slots)-1
	_     [cacheLine]byte
	tail  atomic.Uint64 // position of the next push; written by producers
	_     [cacheLine - 8]byte
	head  atomic.Uint64 // position of the next pop; written by consumers
	_     [cacheLine - 8]byte
}

// slot holds one value. Its sequence number says whose turn it is. For the slot
// in which position p falls:
//
//	seq == p       the slot is free; the producer that claims p may write value
//	seq == p+1     value is published; the consumer that claims p may take it
//	seq == p+cap   value was taken; the slot is free for the next lap
type slot[T any] struct {
	seq   atomic.Uint64
	value T
}

// New returns a queue with room for at least capacity values: capacity is
// rounded up to a power of two, and to 2. It panics when capacity is not
// between 1 and 2^30.
func New[T any](capacity int) *Queue[T] {
	if capacity < 1 || capacity > capacityMax {
		panic("ring: capacity out of range")
	}
	// With one slot, "published in this lap" and "free in the next" would be
	// the same number.
	size := max(2, uint64(1)<<bits.Len64(uint64(capacity)-1))
	q := &Queue[T]{slots: make([]slot[T], size), mask: size - 1}
	for i := range q.slots {
		q.slots[i].seq.Store(uint64(i))
	}
	return q
}

// TryPush appends v and reports whether there was room. A slot whose consumer
// has claimed it but not yet emptied it counts as taken.
func (q *Queue[T]) TryPush(v T) bool {
	pos := q.tail.Load()
	for {
		s := &q.slots[pos&q.mask]
		seq := s.seq.Load()
		switch {
		case seq == pos:
			if q.tail.CompareAndSwap(pos, pos+1) {
				s.value = v
				s.seq.Store(pos + 1)
				return true
			}
			pos = q.tail.Load()
		case int64(seq-pos) < 0:
			return false // the value of the lap before still sits here
		default:
			pos = q.tail.Load() // another producer took pos
		}
	}
}

// TryPop removes the oldest value and reports whether there was one. The slot
// is cleared: the queue keeps nothing alive that has left it.
func (q *Queue[T]) TryPop() (v T, ok bool) {
	pos := q.head.Load()
	for {
		s := &q.slots[pos&q.mask]
		seq := s.seq.Load()
		switch {
		case seq == pos+1:
			if q.head.CompareAndSwap(pos, pos+1) {
				v = s.value
				var zero T
				s.value = zero
				s.seq.Store(pos + uint64(len(q.slots)))
				return v, true
			}
			pos = q.head.Load()
		case int64(seq-pos-1) < 0:
			return v, false // not published yet
		default:
			pos = q.head.Load() // another consumer took pos
		}
	}
}

// Len returns the number of values in the queue, 0 <= Len <= Cap. It is exact
// while nobody pushes or pops, a measure of depth otherwise.
func (q *Queue[T]) Len() int {
	head := q.head.Load() // first: so the difference is never negative
	n := q.tail.Load() - head
	return int(min(n, uint64(len(q.slots))))
}

// Cap returns the number of values the queue has room for.
func (q *Queue[T]) Cap() int { return len(q.slots) }
