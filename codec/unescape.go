package codec

import (
	"unicode/utf16"
	"unicode/utf8"
)

// appendUnescaped appends the text of the JSON string whose raw bytes, without
// the quotes, are raw. REQUIRES: scanString accepted raw. Half of a surrogate
// pair alone becomes U+FFFD, as encoding/json has it; the grammar allows it.
// The result is never longer than raw.
func appendUnescaped(dst, raw []byte) []byte {
	for i := 0; i < len(raw); {
		c := raw[i]
		if c != '\\' {
			dst = append(dst, c)
			i++
			continue
		}
		switch c = raw[i+1]; c {
		case 'b':
			c = '\b'
		case 'f':
			c = '\f'
		case 'n':
			c = '\n'
		case 'r':
			c = '\r'
		case 't':
			c = '\t'
		case 'u':
			r, n := unescapeRune(raw[i:])
			dst = utf8.AppendRune(dst, r)
			i += n
			continue
		}
		dst = append(dst, c)
		i += 2
	}
	return dst
}

// unescapeRune decodes the \u escape, or the pair of them, at the start of raw.
func unescapeRune(raw []byte) (r rune, n int) {
	r = hex4(raw[2:])
	if !utf16.IsSurrogate(r) {
		return r, 6
	}
	if len(raw) >= 12 && raw[6] == '\\' && raw[7] == 'u' {
		if pair := utf16.DecodeRune(r, hex4(raw[8:])); pair != utf8.RuneError {
			return pair, 12
		}
	}
	return utf8.RuneError, 6
}

// hex4 reads four hexadecimal digits.
func hex4(b []byte) rune {
	var r rune
	for _, c := range b[:4] {
		if isDigit(c) {
			r = r<<4 | rune(c-'0')
		} else {
			r = r<<4 | rune((c|0x20)-'a'+10)
		}
	}
	return r
}

// textEqual reports whether the raw string content has the text want, which
// holds at most textEqualMax bytes. It does not allocate.
func textEqual(raw []byte, want string) bool {
	if len(raw) <= len(want) {
		return string(raw) == want
	}
	var buf [6 * textEqualMax]byte // an escape spends at most six bytes on one
	if len(raw) > 6*len(want) || len(raw) > len(buf) {
		return false
	}
	return string(appendUnescaped(buf[:0], raw)) == want
}

const textEqualMax = len("jsonrpc")
