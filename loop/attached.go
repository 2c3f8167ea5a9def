package loop

import (
	"encoding/binary"
	"sync"
	"sync/atomic"
	"time"
)

// attached is what a connection holds while it is busy and gives back when it
// is idle again. All fields are guarded by the slot's lock, but tail, scan and
// tailSince, which belong to the loop (only hasTail says under the lock that
// they are in use).
type attached struct {
	tail      *buffer   // loop: bytes of an unfinished message, or behind a Hold
	scan      [2]uint64 // loop: the protocol's parser state of that message
	tailSince uint32    // loop: tick at which the tail began
	hasTail   bool

	queue     *buffer // records for the worker, each with a recordHeader
	queueStop bool    // the loop paused reading because of the queue
	afterWork bool    // the loop wants to hear when all work is done
	lent      int32   // jobs that released the connection and still run
	out       *buffer // output held; out.b[outSent:] is to be sent
	outSent   int
	outSince  uint32 // tick of the last progress
	outStop   bool   // the loop was asked to pause reading because of the output
	endReason Reason
}

func (a *attached) idle() bool {
	return !a.hasTail && a.queue == nil && a.out == nil && a.endReason == ReasonNone && !a.afterWork && a.lent == 0
}

// outHeld returns the number of bytes that wait to be sent.
func (a *attached) outHeld() int {
	if a.out == nil {
		return 0
	}
	return len(a.out.b) - a.outSent
}

var attachedPool = sync.Pool{New: func() any { return new(attached) }}

// attachTable maps the index in a slot to what is attached, because slots hold
// no pointers. It grows with the number of connections busy at a time.
type attachTable struct {
	chunks [attachChunks]atomic.Pointer[[attachChunk]*attached]
	mu     sync.Mutex
	free   []uint32 // guarded by mu
	used   uint32   // guarded by mu
	count  atomic.Int64
}

const (
	attachChunk  = 1024
	attachChunks = slabMax / attachChunk
)

// get returns what s has attached or nil. The caller holds the slot's lock or
// is the loop and knows that hasTail keeps it attached.
func (t *attachTable) get(s *slot) *attached {
	n := s.busy.Load()
	if n == 0 {
		return nil
	}
	return t.chunks[(n-1)/attachChunk].Load()[(n-1)%attachChunk]
}

// attach returns what s has attached, attaching it first if need be. The
// caller holds the slot's lock.
func (t *attachTable) attach(s *slot) *attached {
	if a := t.get(s); a != nil {
		return a
	}
	a := attachedPool.Get().(*attached)
	t.mu.Lock()
	var n uint32
	if l := len(t.free); l > 0 {
		n, t.free = t.free[l-1], t.free[:l-1]
	} else {
		n = t.used
		t.used++
		if n%attachChunk == 0 {
			t.chunks[n/attachChunk].Store(new([attachChunk]*attached))
		}
	}
	t.chunks[n/attachChunk].Load()[n%attachChunk] = a
	t.mu.Unlock()
	t.count.Add(1)
	s.busy.Store(n + 1)
	return a
}

// detach takes what s has attached off it. The caller holds the slot's lock
// and has put the buffers back.
func (t *attachTable) detach(s *slot) {
	n := s.busy.Swap(0)
	if n == 0 {
		return
	}
	t.mu.Lock()
	cell := &t.chunks[(n-1)/attachChunk].Load()[(n-1)%attachChunk]
	a := *cell
	*cell = nil
	t.free = append(t.free, n-1)
	t.mu.Unlock()
	t.count.Add(-1)
	*a = attached{}
	attachedPool.Put(a)
}

// A record in a queue is its length and the time it was queued, then the bytes
// that Step appended.
const recordHeader = 4 + 8

func appendRecord(dst, rec []byte, at time.Duration) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(rec)))
	dst = binary.LittleEndian.AppendUint64(dst, uint64(at))
	return append(dst, rec...)
}

func firstRecord(q []byte) (rec []byte, at time.Duration, rest []byte) {
	n := binary.LittleEndian.Uint32(q)
	at = time.Duration(binary.LittleEndian.Uint64(q[4:]))
	end := recordHeader + int(n)
	return q[recordHeader:end:end], at, q[end:]
}
