package batch

import (
	"encoding/binary"
	"fmt"
	"sync"

	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
)

// codec says how the messages of a frame are compressed.
type codec uint8

const (
	codecNone codec = iota
	codecS2
	codecZstd
	codecs
)

// scratchMax is the largest buffer a link keeps between two frames, in bytes.
const scratchMax = 2 * defaultFrameMax

// zstdWindow bounds how far back a match may lie, and with it what the encoder
// keeps. A frame is rarely longer.
const zstdWindow = 256 << 10

// Encoders and decoders of Zstandard are large and a link rarely has bulk to
// send, so links share them. None starts a goroutine.
var (
	zstdEncoders = sync.Pool{New: func() any {
		return must(zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest),
			zstd.WithWindowSize(zstdWindow), zstd.WithLowerEncoderMem(true), zstd.WithEncoderCRC(false)))
	}}
	zstdDecoders = sync.Pool{New: func() any {
		return must(zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecodeAllCapLimit(true)))
	}}
)

// must is for options that are constants: they are right or the tests fail.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// encode appends src to dst, compressed. It does not allocate when dst has
// room for encodeBound more bytes.
func encode(dst []byte, c codec, src []byte) []byte {
	if c == codecZstd {
		e := zstdEncoders.Get().(*zstd.Encoder)
		dst = e.EncodeAll(src, dst)
		zstdEncoders.Put(e)
		return dst
	}
	n := len(dst)
	return dst[:n+len(s2.Encode(dst[n:cap(dst)], src))]
}

// encodeBound returns the most bytes that encode and a plain copy of n bytes
// can take.
func encodeBound(n int) int { return max(s2.MaxEncodedLen(n), n+n>>8+64) }

// decode writes the n bytes that src stands for to dst[:n]; dst has the
// capacity. src is not trusted: it is an error if it stands for another number
// of bytes, found before anything is written beyond n.
func decode(dst []byte, c codec, src []byte, n int) ([]byte, error) {
	dst = dst[:0:n]
	var p []byte
	var err error
	switch c {
	case codecS2:
		// Asked first: Decode allocates what the block announces.
		if told, k := binary.Uvarint(src); k <= 0 || told != uint64(n) {
			return nil, fmt.Errorf("%w: compressed length", ErrFrame)
		}
		p, err = s2.Decode(dst, src)
	case codecZstd:
		d := zstdDecoders.Get().(*zstd.Decoder)
		p, err = d.DecodeAll(src, dst)
		zstdDecoders.Put(d)
	default:
		return nil, fmt.Errorf("%w: codec %d", ErrFrame, c)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFrame, err)
	}
	if len(p) != n {
		return nil, fmt.Errorf("%w: compressed length", ErrFrame)
	}
	return p, nil
}
