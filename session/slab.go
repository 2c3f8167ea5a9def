package session

import "unsafe"

// slab is an array that grows without moving. The elements hold no pointers.
type slab[T any] struct {
	chunks [][]T
	fresh  uint32 // elements ever used
}

const slabChunk = 128

func (s *slab[T]) at(i uint32) *T { return &s.chunks[i/slabChunk][i%slabChunk] }

// add returns the index of an element not used before.
func (s *slab[T]) add() uint32 {
	if s.fresh%slabChunk == 0 {
		s.chunks = append(s.chunks, make([]T, slabChunk))
	}
	s.fresh++
	return s.fresh - 1
}

// memory returns what the slab holds, in bytes.
func (s *slab[T]) memory() int64 {
	var one T
	return int64(len(s.chunks))*slabChunk*int64(unsafe.Sizeof(one)) + int64(cap(s.chunks))*int64(unsafe.Sizeof(s.chunks))
}
