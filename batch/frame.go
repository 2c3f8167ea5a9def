package batch

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math/bits"
)

// Version is the only version of the protocol so far.
const Version = 1

// The parts of a frame; SPEC.md has the table.
const (
	headerSize = 36
	grantsSize = 2 * 8 * Lanes
	countMax   = 1<<16 - 1

	flagLane    = 0x03
	flagCodec   = 0x0c
	flagGrants  = 0x10
	codecShift  = 2
	flagUnknown = ^byte(flagLane | flagCodec | flagGrants)
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// header is the fixed part of a frame.
type header struct {
	length   int // of what follows the header
	raw      int // bytes of messages after decompression
	lane     Lane
	codec    codec
	grants   bool
	count    int
	epoch    uint64
	first    uint64
	checksum uint32 // of what follows the header
}

// payload returns how many bytes of messages follow header and grants.
func (h *header) payload() int {
	if h.grants {
		return h.length - grantsSize
	}
	return h.length
}

// put writes h to p[:headerSize].
func (h *header) put(p []byte) {
	flags := byte(h.lane) | byte(h.codec)<<codecShift
	if h.grants {
		flags |= flagGrants
	}
	binary.LittleEndian.PutUint32(p[0:], uint32(h.length))
	binary.LittleEndian.PutUint32(p[4:], uint32(h.raw))
	p[8] = Version
	p[9] = flags
	binary.LittleEndian.PutUint16(p[10:], uint16(h.count))
	binary.LittleEndian.PutUint64(p[12:], h.epoch)
	binary.LittleEndian.PutUint64(p[20:], h.first)
	binary.LittleEndian.PutUint32(p[28:], h.checksum)
	binary.LittleEndian.PutUint32(p[32:], crc32.Checksum(p[:32], castagnoli))
}

// parse reads p[:headerSize]. rawMax bounds the bytes of messages.
func (h *header) parse(p []byte, rawMax int) error {
	if crc32.Checksum(p[:32], castagnoli) != binary.LittleEndian.Uint32(p[32:]) {
		return fmt.Errorf("%w (header)", ErrChecksum)
	}
	if p[8] != Version {
		return fmt.Errorf("%w %d", ErrVersion, p[8])
	}
	flags := p[9]
	length, raw := binary.LittleEndian.Uint32(p[0:]), binary.LittleEndian.Uint32(p[4:])
	if raw > uint32(rawMax) || length > uint32(rawMax+grantsSize) {
		return fmt.Errorf("%w: %d bytes, %d on the wire", ErrTooLarge, raw, length)
	}
	*h = header{
		length:   int(length),
		raw:      int(raw),
		lane:     Lane(flags & flagLane),
		codec:    codec(flags & flagCodec >> codecShift),
		grants:   flags&flagGrants != 0,
		count:    int(binary.LittleEndian.Uint16(p[10:])),
		epoch:    binary.LittleEndian.Uint64(p[12:]),
		first:    binary.LittleEndian.Uint64(p[20:]),
		checksum: binary.LittleEndian.Uint32(p[28:]),
	}
	if flags&flagUnknown != 0 || !h.consistent() {
		return fmt.Errorf("%w: header", ErrFrame)
	}
	return nil
}

// consistent reports whether the fields of h agree with each other.
func (h *header) consistent() bool {
	payload := h.payload()
	if payload < 0 || h.lane >= Lanes {
		return false
	}
	if h.count == 0 {
		return payload == 0 && h.raw == 0 && h.first == 0 && h.codec == codecNone && h.lane == Control
	}
	if h.first == 0 || h.first+uint64(h.count) < h.first || h.raw < h.count {
		return false
	}
	if h.count > 1 && h.raw > frameMax {
		return false
	}
	if h.codec == codecNone {
		return payload == h.raw
	}
	return payload > 0 && payload < h.raw
}

// grants are the acknowledgement and the credit of each lane.
type grants struct {
	ack    [Lanes]uint64 // messages up to this one are processed
	credit [Lanes]uint64 // a message may start before this offset
}

func (g *grants) put(p []byte) {
	for lane := range Lanes {
		binary.LittleEndian.PutUint64(p[16*lane:], g.ack[lane])
		binary.LittleEndian.PutUint64(p[16*lane+8:], g.credit[lane])
	}
}

func (g *grants) parse(p []byte) {
	for lane := range Lanes {
		g.ack[lane] = binary.LittleEndian.Uint64(p[16*lane:])
		g.credit[lane] = binary.LittleEndian.Uint64(p[16*lane+8:])
	}
}

// prefixMax bounds the length in front of a message.
const prefixMax = 5

// prefixSize returns how many bytes the length n takes in front of a message.
func prefixSize(n int) int { return (bits.Len(uint(n)|1) + 6) / 7 }

// cut returns the first message of p and how many bytes it takes with the
// length in front of it, 0 if p does not start with a whole message. The length
// has to be written as short as it can be, so that both ends count alike.
func cut(p []byte) (msg []byte, size int) {
	if len(p) > 0 && p[0] < 0x80 { // the common case
		end := 1 + int(p[0])
		if end > len(p) {
			return nil, 0
		}
		return p[1:end:end], end
	}
	n, k := binary.Uvarint(p[:min(len(p), prefixMax)])
	if k <= 0 || n > uint64(len(p)-k) || prefixSize(int(n)) != k {
		return nil, 0
	}
	end := k + int(n)
	return p[k:end:end], end
}

// Epoch names one direction of a link in its frames: from the incarnation that
// sends to the one that receives.
func Epoch(from, to uint64) uint64 { return mix(mix(from) + to) }

// mix is the finalizer of splitmix64.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
