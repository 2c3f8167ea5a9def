package codec

import "bytes"

// The chunked transfer coding (RFC 9112 7.1):
//
//	chunked-body = *( chunk-size [ chunk-ext ] CRLF chunk-data CRLF )
//	               1*"0" [ chunk-ext ] CRLF
//	               *( field-line CRLF ) CRLF
//
// A body is first walked, from size line to size line as its bytes come in, and
// decoded in one pass when it is complete. Extensions and trailers are checked,
// bounded and dropped.

const (
	chunkDigitsMax = 16       // hex digits of a size, leading zeros included
	chunkLineMax   = 256      // bytes of a size line, extensions included, without its line end
	chunkSlackMax  = 4 << 10  // bytes of all extensions and trailers of one body
	chunkWireSlack = 16 << 10 // bytes of framing any body may have
)

// chunkedWireMax returns the most bytes a chunked body may take on the wire,
// its trailers apart, when body bounds the decoded bytes. Small chunks are fine
// as long as the whole stays near the limit, which bounds the memory it takes.
func chunkedWireMax(body int) int { return body + body/64 + chunkWireSlack }

// chunkScan is where the walk over a chunked body stands. It is kept in the scan
// words of ParseRequest: pos and head in the first; in the second above the
// phase 13 bits each of slack and rel, then sum.
type chunkScan struct {
	phase uint64
	pos   int // what comes next: a size line, the end of a chunk, a trailer line
	head  int // where the body begins
	slack int // bytes of extensions and trailers so far; ≤ chunkSlackMax
	rel   int // b[pos:pos+rel] holds no LF; ≤ chunkSlackMax
	sum   int // decoded bytes so far
}

const (
	chunkCountBits  = 13 // holds chunkSlackMax
	chunkCountMask  = 1<<chunkCountBits - 1
	chunkSlackShift = phaseBits
	chunkRelShift   = chunkSlackShift + chunkCountBits
	chunkSumShift   = 32
)

func loadChunkScan(scan *[2]uint64) chunkScan {
	return chunkScan{
		phase: scan[1] & phaseMask,
		pos:   int(uint32(scan[0])),
		head:  int(scan[0] >> 32),
		slack: int(scan[1] >> chunkSlackShift & chunkCountMask),
		rel:   int(scan[1] >> chunkRelShift & chunkCountMask),
		sum:   int(scan[1] >> chunkSumShift),
	}
}

func (c *chunkScan) store(scan *[2]uint64) {
	scan[0] = uint64(c.pos) | uint64(c.head)<<32
	scan[1] = c.phase | uint64(c.slack)<<chunkSlackShift | uint64(c.rel)<<chunkRelShift | uint64(c.sum)<<chunkSumShift
}

// advance walks on through b. It reports whether the body is complete: pos is
// then where the next request begins. b is not changed.
func (c *chunkScan) advance(b []byte, bodyMax int) (done bool, err *HTTPError) {
	for {
		if c.phase == phaseChunkEnd {
			if len(b) < c.pos+2 {
				return false, nil
			}
			if b[c.pos] != '\r' || b[c.pos+1] != '\n' {
				return false, errChunkEnd
			}
			c.pos += 2
			c.phase = phaseChunkSize
		}
		line, err := c.nextLine(b)
		if line == nil || err != nil {
			return false, err
		}
		if c.phase == phaseTrailer {
			if len(line) == 0 {
				return true, nil
			}
			if _, _, _, err := splitField(line); err != nil {
				return false, err
			}
			continue
		}
		size, digits, err := chunkSize(line)
		if err != nil {
			return false, err
		}
		if c.slack += len(line) - digits; c.slack > chunkSlackMax {
			return false, errSlack
		}
		if size == 0 {
			c.phase = phaseTrailer
			continue
		}
		if size > uint64(bodyMax-c.sum) {
			return false, errBody
		}
		c.sum += int(size)
		c.pos += int(size)
		c.phase = phaseChunkEnd
		if c.pos-c.head > chunkedWireMax(bodyMax) {
			return false, errBody
		}
	}
}

// nextLine returns the line at pos without its line end and moves pos behind
// it; nil when it is not complete. It checks the bounds of size and trailer
// lines, and counts trailers as slack.
func (c *chunkScan) nextLine(b []byte) ([]byte, *HTTPError) {
	if len(b) < c.pos+c.rel {
		return nil, nil
	}
	rest := b[c.pos:]
	n := bytes.IndexByte(rest[c.rel:], '\n')
	if n < 0 {
		n = len(rest)
	} else {
		n += c.rel
	}
	if c.tooLong(rest[:n]) {
		return nil, errSlack
	}
	if n == len(rest) {
		c.rel = n
		return nil, nil
	}
	if n == 0 || rest[n-1] != '\r' {
		return nil, errBareLF
	}
	c.pos += n + 1
	c.rel = 0
	if c.phase == phaseTrailer && n > 1 {
		c.slack += n + 1
	}
	return rest[: n-1 : n-1], nil
}

// tooLong reports whether the bytes of a line read so far, with the CR but
// without the LF, break a bound. The blank line behind the trailers never does.
func (c *chunkScan) tooLong(raw []byte) bool {
	if c.phase != phaseTrailer {
		return len(raw) > chunkLineMax+1
	}
	blank := len(raw) == 0 || len(raw) == 1 && raw[0] == '\r'
	return !blank && c.slack+len(raw)+len("\n") > chunkSlackMax
}

// chunkSize parses a size line, its line end cut off, and returns how many
// digits the size has. All behind them is extension.
func chunkSize(line []byte) (size uint64, digits int, err *HTTPError) {
	for digits < len(line) && byteClass[line[digits]]&classHex != 0 {
		c := line[digits]
		if c > '9' {
			c += 9 // the low four bits of 'A' and 'a' are 1
		}
		size = size<<4 | uint64(c&0xf)
		digits++
	}
	if digits == 0 || digits > chunkDigitsMax {
		return 0, 0, errChunk
	}
	if ext := line[digits:]; len(ext) > 0 {
		switch {
		case ext[0] == ' ' || ext[0] == '\t':
			return 0, 0, errChunkSP
		case ext[0] != ';':
			return 0, 0, errChunk
		case !isValue(ext):
			return 0, 0, errChunkExt
		}
	}
	return size, digits, nil
}

// decodeChunks moves the data of the complete and well-formed chunked body at
// head together, in place, and returns where it is: at the first chunk's data,
// so that a body of one chunk stays where it is.
func decodeChunks(b []byte, head int) Span {
	start, end := head, head
	for pos := head; ; {
		n := bytes.IndexByte(b[pos:], '\n')
		size, _, _ := chunkSize(b[pos : pos+n-1])
		if size == 0 {
			return span(start, end-start)
		}
		data := pos + n + 1
		if pos == head {
			start, end = data, data
		}
		end += copy(b[end:], b[data:data+int(size)])
		pos = data + int(size) + len("\r\n")
	}
}

// AppendChunk appends p as one chunk. An empty p appends nothing: an empty
// chunk would end the body.
func AppendChunk(dst, p []byte) []byte {
	if len(p) == 0 {
		return dst
	}
	dst = appendHex(dst, uint64(len(p)))
	dst = append(dst, "\r\n"...)
	dst = append(dst, p...)
	return append(dst, "\r\n"...)
}

// AppendLastChunk appends the chunk that ends a body, without trailers.
func AppendLastChunk(dst []byte) []byte { return append(dst, "0\r\n\r\n"...) }

const hexDigits = "0123456789abcdef"

func appendHex(dst []byte, n uint64) []byte {
	digits := 1
	for n>>(4*digits) != 0 {
		digits++
	}
	for digits--; digits >= 0; digits-- {
		dst = append(dst, hexDigits[n>>(4*digits)&0xf])
	}
	return dst
}

// chunkMark is the size line BeginChunk reserves: eight digits hold any chunk
// below 4 GiB, and zeros may lead (RFC 9112 7.1).
const chunkMark = "00000000\r\n"

// BeginChunk reserves the size line of a chunk. The caller appends the chunk's
// bytes to out, where they are to stay, and hands the result to EndChunk with
// mark. Nothing is copied, so what is framed may itself be built by AppendX
// functions.
func BeginChunk(dst []byte) (out []byte, mark int) {
	return append(dst, chunkMark...), len(dst)
}

// EndChunk completes the chunk begun at mark. If nothing was appended since, the
// reserved line is taken back: an empty chunk would end the body. It panics if
// the chunk is 4 GiB or larger.
func EndChunk(dst []byte, mark int) []byte {
	n := len(dst) - mark - len(chunkMark)
	if n == 0 {
		return dst[:mark]
	}
	putChunkSize(dst[mark:mark+len(chunkMark)-len("\r\n")], uint64(n))
	return append(dst, "\r\n"...)
}

// putChunkSize fills digits with n in hex.
func putChunkSize(digits []byte, n uint64) {
	if n>>(4*len(digits)) != 0 {
		panic("codec: chunk of 4 GiB or more")
	}
	for i := range digits {
		digits[len(digits)-1-i] = hexDigits[n>>(4*i)&0xf]
	}
}
