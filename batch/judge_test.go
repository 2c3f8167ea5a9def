package batch

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

// noise is a message that does not compress.
func noise(n int) []byte {
	src := rand.New(rand.NewPCG(1, 2))
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(src.Uint32())
	}
	return p
}

// sendAlone sends each message in a frame of its own and returns the counters.
func sendAlone(t *testing.T, x, y *Link, lane Lane, messages ...[]byte) LaneStats {
	t.Helper()
	var in inbox
	for _, msg := range messages {
		if _, err := x.Append(lane, msg); err != nil {
			t.Fatal(err)
		}
		settle(t, x, y, &in, &in)
	}
	return x.Stats().Lane[lane]
}

func TestCompressionIsTriedWhereItPays(t *testing.T) {
	text := bytes.Repeat([]byte("the same again, "), 1000)
	for lane := range Lane(Lanes) {
		x, y := pair(t, Options{}, Options{})
		if s := sendAlone(t, x, y, lane, text[:packMin-10]); s.Compressed != 0 || s.Skipped != 1 {
			t.Errorf("%s: a small frame was compressed", lane)
		}
		s := sendAlone(t, x, y, lane, text, text, text)
		if s.Compressed != 3 || s.Wire > s.Raw/4 {
			t.Errorf("%s: %d of 3 compressed, %d bytes to %d", lane, s.Compressed, s.Raw, s.Wire)
		}
		if r := y.Stats().Lane[lane]; r.ReceivedRaw != s.Raw || r.ReceivedWire != s.Wire || r.Received != 4 {
			t.Errorf("%s: sent %+v, received %+v", lane, s, r)
		}

		// What does not pay is left alone, and tried again after a while.
		for range 10 {
			s = sendAlone(t, x, y, lane, noise(2000))
		}
		if x.judge[lane].rest == 0 {
			t.Errorf("%s: noise is compressed again and again", lane)
		}
		for range packRest {
			s = sendAlone(t, x, y, lane, text)
		}
		if s.Compressed <= 3 {
			t.Errorf("%s: never tried again", lane)
		}
		before := s.Compressed
		if s = sendAlone(t, x, y, lane, text, text); s.Compressed != before+2 {
			t.Errorf("%s: one good frame is not enough to go on", lane)
		}
	}
}

func TestNothingIsCompressedUnlessBothCan(t *testing.T) {
	text := bytes.Repeat([]byte("the same again, "), 1000)
	for lane := range Lane(Lanes) {
		x, y := pair(t, Options{}, Options{Features: NoFeatures})
		if s := sendAlone(t, x, y, lane, text); s.Compressed != 0 {
			t.Errorf("%s: compressed for a peer that cannot", lane)
		}
		x, y = pair(t, Options{}, Options{Features: FeatureZstd})
		if s := sendAlone(t, x, y, lane, text); s.Compressed != 0 && lane != Bulk {
			t.Errorf("%s: compressed by a codec for bulk", lane)
		}
		x, y = pair(t, Options{}, Options{Features: FeatureHuffman})
		if s := sendAlone(t, x, y, lane, text); s.Compressed != 1 {
			t.Errorf("%s: not compressed", lane)
		}
	}
}
