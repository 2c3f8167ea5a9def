package codec

// This file holds the HTTP/1.1 request parser (RFC 9110, RFC 9112). Where the
// RFCs leave a choice it refuses, for whatever two servers in a row may read two
// ways can smuggle a request past the first. The rules that are stricter than
// net/http are listed, marked, with the errors in http_error.go; in all other
// things the two agree, which a fuzz test compares: what is accepted, where a
// request ends, and its body.
//
// One rule is looser than http.ReadRequest, and like http.Server: one empty line
// before a request line is skipped (RFC 9112 2.2).

// Default limits, taken where a field of HTTPLimits is zero.
const (
	httpLineMax        = 8 << 10  // bytes of the request line
	httpHeadersMax     = 64       // header fields
	httpHeaderBytesMax = 16 << 10 // bytes of all header lines
	httpBodyMax        = 16 << 20 // bytes of a decoded body
)

// HTTPLimits bounds what one request may cost. The zero value of a field
// stands for its default. A HTTPLimits is only read, so one may be shared by
// any number of goroutines.
type HTTPLimits struct {
	Line        int // bytes of the request line without its line end; 8 KiB
	Headers     int // header fields; 64
	HeaderBytes int // bytes of all header lines, line ends included; 16 KiB
	Body        int // bytes of a decoded body; 16 MiB, at most 1 GiB
}

// httpLimitMax bounds every limit, so that the sum of all fits a Span.
const httpLimitMax = 1 << 30

// resolve returns l with its defaults in place. A nil l has only defaults.
func (l *HTTPLimits) resolve() (r HTTPLimits) {
	if l != nil {
		r = *l
	}
	pick := func(v, def int) int {
		if v <= 0 {
			return def
		}
		return min(v, httpLimitMax)
	}
	return HTTPLimits{
		Line:        pick(r.Line, httpLineMax),
		Headers:     min(pick(r.Headers, httpHeadersMax), 1<<16-1),
		HeaderBytes: pick(r.HeaderBytes, httpHeaderBytesMax),
		Body:        pick(r.Body, httpBodyMax),
	}
}

// Message returns the most bytes of one request that ParseRequest asks its
// caller to keep: given that many it returns a request or an error.
func (l *HTTPLimits) Message() int {
	r := l.resolve()
	return len("\r\n") + r.Line + len("\r\n") + r.HeaderBytes + len("\r\n") +
		chunkedWireMax(r.Body) + len("\r\n") + chunkLineMax + len("\r\n") + chunkSlackMax + len("\r\n")
}

// Method is the request method. Methods are case-sensitive (RFC 9110 9.1).
type Method uint8

// The methods the parser tells apart. CONNECT is refused and never seen here.
const (
	MethodOther Method = iota // any other well-formed token
	MethodGet
	MethodPost
	MethodDelete
	MethodOptions
	MethodHead
	MethodPut
)

// Flags of a Request.
const (
	FlagHTTP10     uint8 = 1 << iota // HTTP/1.0; else HTTP/1.1
	FlagKeepAlive                    // the client expects the connection to stay open
	FlagChunked                      // the body came in chunks
	FlagExpect                       // Expect: 100-continue under HTTP/1.1
	FlagUpgrade                      // Connection: upgrade with an Upgrade header
	FlagAcceptMore                   // Accept came more than once; the span is the first
)

// Request is one parsed request head and the place of its body. It holds no
// pointer: every Span counts from the first byte given to ParseRequest, so a
// Request stays good when the message is moved or copied as a whole.
//
// A header that is absent has the zero Span; one that is present but empty has
// Len 0 and an Off other than 0.
type Request struct {
	Method          Method
	Flags           uint8
	Head            uint32 // bytes of the head, its blank line included
	Target          Span   // request target as sent
	Path            Span   // raw path; never empty, "*" for OPTIONS *
	Query           Span   // raw query without "?"
	Host            Span   // authority: uri-host [ ":" port ]
	ContentType     Span
	Accept          Span
	Origin          Span
	Authorization   Span
	SessionID       Span // Mcp-Session-Id
	ProtocolVersion Span // MCP-Protocol-Version
	LastEventID     Span // Last-Event-ID
	McpMethod       Span // Mcp-Method
	McpName         Span // Mcp-Name
	Body            Span // decoded body
}

// Phases of an unfinished request, in the low bits of scan[1]. A request moves
// down this list only:
//
//	phase       scan[0] low        scan[0] high     scan[1] above the phase
//	head        line               search           count << 8, base << 32
//	length      bytes of request   0                0
//	chunkSize   pos                head             see chunkScan
//	chunkEnd    pos                head             see chunkScan
//	trailer     pos                head             see chunkScan
const (
	phaseHead = iota
	phaseLength
	phaseChunkSize
	phaseChunkEnd
	phaseTrailer

	phaseBits = 3
	phaseMask = 1<<phaseBits - 1
)

// ParseRequest looks at the first request of b. The outcomes:
//
//   - err != nil: the request is refused.
//   - n > 0: it is complete, n bytes long, and *req describes it. A body that
//     came in chunks has been decoded in place: req.Body spans the decoded
//     bytes, and the bytes of b between them and n are garbage.
//   - n == 0: more bytes are needed. b is unchanged and *req says nothing, unless
//     wants100.
//
// When n == 0 and wants100 is true, the client waits for leave to send its
// body: the caller answers 100 Continue, or refuses by what *req says of the
// head (its Body is absent). That happens once a request at most, and not when
// bytes of the body are there already (RFC 9110 10.1.1).
//
// *scan is what the parser remembers of an unfinished request. It is zero before
// the first call for a request and is zeroed again when n > 0. The next call
// must be given the same bytes and more; they may have moved. Each byte is
// looked at a small fixed number of times however many calls it takes, and a
// request cut into pieces anywhere gives the same outcome as in one piece. What
// is kept is bounded by lim.Message; nothing is allocated, and no length the
// client tells is trusted with more than a comparison.
func ParseRequest(b []byte, scan *[2]uint64, lim *HTTPLimits, req *Request) (n int, wants100 bool, err *HTTPError) {
	p := headParser{b: b, lim: lim.resolve(), req: req}
	phase := scan[1] & phaseMask
	var done bool
	switch phase {
	case phaseHead:
		done, err = p.resume(scan)
	case phaseLength:
		done = uint64(len(b)) >= scan[0]
	default:
		c := loadChunkScan(scan)
		done, err = c.advance(b, p.lim.Body)
		c.store(scan)
	}
	if !done || err != nil {
		return 0, false, err
	}
	if phase != phaseHead {
		// The head was read in an earlier call, which only this call's req can
		// tell of: read it once more, and the framing of the body with it.
		if err = p.again(); err != nil {
			return 0, false, err
		}
	}
	n, err = p.body(scan)
	wants100 = phase == phaseHead && n == 0 && err == nil && req.Flags&FlagExpect != 0 && len(b) == int(req.Head)
	return n, wants100, err
}

// resume goes on with a head where the scan words say. When it is done, p has
// read and judged the whole head.
func (p *headParser) resume(scan *[2]uint64) (done bool, err *HTTPError) {
	*p.req = Request{}
	p.line, p.search = int(uint32(scan[0])), int(scan[0]>>32)
	p.base, p.count = int(scan[1]>>32), int(uint16(scan[1]>>8))
	started := p.search > 0
	if p.search > len(p.b) {
		return false, nil
	}
	done, err = p.run()
	switch {
	case err != nil:
		return false, err
	case !done:
		scan[0] = uint64(p.line) | uint64(p.search)<<32
		scan[1] = phaseHead | uint64(p.count)<<8 | uint64(p.base)<<32
		return false, nil
	case started:
		return true, p.again()
	}
	return true, p.finish()
}

// again reads a head from its start that is complete: lines read in an earlier
// call left nothing behind.
func (p *headParser) again() *HTTPError {
	*p.req = Request{}
	*p = headParser{b: p.b, lim: p.lim, req: p.req}
	if _, err := p.run(); err != nil {
		return err
	}
	return p.finish()
}

// body looks for the body behind a complete head. n is the length of the whole
// request, 0 if more bytes are needed.
func (p *headParser) body(scan *[2]uint64) (n int, err *HTTPError) {
	head := p.line
	if p.req.Flags&FlagChunked == 0 {
		n = head + int(p.length)
		if len(p.b) < n {
			*scan = [2]uint64{uint64(n), phaseLength}
			return 0, nil
		}
		p.req.Body = span(head, int(p.length))
		*scan = [2]uint64{}
		return n, nil
	}
	c := chunkScan{phase: phaseChunkSize, pos: head, head: head}
	done, err := c.advance(p.b, p.lim.Body)
	if err != nil || !done {
		c.store(scan)
		return 0, err
	}
	p.req.Body = decodeChunks(p.b, head)
	*scan = [2]uint64{}
	return c.pos, nil
}
