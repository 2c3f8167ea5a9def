package shard

import (
	"sync"
	"sync/atomic"
	"unsafe"
)

// bucket is one shard: the table of all keys whose hash starts with the same
// depth bits. It is replaced as a whole when its table is full or nearly empty.
//
// A writer that frees a slot changes its control byte first and version then;
// a writer that fills one writes its words first and the control byte then. So
// a reader that sees the same version before and after has not read a slot
// that changed hands in between: the change of hands would have had to
// complete a deletion, which moves version. Insertions alone disturb nobody.
type bucket struct {
	groups  int           // immutable; they lie behind this header, see group
	depth   uint8         // immutable
	version atomic.Uint64 // deletions completed
	_       [64 - 24]byte // what follows is written by every insertion

	mu   sync.Mutex
	live atomic.Int64 // keys; written under mu
	used int          // slots that are not empty, guarded by mu; live <= used <= room
	dead bool         // replaced, guarded by mu; set when the successors are in the directory

	_ [128 - 96]byte // whole lines: no writer's word beside the first group
}

// ladder holds the sizes a table grows through, in groups. With its header each
// fills a size class of Go's allocator to 92 % or more (from 5 groups up), the
// larger ones to 98 %. From 40 up a step is at most half, so that tables in use
// are two thirds to seven eighths full.
var ladder = [...]int{1, 2, 5, 9, 19, 40, 60, 81, 122}

// groupsMax is the size at which a full table is split instead of enlarged.
const groupsMax = 122

// keysMax is how many keys fill a table of that size: the most that one
// insertion copies.
const keysMax = groupsMax * groupKeysMax

// groupsFor returns the size of a new table for live keys, with room for at
// least a sixth more, so that a rebuild is paid for by what comes next.
func groupsFor(live int) int {
	need := live + live/6 + 1
	for _, n := range ladder {
		if n*groupKeysMax >= need {
			return n
		}
	}
	return need/groupKeysMax + 1
}

// newBucket returns an empty bucket. Header and groups are one piece of memory
// without pointers: where a group lies follows from the bucket's address, so a
// lookup waits for both at a time, not for one to find the other.
func newBucket(depth uint8, groups int) *bucket {
	words := make([]uint64, (unsafe.Sizeof(bucket{})+uintptr(groups)*unsafe.Sizeof(group{}))/unsafe.Sizeof(uint64(0)))
	b := (*bucket)(unsafe.Pointer(unsafe.SliceData(words)))
	b.groups, b.depth = groups, depth
	return b
}

// group returns one of the groups. REQUIRES: 0 <= at < groups.
func (b *bucket) group(at int) *group {
	return (*group)(unsafe.Add(unsafe.Pointer(b), unsafe.Sizeof(*b)+uintptr(at)*unsafe.Sizeof(group{})))
}

// room returns how many slots may be in use.
func (b *bucket) room() int { return b.groups * groupKeysMax }

// bytes returns the memory b holds.
func (b *bucket) bytes() int64 {
	return int64(unsafe.Sizeof(*b)) + int64(b.groups)*int64(unsafe.Sizeof(group{}))
}

// home returns the group, of so many, at which probes for hash h begin. It uses
// bits 7 to 38; the tag uses the bits below and the directory those above.
func home(h uint64, groups int) int {
	return int(uint64(uint32(h>>7)) * uint64(groups) >> 32)
}

// next returns the group that a probe visits after g.
func (b *bucket) next(g int) int {
	if g++; g < b.groups {
		return g
	}
	return 0
}

// get returns the value of key (k0, k1). It may run beside any writer. groups is
// what somebody believes to be b.groups: while it is, the processor fetches the
// key's group without waiting for b's header.
func (b *bucket) get(groups int, h, k0, k1 uint64) (value uint64, ok bool) {
	if groups != b.groups {
		return b.get(b.groups, h, k0, k1)
	}
	for {
		version := b.version.Load()
		value, ok = 0, false
		if g, i := b.probe(home(h, groups), h, k0, k1); g != nil {
			value, ok = g.slots[i].value.Load(), true
		}
		if b.version.Load() == version {
			return value, ok
		}
	}
}

// find returns the group of key (k0, k1) and the number of its slot; a nil
// group when the key is absent.
func (b *bucket) find(h, k0, k1 uint64) (*group, int) {
	return b.probe(home(h, b.groups), h, k0, k1)
}

// probe is find from group at, which is the home of h.
func (b *bucket) probe(at int, h, k0, k1 uint64) (*group, int) {
	for range b.groups {
		g := b.group(at)
		ctrl := g.ctrl.Load()
		for s := withTag(ctrl, h); s != 0; s = s.rest() {
			i := s.first()
			if g.slots[i].k0.Load() == k0 && g.slots[i].k1.Load() == k1 {
				return g, i
			}
		}
		if hasEmpty(ctrl) {
			break
		}
		at = b.next(at)
	}
	return nil, 0
}

// place stores a key. REQUIRES: the key is absent, mu is held or b not yet
// published, used < room.
func (b *bucket) place(h, k0, k1, value uint64) {
	at := home(h, b.groups)
	for notFull(b.group(at).ctrl.Load()) == 0 {
		at = b.next(at)
	}
	g := b.group(at)
	ctrl := g.ctrl.Load()
	i := notFull(ctrl).first()
	if byteOf(ctrl, i) == ctrlEmpty {
		b.used++
	}
	g.slots[i].k0.Store(k0)
	g.slots[i].k1.Store(k1)
	g.slots[i].value.Store(value)
	g.ctrl.Store(withByte(ctrl, i, tagByte(h)))
	b.live.Add(1)
}

// remove frees slot i of g. REQUIRES: mu is held, the slot is full.
func (b *bucket) remove(g *group, i int) {
	ctrl := g.ctrl.Load()
	if hasEmpty(ctrl) {
		// No probe ever went past this group, so none has to.
		g.ctrl.Store(withByte(ctrl, i, ctrlEmpty))
		b.used--
	} else {
		g.ctrl.Store(withByte(ctrl, i, ctrlDeleted))
	}
	b.version.Add(1)
	b.live.Add(-1)
}

// each calls f for every key. REQUIRES: mu is held.
func (b *bucket) each(f func(k0, k1, value uint64)) {
	for at := range b.groups {
		g := b.group(at)
		for s := full(g.ctrl.Load()); s != 0; s = s.rest() {
			slot := &g.slots[s.first()]
			f(slot.k0.Load(), slot.k1.Load(), slot.value.Load())
		}
	}
}
