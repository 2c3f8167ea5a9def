package mcp

// slabChunk is how many entries one allocation of a slab holds. Chunks never
// move, so that a table of millions grows without copying; a larger chunk
// would waste more in small servers.
const slabChunk = 256

// slab is a growing array of pointer-free records with a free list. Index 0 is
// never used and means none. Its owner guards it.
type slab[T any] struct {
	chunks []*[slabChunk]T
	top    uint32   // indices below were handed out once
	free   []uint32 // of those, the ones that are free
}

func (s *slab[T]) at(i uint32) *T { return &s.chunks[i/slabChunk][i%slabChunk] }

// get returns the index of a zero record.
func (s *slab[T]) get() uint32 {
	if n := len(s.free); n > 0 {
		i := s.free[n-1]
		s.free = s.free[:n-1]
		return i
	}
	if s.top == 0 {
		s.top = 1
	}
	i := s.top
	if int(i/slabChunk) == len(s.chunks) {
		s.chunks = append(s.chunks, new([slabChunk]T))
	}
	s.top++
	return i
}

// put frees the record at i, which the caller has cleared as far as it wants.
func (s *slab[T]) put(i uint32) { s.free = append(s.free, i) }

func (s *slab[T]) used() int { return max(0, int(s.top)-1-len(s.free)) }
