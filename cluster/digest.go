package cluster

import (
	"encoding/binary"
	"math/bits"
	"slices"

	"github.com/rookery-server/rookery/batch"
	"github.com/rookery-server/rookery/shard"
)

// partitionSet is a set of partitions.
type partitionSet [partitions / 64]uint64

func (s *partitionSet) add(p uint16)      { s[p/64] |= 1 << (p % 64) }
func (s *partitionSet) has(p uint16) bool { return s[p/64]&(1<<(p%64)) != 0 }

// digests say by how much two sides differ in each of some partitions. A word for
// each that there is, 128 KiB, would be more than a peer's digest should cost a
// stack, or the collector, every few seconds.
type digests struct {
	of   *partitionSet
	rank [partitions / 64]uint16 // of the first of each word
	n    int
	sums []uint64 // by rank; nil: all are 0
}

func newDigests(of *partitionSet) *digests {
	d := &digests{of: of}
	for i, word := range of {
		d.rank[i] = uint16(d.n)
		d.n += bits.OnesCount64(word)
	}
	return d
}

// add adds to the digest of a partition, if it is one of the set.
func (d *digests) add(p uint16, v uint64) {
	word, bit := d.of[p/64], uint64(1)<<(p%64)
	if word&bit == 0 {
		return
	}
	if d.sums == nil {
		d.sums = make([]uint64, d.n)
	}
	d.sums[int(d.rank[p/64])+bits.OnesCount64(word&(bit-1))] += v
}

// other returns the partitions whose digest is not 0.
func (d *digests) other() (list []uint16) {
	if d.sums == nil {
		return nil
	}
	n := 0
	for i, word := range d.of {
		for ; word != 0; word &= word - 1 {
			if d.sums[n] != 0 {
				list = append(list, uint16(i*64+bits.TrailingZeros64(word)))
			}
			n++
		}
	}
	return list
}

// sendDigests tells each peer what it should hold of us.
func (t *tidying) sendDigests(c *Core) {
	var sums *[partitions]uint64 // of sessions at home here; nil: there are none
	c.o.Store.Range(0, func(ref uint64, s Session) bool {
		if s.Home == 0 {
			if sums == nil {
				sums = new([partitions]uint64)
			}
			sums[partitionOf(s.ID)] += c.o.Store.Digest(ref)
		}
		return true
	})
	c.mu.Lock()
	links := slices.Clone(c.links)
	c.mu.Unlock()
	for _, l := range links {
		if l.alive.Load() {
			_ = l.send(batch.Bulk, l.appendDigests(sums)) // no room: the next round
		}
	}
}

// appendDigests appends kindDigest. Workers of this node have pointers, of which
// nothing is compared.
func (l *Link) appendDigests(sums *[partitions]uint64) []byte {
	var held, live partitionSet
	var b []byte
	n := uint64(0)
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range l.parts {
		part := uint16(i)
		if l.parts[i].state != partNone {
			held.add(part)
		}
		if l.parts[i].state != partLive || l.sameNode() {
			continue
		}
		if live.add(part); sums != nil && sums[part] != 0 {
			b = le.AppendUint64(le.AppendUint16(b, part), sums[part])
			n++
		}
	}
	head := appendPartitionSet(appendPartitionSet([]byte{kindDigest}, &held), &live)
	return append(binary.AppendUvarint(head, n), b...)
}

// digest compares what the peer says that we hold of it with what we hold.
// Copies of partitions that it does not keep here get out of date: of those only
// their home is remembered, until they are collected as leftovers.
func (in *inbound) digest(r *reader, _ batch.Lane) error {
	held, live := r.partitionSet(), r.partitionSet()
	d := newDigests(&live)
	for n := r.count(10); n > 0; n-- {
		b := r.take(10)
		if b == nil {
			break
		}
		p := le.Uint16(b)
		if p >= partitions {
			return errMalformed
		}
		d.add(p, -le.Uint64(b[2:]))
	}
	if err := r.end(); err != nil {
		return err
	}
	in.addTo(d, &held)
	differ := d.other()
	if len(differ) == 0 {
		return nil
	}
	// Without room for it the next round says it again.
	_ = in.l.send(batch.Bulk, appendPartitions([]byte{kindDiffer}, differ))
	return nil
}

// addTo adds the digests of the copies of the peer's sessions that we hold. Of
// sessions that are not kept here only the home is remembered.
func (in *inbound) addTo(d *digests, held *partitionSet) {
	store := in.l.core.o.Store
	in.each(func(ref uint64) uint64 {
		s, ok := store.Load(ref)
		if !ok || !in.holds(&s) {
			return 0
		}
		part := shard.PartitionOf(shard.Key(s.ID))
		if !held.has(part) {
			in.let(ref, s.ID)
			return 0
		}
		if !s.isPointer() {
			d.add(part, store.Digest(ref))
		}
		return ref
	})
}
