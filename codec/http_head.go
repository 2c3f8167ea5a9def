package codec

import "bytes"

// Facts about a head that decide its framing and whether it is good. They are
// collected line by line and judged when the head is complete: what a line is
// refused for at once may not depend on others, which may have come in an
// earlier call or be yet to come.
const (
	sawLength      = 1 << iota // Content-Length
	sawCoding                  // Transfer-Encoding
	sawBadCoding               // a transfer coding that is not chunked
	sawExpect                  // Expect: 100-continue
	sawBadExpect               // any other expectation
	sawClose                   // Connection: close
	sawKeepAlive               // Connection: keep-alive
	sawConnUpgrade             // Connection: upgrade
	sawUpgrade                 // Upgrade
	sawBadHost                 // a Host that is none
	sawBadLength               // a Content-Length that is no number
	sawBadTrailer              // Trailer names a framing header
	sawTwice                   // a header repeated that may not be
	sawHosts                   // Host repeated
	sawLengths                 // Content-Length repeated with another value
)

// headParser walks the lines of one head. line, search, base and count survive
// between calls in the scan words of ParseRequest; the rest is made anew.
//
// Invariant: base ≤ line ≤ search ≤ len(b), or base == 0 before the end of the
// request line. All complete lines before line are well-formed; there is no LF
// in b[line:search].
type headParser struct {
	b   []byte
	lim HTTPLimits // resolved
	req *Request

	line   int // where the first unread line begins
	search int // where the search for its end goes on
	base   int // where the header lines begin
	count  int // header fields read

	saw       uint32
	length    uint64 // value of Content-Length; beyond 1<<62 all values are one
	lengthAt  Span   // its digits
	authority Span   // of an absolute target
}

// run reads lines until the blank one. done is false when b ends before it.
func (p *headParser) run() (done bool, err *HTTPError) {
	if p.base == 0 && p.line == 0 {
		if more, err := p.begin(); more || err != nil {
			return false, err
		}
	}
	for {
		i := bytes.IndexByte(p.b[p.search:], '\n')
		if i < 0 {
			p.search = len(p.b)
			return false, p.tooLong(p.b[p.line:])
		}
		end := p.search + i
		raw := p.b[p.line:end]
		if err := p.tooLong(raw); err != nil {
			return false, err
		}
		if len(raw) == 0 || raw[len(raw)-1] != '\r' {
			return false, errBareLF
		}
		off, line := p.line, raw[:len(raw)-1]
		p.line, p.search = end+1, end+1
		switch {
		case p.base == 0:
			p.base = p.line
			err = p.requestLine(line, off)
		case len(line) == 0:
			return true, nil
		case p.count == p.lim.Headers:
			err = errMany
		default:
			p.count++
			err = p.header(line, off)
		}
		if err != nil {
			return false, err
		}
	}
}

// begin skips one empty line, which old clients send behind a body (RFC 9112
// 2.2), and refuses what can begin no request before a line of it has come:
// most of all a TLS handshake.
func (p *headParser) begin() (more bool, err *HTTPError) {
	b := p.b
	if len(b) > 0 && b[0] == '\r' {
		if len(b) > 1 && b[1] != '\n' {
			return false, errNoise
		}
		if len(b) < 3 {
			return true, nil
		}
		p.line, p.search = 2, 2
	}
	if len(b) == p.line {
		return true, nil
	}
	if byteClass[b[p.line]]&classToken == 0 {
		return false, errNoise
	}
	return false, nil
}

// tooLong checks the bytes of a line that were read so far, with the CR but
// without the LF, against the limits. A line that breaks a limit breaks it
// wherever it is cut: raw only grows.
func (p *headParser) tooLong(raw []byte) *HTTPError {
	if p.base == 0 {
		if len(raw) > p.lim.Line+1 {
			return errLong
		}
		return nil
	}
	blank := len(raw) == 0 || len(raw) == 1 && raw[0] == '\r'
	if !blank && p.line-p.base+len(raw)+len("\n") > p.lim.HeaderBytes {
		return errLarge
	}
	return nil
}

// splitField splits a header or trailer line, its line end cut off, into the
// length of its name and the bounds of its value without the whitespace around.
func splitField(line []byte) (name, from, to int, err *HTTPError) {
	for name < len(line) && byteClass[line[name]]&classToken != 0 {
		name++
	}
	switch {
	case name == len(line):
		return 0, 0, 0, errColon
	case line[name] == ':' && name > 0:
	case line[name] == ' ' || line[name] == '\t':
		if name == 0 {
			return 0, 0, 0, errFold
		}
		return 0, 0, 0, errSpace
	default:
		return 0, 0, 0, errName
	}
	from, to = name+1, len(line)
	for from < to && (line[from] == ' ' || line[from] == '\t') {
		from++
	}
	for to > from && (line[to-1] == ' ' || line[to-1] == '\t') {
		to--
	}
	if value := line[from:to]; !isValue(value) {
		if bytes.IndexByte(value, '\r') >= 0 {
			return 0, 0, 0, errBareCR
		}
		return 0, 0, 0, errValue
	}
	return name, from, to, nil
}

// finish judges a complete head and fills what depends on more than one line.
func (p *headParser) finish() *HTTPError {
	old := p.req.Flags&FlagHTTP10 != 0
	chunked := p.saw&sawCoding != 0
	switch {
	case p.saw&sawHosts != 0:
		return errHosts
	case p.saw&sawTwice != 0:
		return errTwice
	case p.saw&sawBadHost != 0:
		return errHost
	case p.req.Host.Off == 0 && !old:
		return errNoHost
	case p.saw&sawBadLength != 0:
		return errLength
	case p.saw&sawLengths != 0:
		return errLengths
	case chunked && p.saw&sawLength != 0:
		return errBoth
	case chunked && old:
		return errCoding10
	case p.saw&sawBadCoding != 0:
		return errCoding
	case chunked && p.saw&sawBadTrailer != 0:
		return errTrailer
	case p.saw&sawBadExpect != 0 && !old:
		return errExpect
	case p.length > uint64(p.lim.Body):
		return errBody
	}
	if a := p.authority; a.Len > 0 {
		if p.req.Host.Off != 0 && !bytes.EqualFold(a.Of(p.b), p.req.Host.Of(p.b)) {
			return errOther
		}
		p.req.Host = a
	}
	p.req.Head = uint32(p.line)
	if p.saw&sawClose == 0 && (!old || p.saw&sawKeepAlive != 0) {
		p.req.Flags |= FlagKeepAlive
	}
	if p.saw&sawExpect != 0 && !old {
		p.req.Flags |= FlagExpect
	}
	if p.saw&sawUpgrade != 0 && p.saw&sawConnUpgrade != 0 {
		p.req.Flags |= FlagUpgrade
	}
	if chunked {
		p.req.Flags |= FlagChunked
	}
	return nil
}
