package codec

import (
	"bytes"
	"encoding/hex"
	"errors"
	"testing"

	"pgregory.net/rapid"
)

var frameTable = []struct{ payload, wire string }{
	{"", "00000000"},
	{"a", "0000000161"},
	{"\x00\x00\x00\x00", "0000000400000000"},
	{"{\"a\":1}\n", "000000087b2261223a317d0a"},
}

func TestFrames(t *testing.T) {
	for _, f := range frameTable {
		wire, err := hex.DecodeString(f.wire)
		if err != nil {
			t.Fatal(err)
		}
		if got := AppendFrame([]byte("before"), []byte(f.payload)); !bytes.Equal(got, append([]byte("before"), wire...)) {
			t.Errorf("%q is written as %x, want %x", f.payload, got, wire)
		}
		for n := range len(wire) {
			if payload, n, err := NextFrame(wire[:n], 8); payload != nil || n != 0 || err != nil {
				t.Errorf("%x: %q, %d, %v before the end", wire[:n], payload, n, err)
			}
		}
		payload, n, err := NextFrame(append(wire, 0xff), 8)
		if string(payload) != f.payload || payload == nil || n != len(wire) || err != nil || cap(payload) != len(payload) {
			t.Errorf("%x is read as %q, %d, %v", wire, payload, n, err)
		}
	}
}

func TestNextFrameBounds(t *testing.T) {
	for _, c := range []struct {
		head string
		max  int
		err  error
	}{
		{"00000008", 8, nil},
		{"00000009", 8, ErrTooLong},
		{"01000000", 0, nil}, // 16 MiB, the default
		{"01000001", 0, ErrTooLong},
		{"ffffffff", 0, ErrTooLong},
		{"ffffffff", 1 << 40, nil},
		{"80000000", 1<<31 - 1, ErrTooLong},
	} {
		head, _ := hex.DecodeString(c.head)
		if _, n, err := NextFrame(head, c.max); n != 0 || !errors.Is(err, c.err) {
			t.Errorf("%s with bound %d: %d, %v, want %v", c.head, c.max, n, err, c.err)
		}
	}
}

func TestFrameSizePanics(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a payload of 4 GiB was given a length")
		}
	}()
	frameSize(1<<32 - 1)
	frameSize(1 << 32)
}

// TestFramesRoundTrip: whatever is framed comes back, in whatever pieces it comes.
func TestFramesRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		payloads := rapid.SliceOf(rapid.SliceOfN(rapid.Byte(), 0, 40)).Draw(t, "payloads")
		var wire []byte
		for _, p := range payloads {
			wire = AppendFrame(wire, p)
		}
		size := rapid.IntRange(1, 30).Draw(t, "size")
		i, start := 0, 0
		for end := 0; end < len(wire); {
			end = min(len(wire), end+size)
			for {
				p, n, err := NextFrame(wire[start:end], 40)
				if err != nil {
					t.Fatal(err)
				}
				if n == 0 {
					break
				}
				if !bytes.Equal(p, payloads[i]) {
					t.Fatalf("frame %d: %x, want %x", i, p, payloads[i])
				}
				i, start = i+1, start+n
			}
		}
		if i != len(payloads) || start != len(wire) {
			t.Fatalf("%d frames of %d", i, len(payloads))
		}
	})
}

// FuzzNextFrame: what is accepted is what AppendFrame writes, and a length
// merely told allocates nothing.
func FuzzNextFrame(f *testing.F) {
	for _, c := range frameTable {
		wire, _ := hex.DecodeString(c.wire)
		f.Add(wire, 8)
	}
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 1}, 0)
	f.Fuzz(func(t *testing.T, b []byte, max int) {
		payload, n, err := NextFrame(b, max)
		switch {
		case err != nil && (n != 0 || payload != nil || len(b) < frameHeadBytes):
			t.Errorf("%x: %d bytes and %v", b, n, err)
		case n > 0 && !bytes.Equal(AppendFrame(nil, payload), b[:n]):
			t.Errorf("%x: read as %x", b[:n], payload)
		}
		if !raceEnabled && testing.AllocsPerRun(1, func() { _, _, _ = NextFrame(b, max) }) != 0 {
			t.Errorf("%x allocates", b)
		}
	})
}
