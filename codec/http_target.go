package codec

import (
	"bytes"
	"net/netip"
	"unsafe"
)

// requestLine parses the line at off, its line end cut off:
//
//	method SP request-target SP HTTP-version    (RFC 9112 3)
func (p *headParser) requestLine(line []byte, off int) *HTTPError {
	i := 0
	for i < len(line) && byteClass[line[i]]&classToken != 0 {
		i++
	}
	if i == 0 || i < len(line) && line[i] != ' ' {
		return errMethod
	}
	if i == len(line) {
		return errLine
	}
	target, proto, ok := bytes.Cut(line[i+1:], []byte{' '})
	if !ok || len(target) == 0 {
		return errLine
	}
	if len(proto) != 8 || string(proto[:5]) != "HTTP/" || proto[6] != '.' ||
		byteClass[proto[5]]&byteClass[proto[7]]&classDigit == 0 {
		return errProto
	}
	switch string(proto[5:]) {
	case "1.1":
	case "1.0":
		p.req.Flags |= FlagHTTP10
	default:
		return errVer
	}
	if p.req.Method = methodOf(line[:i]); p.req.Method == methodConnect {
		return errTunnel
	}
	return p.target(target, off+i+1)
}

// methodConnect never leaves the parser: CONNECT is refused.
const methodConnect Method = 0xff

func methodOf(name []byte) Method {
	switch string(name) {
	case "POST":
		return MethodPost
	case "GET":
		return MethodGet
	case "DELETE":
		return MethodDelete
	case "OPTIONS":
		return MethodOptions
	case "HEAD":
		return MethodHead
	case "PUT":
		return MethodPut
	case "CONNECT":
		return methodConnect
	}
	return MethodOther
}

// target parses the request target t, which stands at off, in three of the four
// forms of RFC 9112 3.2; the fourth belongs to CONNECT.
func (p *headParser) target(t []byte, off int) *HTTPError {
	if !allOf(t, classTarget) {
		return errTarget
	}
	p.req.Target = span(off, len(t))
	switch {
	case t[0] == '/':
	case len(t) == 1 && t[0] == '*':
		if p.req.Method != MethodOptions {
			return errForm
		}
		p.req.Path = p.req.Target
		return nil
	default:
		n := schemeLen(t)
		if n == 0 {
			return errForm
		}
		host, rest := t[n:], []byte(nil)
		if i := bytes.IndexAny(host, "/?"); i >= 0 {
			host, rest = host[:i], host[i:]
		}
		if !validHost(host) {
			return errHost
		}
		p.authority = span(off+n, len(host))
		if len(rest) == 0 || rest[0] == '?' {
			// The path is "/" (RFC 9112 3.2.1). One stands before the host.
			p.req.Path = span(off+n-1, 1)
			if len(rest) > 0 {
				p.req.Query = span(off+n+len(host)+1, len(rest)-1)
			}
			return nil
		}
		off += n + len(host)
		t = rest
	}
	path, query, ok := bytes.Cut(t, []byte{'?'})
	if ok {
		p.req.Query = span(off+len(path)+1, len(query))
	}
	p.req.Path = span(off, len(path))
	if !validEscapes(path) {
		return errEscape
	}
	return nil
}

// schemeLen returns the length of the "http://" or "https://" t begins with, 0
// if there is none.
func schemeLen(t []byte) int {
	for _, s := range [...]string{"http://", "https://"} {
		if n := len(s); len(t) >= n && isName(t[:n-3], s[:n-3]) && string(t[n-3:n]) == "://" {
			return n
		}
	}
	return 0
}

// validEscapes reports whether two hex digits follow each "%".
func validEscapes(path []byte) bool {
	for {
		i := bytes.IndexByte(path, '%')
		if i < 0 {
			return true
		}
		if len(path) < i+3 || byteClass[path[i+1]]&byteClass[path[i+2]]&classHex == 0 {
			return false
		}
		path = path[i+3:]
	}
}

// hostMax is the longest host: a domain name has at most 253 bytes.
const hostMax = 255

// validHost reports whether h is a host with an optional port, as it may stand
// in a Host header: a domain name, an IPv4 address or an IPv6 address in
// brackets (RFC 3986 3.2.2). Percent-encoded and empty names, user information,
// zones and IPvFuture are refused; nobody reaches a server of ours by those,
// and a check of the host for a list of allowed ones (against DNS rebinding)
// has less to be fooled by.
func validHost(h []byte) bool {
	var port []byte
	ok := true
	if len(h) > 0 && h[0] == '[' {
		end := bytes.IndexByte(h, ']')
		if end < 0 || !validIPv6(h[1:end]) {
			return false
		}
		if port = h[end+1:]; len(port) > 0 {
			ok = port[0] == ':'
			port = port[1:]
		}
	} else {
		name, rest, _ := bytes.Cut(h, []byte{':'})
		port = rest
		ok = len(name) > 0 && len(name) <= hostMax && allOf(name, classHost)
	}
	return ok && len(port) <= 5 && allOf(port, classDigit)
}

// validIPv6 reports whether a is an IPv6 address without a zone.
func validIPv6(a []byte) bool {
	if len(a) == 0 || bytes.IndexByte(a, '%') >= 0 {
		return false
	}
	// The string shares the bytes of a for this call only: netip keeps its
	// argument as a zone, of which there is none, or in the error dropped here.
	addr, err := netip.ParseAddr(unsafe.String(&a[0], len(a)))
	return err == nil && addr.Is6()
}

func span(off, n int) Span { return Span{uint32(off), uint32(n)} }
