package loop

import (
	"math/bits"
	"sync"
	"sync/atomic"
)

// A buffer is a pooled piece of memory that a busy connection holds: an
// unfinished message, records for a worker, or output that the kernel refused.
// Its capacity counts against the budget of the group from get to put.
type buffer struct {
	b     []byte
	class int8 // size class, −1 when the collector gets it back
}

const (
	bufferMin     = 512
	bufferClasses = 9 // 512 B, 1 KiB … 128 KiB
	bufferPooled  = bufferMin << (bufferClasses - 1)
)

// buffers hands out buffers by size class. Pools give memory back to the
// collector by themselves when a burst is over.
type buffers struct {
	pools [bufferClasses]sync.Pool
	held  atomic.Int64 // bytes of capacity handed out
	max   int64        // the budget
}

// over reports whether the budget is used up.
func (p *buffers) over() bool { return p.held.Load() >= p.max }

// get returns an empty buffer with room for n bytes.
func (p *buffers) get(n int) *buffer {
	class := 0
	if n > bufferMin {
		class = bits.Len(uint(n-1)) - bits.Len(uint(bufferMin-1))
	}
	if class >= bufferClasses {
		size := 1 << bits.Len(uint(n-1))
		p.held.Add(int64(size))
		return &buffer{b: make([]byte, 0, size), class: -1}
	}
	p.held.Add(bufferMin << class)
	if x := p.pools[class].Get(); x != nil {
		return x.(*buffer)
	}
	return &buffer{b: make([]byte, 0, bufferMin<<class), class: int8(class)}
}

// put takes a buffer back; nil is fine. The caller must not use it afterwards.
func (p *buffers) put(x *buffer) {
	if x == nil {
		return
	}
	p.held.Add(-int64(cap(x.b)))
	if x.class < 0 {
		return
	}
	x.b = x.b[:0]
	mangle(x.b)
	p.pools[x.class].Put(x)
}

// add appends d to x, moving to a larger buffer when it does not fit, and
// returns the buffer to use from now on. x may be nil.
func (p *buffers) add(x *buffer, d []byte) *buffer {
	if x == nil {
		x = p.get(len(d))
	} else if len(x.b)+len(d) > cap(x.b) {
		x = p.grow(x, len(x.b)+len(d))
	}
	x.b = append(x.b, d...)
	return x
}

// grow returns a buffer of capacity n or more with x's bytes.
func (p *buffers) grow(x *buffer, n int) *buffer {
	y := p.get(n)
	y.b = append(y.b, x.b...)
	p.put(x)
	return y
}
