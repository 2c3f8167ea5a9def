package codec

import (
	"encoding/binary"
	"math"
)

// A frame is a payload behind its length:
//
//	 0                   1                   2                   3
//	 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//	+---------------------------------------------------------------+
//	|            length of the payload, big endian, unsigned        |
//	+---------------------------------------------------------------+
//	|                        payload ...
//
// An empty payload is a frame like any other.
const frameHeadBytes = 4

// FrameBytesMax is the default bound of a payload, in bytes.
const FrameBytesMax = 16 << 20

// NextFrame finds the first frame in b. max bounds the payload, FrameBytesMax
// if it is 0 or less.
//
// If the frame is whole, n is its length on the wire, to be consumed, and
// payload is a part of b, empty but not nil for an empty one. If n is 0 and err
// is nil, more bytes are needed. If the announced length exceeds max, err is
// ErrTooLong as soon as the head is there: nobody has to make room for a number
// that was merely told. Nothing is kept between calls, and finding out that a
// frame is not whole yet costs the same however much of it is there.
func NextFrame(b []byte, max int) (payload []byte, n int, err error) {
	if len(b) < frameHeadBytes {
		return nil, 0, nil
	}
	if max <= 0 {
		max = FrameBytesMax
	}
	size := uint64(binary.BigEndian.Uint32(b))
	if size > uint64(max) {
		return nil, 0, ErrTooLong
	}
	end := frameHeadBytes + size
	if uint64(len(b)) < end {
		return nil, 0, nil
	}
	return b[frameHeadBytes:end:end], int(end), nil
}

// AppendFrame appends payload as a frame. It panics if the payload is longer
// than a frame can say, 4 GiB less one byte.
func AppendFrame(dst, payload []byte) []byte {
	dst = binary.BigEndian.AppendUint32(dst, frameSize(uint64(len(payload))))
	return append(dst, payload...)
}

func frameSize(n uint64) uint32 {
	if n > math.MaxUint32 {
		panic("codec: payload exceeds 4 GiB")
	}
	return uint32(n)
}
