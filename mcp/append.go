package mcp

import (
	"strconv"

	"github.com/rookery-server/rookery/codec"
)

// appendKey appends a member's key and colon to an object being written, with
// a comma if it is not the first. key needs no escaping.
func appendKey(dst []byte, key string) []byte {
	if n := len(dst); n > 0 && dst[n-1] != '{' {
		dst = append(dst, ',')
	}
	dst = append(dst, '"')
	dst = append(dst, key...)
	return append(dst, '"', ':')
}

// appendStringMember appends a member whose value is a string, unless it is empty.
func appendStringMember(dst []byte, key, val string) []byte {
	if val == "" {
		return dst
	}
	return codec.AppendString(appendKey(dst, key), val)
}

// appendFloat appends a JSON number; NaN and infinities, which JSON lacks, as 0.
func appendFloat(dst []byte, f float64) []byte {
	if f != f || f-f != 0 {
		return append(dst, '0')
	}
	return strconv.AppendFloat(dst, f, 'g', -1, 64)
}

// appendImplementation appends what clients are told of the server:
// {"name":…,"version":…} and the rest where there is some.
func appendImplementation(dst []byte, o *Options) ([]byte, error) {
	dst = append(dst, '{')
	dst = codec.AppendString(appendKey(dst, "name"), o.Name)
	dst = codec.AppendString(appendKey(dst, "version"), o.Version)
	dst = appendStringMember(dst, "title", o.Title)
	dst = appendStringMember(dst, "description", o.Description)
	dst = appendStringMember(dst, "websiteUrl", o.WebsiteURL)
	dst, err := appendIcons(dst, o.Icons)
	return append(dst, '}'), err
}
