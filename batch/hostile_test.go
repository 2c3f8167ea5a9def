package batch

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"runtime"
	"strings"
	"testing"

	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
)

// forge returns a frame to the link with incarnation 2 from that with 1, with
// right checksums whatever it says. Fields of h that matter are the caller's;
// its length is that of body unless it is set.
func forge(h header, body []byte) []byte {
	p := append(make([]byte, headerSize), body...)
	if h.length == 0 {
		h.length = len(body)
	}
	if h.epoch == 0 {
		h.epoch = Epoch(1, 2)
	}
	h.checksum = crc32.Checksum(body, castagnoli)
	h.put(p)
	return p
}

func grantsOf(ack uint64) []byte {
	g := grants{ack: [Lanes]uint64{Data: ack}}
	p := make([]byte, grantsSize)
	g.put(p)
	return p
}

func TestFramesThatBreakTheProtocol(t *testing.T) {
	spoilt := func(at int, v byte) []byte { // in the header, checksum made good
		p := forge(header{lane: Data, count: 1, first: 1, raw: 2}, []byte("\x01m"))
		p[at] = v
		binary.LittleEndian.PutUint32(p[32:], crc32.Checksum(p[:32], castagnoli))
		return p
	}
	zip := s2.Encode(nil, bytes.Repeat([]byte("\x03abc"), 100))
	for name, c := range map[string]struct {
		frame []byte
		want  error
	}{
		"version":              {spoilt(8, 2), ErrVersion},
		"unknown flag":         {spoilt(9, 0x81), ErrFrame},
		"fourth lane":          {spoilt(9, 3), ErrFrame},
		"other link":           {forge(header{epoch: 7, lane: Data, count: 1, first: 1, raw: 2}, []byte("\x01m")), ErrEpoch},
		"gap":                  {forge(header{lane: Data, count: 1, first: 2, raw: 2}, []byte("\x01m")), ErrSequence},
		"sequence 0":           {forge(header{lane: Data, count: 1, raw: 2}, []byte("\x01m")), ErrFrame},
		"sequence wraps":       {forge(header{lane: Data, count: 2, first: math.MaxUint64, raw: 2}, []byte("\x00\x00")), ErrFrame},
		"fewer messages":       {forge(header{lane: Data, count: 2, first: 1, raw: 2}, []byte("\x01m")), ErrFrame},
		"more messages":        {forge(header{lane: Data, count: 1, first: 1, raw: 3}, []byte("\x01m\x00")), ErrFrame},
		"message cut off":      {forge(header{lane: Data, count: 1, first: 1, raw: 2}, []byte("\x02m")), ErrFrame},
		"length too long":      {forge(header{lane: Data, count: 1, first: 1, raw: 3}, []byte("\x81\x00m")), ErrFrame},
		"length without end":   {forge(header{lane: Data, count: 1, first: 1, raw: 6}, []byte("\xff\xff\xff\xff\xff\xff")), ErrFrame},
		"messages of no frame": {forge(header{raw: 2}, []byte("\x01m")), ErrFrame},
		"raw of another size":  {forge(header{lane: Data, count: 1, first: 1, raw: 3}, []byte("\x01m")), ErrFrame},
		"no room for grants":   {forge(header{grants: true}, make([]byte, 47)), ErrFrame},
		"acks what never was":  {forge(header{grants: true}, grantsOf(1)), ErrAck},
		"raw beyond limits":    {forge(header{lane: Data, count: 1, first: 1, raw: 1 << 30}, []byte("\x01m")), ErrTooLarge},
		"length beyond limits": {forge(header{length: 1 << 30, lane: Data, count: 1, first: 1, raw: 2}, nil), ErrTooLarge},
		"many beyond a frame":  {forge(header{lane: Data, count: 2, first: 1, raw: frameMax + 1}, make([]byte, frameMax+1)), ErrFrame},
		"packed is longer":     {forge(header{codec: codecS2, lane: Data, count: 1, first: 1, raw: 2}, []byte("\x02\x04\x01m")), ErrFrame},
		"s2: other size":       {forge(header{codec: codecS2, lane: Data, count: 100, first: 1, raw: 399}, zip), ErrFrame},
		"s2: garbage":          {forge(header{codec: codecS2, lane: Data, count: 100, first: 1, raw: 400}, append(zip[:2:2], 0xff, 0xff, 0xff)), ErrFrame},
		"zstd: garbage":        {forge(header{codec: codecZstd, lane: Data, count: 100, first: 1, raw: 400}, zip), ErrFrame},
		"huffman: no length":   {forge(header{codec: codecHuffman, lane: Data, count: 100, first: 1, raw: 400}, []byte{0xff}), ErrFrame},
		"huffman: no table":    {forge(header{codec: codecHuffman, lane: Data, count: 100, first: 1, raw: 4000}, []byte{0x80, 0x10}), ErrFrame},
		"huffman: garbage":     {forge(header{codec: codecHuffman, lane: Data, count: 100, first: 1, raw: 4000}, []byte{0x80, 0x10, 0x82, 0x11, 0, 1, 0, 1, 0, 1, 0, 1, 1, 1, 1}), ErrFrame},
	} {
		_, y := pair(t, Options{}, Options{})
		n, err := y.Receive(c.frame, func(Lane, []byte) error { return nil })
		if !errors.Is(err, c.want) || n != 0 {
			t.Errorf("%s: took %d, %v; want %v", name, n, err, c.want)
		}
		if y.Connected() {
			t.Errorf("%s: still connected", name)
		}
		if need := y.Need(c.frame); need > len(c.frame) {
			t.Errorf("%s: needs %d bytes", name, need)
		}
	}
}

func TestCodecThatWasNotAgreedOn(t *testing.T) {
	_, y := pair(t, Options{Features: FeatureS2}, Options{})
	raw := bytes.Repeat([]byte("\x03abc"), 100)
	body, _ := encode(make([]byte, 0, encodeBound(len(raw))), codecZstd, raw)
	p := forge(header{codec: codecZstd, lane: Data, count: 100, first: 1, raw: len(raw)}, body)
	if _, err := y.Receive(p, new(inbox).take); !errors.Is(err, ErrFrame) {
		t.Errorf("got %v", err)
	}
}

// A few bytes that stand for very many must not make us allocate those.
func TestBombs(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	zeros := make([]byte, 64<<20)
	enc, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	huge := binary.AppendUvarint(nil, math.MaxUint32) // an S2 block that announces 4 GiB
	for name, c := range map[string]struct {
		codec codec
		body  []byte
		want  error
	}{
		"s2 announces 4 GiB":      {codecS2, append(huge, 0), ErrFrame},
		"s2 of 64 MiB":            {codecS2, s2.Encode(nil, zeros)[:1000], ErrFrame},
		"zstd of 64 MiB":          {codecZstd, enc.EncodeAll(zeros, nil), ErrFrame},
		"huffman announces 4 GiB": {codecHuffman, append(huge, 0x81, 0x10, 0), ErrFrame},
	} {
		_, y := pair(t, Options{}, Options{})
		p := forge(header{codec: c.codec, lane: Data, count: 1, first: 1, raw: 60_000}, c.body)
		if y.Need(p) != len(p) {
			t.Errorf("%s: needs %d bytes of %d", name, y.Need(p), len(p))
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range 8 {
			y.connected = true
			if _, err := y.Receive(p, func(Lane, []byte) error { return nil }); !errors.Is(err, c.want) {
				t.Fatalf("%s: %v", name, err)
			}
		}
		runtime.ReadMemStats(&after)
		got := (after.TotalAlloc - before.TotalAlloc) / 8
		if got > 1<<20 {
			t.Errorf("%s: %d bytes allocated", name, got)
		}
	}
}

// No bit of a frame can change unnoticed: the connection ends, and the next one
// brings the messages.
func TestEveryBitFlipIsNoticed(t *testing.T) {
	o := Options{FrameMax: 600}
	for bit := 0; ; bit++ {
		x, y := pair(t, o, o)
		var in inbox
		feed(t, x, frames(y), &in)
		feed(t, y, frames(x), &in)
		for i := range 20 {
			mustAppend(t, x, Data, fmt.Sprintf("a message that repeats itself %d", i))
		}
		p := frames(x)
		if bit >= 8*len(p) {
			return
		}
		p[bit/8] ^= 1 << (bit % 8)
		if n, err := y.Receive(p, in.take); err == nil && n == len(p) {
			t.Fatalf("bit %d of %d flipped unnoticed", bit, 8*len(p))
		}
		connect(t, x, y)
		settle(t, x, y, &in, &in)
		if len(in[Data]) != 20 || strings.Join(in[Data], "") == "" || in[Data][19] != "a message that repeats itself 19" {
			t.Fatalf("bit %d: received %q", bit, in[Data])
		}
	}
}

func TestDamageIsCounted(t *testing.T) {
	x, y := pair(t, Options{}, Options{})
	p := frames(x)
	p[len(p)-1] ^= 1
	if _, err := y.Receive(p, new(inbox).take); !errors.Is(err, ErrChecksum) {
		t.Error(err)
	}
	if got := y.Stats().Checksums; got != 1 {
		t.Errorf("%d damaged frames counted", got)
	}
}

func TestNeedGrowsWithWhatIsKnown(t *testing.T) {
	x, y := pair(t, Options{}, Options{})
	mustAppend(t, x, Data, strings.Repeat("n", 3000))
	p := x.NextFrame(nil)
	for n := range len(p) {
		want := headerSize
		if n >= headerSize {
			want = len(p)
		}
		if got := y.Need(p[:n]); got != want {
			t.Fatalf("with %d bytes %d are needed, want %d", n, got, want)
		}
		if k, err := y.Receive(p[:n], new(inbox).take); k != 0 || err != nil {
			t.Fatalf("took %d of %d bytes: %v", k, n, err)
		}
	}
}
