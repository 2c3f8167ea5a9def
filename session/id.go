package session

// ID names a session on the wire: 128 bits from crypto/rand, written as 32
// lower-case hexadecimal digits. The zero ID names no session.
type ID [16]byte

const hexDigits = "0123456789abcdef"

// IDChars is the length of an ID on the wire, in bytes.
const IDChars = 2 * len(ID{})

// String returns the 32 hexadecimal digits of id.
func (id ID) String() string {
	var b [IDChars]byte
	return string(id.AppendID(b[:0]))
}

// AppendID appends the 32 hexadecimal digits of id to dst.
func (id ID) AppendID(dst []byte) []byte {
	for _, b := range id {
		dst = append(dst, hexDigits[b>>4], hexDigits[b&15])
	}
	return dst
}

// ParseID reads what AppendID writes and nothing else: an upper-case digit is
// refused, so that one session has one spelling. It reports whether b is an id.
func ParseID(b []byte) (id ID, ok bool) {
	if len(b) != IDChars {
		return ID{}, false
	}
	for i := range id {
		hi, lo := unhex(b[2*i]), unhex(b[2*i+1])
		if hi|lo > 15 {
			return ID{}, false
		}
		id[i] = hi<<4 | lo
	}
	return id, true
}

// unhex returns the value of one lower-case hexadecimal digit, 255 for any
// other byte.
func unhex(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10
	}
	return 255
}
