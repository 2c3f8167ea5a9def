package shard

import (
	"math/bits"
	"sync/atomic"
)

// A group is eight slots behind a control word that has a byte for each:
//
//	0x00        empty: never used since the table was built, or freed in a
//	            group that was never full
//	0x01        deleted in a full group: probes must go on past it
//	0x80 | tag  full; tag is the low 7 bits of the key's hash
//
// Writers fill a slot and publish it through the control word. Keeping all
// control words of a table together, in front of its slots, was measured too:
// it made no difference.
type group struct {
	ctrl  atomic.Uint64
	slots [groupSlots]slot
}

// slot is one key in two little-endian words, and its value.
type slot struct{ k0, k1, value atomic.Uint64 }

const (
	groupSlots   = 8
	groupKeysMax = 7 // load limit a group on average: one slot in eight stays empty

	ctrlEmpty   = 0x00
	ctrlDeleted = 0x01
	ctrlFull    = 0x80

	everyByte = 0x0101010101010101
	highBits  = 0x8080808080808080
)

// set is a set of slots of one group: bit 7 of byte i stands for slot i.
type set uint64

// withTag returns the slots whose tag may be the one of hash h: all that have
// it, and rarely a full slot above one of those that has another.
func withTag(ctrl, h uint64) set {
	x := ctrl ^ everyByte*tagByte(h)
	return set((x - everyByte) &^ x & highBits)
}

// tagByte returns the control byte of a slot that holds a key of hash h.
func tagByte(h uint64) uint64 { return ctrlFull | h&0x7f }

// hasEmpty reports whether one of the slots is empty.
func hasEmpty(ctrl uint64) bool { return (ctrl-everyByte)&^ctrl&highBits != 0 }

// notFull returns the slots that are empty or deleted.
func notFull(ctrl uint64) set { return set(^ctrl & highBits) }

// full returns the slots that hold a key.
func full(ctrl uint64) set { return set(ctrl & highBits) }

// first returns the lowest slot of s. REQUIRES: s is not empty.
func (s set) first() int { return bits.TrailingZeros64(uint64(s)) >> 3 & (groupSlots - 1) }

// rest returns s without its lowest slot.
func (s set) rest() set { return s & (s - 1) }

// byteOf returns the control byte of slot i.
func byteOf(ctrl uint64, i int) uint64 { return ctrl >> (8 * uint(i)) & 0xff }

// withByte returns ctrl with the byte of slot i replaced by b.
func withByte(ctrl uint64, i int, b uint64) uint64 {
	at := 8 * uint(i)
	return ctrl&^(0xff<<at) | b<<at
}
