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
			_, _ = s.read(s.buffer[:])
			s.unread = len(s.buffer)
		}
		from := s.buffer[len(s.buffer)-s.unread:][:len(id)]
		copy(id[:], from)
		clear(from) // an id that has left is a secret of its client
		s.unread -= len(id)
	}
	return id
}

// newIDTries is how often Create asks Options.NewID for one id.
const newIDTries = 16

// takeAndDraw takes a free slot and draws an id for it; it reports whether there
// was a slot.
func (t *Table) takeAndDraw() (index uint32, id ID, ok bool) {
	if t.newID != nil {
		if t.live.Load() >= t.max {
			return 0, ID{}, false // drawing may be some work
		}
		id = t.drawAgain(0) // before a slot is taken: it may panic
		index, ok = t.take()
		return index, id, ok
	}
	t.alloc.mu.Lock()
	defer t.alloc.mu.Unlock()
	if index, ok = t.takeLocked(); ok {
		id = t.alloc.ids.next()
	}
	return index, id, ok
}

// take takes a free slot and reports whether there was one.
func (t *Table) take() (index uint32, ok bool) {
	t.alloc.mu.Lock()
	defer t.alloc.mu.Unlock()
	return t.takeLocked()
}

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

// drawAgain returns an id that is not zero, after so many that were in use.
func (t *Table) drawAgain(tries int) ID {
	for ; t.newID != nil && tries < newIDTries; tries++ {
		if id := t.newID(); id != (ID{}) {
			return id
		}
	}
	return t.draw()
}

// draw returns an id from crypto/rand.
func (t *Table) draw() ID {
	t.alloc.mu.Lock()
	defer t.alloc.mu.Unlock()
	return t.alloc.ids.next()
}

// addChunkLocked makes room for chunkRecords more. Those who read a shorter
// directory do not look beyond its end.
func (t *Table) addChunkLocked() {
	longer := append(*t.chunks.Load(), new(chunk))
	t.chunks.Store(&longer)
}

// give takes back the slot of a session that has been removed, or of one that
// never came to live in it.
func (t *Table) give(index uint32) {
	t.alloc.mu.Lock()
	defer t.alloc.mu.Unlock()
	if s := t.slot(index); s.generation() < generationMax {
		s.words[wordID].Store(uint64(t.alloc.free))
		t.alloc.free = index + 1
	}
	t.live.Add(-1)
}
