package shard

import (
	"sync/atomic"
	"unsafe"
)

// directory finds the bucket of a hash by its top depth bits. A bucket of depth
// d < depth stands in 2^(depth-d) neighbouring entries; an entry without one is
// for a bucket that was never needed. The entries of the current directory
// change under Map.mu; a directory that was doubled never changes again.
type directory struct {
	shift uint8 // 64 - depth
	first *entry
}

// entry is one place of a directory. groups is the size of the bucket, for
// lookups to go by before they have the bucket itself; it may be that of
// another for a moment.
type entry struct {
	bucket atomic.Pointer[bucket]
	groups atomic.Int64
}

func (e *entry) set(b *bucket) {
	e.groups.Store(int64(b.groups))
	e.bucket.Store(b)
}

func newDirectory(depth uint8) directory {
	return directory{shift: 64 - depth, first: unsafe.SliceData(make([]entry, 1<<depth))}
}

func (d directory) depth() uint8 { return 64 - d.shift }

// entries returns all entries, in the order of the hashes they are for.
func (d directory) entries() []entry { return unsafe.Slice(d.first, 1<<d.depth()) }

// at returns the entry of hash h.
func (d directory) at(h uint64) *entry {
	return (*entry)(unsafe.Add(unsafe.Pointer(d.first), h>>d.shift*uint64(unsafe.Sizeof(entry{}))))
}

// doubled returns a directory that says the same with one more bit.
func (d directory) doubled() directory {
	twice := newDirectory(d.depth() + 1)
	for i := range d.entries() {
		if b := d.entries()[i].bucket.Load(); b != nil {
			twice.entries()[2*i].set(b)
			twice.entries()[2*i+1].set(b)
		}
	}
	return twice
}

// set puts the given buckets where the bucket of hash h and that depth stood:
// one successor, or two that share its place.
func (d directory) set(h uint64, depth uint8, successors ...*bucket) {
	span := 1 << (d.depth() - depth)
	first := int(h>>d.shift) &^ (span - 1)
	for i := range span {
		d.entries()[first+i].set(successors[i*len(successors)/span])
	}
}

// each calls f for every bucket, once. A bucket replaced meanwhile may be
// visited in place of its successors, never beside them.
func (d directory) each(f func(*bucket)) {
	entries := d.entries()
	for i := 0; i < len(entries); {
		b := entries[i].bucket.Load()
		if b == nil {
			i++
			continue
		}
		f(b)
		i += 1 << (d.depth() - b.depth)
	}
}

// newest holds the current directory. It stands where its readers look first,
// in the map itself: an allocation of its own would be one more that a lookup
// waits for. There are two places in turns, so that the one that is read is
// never the one that is written.
type newest struct {
	turn   atomic.Uint32 // its last bit says which place
	places [2]struct {
		shift atomic.Uint32
		first atomic.Pointer[entry]
	}
}

// load returns the current directory. It reads again only when somebody stored
// another one meanwhile.
func (n *newest) load() directory {
	for {
		turn := n.turn.Load()
		p := &n.places[turn&1]
		d := directory{uint8(p.shift.Load()), p.first.Load()}
		if n.turn.Load() == turn {
			return d
		}
	}
}

// store replaces the directory, under Map.mu.
func (n *newest) store(d directory) {
	turn := n.turn.Load() + 1
	p := &n.places[turn&1]
	p.shift.Store(uint32(d.shift))
	p.first.Store(d.first)
	n.turn.Store(turn)
}
