package batch

import (
	"encoding/binary"
	"sync"
)

// chunk is a piece of a lane's queue: whole messages, each behind its length,
// as they stand in a frame. A chunk is never longer than a frame unless it
// holds one long message, so a frame is a part of one chunk and is built
// without looking at its messages.
type chunk struct {
	next  *chunk
	buf   []byte
	base  uint64 // offset of buf[0] in the lane
	first uint64 // sequence of the first message
	count int
	used  bool // a frame is being made of it
}

func (c *chunk) end() uint64  { return c.base + uint64(len(c.buf)) }
func (c *chunk) last() uint64 { return c.first + uint64(c.count) - 1 }

// chunks are shared by all links: one that was busy leaves nothing behind.
var chunks = sync.Pool{New: func() any { return new(chunk) }}

func newChunk(size int) *chunk {
	c := chunks.Get().(*chunk)
	if cap(c.buf) < size {
		c.buf = make([]byte, 0, size)
	}
	return c
}

func (c *chunk) free() {
	if cap(c.buf) > 2*frameMax || c.used { // held one long message; or is read
		return
	}
	*c = chunk{buf: c.buf[:0]}
	chunks.Put(c)
}

// mark is a place between two messages of a lane.
type mark struct {
	seq uint64 // of the message before it
	off uint64 // bytes of all messages before it, with the lengths in front
}

// queue holds the messages of a lane that are not acknowledged.
type queue struct {
	head, tail *chunk
	cur        *chunk // holds the place sent, nil if it is not known
	acked      mark
	sent       mark // on the present connection
	end        mark
	sentMax    uint64 // on any connection
}

func (q *queue) messages() int { return int(q.end.seq - q.acked.seq) }
func (q *queue) bytes() int    { return int(q.end.off - q.acked.off) }
func (q *queue) unsent() bool  { return q.sent.seq < q.end.seq }

// push copies a message in two pieces to the end of the queue, of which at most frame bytes go into
// one frame.
func (q *queue) push(head, body []byte, frame int) uint64 {
	n := len(head) + len(body)
	size := prefixSize(n) + n
	c := q.tail
	if c == nil || len(c.buf)+size > frame || c.count == countMax {
		c = newChunk(max(size, frame))
		c.base, c.first = q.end.off, q.end.seq+1
		if q.tail == nil {
			q.head = c
		} else {
			q.tail.next = c
		}
		q.tail = c
	}
	c.buf = binary.AppendUvarint(c.buf, uint64(n))
	c.buf = append(append(c.buf, head...), body...)
	c.count++
	q.end.seq++
	q.end.off += uint64(size)
	return q.end.seq
}

// ack forgets the messages up to seq, which must not be beyond the end.
func (q *queue) ack(seq uint64) {
	for c := q.head; c != nil && q.acked.seq < seq; c = q.head {
		if seq < c.last() {
			q.acked = c.walk(q.acked, seq)
			break
		}
		q.acked = mark{c.last(), c.end()}
		q.head = c.next
		if q.head == nil {
			q.tail = nil
		}
		if q.cur == c {
			q.cur = nil
		}
		c.free()
	}
	if q.sent.seq < q.acked.seq {
		q.sent, q.cur = q.acked, nil
	}
	q.sentMax = max(q.sentMax, q.acked.seq)
}

// walk returns the place behind message seq of c, starting at m, which is in c.
func (c *chunk) walk(m mark, seq uint64) mark {
	for m.seq < seq {
		_, n := cut(c.buf[m.off-c.base:])
		m.seq++
		m.off += uint64(n)
	}
	return m
}

// rewind makes everything that is not acknowledged unsent.
func (q *queue) rewind() { q.sent, q.cur = q.acked, nil }

// next returns the messages that come next, at most a frame of them, and of
// those only the ones that start before credit; and the place behind them. The
// bytes belong to the queue.
func (q *queue) next(credit uint64) (p []byte, to mark) {
	c := q.cur
	if c == nil {
		c = q.head
	}
	for q.sent.off == c.end() {
		c = c.next
	}
	q.cur = c
	to = mark{c.last(), c.end()}
	if to.off > credit {
		to = q.sent
		for to.seq < c.last() && to.off < credit {
			to = c.walk(to, to.seq+1)
		}
	}
	return c.buf[q.sent.off-c.base : to.off-c.base], to
}

// advance notes that everything up to to was sent, and returns how many of
// these messages had been sent before.
func (q *queue) advance(to mark) (again uint64) {
	if q.sentMax > q.sent.seq {
		again = min(q.sentMax, to.seq) - q.sent.seq
	}
	q.sent = to
	q.sentMax = max(q.sentMax, to.seq)
	return again
}
