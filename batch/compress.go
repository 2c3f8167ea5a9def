package batch

import (
	"encoding/binary"
	"fmt"
	"sync"

	"github.com/klauspost/compress/huff0"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
)

// codec says how the messages of a frame are compressed.
type codec uint8

const (
	codecNone codec = iota
	codecS2
	codecZstd
	codecHuffman // S2, and a Huffman code over its block
)

// scratchMax is the largest buffer a link keeps between two frames, in bytes.
const scratchMax = 2 * frameMax

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

// A Huffman code over a block of S2 brings half of what Zstandard does and costs
// a third: what S2 leaves of JSON is digits of ids and short copies. Processor
// time of both ends for a message of 128 bytes, and bytes on the wire of bytes of
// JSON (BenchmarkLink, frames of 64 KiB, AMD EPYC): S2 0.33 µs and 0.31, with
// Huffman 0.51 µs and 0.25, Zstandard 0.92 µs and 0.21. Coding literals apart from
// the rest was tried: 0.75 µs and 0.23. A table has to be paid for, and a stream of
// the code is at most 64 KiB.
const (
	huffmanMin = 1 << 10
	huffmanMax = scratchMax
)

// huffman is a coder and a block of S2.
type huffman struct {
	coder, decoder huff0.Scratch // one for both would allocate at every change
	block          [huffmanMax]byte
}

var huffmans = sync.Pool{New: func() any { return new(huffman) }}

// encode appends src to dst, compressed by c or a simpler codec, which it
// returns. It does not allocate when dst has room for encodeBound more bytes.
func encode(dst []byte, c codec, src []byte) ([]byte, codec) {
	switch {
	case c == codecZstd:
		e := zstdEncoders.Get().(*zstd.Encoder)
		dst = e.EncodeAll(src, dst)
		zstdEncoders.Put(e)
		return dst, codecZstd
	case c == codecHuffman && s2.MaxEncodedLen(len(src)) <= huffmanMax:
		h := huffmans.Get().(*huffman)
		defer huffmans.Put(h)
		block := s2.Encode(h.block[:], src)
		if len(block) >= huffmanMin {
			if p, ok := h.encode(dst, block); ok {
				return p, codecHuffman
			}
		}
		return append(dst, block...), codecS2
	default:
		n := len(dst)
		return dst[:n+len(s2.Encode(dst[n:cap(dst)], src))], codecS2
	}
}

// encode appends the length of block and its code to dst, false if that is not
// shorter.
func (h *huffman) encode(dst, block []byte) ([]byte, bool) {
	p := binary.AppendUvarint(dst, uint64(len(block)))
	h.coder.Reuse = huff0.ReusePolicyNone
	h.coder.Out = p[len(p):]
	code, _, err := huff0.Compress4X(block, &h.coder)
	h.coder.Out, h.coder.OutData, h.coder.OutTable = nil, nil, nil
	if err != nil || len(p)-len(dst)+len(code) >= len(block) {
		return nil, false // the errors say that it does not pay
	}
	return append(p, code...), true // in its place already unless it grew
}

// decode returns the block that the code src stands for, in h. src is not
// trusted.
func (h *huffman) decode(src []byte) ([]byte, error) {
	n, k := binary.Uvarint(src)
	if k <= 0 || n == 0 || n > huffmanMax {
		return nil, fmt.Errorf("%w: length of a block", ErrFrame)
	}
	_, code, err := huff0.ReadTable(src[k:], &h.decoder)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFrame, err)
	}
	block, err := h.decoder.Decoder().Decompress4X(h.block[:0:n], code)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFrame, err)
	}
	return block, nil
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
		p, err = decodeS2(dst, src)
	case codecHuffman:
		h := huffmans.Get().(*huffman)
		if p, err = h.decode(src); err == nil {
			p, err = decodeS2(dst, p)
		}
		huffmans.Put(h)
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

// decodeS2 decodes a block that stands for exactly cap(dst) bytes. That is asked
// first, since Decode allocates what the block announces.
func decodeS2(dst, src []byte) ([]byte, error) {
	if told, k := binary.Uvarint(src); k <= 0 || told != uint64(cap(dst)) {
		return nil, fmt.Errorf("%w: compressed length", ErrFrame)
	}
	return s2.Decode(dst, src)
}
