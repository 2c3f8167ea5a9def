package cluster

import "testing"

// Each takeover counts more than the one before and than all moves that the lost
// home may have made since.
func TestTakeoverEpochGrows(t *testing.T) {
	const moves = 1 << movesBits
	for _, epoch := range []uint32{0, 1, moves - 1, moves, moves + 1, 2*moves - 1, 7 * moves} {
		next := takeoverEpoch(epoch)
		if next>>movesBits != epoch>>movesBits+1 || next%moves != 0 {
			t.Errorf("after epoch %d comes %d, want the next multiple of %d", epoch, next, moves)
		}
	}
}
