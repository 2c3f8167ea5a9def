package batch

const (
	// packMin is the fewest bytes that are tried: less than a few messages hold
	// little that repeats.
	packMin = 384
	// packPoor is the share of its size, of 256, that compression has to leave
	// or go below to be worth the time.
	packPoor = 230
	// packRest is how many frames go uncompressed after compression did not pay,
	// until it is tried again.
	packRest = 32
)

// judge decides for a lane whether to compress the next frame: by its size, and
// by what compression made of the frames before. Never by time, since a slow
// peer would then cost more work the slower it is.
type judge struct {
	share int // running mean of size after ÷ size before, of 256
	rest  int // frames not to try
}

// try reports whether the next frame, of n bytes, should be compressed.
func (j *judge) try(n int) bool {
	if n < packMin {
		return false
	}
	if j.rest > 0 {
		j.rest--
		return false
	}
	return true
}

// note takes what came of it.
func (j *judge) note(before, after int) {
	j.share += (after*256/before - j.share) / 4
	if j.share > packPoor {
		j.rest = packRest
		j.share = packPoor // one good frame, and it goes on
	}
}

// preferred are the codecs of each lane, best first. What is urgent or much is
// packed fast, what has time is packed small.
var preferred = [Lanes][]codec{
	Control: {codecS2},
	Data:    {codecHuffman, codecS2},
	Bulk:    {codecZstd, codecHuffman, codecS2},
}

// codecFor returns the codec for a frame of n bytes.
func (l *Link) codecFor(lane Lane, n int) codec {
	for _, c := range preferred[lane] {
		if l.features&c.feature() != 0 {
			if l.judge[lane].try(n) {
				return c
			}
			break
		}
	}
	return codecNone
}

// feature returns what has to be agreed on for c.
func (c codec) feature() Features { return 1 << (c - 1) }

// pack appends raw to dst, compressed by c if that pays. dst has room for either.
func pack(dst []byte, c codec, raw []byte) ([]byte, codec) {
	if c != codecNone {
		base := len(dst)
		dst, c = encode(dst, c, raw)
		if len(dst)-base < len(raw) {
			return dst, c
		}
		dst = dst[:base]
	}
	return append(dst, raw...), codecNone
}

// unpack returns the messages of a frame. They are part of body, or of the
// link's buffer until the next frame.
func (l *Link) unpack(h *header, body []byte) ([]byte, error) {
	if h.codec == codecNone {
		return body, nil
	}
	if l.features&h.codec.feature() == 0 {
		return nil, ErrFrame // not agreed on
	}
	if cap(l.scratch) < h.raw {
		l.scratch = make([]byte, 0, max(h.raw, min(l.o.FrameMax, scratchMax)))
	}
	raw, err := decode(l.scratch, h.codec, body, h.raw)
	if cap(l.scratch) > scratchMax {
		l.scratch = nil
	}
	return raw, err
}
