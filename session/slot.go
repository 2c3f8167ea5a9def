package session

import "sync/atomic"

// slot holds one record behind a word that says whose it is:
//
//	state = generation<<32 | sequence
//
// The generation is odd while a session lives in the slot, even while it is
// free. The sequence is odd while words are being written; it goes on with
// each write. A reader that sees the same even sequence before and after has
// read one record and not a mixture. While the slot is free word 0 links it
// into the list of free slots.
//
// Who writes: to a live slot, the holder of its stripe's lock; to a free one,
// whoever took it off the list.
type slot struct {
	state atomic.Uint64
	words [recordWords]atomic.Uint64
}

const (
	generationOne = 1 << 32
	writing       = 1 // in the sequence
)

// generation returns the generation that the slot is in.
func (s *slot) generation() uint32 { return uint32(s.state.Load() >> 32) }

// holds reports whether the session of ref lives in s.
func (s *slot) holds(ref Ref) bool { return s.generation() == ref.generation() }

// lastUsed returns LastUsed of the session that lives in s.
func (s *slot) lastUsed() uint32 { return uint32(s.words[wordUsed].Load()) }

// read returns what the words say, which is one record only if state did not
// change meanwhile.
func (s *slot) read() (p packed) {
	for i := range s.words {
		p[i] = s.words[i].Load()
	}
	return p
}

// write changes the words that differ between old and p. REQUIRES: the lock of
// the slot's stripe is held, old is what the words say.
func (s *slot) write(old, p *packed) {
	if *old == *p {
		return
	}
	state := s.state.Load()
	s.state.Store(state + writing)
	for i := range s.words {
		if old[i] != p[i] {
			s.words[i].Store(p[i])
		}
	}
	s.state.Store(state>>32<<32 | uint64(uint32(state)+2*writing))
}

// open starts the next generation with record p. REQUIRES: s is free and off
// the list.
func (s *slot) open(p *packed) {
	for i := range s.words {
		s.words[i].Store(p[i])
	}
	s.state.Add(generationOne)
}

// version returns the sequence of the last write that is done, and the
// generation it belongs to.
func (s *slot) version() (sequence, generation uint32) {
	state := s.state.Load()
	return uint32(state &^ writing), uint32(state >> 32)
}

// shut ends the generation. REQUIRES: the lock of the slot's stripe is held,
// a session lives in s.
func (s *slot) shut() { s.state.Add(generationOne) }
