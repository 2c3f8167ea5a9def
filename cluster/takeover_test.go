package cluster

import "testing"

// Each takeover counts more than the one before and than all moves that the lost
// home may have made since, and no two nodes make the same of it.
func TestTakeoverEpochGrows(t *testing.T) {
	const moves = 1 << movesBits
	for _, epoch := range []uint32{0, 1, moves - 1, moves, moves + 1, 2*moves - 1, 7 * moves} {
		seen := map[uint32]int{}
		for place := range 1 << placeBits {
			next := takeoverEpoch(epoch, place)
			if next>>movesBits>>placeBits != epoch>>movesBits>>placeBits+1 || next%moves != 0 {
				t.Errorf("after epoch %x comes %x at place %d", epoch, next, place)
			}
			if other, ok := seen[next]; ok {
				t.Errorf("after epoch %x comes %x at places %d and %d", epoch, next, other, place)
			}
			seen[next] = place
		}
	}
}
