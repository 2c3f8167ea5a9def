package codec

import "bytes"

// header reads one header line, which stands at off, and keeps what is known.
func (p *headParser) header(line []byte, off int) *HTTPError {
	n, from, to, err := splitField(line)
	if err != nil {
		return err
	}
	p.known(line[:n], line[from:to], span(off+from, to-from))
	return nil
}

// known keeps a header the server or the framing needs. Names are told apart by
// length first: of sixteen known names at most three have the same.
func (p *headParser) known(name, v []byte, at Span) {
	if s := p.req.singleton(name); s != nil {
		// A value never stands at 0, so an empty one is told from none.
		if s.Off != 0 {
			p.saw |= sawTwice
			return
		}
		*s = at
		return
	}
	switch len(name) {
	case 4:
		if isName(name, "host") {
			p.host(v, at)
		}
	case 6:
		if isName(name, "accept") {
			p.accept(at)
		} else if isName(name, "expect") {
			p.expect(v)
		}
	case 7:
		if isName(name, "upgrade") {
			p.saw |= sawUpgrade
		} else if isName(name, "trailer") {
			p.trailer(v)
		}
	case 10:
		if isName(name, "connection") {
			p.connection(v)
		}
	case 14:
		if isName(name, "content-length") {
			p.contentLength(v, at)
		}
	case 17:
		if isName(name, "transfer-encoding") {
			p.coding(v)
		}
	}
}

// singleton returns the field of r for a header of which there may be one, nil
// for any other name.
func (r *Request) singleton(name []byte) *Span {
	switch len(name) {
	case 6:
		if isName(name, "origin") {
			return &r.Origin
		}
	case 8:
		if isName(name, "mcp-name") {
			return &r.McpName
		}
	case 10:
		if isName(name, "mcp-method") {
			return &r.McpMethod
		}
	case 12:
		if isName(name, "content-type") {
			return &r.ContentType
		}
	case 13:
		if isName(name, "authorization") {
			return &r.Authorization
		}
		if isName(name, "last-event-id") {
			return &r.LastEventID
		}
	case 14:
		if isName(name, "mcp-session-id") {
			return &r.SessionID
		}
	case 20:
		if isName(name, "mcp-protocol-version") {
			return &r.ProtocolVersion
		}
	}
	return nil
}

func (p *headParser) accept(at Span) {
	if p.req.Accept.Off != 0 {
		p.req.Flags |= FlagAcceptMore
		return
	}
	p.req.Accept = at
}

func (p *headParser) host(v []byte, at Span) {
	if p.req.Host.Off != 0 {
		p.saw |= sawHosts
		return
	}
	p.req.Host = at
	if !validHost(v) {
		p.saw |= sawBadHost
	}
}

// contentLength takes digits only: no sign, no underscore, no list. A repeated
// header must repeat its very digits.
func (p *headParser) contentLength(v []byte, at Span) {
	if len(v) == 0 || !allOf(v, classDigit) {
		p.saw |= sawBadLength
		return
	}
	if p.saw&sawLength != 0 {
		if !bytes.Equal(v, p.lengthAt.Of(p.b)) {
			p.saw |= sawLengths
		}
		return
	}
	p.saw |= sawLength
	p.lengthAt = at
	for _, c := range v {
		if p.length >= 1<<58 {
			p.length = 1 << 62 // beyond any limit; more digits would overflow
			break
		}
		p.length = p.length*10 + uint64(c-'0')
	}
}

// coding takes "chunked", once and alone.
func (p *headParser) coding(v []byte) {
	if p.saw&sawCoding != 0 || !isName(v, "chunked") {
		p.saw |= sawBadCoding
	}
	p.saw |= sawCoding
}

func (p *headParser) expect(v []byte) {
	if isName(v, "100-continue") {
		p.saw |= sawExpect
	} else {
		p.saw |= sawBadExpect
	}
}

func (p *headParser) connection(list []byte) {
	for len(list) > 0 {
		var t []byte
		switch t, list = cutToken(list); {
		case isName(t, "close"):
			p.saw |= sawClose
		case isName(t, "keep-alive"):
			p.saw |= sawKeepAlive
		case isName(t, "upgrade"):
			p.saw |= sawConnUpgrade
		}
	}
}

// trailer looks for names a trailer section must not hold (RFC 9110 6.5.1).
// Trailers are dropped whatever they are called, yet who announces these means
// no good.
func (p *headParser) trailer(list []byte) {
	for len(list) > 0 {
		var t []byte
		t, list = cutToken(list)
		if isName(t, "content-length") || isName(t, "transfer-encoding") || isName(t, "trailer") {
			p.saw |= sawBadTrailer
		}
	}
}

// EachHeader calls f for every header field of the request in order, known ones
// too, until f returns false. msg is the message r was parsed from; name is as
// sent, value without the whitespace around. Both are parts of msg.
func (r *Request) EachHeader(msg []byte, f func(name, value []byte) bool) {
	end := int(r.Head) - len("\r\n")
	off := int(r.Target.Off+r.Target.Len) + len(" HTTP/1.1\r\n")
	for off < end {
		line := msg[off:end]
		n := bytes.IndexByte(line, '\n')
		line, off = line[:n-1], off+n+1
		colon := bytes.IndexByte(line, ':')
		if !f(line[:colon:colon], trimOWS(line[colon+1:])) {
			return
		}
	}
}

// Header returns the value of the first header field called name, in whatever
// case, and whether there is one. It reads the head again and is meant for
// headers Request has no field for. msg and the value are as in EachHeader.
func (r *Request) Header(msg []byte, name string) (value []byte, ok bool) {
	r.EachHeader(msg, func(n, v []byte) bool {
		if equalFold(n, name) {
			value, ok = v, true
		}
		return !ok
	})
	return value, ok
}
