package loop

import (
	"sync"
	"syscall"
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

	ring *uring // nil until the first use; stays nil if there can be none
	over bool   // no ring was to be had, or the group has stopped
	list []gathered
	buf  []byte
}

// gathered is one write of a batch. The slot's lock is held.
type gathered struct {
	l     *eloop
	s     *slot
	i     int // index of the slot
	p     []byte
	n     int // what came of it
	errno syscall.Errno
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
	ring, err := openUring(batchMax)
	if err != nil {
		b.over = true // writing needs no ring
		return
	}
	b.ring, b.list, b.buf = ring, make([]gathered, 0, batchMax), make([]byte, 0, batchBytes)
}

// stop gives the ring back, once nobody uses it.
func (b *gather) stop() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.over = true
	if b.ring != nil {
		b.ring.close()
		b.ring, b.list, b.buf = nil, nil, nil
	}
}

// write is Batch.Write.
func (b *gather) write(h Handle, p []byte) error {
	if len(b.list) == batchMax || len(b.buf)+len(p) > cap(b.buf) {
		b.flush()
	}
	l, s := b.g.find(h)
	if s == nil || len(p) == 0 || len(p) > batchBytes/batchMax ||
		!s.tryLock(h.gen(), stateClosing|stateEnding|stateOut) {
		b.flush()
		return b.g.write(h, p)
	}
	at := len(b.buf)
	b.buf = append(b.buf, p...)
	b.list = append(b.list, gathered{l: l, s: s, i: h.index(), p: b.buf[at:]})
	return nil
}

// flush is Batch.Flush.
func (b *gather) flush() {
	if len(b.list) < batchLeast || !b.ring.send(b.list) {
		for i := range b.list {
			b.list[i].send()
		}
	}
	for i := range b.list {
		w := &b.list[i]
		if r := w.l.sentLocked(w.i, w.s, w.p, w.n, w.errno); r != ReasonNone {
			w.l.closeAsUser(w.i, w.s, r)
		}
		w.l.unlock(w.i, w.s)
	}
	clear(b.list)
	b.list, b.buf = b.list[:0], b.buf[:0]
}

// send does the write with a call of its own.
func (w *gathered) send() { w.n, w.errno = send(w.s.fd, w.p) }

// done is Batch.Close.
func (b *gather) done() {
	b.flush()
	b.mu.Unlock()
}
