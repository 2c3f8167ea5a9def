package cluster

import (
	"encoding/binary"
	"math/bits"

	"github.com/rookery-server/rookery/batch"
)

// Notifications on a link have a place: they count from 0, in the order in which
// they were sent there. How they ended is reported in that order, many at once:
// kindReport goes on where the last one ended. It is made when the writer of the
// link comes for something to send, so that one report covers all that ended
// while it was busy.

// notesOut is what a link knows of the notifications that it has sent.
type notesOut struct {
	handles handlesOut
	last    uint64 // number of the latest
	// numbers are those of which nothing was reported, a ring.
	numbers ring[uint64]
}

// notesOutMax bounds how many a link waits for: 1 MiB of numbers. Beyond that a
// notification is congested.
const notesOutMax = 2 * notesMax

func (o *notesOut) room() bool { return o.numbers.n < notesOutMax }

func (o *notesOut) push(number uint64) { *o.numbers.at(o.numbers.n) = number }

// notesIn is what a link has to report of the notifications that it was sent.
type notesIn struct {
	first uint64 // place of the first that is not reported
	// how they ended from there on, 0: not yet. The peer's credit bounds how many
	// there are.
	how ring[uint8]
}

// outcomes notes how notifications ended from a place on; 0 says nothing. Those
// of a former life of the link interest nobody.
func (l *Link) outcomes(life uint32, first uint64, how []uint8) {
	l.mu.Lock()
	ready := false
	if life == l.life {
		for i, end := range how {
			if end != 0 {
				*l.reports.how.at(int(first-l.reports.first) + i) = end
			}
		}
		ready = l.reports.ready()
	}
	l.mu.Unlock()
	if ready {
		l.core.wake(l)
	}
}

func (r *notesIn) ready() bool { return r.how.n > 0 && *r.how.at(0) != 0 }

// reportMax is more runs than a report should have: others follow in the next.
const reportMax = 1 << 10

// report appends what there is to report. Without room the next call does: mu is
// held.
func (l *Link) report() {
	r := &l.reports
	for r.ready() {
		s := l.core.scratch.Get().(*scratch)
		b, n := append(s.b[:0], kindReport), 0
		for runs := 0; runs < reportMax && n < r.how.n && *r.how.at(n) != 0; runs++ {
			how, from := *r.how.at(n), n
			for n < r.how.n && *r.how.at(n) == how {
				n++
			}
			b = binary.AppendUvarint(b, uint64(n-from)<<reportBits|uint64(how))
		}
		_, err := l.m.AppendMust(batch.Control, b)
		s.b = b
		l.core.scratch.Put(s)
		if err != nil {
			return
		}
		r.how.drop(n)
		r.first += uint64(n)
	}
}

const reportBits = 3

// report: runs of notifications that ended alike, in their order.
func (in *inbound) report(r *reader, _ batch.Lane) error {
	l := in.l
	runs := reader{left: r.left}
	l.mu.Lock()
	left := uint64(l.notes.numbers.n)
	l.mu.Unlock()
	for len(runs.left) > 0 && !runs.bad {
		run := runs.uvarint()
		if n, how := run>>reportBits, run&(1<<reportBits-1); n == 0 || n > left || how == 0 || how > notePassed {
			runs.bad = true
		} else {
			left -= n
		}
	}
	if runs.bad {
		return errMalformed
	}
	for len(r.left) > 0 {
		run := r.uvarint()
		l.mu.Lock()
		in.reported = l.notes.numbers.take(in.reported[:0], int(run>>reportBits))
		l.mu.Unlock()
		l.core.notes.ended(l.core, uint8(run&(1<<reportBits-1)), in.reported...)
	}
	if cap(in.reported) > reportedMax {
		in.reported = nil
	}
	return nil
}

// reportedMax is how many numbers are kept room for between two reports.
const reportedMax = 4 << 10

// ring is a queue that grows as needed and lets go of what it had when it is
// empty.
type ring[T any] struct {
	buf  []T // a power of two
	head int
	n    int
}

const (
	ringMin  = 64
	ringKeep = 4 << 10 // of a ring that is empty
)

// at returns element i from the front; the queue is as long as it takes for that.
func (r *ring[T]) at(i int) *T {
	if i >= len(r.buf) {
		r.grow(i)
	}
	r.n = max(r.n, i+1)
	return &r.buf[(r.head+i)&(len(r.buf)-1)]
}

// grow makes room for element i.
func (r *ring[T]) grow(i int) {
	buf := make([]T, max(ringMin, 1<<bits.Len(uint(i))))
	k := copy(buf, r.buf[r.head:])
	copy(buf[k:], r.buf[:r.head])
	r.buf, r.head = buf, 0
}

// take appends the first n to dst and drops them.
func (r *ring[T]) take(dst []T, n int) []T {
	for i := range n {
		dst = append(dst, *r.at(i))
	}
	r.drop(n)
	return dst
}

// drop drops the first n.
func (r *ring[T]) drop(n int) {
	var zero T
	for i := range n {
		*r.at(i) = zero
	}
	r.n -= n
	if r.head = (r.head + n) & max(len(r.buf)-1, 0); r.n == 0 && len(r.buf) > ringKeep {
		*r = ring[T]{}
	}
}
