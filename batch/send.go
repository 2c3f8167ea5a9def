package batch

import (
	"hash/crc32"
	"slices"
)

// bulkShare: after so many data frames a bulk frame that waits goes first, so
// that filling a node ends some time however busy the link is.
const bulkShare = 16

// NextFrame appends at most one frame to dst: messages of the most urgent lane
// that has some and the credit for them, or acknowledgements and credits alone
// if those are due. dst comes back unchanged if there is nothing to send. A
// frame is at most FrameMax bytes, or one message, and a header.
func (l *Link) NextFrame(dst []byte) []byte {
	if !l.connected {
		return dst
	}
	g := l.grants()
	lane, ok := l.pick()
	switch {
	case ok:
		return l.messages(dst, lane, &g)
	case l.due(&g):
		return l.pureFrame(dst, &g)
	default:
		return dst
	}
}

// Heartbeat appends a frame without messages to dst, even if nothing is due: a
// sign of life that carries acknowledgements and credits. dst comes back
// unchanged if the link is not connected.
func (l *Link) Heartbeat(dst []byte) []byte {
	if !l.connected {
		return dst
	}
	g := l.grants()
	return l.pureFrame(dst, &g)
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

// messages appends a frame of messages of lane.
func (l *Link) messages(dst []byte, lane Lane, g *grants) []byte {
	q := &l.out[lane]
	raw, to := q.next(l.credit[lane])
	h := header{
		lane: lane, raw: len(raw), count: int(to.seq - q.sent.seq), first: q.sent.seq + 1,
		grants: l.mustTell || *g != l.told,
	}
	base := len(dst)
	dst = l.open(dst, &h, g, len(raw))
	payload := len(dst)
	dst, h.codec = l.pack(dst, lane, raw)
	l.seal(dst[base:], &h)

	s := &l.stats[lane]
	s.Resent += q.advance(to)
	s.Messages += uint64(h.count)
	s.Frames++
	s.Raw += uint64(len(raw))
	s.Wire += uint64(len(dst) - payload)
	return dst
}

func (l *Link) pureFrame(dst []byte, g *grants) []byte {
	h := header{grants: true}
	base := len(dst)
	dst = l.open(dst, &h, g, 0)
	l.seal(dst[base:], &h)
	l.pure++
	return dst
}

// open appends room for a header, and the grants if h has them, with capacity
// for size bytes of messages.
func (l *Link) open(dst []byte, h *header, g *grants, size int) []byte {
	base := len(dst)
	dst = slices.Grow(dst, headerSize+grantsSize+encodeBound(size))
	if !h.grants {
		return dst[:base+headerSize]
	}
	dst = dst[:base+headerSize+grantsSize]
	g.put(dst[base+headerSize:])
	l.told, l.mustTell = *g, false
	return dst
}

// seal writes the header of the frame that is p.
func (l *Link) seal(p []byte, h *header) {
	h.epoch = l.epochOut
	h.length = len(p) - headerSize
	h.checksum = crc32.Checksum(p[headerSize:], castagnoli)
	h.put(p)
}
