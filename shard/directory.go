package shard

import "sync/atomic"

// directory finds the bucket of a hash by its top depth bits. A bucket of depth
// d < depth stands in 2^(depth-d) neighbouring entries; a nil entry is a bucket
// that was never needed. The entries of the current directory change under
// Map.mu; a directory that was doubled never changes again.
type directory struct {
	shift   uint8 // 64 - depth
	entries []atomic.Pointer[bucket]
}

func newDirectory(depth uint8) *directory {
	return &directory{shift: 64 - depth, entries: make([]atomic.Pointer[bucket], 1<<depth)}
}

func (d *directory) depth() uint8 { return 64 - d.shift }

// at returns the entry of hash h.
func (d *directory) at(h uint64) *atomic.Pointer[bucket] { return &d.entries[h>>d.shift] }

// doubled returns a directory that says the same with one more bit.
func (d *directory) doubled() *directory {
	twice := newDirectory(d.depth() + 1)
	for i := range d.entries {
		b := d.entries[i].Load()
		twice.entries[2*i].Store(b)
		twice.entries[2*i+1].Store(b)
	}
	return twice
}

// set puts the given buckets where the bucket of hash h and that depth stood:
// one successor, or two that share its place.
func (d *directory) set(h uint64, depth uint8, successors ...*bucket) {
	span := 1 << (d.depth() - depth)
	first := int(h>>d.shift) &^ (span - 1)
	for i := range span {
		d.entries[first+i].Store(successors[i*len(successors)/span])
	}
}

// each calls f for every bucket, once. A bucket replaced meanwhile may be
// visited in place of its successors, never beside them.
func (d *directory) each(f func(*bucket)) {
	for i := 0; i < len(d.entries); {
		b := d.entries[i].Load()
		if b == nil {
			i++
			continue
		}
		f(b)
		i += 1 << (d.depth() - b.depth)
	}
}
