package codec

import (
	"bytes"
	"encoding/binary"
)

// Classes of bytes, as bits of byteClass.
const (
	classToken  = 1 << iota // tchar of RFC 9110 5.6.2
	classTarget             // may stand in a request target: visible ASCII but "#"
	classHost               // may stand in a name or IPv4 address: unreserved of RFC 3986
	classValue              // may stand in a field value: HTAB, SP, visible, obs-text
	classHex
	classDigit
)

var byteClass = func() (t [256]uint8) {
	for c := range t {
		b := byte(c)
		digit := '0' <= b && b <= '9'
		alpha := 'a' <= b|0x20 && b|0x20 <= 'z'
		hex := digit || 'a' <= b|0x20 && b|0x20 <= 'f'
		for _, x := range []struct {
			is    bool
			class uint8
		}{
			{alpha || digit || bytes.IndexByte([]byte("!#$%&'*+-.^_`|~"), b) >= 0, classToken},
			{b > ' ' && b < 0x7f && b != '#', classTarget},
			{alpha || digit || bytes.IndexByte([]byte("-._~"), b) >= 0, classHost},
			{b == '\t' || b >= ' ' && b != 0x7f, classValue},
			{hex, classHex},
			{digit, classDigit},
		} {
			if x.is {
				t[c] |= x.class
			}
		}
	}
	return t
}()

// allOf reports whether every byte of s is of the class.
func allOf(s []byte, class uint8) bool {
	for _, c := range s {
		if byteClass[c]&class == 0 {
			return false
		}
	}
	return true
}

// isValue reports whether s may be a field value. It looks at eight bytes at a
// time; words that look bad are checked again byte by byte.
func isValue(s []byte) bool {
	if len(s) < 8 {
		return allOf(s, classValue)
	}
	for i := 0; i < len(s); i += 8 {
		i = min(i, len(s)-8) // the last word may overlap the one before
		if w := s[i : i+8]; hasControl(binary.LittleEndian.Uint64(w)) && !allOf(w, classValue) {
			return false
		}
	}
	return true
}

// hasControl reports whether one of the eight bytes of w is below 0x20 or is
// 0x7f. Such a byte borrows into its own top bit when 0x20 is taken from it, or,
// made zero by flipping the bits of 0x7f, when one is. The borrow may also mark
// a good neighbour: true means maybe, false means no.
func hasControl(w uint64) bool {
	const (
		ones = 0x0101010101010101
		tops = 0x80 * ones
	)
	del := w ^ 0x7f*ones
	return ((w-0x20*ones)&^w|(del-ones)&^del)&tops != 0
}

// isName reports whether s is lower when the case of letters is ignored. lower
// consists of small letters, digits and "-"; s holds no control byte but HTAB.
func isName(s []byte, lower string) bool {
	if len(s) != len(lower) {
		return false
	}
	for i, c := range s {
		if c|0x20 != lower[i] {
			return false
		}
	}
	return true
}

// equalFold reports whether s is t when the case of ASCII letters is ignored.
func equalFold(s []byte, t string) bool {
	if len(s) != len(t) {
		return false
	}
	for i, c := range s {
		d := t[i]
		if c != d && (c|0x20 != d|0x20 || c|0x20 < 'a' || 'z' < c|0x20) {
			return false
		}
	}
	return true
}

// trimOWS cuts spaces and tabs off both ends (OWS, RFC 9110 5.6.3).
func trimOWS(s []byte) []byte {
	for len(s) > 0 && (s[0] == ' ' || s[0] == '\t') {
		s = s[1:]
	}
	for len(s) > 0 && (s[len(s)-1] == ' ' || s[len(s)-1] == '\t') {
		s = s[:len(s)-1]
	}
	return s
}

// cutToken cuts the first element off a comma separated list of tokens. It is
// not for lists whose elements may hold quoted strings.
func cutToken(list []byte) (token, rest []byte) {
	token, rest, _ = bytes.Cut(list, []byte{','})
	return trimOWS(token), rest
}
