package codec

import "bytes"

// MediaType returns the type and subtype of a Content-Type value, without the
// parameters and the whitespace around: a part of ct, in the case it was sent
// (RFC 9110 8.3.1).
func MediaType(ct []byte) []byte {
	ct, _, _ = bytes.Cut(ct, []byte{';'})
	return trimOWS(ct)
}

// MediaTypeIs reports whether the Content-Type value ct names mediaType, which
// is written like "application/json", whatever its parameters and case.
func MediaTypeIs(ct []byte, mediaType string) bool {
	return equalFold(MediaType(ct), mediaType)
}

// Accepts reports whether list, the value of an Accept header, allows mediaType,
// which is written like "text/event-stream" (RFC 9110 12.5.1). The most exact
// range that matches decides: "text/html;q=0, */*" allows all but text/html. An
// empty list allows everything, as no header does; a caller who wants the header
// to be there must look for it. Parameters of ranges other than q are ignored.
func Accepts(list []byte, mediaType string) bool {
	var a acceptor
	a.add(list, mediaType)
	return a.allowed()
}

// Accepts is the function Accepts for all Accept headers of the request
// together. msg is the message r was parsed from.
func (r *Request) Accepts(msg []byte, mediaType string) bool {
	if r.Flags&FlagAcceptMore == 0 {
		return Accepts(r.Accept.Of(msg), mediaType)
	}
	var a acceptor
	r.EachHeader(msg, func(name, value []byte) bool {
		if equalFold(name, "Accept") {
			a.add(value, mediaType)
		}
		return true
	})
	return a.allowed()
}

// acceptor collects what ranges say of one media type.
type acceptor struct {
	any   bool // there was a range
	exact int  // how exact the best match is; see rangeMatch
	ok    bool // what the best match says
}

func (a *acceptor) allowed() bool { return a.ok || !a.any }

func (a *acceptor) add(list []byte, mediaType string) {
	for len(list) > 0 {
		var elem []byte
		elem, list = cutQuoted(list, ',')
		if elem = trimOWS(elem); len(elem) == 0 {
			continue
		}
		a.any = true
		rng, params, _ := bytes.Cut(elem, []byte{';'})
		exact := rangeMatch(trimOWS(rng), mediaType)
		if exact == 0 || exact < a.exact {
			continue
		}
		ok := !zeroWeight(params)
		a.ok = ok || exact == a.exact && a.ok
		a.exact = exact
	}
}

// rangeMatch returns how exactly rng matches mediaType: 3 by name, 2 as type/*,
// 1 as */*, 0 not at all.
func rangeMatch(rng []byte, mediaType string) int {
	if equalFold(rng, mediaType) {
		return 3
	}
	n := len(rng)
	switch {
	case string(rng) == "*/*":
		return 1
	case n > 2 && n <= len(mediaType) && string(rng[n-2:]) == "/*" && equalFold(rng[:n-1], mediaType[:n-1]):
		return 2
	}
	return 0
}

// zeroWeight reports whether the parameters of a range say q=0.
func zeroWeight(params []byte) bool {
	for len(params) > 0 {
		var p []byte
		p, params = cutQuoted(params, ';')
		p = trimOWS(p)
		if len(p) < 3 || p[0]|0x20 != 'q' || p[1] != '=' {
			continue
		}
		q := bytes.TrimRight(p[2:], "0")
		return string(q) == "" || string(q) == "." || string(q) == "0."
	}
	return false
}

// cutQuoted cuts s at the first sep outside a quoted string (RFC 9110 5.6.4).
func cutQuoted(s []byte, sep byte) (before, after []byte) {
	quoted := false
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '"':
			quoted = !quoted
		case s[i] == '\\' && quoted:
			i++
		case s[i] == sep && !quoted:
			return s[:i], s[i+1:]
		}
	}
	return s, nil
}
