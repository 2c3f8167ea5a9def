package batch

import (
	"bytes"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"github.com/klauspost/compress/s2"
)

// FuzzReceive feeds a link bytes of a stranger, in two pieces. It must neither
// panic nor take more than there is, and what it hands over must be bounded.
func FuzzReceive(f *testing.F) {
	// Small ones: what the engine finds it minimizes, byte by byte.
	for _, features := range []Features{NoFeatures, FeatureS2, AllFeatures} {
		for lane := range Lane(Lanes) {
			x, _ := pair(f, Options{Features: features}, Options{})
			mustAppend(f, x, lane, "short")
			if features != NoFeatures {
				mustAppend(f, x, lane, strings.Repeat("a line that comes again ", 20))
			}
			f.Add(frames(x), 50, false)
		}
	}
	f.Add(forge(header{grants: true}, grantsOf(1)), 36, false)
	f.Add(forge(header{lane: Data, count: 2, first: 1, raw: 4}, []byte("\x01a\x01b")), 0, true)
	f.Fuzz(func(t *testing.T, p []byte, cutAt int, mend bool) {
		if mend {
			p = mended(p)
		}
		cutAt = min(max(cutAt, 0), len(p))
		run := func(pieces ...[]byte) (inbox, error) {
			_, y := pair(t, Options{MessageMax: 1 << 16}, Options{MessageMax: 1 << 16})
			var in inbox
			var left []byte
			for _, piece := range pieces {
				left = append(left, piece...)
				if need := y.Need(left); need < headerSize || need > headerSize+grantsSize+y.rawMax() {
					t.Fatalf("needs %d bytes", need)
				}
				n, err := y.Receive(left, in.take)
				if n > len(left) {
					t.Fatalf("took %d of %d bytes", n, len(left))
				}
				if left = left[n:]; err != nil {
					return in, err
				}
			}
			return in, nil
		}
		whole, err1 := run(p)
		pieces, err2 := run(p[:cutAt], p[cutAt:])
		for lane := range Lanes {
			if len(whole[lane]) != len(pieces[lane]) {
				t.Fatalf("%d messages whole, %d in pieces", len(whole[lane]), len(pieces[lane]))
			}
		}
		if (err1 == nil) != (err2 == nil) {
			t.Fatalf("whole: %v, in pieces: %v", err1, err2)
		}
	})
}

// mended returns p with headers and checksums as they must be, so that what
// lies behind them is tried as well.
func mended(p []byte) []byte {
	p = bytes.Clone(p)
	for at := 0; len(p)-at >= headerSize; {
		var h header
		rest := p[at:]
		size := min(int(rest[0])|int(rest[1])<<8, len(rest)-headerSize)
		h.lane, h.codec, h.grants = Lane(rest[9]&flagLane), codec(rest[9]&flagCodec>>codecShift), rest[9]&flagGrants != 0
		h.count, h.first, h.raw = int(rest[10]), uint64(rest[20]), int(rest[4])|int(rest[5])<<8
		h.length = size
		copy(rest, forge(h, rest[headerSize:headerSize+size]))
		at += headerSize + size
	}
	return p
}

// FuzzRoundTrip: whatever the messages are, they come out as they went in, by
// every codec.
func FuzzRoundTrip(f *testing.F) {
	f.Add([]byte("one"), []byte("two"), uint8(200), uint8(7))
	f.Add([]byte(""), noise(30), uint8(3), uint8(7))
	f.Add([]byte("abcabcabcabc"), []byte{}, uint8(40), uint8(1))
	f.Fuzz(func(t *testing.T, a, b []byte, times, features uint8) {
		o := Options{Features: Features(features) | NoFeatures}
		x, y := pair(t, o, o)
		var want, got inbox
		for i := range times % 32 {
			lane, msg := Lane(i%Lanes), a
			if i%2 == 1 {
				msg = b
			}
			if len(msg) > o.withDefaults().MessageMax {
				return
			}
			if _, err := x.AppendMust(lane, msg); err != nil {
				break
			}
			want.take(lane, msg)
		}
		settle(t, x, y, &got, &got)
		for lane := range Lanes {
			if len(want[lane]) != len(got[lane]) {
				t.Fatalf("lane %d: %d of %d messages", lane, len(got[lane]), len(want[lane]))
			}
			for i := range want[lane] {
				if want[lane][i] != got[lane][i] {
					t.Fatalf("lane %d: message %d differs", lane, i)
				}
			}
		}
	})
}

// FuzzDecode: no bytes make a codec write beyond what was announced.
func FuzzDecode(f *testing.F) {
	// Small ones again, so not by encode: it would not use Huffman for so little.
	raw := hex.AppendEncode(nil, noise(60))
	for c := codecS2; c <= codecZstd; c++ {
		p, c := encode(make([]byte, 0, encodeBound(len(raw))), c, raw)
		f.Add(uint8(c), p, uint16(len(raw)))
	}
	p, ok := new(huffman).encode(nil, s2.Encode(nil, raw))
	if got, err := decode(make([]byte, 0, len(raw)), codecHuffman, p, len(raw)); !ok || err != nil || !bytes.Equal(got, raw) {
		f.Fatalf("%q: %v", got, err)
	}
	f.Add(uint8(codecHuffman), p, uint16(len(raw)))
	f.Fuzz(func(t *testing.T, c uint8, p []byte, n uint16) {
		n %= 4096
		dst := bytes.Repeat([]byte{0x55}, int(n)+64)
		got, err := decode(dst[:0], codec(c%4), p, int(n))
		if err != nil && !errors.Is(err, ErrFrame) {
			t.Fatalf("untyped error: %v", err)
		}
		if err == nil && len(got) != int(n) {
			t.Fatalf("%d bytes, want %d", len(got), n)
		}
		for i, v := range dst[n:] {
			if v != 0x55 {
				t.Fatalf("byte %d behind the end was written", i)
			}
		}
	})
}

// FuzzParseHello: no bytes make it panic, and what it reads can be written.
func FuzzParseHello(f *testing.F) {
	h, _ := hellos(f)
	p, err := AppendHello(nil, &h)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(p, false)
	f.Add(AppendRefusal(nil, &Refusal{RefusedSelf, "it is me"}), false)
	f.Add([]byte("RKYH\x40\x00\x01\x00"), true)
	f.Fuzz(func(t *testing.T, p []byte, mend bool) {
		if mend && len(p) >= helloPrefix && len(p) < HelloMax-checksumSize {
			p = appendChecksum(bytes.Clone(p), 0)
		}
		h, n, err := ParseHello(p)
		if n > len(p) && !errors.Is(err, ErrIncomplete) {
			t.Fatalf("took %d of %d bytes", n, len(p))
		}
		if err != nil {
			return
		}
		again, err := AppendHello(nil, &h)
		if err != nil {
			t.Fatal(err)
		}
		if got, _, err := ParseHello(again); err != nil || got != h {
			t.Fatalf("%v\n got %+v\nwant %+v", err, got, h)
		}
	})
}
