package loop

import (
	"sync"

	"github.com/rookery-server/rookery/internal/uring"
)

const (
	// batchMax is how many writes go to the kernel with one call. What entering
	// and leaving it costs is spread over them; more of them gain nothing, and
	// keep other writers and the collector waiting: 32 take 0.2 ms.
	batchMax = 32
	// batchBytes is room for all of them. What is longer than a share of it, or
	// comes when it is full, is written as ever.
	batchBytes = 64 << 10
	// batchLeast is how many are worth the ring.
	batchLeast = 4
)

// gather is the batch of a native group. Its writes hold the locks of their slots
// until they are sent, so that nobody comes between.
//
// Nobody waits for a lock while it holds those: of a slot that is locked it lets
// go of all others first. Else two writers could wait for each other.
type gather struct {
	g  *native
	mu sync.Mutex // held from Group.Batch to Batch.Close

	ring *uring.Ring // nil until the first use; stays nil if there can be none
	over bool        // no ring was to be had, or the group has stopped
	sends
}

// sends are writes to many connections that go to the kernel together. Each has
// the lock of its slot when they do.
type sends struct {
	list []uring.Send
	to   []addressee // of each of list
	buf  []byte      // what is sent; list refers to it
}

// addressee is whom a write is for.
type addressee struct {
	l   *eloop
	s   *slot
	i   int // index of the slot
	gen uint32
}

// room makes place for batchMax writes.
func (b *sends) room() {
	b.list, b.to, b.buf = make([]uring.Send, 0, batchMax), make([]addressee, 0, batchMax), make([]byte, 0, batchBytes)
}

// full reports whether p has no place.
func (b *sends) full(p []byte) bool {
	return len(b.list) == batchMax || len(b.buf)+len(p) > cap(b.buf)
}

// add copies p.
func (b *sends) add(a addressee, p []byte) {
	at := len(b.buf)
	b.buf = append(b.buf, p...)
	b.list = append(b.list, uring.Send{FD: a.s.fd, P: b.buf[at:]})
	b.to = append(b.to, a)
}

// send sends the first n of them, through ring if they are worth it, and returns
// how many went through it.
func (b *sends) send(ring *uring.Ring, n int) int {
	if n >= batchLeast && ring.Send(b.list[:n]) {
		return n
	}
	for i := range n {
		b.list[i].Alone()
	}
	return 0
}

func (b *sends) reset() {
	clear(b.list)
	clear(b.to)
	b.list, b.to, b.buf = b.list[:0], b.to[:0], b.buf[:0]
}

// stage is Group.Batch.
func (g *native) stage() stage {
	b := &g.gather
	if !b.mu.TryLock() {
		return nil
	}
	if b.ring == nil && !b.over {
		b.open()
	}
	if b.ring == nil {
		b.mu.Unlock()
		return nil
	}
	return b
}

// open makes what the first batch needs. mu is held.
func (b *gather) open() {
	ring, err := uring.Open(batchMax)
	if err != nil {
		b.over = true // writing needs no ring
		return
	}
	b.g.rings.Add(1)
	b.ring = ring
	b.room()
}

// stop gives the ring back, once nobody uses it.
func (b *gather) stop() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.over = true
	if b.ring != nil {
		b.ring.Close()
		b.g.rings.Add(-1)
		b.ring, b.sends = nil, sends{}
	}
}

// write is Batch.Write.
func (b *gather) write(h Handle, p []byte) error {
	if b.full(p) {
		b.flush()
	}
	l, s := b.g.find(h)
	if s == nil || len(p) == 0 || len(p) > batchBytes/batchMax ||
		!s.tryLock(h.gen(), stateClosing|stateEnding|stateOut) {
		b.flush()
		return b.g.write(h, p)
	}
	b.add(addressee{l, s, h.index(), h.gen()}, p)
	return nil
}

// flush is Batch.Flush.
func (b *gather) flush() {
	b.g.batched.Add(int64(b.send(b.ring, len(b.list))))
	for i := range b.list {
		w, a := &b.list[i], &b.to[i]
		if r := a.l.sentLocked(a.i, a.s, w.P, w.N, w.Errno); r != ReasonNone {
			a.l.closeAsUser(a.i, a.s, r)
		}
		a.l.unlock(a.i, a.s)
	}
	b.reset()
}

// done is Batch.Close.
func (b *gather) done() {
	b.flush()
	b.mu.Unlock()
}
