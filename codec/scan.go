package codec

import (
	"encoding/binary"
	"math/bits"
	"strconv"
	"unicode/utf8"
)

// The scanner proves that bytes are JSON as RFC 8259 defines it, and strictly:
// UTF-8 without faults (section 8.1), no control character and no unknown
// escape inside a string (section 7), nothing behind the value, no more levels
// of nesting than allowed. It builds nothing and allocates nothing. Whatever in
// this package looks at JSON goes through it first, so that there is one
// opinion about what a byte means.
//
// It recurses once per level; every caller states how many it grants.

// fault says why a scan stopped.
type fault uint8

const (
	faultNone fault = iota
	faultEnd
	faultChar
	faultControl
	faultEscape
	faultUTF8
	faultNumber
	faultLiteral
	faultDepth
	faultTrailing
)

var faultText = [...]string{
	faultNone:     "no fault",
	faultEnd:      "unexpected end",
	faultChar:     "unexpected character",
	faultControl:  "control character in a string",
	faultEscape:   "bad escape in a string",
	faultUTF8:     "invalid UTF-8 in a string",
	faultNumber:   "malformed number",
	faultLiteral:  "unknown literal",
	faultDepth:    "nested too deep",
	faultTrailing: "unexpected data after the value",
}

// at words the fault for the peer.
func (f fault) at(off int) string {
	return faultText[f] + " at byte " + strconv.Itoa(off)
}

// scanDocument scans one value that fills b but for white space, at most depth
// levels deep. It returns len(b), or the offset of the first fault.
func scanDocument(b []byte, depth int) (int, fault) {
	i, f := scanValue(b, skipSpace(b, 0), depth)
	if f != faultNone {
		return i, f
	}
	if i = skipSpace(b, i); i < len(b) {
		return i, faultTrailing
	}
	return i, faultNone
}

// scanValue scans the value that starts at i and returns the offset behind it.
// Like all scanX functions it returns the offset of the fault instead if there is one.
func scanValue(b []byte, i, depth int) (int, fault) {
	if i >= len(b) {
		return i, faultEnd
	}
	switch c := b[i]; c {
	case '"':
		return scanString(b, i+1)
	case '{':
		return scanObject(b, i, depth)
	case '[':
		return scanArray(b, i, depth)
	case 't':
		return scanLiteral(b, i, "true")
	case 'f':
		return scanLiteral(b, i, "false")
	case 'n':
		return scanLiteral(b, i, "null")
	default:
		if c == '-' || isDigit(c) {
			return scanNumber(b, i)
		}
		return i, faultChar
	}
}

// scanObject scans from the opening brace at i.
func scanObject(b []byte, i, depth int) (int, fault) {
	if depth <= 0 {
		return i, faultDepth
	}
	i = skipSpace(b, i+1)
	if i < len(b) && b[i] == '}' {
		return i + 1, faultNone
	}
	for {
		_, v, f := scanKey(b, i)
		if f != faultNone {
			return v, f
		}
		if i, f = scanValue(b, v, depth-1); f != faultNone {
			return i, f
		}
		var more bool
		if i, more, f = scanNext(b, i, '}'); !more {
			return i, f
		}
	}
}

// scanArray scans from the opening bracket at i.
func scanArray(b []byte, i, depth int) (int, fault) {
	if depth <= 0 {
		return i, faultDepth
	}
	i = skipSpace(b, i+1)
	if i < len(b) && b[i] == ']' {
		return i + 1, faultNone
	}
	for {
		var f fault
		if i, f = scanValue(b, i, depth-1); f != faultNone {
			return i, f
		}
		var more bool
		if i, more, f = scanNext(b, i, ']'); !more {
			return i, f
		}
	}
}

// scanKey scans a key that starts at i, its colon and the white space around.
// It returns the offset behind the closing quote and where the value starts.
func scanKey(b []byte, i int) (end, value int, f fault) {
	if i >= len(b) {
		return i, i, faultEnd
	}
	if b[i] != '"' {
		return i, i, faultChar
	}
	if end, f = scanString(b, i+1); f != faultNone {
		return end, end, f
	}
	i = skipSpace(b, end)
	if i >= len(b) {
		return i, i, faultEnd
	}
	if b[i] != ':' {
		return i, i, faultChar
	}
	return end, skipSpace(b, i+1), faultNone
}

// scanNext scans what follows a value inside a container: a comma (more is
// true and the offset is that of the next key or value) or the closing byte.
func scanNext(b []byte, i int, closing byte) (next int, more bool, f fault) {
	i = skipSpace(b, i)
	if i >= len(b) {
		return i, false, faultEnd
	}
	switch b[i] {
	case ',':
		return skipSpace(b, i+1), true, faultNone
	case closing:
		return i + 1, false, faultNone
	}
	return i, false, faultChar
}

// scanString scans behind an opening quote; the result is behind the closing one.
// This is the fast path for what nearly all strings are: ASCII without escapes,
// not at the very end of b.
func scanString(b []byte, i int) (int, fault) {
	for ; len(b)-i >= 8; i += 8 {
		if m := unplain(binary.LittleEndian.Uint64(b[i:])); m != 0 {
			if i += bits.TrailingZeros64(m) / 8; b[i] == '"' {
				return i + 1, faultNone
			}
			break
		}
	}
	return scanStringSlow(b, i)
}

// scanStringSlow scans the rest of any string.
func scanStringSlow(b []byte, i int) (int, fault) {
	for {
		i = textEnd(b, i)
		if i >= len(b) {
			return i, faultEnd
		}
		switch c := b[i]; {
		case c == '"':
			return i + 1, faultNone
		case c == '\\':
			n := escapeLen(b[i:])
			if n == 0 {
				return i, faultEscape
			}
			i += n
		case c < ' ':
			return i, faultControl
		default:
			return i, faultUTF8
		}
	}
}

// escapeLen returns the length of the escape at the start of b, 0 if it is none.
func escapeLen(b []byte) int {
	if len(b) < 2 {
		return 0
	}
	switch b[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2
	case 'u':
		if len(b) >= 6 && isHex(b[2]) && isHex(b[3]) && isHex(b[4]) && isHex(b[5]) {
			return 6
		}
	}
	return 0
}

// textEnd returns the offset of the first byte from i on that a JSON string
// may not hold as it stands: quote, backslash, control character, or what is not
// UTF-8. It is len(b) if there is none.
func textEnd(b []byte, i int) int {
	for {
		for ; len(b)-i >= 8; i += 8 {
			if m := unplain(binary.LittleEndian.Uint64(b[i:])); m != 0 {
				i += bits.TrailingZeros64(m) / 8
				break
			}
		}
		for i < len(b) && b[i] < utf8.RuneSelf {
			if c := b[i]; c == '"' || c == '\\' || c < ' ' {
				return i
			}
			i++
		}
		if i >= len(b) {
			return i
		}
		n := runesLen(b[i:])
		if n == 0 {
			return i
		}
		i += n
	}
}

// unplain marks, by the top bit of each, the bytes of w that are a quote, a
// backslash, a control character or not ASCII. Subtracting borrows into the top
// bit of a byte that is too small; a borrow can also mark the next byte wrongly,
// so only the lowest mark counts.
func unplain(w uint64) uint64 {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	quote := (w ^ ones*'"') - ones
	slash := (w ^ ones*'\\') - ones
	control := w - ones*' '
	return (quote | slash | control | w) & tops
}

// runesLen returns the length of the valid UTF-8 beyond ASCII at the start of b.
func runesLen(b []byte) int {
	i := 0
	for i < len(b) && b[i] >= utf8.RuneSelf {
		// Most of what is written in three bytes: U+1000 to U+CFFF.
		if c := b[i] - 0xE1; c <= 0xEC-0xE1 && len(b)-i >= 3 && b[i+1]&0xC0 == 0x80 && b[i+2]&0xC0 == 0x80 {
			i += 3
			continue
		}
		r, n := utf8.DecodeRune(b[i:])
		if r == utf8.RuneError && n == 1 {
			break
		}
		i += n
	}
	return i
}

// scanNumber scans a number that starts at i with a minus sign or a digit.
func scanNumber(b []byte, i int) (int, fault) {
	if b[i] == '-' {
		i++
	}
	start := i
	i = skipDigits(b, i)
	if i == start || (b[start] == '0' && i > start+1) {
		return start, faultNumber
	}
	if i < len(b) && b[i] == '.' {
		start = i + 1
		if i = skipDigits(b, start); i == start {
			return i, faultNumber
		}
	}
	if i < len(b) && (b[i] == 'e' || b[i] == 'E') {
		start = i + 1
		if start < len(b) && (b[start] == '+' || b[start] == '-') {
			start++
		}
		if i = skipDigits(b, start); i == start {
			return i, faultNumber
		}
	}
	return i, faultNone
}

// scanLiteral scans want at i.
func scanLiteral(b []byte, i int, want string) (int, fault) {
	if len(b)-i >= len(want) && string(b[i:i+len(want)]) == want {
		return i + len(want), faultNone
	}
	return i, faultLiteral
}

// skipSpace returns the offset of the first byte from i on that is not JSON white space.
func skipSpace(b []byte, i int) int {
	for i < len(b) && b[i] <= ' ' && (b[i] == ' ' || b[i] == '\n' || b[i] == '\r' || b[i] == '\t') {
		i++
	}
	return i
}

func skipDigits(b []byte, i int) int {
	for i < len(b) && isDigit(b[i]) {
		i++
	}
	return i
}

func isDigit(c byte) bool { return c-'0' < 10 }

func isHex(c byte) bool { return isDigit(c) || (c|0x20)-'a' < 6 }
