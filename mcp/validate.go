package mcp

import (
	"strconv"
	"unicode/utf8"

	"github.com/google/jsonschema-go/jsonschema"
)

// kinds is a set of JSON types.
type kinds uint8

const (
	kindNull kinds = 1 << iota
	kindBool
	kindString
	kindArray
	kindObject
	kindInteger // a number without a fraction, 1.0 too
	kindNumber  // any other number

	anyKind kinds = 1<<iota - 1
)

func kindsOf(s *jsonschema.Schema) kinds {
	names := s.Types
	if s.Type != "" {
		names = []string{s.Type}
	}
	if names == nil {
		return anyKind
	}
	var k kinds
	for _, name := range names {
		switch name {
		case "null":
			k |= kindNull
		case "boolean":
			k |= kindBool
		case "string":
			k |= kindString
		case "array":
			k |= kindArray
		case "object":
			k |= kindObject
		case "integer":
			k |= kindInteger
		case "number":
			k |= kindInteger | kindNumber
		}
	}
	return k
}

// node is a compiled schema. It is immutable and reads well-formed raw JSON.
//
// Soundness is all it promises: what valid accepts, google/jsonschema-go
// accepts too, for the value encoding/json decodes from the same bytes. Where
// that takes thought (escapes in strings that are measured or compared, a key
// that comes twice, a number past float64 where one is asked for) it gives up
// instead. What the schema does not look at is not looked at.
type node struct {
	types                          kinds
	closed                         bool // no additional properties
	minimum, maximum, above, below *float64
	minLength, maxLength           *int
	minItems, maxItems             *int
	enum                           []string // not nil: one of these strings
	items                          *node    // nil: anything
	props                          []property
	required                       uint64 // bits of props
}

type property struct {
	name string
	node *node
}

// valid reports that raw satisfies the schema; false means "not sure". It
// allocates nothing.
func (n *node) valid(raw []byte) bool {
	i := skipSpace(raw, 0)
	end, ok := n.check(raw, i)
	return ok && skipSpace(raw, end) == len(raw)
}

// check looks at the value that begins at i and returns the index behind it.
func (n *node) check(b []byte, i int) (end int, ok bool) {
	if i >= len(b) {
		return i, false
	}
	switch b[i] {
	case '{':
		return n.checkObject(b, i)
	case '[':
		return n.checkArray(b, i)
	case '"':
		end = skipString(b, i)
		return end, n.types&kindString != 0 && n.checkString(b[i+1:end-1])
	}
	end = skipValue(b, i)
	switch b[i] {
	case 't', 'f':
		ok = n.types&kindBool != 0
	case 'n':
		ok = n.types&kindNull != 0
	default:
		return end, n.checkNumber(b[i:end])
	}
	return end, ok && n.enum == nil
}

func (n *node) checkObject(b []byte, i int) (end int, ok bool) {
	if n.types&kindObject == 0 || n.enum != nil {
		return i, false
	}
	var seen uint64
	for i = skipSpace(b, i+1); i < len(b) && b[i] != '}'; {
		if b[i] == ',' {
			i = skipSpace(b, i+1)
		}
		keyEnd := skipString(b, i)
		key := b[i+1 : keyEnd-1]
		i = skipSpace(b, skipSpace(b, keyEnd)+1)
		bit := n.find(key)
		switch {
		case bit < 0 && (n.closed || hasEscape(key)):
			return i, false // unknown, or known under another spelling
		case bit < 0:
			end = skipValue(b, i)
		case seen&(1<<bit) != 0:
			return i, false // twice
		default:
			seen |= 1 << bit
			if end, ok = n.props[bit].node.check(b, i); !ok {
				return end, false
			}
		}
		i = skipSpace(b, end)
	}
	return i + 1, seen&n.required == n.required
}

// find returns the index of the property called key, -1 if there is none. The
// few properties of a tool are found faster by looking than by hashing.
func (n *node) find(key []byte) int {
	for i := range n.props {
		if n.props[i].name == string(key) {
			return i
		}
	}
	return -1
}

func (n *node) checkArray(b []byte, i int) (end int, ok bool) {
	if n.types&kindArray == 0 || n.enum != nil {
		return i, false
	}
	count := 0
	for i = skipSpace(b, i+1); i < len(b) && b[i] != ']'; {
		if b[i] == ',' {
			i = skipSpace(b, i+1)
		}
		if n.items == nil {
			end = skipValue(b, i)
		} else if end, ok = n.items.check(b, i); !ok {
			return end, false
		}
		i = skipSpace(b, end)
		count++
	}
	return i + 1, (n.minItems == nil || count >= *n.minItems) && (n.maxItems == nil || count <= *n.maxItems)
}

func (n *node) checkString(inside []byte) bool {
	if n.minLength == nil && n.maxLength == nil && n.enum == nil {
		return true
	}
	if hasEscape(inside) {
		return false
	}
	if n.minLength != nil || n.maxLength != nil {
		count := utf8.RuneCount(inside)
		if n.minLength != nil && count < *n.minLength || n.maxLength != nil && count > *n.maxLength {
			return false
		}
	}
	if n.enum == nil {
		return true
	}
	for _, word := range n.enum {
		if word == string(inside) {
			return true
		}
	}
	return false
}

func (n *node) checkNumber(b []byte) bool {
	if n.types&(kindInteger|kindNumber) == 0 || n.enum != nil {
		return false
	}
	f, whole, ok := number(b)
	if !ok || !whole && n.types&kindNumber == 0 || whole && n.types&kindInteger == 0 {
		return false
	}
	return (n.minimum == nil || f >= *n.minimum) && (n.maximum == nil || f <= *n.maximum) &&
		(n.above == nil || f > *n.above) && (n.below == nil || f < *n.below)
}

// number returns the float64 that encoding/json makes of b and whether it is a
// whole number; ok is false if b does not fit one.
func number(b []byte) (f float64, whole, ok bool) {
	if len(b) <= 15 { // digits only: exact in a float64
		i, neg := 0, b[0] == '-'
		if neg {
			i = 1
		}
		n := 0
		for i < len(b) && '0' <= b[i] && b[i] <= '9' {
			n = n*10 + int(b[i]-'0')
			i++
		}
		if i == len(b) {
			if neg {
				n = -n
			}
			return float64(n), true, true
		}
	}
	f, err := strconv.ParseFloat(string(b), 64)
	if err != nil {
		return 0, false, false
	}
	return f, f == float64(int64(f)) || f >= 1<<53 || f <= -(1<<53), true
}
