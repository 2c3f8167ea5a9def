package codec

import (
	"unicode/utf8"
	"unsafe"
)

// AppendString appends s as a JSON string, quotes included. Quotes, backslashes
// and control characters are escaped, each byte that is not UTF-8 becomes
// U+FFFD, everything else stands as it is. So the result never holds a newline.
func AppendString(dst []byte, s string) []byte {
	const hex = "0123456789abcdef"
	b := unsafe.Slice(unsafe.StringData(s), len(s)) // only read
	dst = append(dst, '"')
	for i := 0; ; {
		end := textEnd(b, i)
		dst = append(dst, s[i:end]...)
		if i = end; i == len(s) {
			return append(dst, '"')
		}
		switch c := s[i]; {
		case c >= utf8.RuneSelf:
			dst = utf8.AppendRune(dst, utf8.RuneError)
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c == '\n':
			dst = append(dst, '\\', 'n')
		case c == '\r':
			dst = append(dst, '\\', 'r')
		case c == '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
		i++
	}
}
