package batch

// codec says how the messages of a frame are compressed.
type codec uint8

const (
	codecNone codec = iota
	codecS2
	codecZstd
	codecs
)

// compressor is the door to the libraries.
type compressor struct{}

func (c *compressor) bound(n int) int { return n }

// judge decides whether to compress the next frame of a lane.
type judge struct{}

func (l *Link) pack(dst []byte, _ Lane, raw []byte) ([]byte, codec) {
	return append(dst, raw...), codecNone
}

func (l *Link) unpack(h *header, body []byte) ([]byte, error) {
	if h.codec != codecNone {
		return nil, ErrFrame
	}
	return body, nil
}
