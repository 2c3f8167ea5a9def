package mcp

import (
	"bytes"
	"encoding/json"
)

// This file walks JSON that codec.ParseEnvelope has already found to be well
// formed; on anything else it ends early, without a panic. It never decodes
// what it does not need: a params object is read by naming the members wanted,
// everything else is skipped.

// object iterates over the members of a JSON object.
type object struct {
	b []byte
	i int
}

// members returns an iterator over raw, which has none if raw is no object.
func members(raw []byte) object {
	i := skipSpace(raw, 0)
	if i >= len(raw) || raw[i] != '{' {
		return object{}
	}
	return object{raw, i + 1}
}

// next returns the next member: the key as written without its quotes, and
// the raw value.
func (o *object) next() (key, val []byte, ok bool) {
	i := skipSpace(o.b, o.i)
	if i < len(o.b) && o.b[i] == ',' {
		i = skipSpace(o.b, i+1)
	}
	if i >= len(o.b) || o.b[i] != '"' {
		return nil, nil, false
	}
	end := skipString(o.b, i)
	from := i + 1
	i = skipSpace(o.b, end)
	i = skipSpace(o.b, i+1) // the colon
	if i >= len(o.b) {
		return nil, nil, false
	}
	key = o.b[from : end-1]
	end = skipValue(o.b, i)
	o.i = end
	return key, o.b[i:end:end], true
}

// array iterates over the elements of a JSON array.
type array struct {
	b []byte
	i int
}

// elements returns an iterator over raw, which has none if raw is no array.
func elements(raw []byte) array {
	i := skipSpace(raw, 0)
	if i >= len(raw) || raw[i] != '[' {
		return array{}
	}
	return array{raw, i + 1}
}

func (a *array) next() (val []byte, ok bool) {
	i := skipSpace(a.b, a.i)
	if i < len(a.b) && a.b[i] == ',' {
		i = skipSpace(a.b, i+1)
	}
	if i >= len(a.b) || a.b[i] == ']' {
		return nil, false
	}
	end := skipValue(a.b, i)
	if end == i { // a brace, say: no value, and none could be found behind it
		return nil, false
	}
	a.i = end
	return a.b[i:end:end], true
}

func skipSpace(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\r' || b[i] == '\t') {
		i++
	}
	return i
}

// skipString returns the index behind the string that begins at i.
func skipString(b []byte, i int) int {
	for i++; i < len(b); {
		n := bytes.IndexByte(b[i:], '"')
		if n < 0 {
			return len(b)
		}
		end := i + n
		slashes := 0
		for end-slashes > i && b[end-slashes-1] == '\\' {
			slashes++
		}
		i = end + 1
		if slashes%2 == 0 {
			return i
		}
	}
	return len(b)
}

// skipValue returns the index behind the value that begins at i.
func skipValue(b []byte, i int) int {
	if i >= len(b) {
		return len(b)
	}
	switch b[i] {
	case '"':
		return skipString(b, i)
	case '{', '[':
		depth := 0
		for i < len(b) {
			switch b[i] {
			case '"':
				i = skipString(b, i)
				continue
			case '{', '[':
				depth++
			case '}', ']':
				if depth--; depth == 0 {
					return i + 1
				}
			}
			i++
		}
		return len(b)
	}
	for i < len(b) {
		switch b[i] {
		case ',', '}', ']', ' ', '\n', '\r', '\t':
			return i
		}
		i++
	}
	return len(b)
}

func hasEscape(b []byte) bool { return bytes.IndexByte(b, '\\') >= 0 }

// unescape decodes the inside of a JSON string.
func unescape(inside []byte) string {
	if !hasEscape(inside) {
		return string(inside)
	}
	quoted := make([]byte, 0, len(inside)+2)
	quoted = append(append(append(quoted, '"'), inside...), '"')
	var s string
	if json.Unmarshal(quoted, &s) != nil {
		return string(inside)
	}
	return s
}

// pick returns the raw values of up to four members of an object; nil for
// those it lacks. Of a key that comes twice the last counts, as it does for
// encoding/json and for the handlers that decode the same bytes.
func pick(raw []byte, k0, k1, k2, k3 string) (v0, v1, v2, v3 []byte) {
	for o := members(raw); ; {
		key, val, ok := o.next()
		if !ok {
			return v0, v1, v2, v3
		}
		if hasEscape(key) {
			key = []byte(unescape(key))
		}
		switch string(key) {
		case k0:
			v0 = val
		case k1:
			v1 = val
		case k2:
			v2 = val
		case k3:
			v3 = val
		}
	}
}

// member is pick for one key.
func member(raw []byte, key string) []byte {
	v, _, _, _ := pick(raw, key, "\x00", "\x00", "\x00")
	return v
}

// text returns the decoded bytes of a JSON string; ok is false if raw is
// anything else. Without escapes it is a part of raw.
func text(raw []byte) (s []byte, ok bool) {
	if len(raw) < 2 || raw[0] != '"' {
		return nil, false
	}
	inside := raw[1 : len(raw)-1]
	if hasEscape(inside) {
		return []byte(unescape(inside)), true
	}
	return inside, true
}

func isObject(raw []byte) bool { return len(raw) > 0 && raw[0] == '{' }
