package cluster

import (
	"encoding/binary"
	"errors"
	"testing"

	"github.com/rookery-server/rookery/batch"
)

// The fork of a log goes where its session goes; who does not know of forks says
// nothing.
func TestMovedFork(t *testing.T) {
	s := Snapshot{Session: Session{ID: ID{2}, Epoch: 3}, Client: "c", Log: Log{Last: 1 << epochBits}}
	msg := appendSnapshot([]byte{kindMoved, 1, 0, 0}, &s, nil)
	for fork, ok := range map[uint64]bool{0: false, 1: true, 7 << epochBits: true, 1 << 32: false} {
		_, l, store := strangers()
		err := l.in.handle(batch.Data, binary.AppendUvarint(msg[:len(msg):len(msg)], fork))
		switch copied := store.byID[s.ID]; {
		case !ok && !errors.Is(err, errMalformed):
			t.Errorf("fork %d: %v", fork, err)
		case ok && (err != nil || copied == nil || copied.log.Fork != uint32(fork)):
			t.Errorf("fork %d: %v, %+v", fork, err, copied)
		}
	}
	_, l, store := strangers()
	if err := l.in.handle(batch.Data, msg); err != nil || store.byID[s.ID].log.Fork != 0 {
		t.Errorf("without a fork: %v", err)
	}
}
