package codec

import (
	"bytes"
	"errors"
)

// LineBytesMax is the default bound of a line, in bytes without its newline.
const LineBytesMax = 16 << 20

// ErrTooLong says that a line or a frame exceeds its bound. Where the next one
// starts is unknown or not worth reading up to: answer, if the protocol can,
// and close.
var ErrTooLong = errors.New("codec: message too long")

// NextLine finds the first line in b. A line ends with a newline; one carriage
// return before it is no part of the line either. max bounds the bytes before
// the newline, LineBytesMax if it is 0 or less.
//
// If there is a line, n is its length on the wire, to be consumed, and line is
// a part of b, empty but not nil for an empty line. If n is 0 and err is nil,
// more bytes are needed: call again with the same bytes at the start of b and
// more behind them. If err is ErrTooLong the bytes so far are already too many,
// wherever the newline is; that does not depend on how they arrived.
//
// *scan is the number of bytes known to hold no newline. It is 0 at the start
// of each line, NextLine sets it back when a line ends, and it must not be
// carried to another buffer. With it every byte is looked at once, however
// small the pieces in which a line arrives.
func NextLine(b []byte, scan *uint64, max int) (line []byte, n int, err error) {
	if max <= 0 {
		max = LineBytesMax
	}
	window := b
	if len(window) > max {
		window = b[:max+1]
	}
	from := int(min(*scan, uint64(len(window))))
	i := bytes.IndexByte(window[from:], '\n')
	if i < 0 && len(window) <= max {
		*scan = uint64(len(window))
		return nil, 0, nil
	}
	*scan = 0
	if i < 0 {
		return nil, 0, ErrTooLong
	}
	end := from + i
	n = end + 1
	if end > 0 && b[end-1] == '\r' {
		end--
	}
	return b[:end:end], n, nil
}
