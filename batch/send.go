package batch

import (
	"hash/crc32"
	"slices"
	"sync"
)

// bulkShare: after so many data frames a bulk frame that waits goes first, so
// that filling a node ends some time however busy the link is.
const bulkShare = 16

// NextFrame appends at most one frame to dst: messages of the most urgent lane
// that has some and the credit for them, or acknowledgements and credits alone
// if those are due. dst comes back unchanged if there is nothing to send. A
// frame is at most FrameMax bytes, or one message, and a header.
func (l *Link) NextFrame(dst []byte) []byte { return l.NextFrameWith(noLock{}, dst) }

// NextFrameWith is NextFrame for a link that mu guards: it is locked twice for a
// moment, but not while the frame is compressed. The caller does not hold mu,
// and one goroutine at a time calls this and Heartbeat.
func (l *Link) NextFrameWith(mu sync.Locker, dst []byte) []byte {
	mu.Lock()
	f, ok := l.take()
	mu.Unlock()
	if !ok {
		return dst
	}
	dst = f.append(dst)
	mu.Lock()
	l.packed(&f)
	mu.Unlock()
	return dst
}

// outgoing is a frame that is being made. Its messages count as sent.
type outgoing struct {
	h     header
	g     grants
	raw   []byte // of chunk
	chunk *chunk
	codec codec // to try
	wire  int   // bytes that the messages took
}

// take returns the next frame.
func (l *Link) take() (f outgoing, ok bool) {
	if !l.connected {
		return f, false
	}
	f.g = l.grants()
	f.h.epoch = l.epochOut
	lane, ok := l.pick()
	if !ok {
		if ok = l.due(&f.g); ok {
			l.tell(&f)
			l.pure++
		}
		return f, ok
	}
	q := &l.out[lane]
	raw, to := q.next(l.credit[lane])
	f.raw, f.chunk = raw, q.cur
	f.chunk.used = true
	f.h.lane, f.h.raw, f.h.count, f.h.first = lane, len(raw), int(to.seq-q.sent.seq), q.sent.seq+1
	f.codec = l.codecFor(lane, len(raw))
	if l.mustTell || f.g != l.told {
		l.tell(&f)
	}
	s := &l.stats[lane]
	s.Resent += q.advance(to)
	s.Messages += uint64(f.h.count)
	s.Frames++
	s.Raw += uint64(len(raw))
	return f, true
}

// tell has the grants go with a frame.
func (l *Link) tell(f *outgoing) {
	f.h.grants = true
	l.told, l.mustTell = f.g, false
}

// append makes the frame, at the end of dst.
func (f *outgoing) append(dst []byte) []byte {
	base := len(dst)
	dst = slices.Grow(dst, headerSize+grantsSize+encodeBound(len(f.raw)))
	dst = dst[:base+headerSize]
	if f.h.grants {
		dst = dst[:base+headerSize+grantsSize]
		f.g.put(dst[base+headerSize:])
	}
	messages := len(dst)
	if len(f.raw) > 0 {
		dst, f.h.codec = pack(dst, f.codec, f.raw)
	}
	f.wire = len(dst) - messages
	f.h.length = len(dst) - base - headerSize
	f.h.checksum = crc32.Checksum(dst[base+headerSize:], castagnoli)
	f.h.put(dst[base:])
	return dst
}

// packed takes note of what compression made of a frame.
func (l *Link) packed(f *outgoing) {
	if f.chunk == nil {
		return
	}
	f.chunk.used = false
	s := &l.stats[f.h.lane]
	s.Wire += uint64(f.wire)
	if f.codec != codecNone {
		l.judge[f.h.lane].note(f.h.raw, f.wire)
	}
	if f.h.codec != codecNone {
		s.Compressed++
	} else {
		s.Skipped++
	}
}

// Heartbeat appends a frame without messages to dst, even if nothing is due: a
// sign of life that carries acknowledgements and credits. dst comes back
// unchanged if the link is not connected.
func (l *Link) Heartbeat(dst []byte) []byte {
	if !l.connected {
		return dst
	}
	f := outgoing{g: l.grants(), h: header{epoch: l.epochOut}}
	l.tell(&f)
	l.pure++
	return f.append(dst)
}

// pick returns the lane whose turn it is.
func (l *Link) pick() (Lane, bool) {
	switch {
	case l.sendable(Control):
		return Control, true
	case !l.sendable(Data):
		l.dataRun = 0
		return Bulk, l.sendable(Bulk)
	case l.dataRun >= bulkShare && l.sendable(Bulk):
		l.dataRun = 0
		return Bulk, true
	default:
		l.dataRun++
		return Data, true
	}
}

func (l *Link) sendable(lane Lane) bool {
	q := &l.out[lane]
	return q.unsent() && q.sent.off < l.credit[lane]
}

// due reports whether the peer should hear of g though there is no message: it
// has to know at once what is processed, since a producer may wait for that.
// Credit alone is worth a frame when the peer may be out of it or a quarter of
// the window has come free.
func (l *Link) due(g *grants) bool {
	if l.mustTell || g.ack != l.told.ack {
		return true
	}
	for lane := range Lanes {
		more := g.credit[lane] - l.told.credit[lane]
		if more > 0 && (l.in[lane].off >= l.told.credit[lane] || more >= uint64(l.o.Window[lane])/4) {
			return true
		}
	}
	return false
}
