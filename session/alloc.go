package session

import "math"

// idSource draws ids, many at a time: one read of random bytes serves 32.
type idSource struct {
	read   func([]byte) (int, error) // crypto/rand.Read, which never fails; tests replace it
	buffer [32 * len(ID{})]byte
	unread int // bytes of buffer not yet handed out, at its end
}

// next returns an id that is not zero.
func (s *idSource) next() (id ID) {
	for id == (ID{}) {
		if s.unread == 0 {
			s.read(s.buffer[:])
			s.unread = len(s.buffer)
		}
		from := s.buffer[len(s.buffer)-s.unread:][:len(id)]
		copy(id[:], from)
		clear(from) // an id that has left is a secret of its client
		s.unread -= len(id)
	}
	return id
}

// takeLocked takes a free slot and reports whether there was one.
func (t *Table) takeLocked() (index uint32, ok bool) {
	a := &t.alloc
	switch {
	case t.live.Load() >= t.max:
		return 0, false
	case a.free != 0:
		index = a.free - 1
		a.free = uint32(t.slot(index).words[wordID].Load())
	case a.fresh == math.MaxUint32:
		return 0, false // after 10^18 sessions
	default:
		if a.fresh%chunkRecords == 0 {
			t.addChunkLocked()
		}
		index = a.fresh
		a.fresh++
	}
	t.live.Add(1)
	return index, true
}

func (t *Table) addChunkLocked() {
	old := *t.chunks.Load()
	longer := append(old[:len(old):len(old)], new(chunk))
	t.chunks.Store(&longer)
}

// give returns the slot of a session that has been removed.
func (t *Table) give(index uint32) {
	t.alloc.mu.Lock()
	defer t.alloc.mu.Unlock()
	if s := t.slot(index); s.generation() < generationMax {
		s.words[wordID].Store(uint64(t.alloc.free))
		t.alloc.free = index + 1
	}
	t.live.Add(-1)
}
