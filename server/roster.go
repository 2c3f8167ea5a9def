package server

import "sync/atomic"

// roster knows which connections are open on the JSON-RPC listener, so that a
// broadcast finds them: the generation of each slot of each loop, 0 for none.
// It costs four bytes a slot, in chunks that are made when first used, never
// move and hold no pointers.
//
// Writers of one slot are ordered, because Open and Closed of a slot come from
// its loop. Readers lock nothing.
type roster struct {
	loops [loopsMax]atomic.Pointer[rosterLoop]
	open  atomic.Int64
	bytes atomic.Int64
}

// Geometry of a roster: a slot index has 24 bits.
const (
	chunkBits   = 10
	chunkSlots  = 1 << chunkBits
	slotBits    = 24
	chunksMax   = 1 << (slotBits - chunkBits)
	pagesChunks = 128 // chunks of a page: a page is 1 KiB of pointers
	pagesMax    = chunksMax / pagesChunks
)

type (
	rosterLoop  [pagesMax]atomic.Pointer[rosterPage]
	rosterPage  [pagesChunks]atomic.Pointer[rosterChunk]
	rosterChunk [chunkSlots]atomic.Uint32
)

// split takes a handle apart: see loop.Handle.
func split(h ConnID) (loop, index int, gen uint32) {
	return int(h >> 56), int(h>>32) & (1<<slotBits - 1), uint32(h)
}

func join(loop, index int, gen uint32) ConnID {
	return ConnID(uint64(loop)<<56 | uint64(index)<<32 | uint64(gen))
}

// slot returns the place of a handle: nil if it was never made, unless create is set.
func (r *roster) slot(h ConnID, create bool) *atomic.Uint32 {
	l, index, _ := split(h)
	if l >= loopsMax {
		return nil
	}
	loop := grown(&r.loops[l], create, &r.bytes, 8*pagesMax)
	if loop == nil {
		return nil
	}
	chunk := index >> chunkBits
	page := grown(&loop[chunk/pagesChunks], create, &r.bytes, 8*pagesChunks)
	if page == nil {
		return nil
	}
	slots := grown(&page[chunk%pagesChunks], create, &r.bytes, 4*chunkSlots)
	if slots == nil {
		return nil
	}
	return &slots[index%chunkSlots]
}

// grown returns what p points to, made first if create is set.
func grown[T any](p *atomic.Pointer[T], create bool, bytes *atomic.Int64, size int64) *T {
	if v := p.Load(); v != nil || !create {
		return v
	}
	if p.CompareAndSwap(nil, new(T)) {
		bytes.Add(size)
	}
	return p.Load()
}

func (r *roster) add(h ConnID) {
	_, _, gen := split(h)
	r.slot(h, true).Store(gen)
	r.open.Add(1)
}

func (r *roster) remove(h ConnID) {
	_, _, gen := split(h)
	if s := r.slot(h, false); s != nil && s.CompareAndSwap(gen, 0) {
		r.open.Add(-1)
	}
}

// has reports whether h is open on the JSON-RPC listener.
func (r *roster) has(h ConnID) bool {
	_, _, gen := split(h)
	s := r.slot(h, false)
	return s != nil && gen != 0 && s.Load() == gen
}

// each calls f for the open connections until it returns false. Connections
// that open or close meanwhile may be missed or be gone already.
func (r *roster) each(f func(ConnID) bool) {
	for l := range r.loops {
		loop := r.loops[l].Load()
		if loop == nil {
			continue
		}
		for p := range loop {
			page := loop[p].Load()
			if page != nil && !page.each(l, p*pagesChunks, f) {
				return
			}
		}
	}
}

func (page *rosterPage) each(l, first int, f func(ConnID) bool) bool {
	for c := range page {
		chunk := page[c].Load()
		if chunk == nil {
			continue
		}
		for i := range chunk {
			gen := chunk[i].Load()
			if gen != 0 && !f(join(l, (first+c)<<chunkBits|i, gen)) {
				return false
			}
		}
	}
	return true
}
