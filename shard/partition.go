package shard

import (
	"crypto/sha256"
	"encoding/binary"
)

// Partitions is how many parts the key space has. With 1,024 the primaries of
// four nodes differ from even by more than 5 % for three sets of names in four;
// with 16,384 practically never. Every node of a cluster must use the same
// number, so it is part of the peer protocol.
const Partitions = 1 << partitionBits

const (
	partitionBits = 14
	halfBits      = partitionBits / 2
	halfMask      = 1<<halfBits - 1
)

// PartitionOf returns the partition of k, below Partitions. It does not look at
// the first two bytes: they are a routing hint (see Tag), and keys drawn by one
// node must spread like those of all.
//
// All nodes have to agree: the function never changes, a test pins its values.
func PartitionOf(k Key) uint16 {
	high := binary.BigEndian.Uint64(k[:8]) & (1<<48 - 1)
	low := binary.BigEndian.Uint64(k[8:])
	return uint16(mix(low^mix(high)) >> (64 - partitionBits))
}

// NameHash turns a member's name into what Weight takes. It is meant to be
// called once for a name: it costs about a hundred nanoseconds.
func NameHash(name string) uint64 {
	sum := sha256.Sum256([]byte(name))
	return binary.BigEndian.Uint64(sum[:8])
}

// Tag returns the routing hint of a node: the first two bytes, in big-endian
// order, of the keys the node draws. A balancer that knows the tags sends a
// client where its session is. Two nodes may have the same tag (1 in 65,536);
// then the hint is wrong for half of their keys and nothing else.
func Tag(node string) uint16 { return uint16(NameHash(node) >> 48) }

// Weight returns the rendezvous weight of the member whose name has the given
// hash: the member with the highest weight for a partition holds it first, the
// next highest second (Thaler and Ravishankar, 1998). A member that joins takes
// over exactly the partitions for which its weight is the highest, and nothing
// moves between the others.
//
// The upper 14 bits are a permutation of the partitions, a different one for
// each name; the lower bits decide ties. So every name has each upper value
// exactly once, where independent weights would leave that to luck: the
// standard deviation of a member's share among four falls from 1.35 % to
// 0.89 % (stratified sampling; McKay et al., 1979), and 5 % becomes a matter of
// 5.6 standard deviations instead of 3.7.
//
// REQUIRES: partition < Partitions.
func Weight(partition uint16, name uint64) uint64 {
	// A Feistel network is a permutation whatever its round function is.
	left, right := uint64(partition>>halfBits), uint64(partition&halfMask)
	key := name
	for range 4 {
		key = mix(key + golden)
		left, right = right, left^mix(key^right)&halfMask
	}
	upper := left<<halfBits | right
	return upper<<(64-partitionBits) | mix(key^uint64(partition))>>partitionBits
}

// Rank returns the indices of names in the order in which their members hold
// the partition: by descending weight, equal weights by ascending hash. It
// writes to dst's memory and allocates only when dst has no room for all. Names
// that occur twice stand beside each other.
func Rank(dst []int, partition uint16, names []uint64) []int {
	var room [16]uint64
	weights := room[:0] // in the order of dst
	dst = dst[:0]
	for i, name := range names {
		w := Weight(partition, name)
		dst, weights = append(dst, i), append(weights, w)
		at := i
		for ; at > 0 && heavier(w, name, weights[at-1], names[dst[at-1]]); at-- {
			dst[at], weights[at] = dst[at-1], weights[at-1]
		}
		dst[at], weights[at] = i, w
	}
	return dst
}

func heavier(w, name, thanWeight, thanName uint64) bool {
	return w > thanWeight || w == thanWeight && name < thanName
}

// golden is 2^64 divided by the golden ratio, the increment of SplitMix64.
const golden = 0x9e3779b97f4a7c15

// mix is the finalizer of SplitMix64 (Steele et al., 2014): a bijection in
// which each bit of the input moves half of the output.
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
