package mcp

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/rookery-server/rookery/codec"
)

// This file compares Mcp-Param-* headers with arguments: a property of a tool's
// input schema that has x-mcp-header is repeated in a header for proxies to
// look at, and a request whose two copies differ is refused (SEP-2243).

// headerParam is one argument that a header repeats.
type headerParam struct {
	header string   // "Mcp-Param-…"
	path   []string // the keys that lead to the argument
}

const paramPrefix = "Mcp-Param-"

// annotated is what concerns us of a JSON schema.
type annotated struct {
	Type       json.RawMessage      `json:"type"`
	Header     json.RawMessage      `json:"x-mcp-header"`
	Properties map[string]annotated `json:"properties"`
}

// headerParams finds the annotated properties of a schema. The error names the
// first that clients would have to refuse the tool for.
func headerParams(schema []byte) ([]headerParam, error) {
	if !strings.Contains(string(schema), "x-mcp-header") {
		return nil, nil
	}
	var root annotated
	if err := json.Unmarshal(schema, &root); err != nil {
		return nil, fmt.Errorf("x-mcp-header: %w", err)
	}
	var found []headerParam
	if err := root.collect(nil, &found); err != nil {
		return nil, fmt.Errorf("x-mcp-header: %w", err)
	}
	seen := make(map[string]bool, len(found))
	for _, p := range found {
		name := strings.ToLower(p.header)
		if seen[name] {
			return nil, fmt.Errorf("x-mcp-header: %s is there twice", p.header)
		}
		seen[name] = true
	}
	return found, nil
}

func (a *annotated) collect(path []string, found *[]headerParam) error {
	for key, p := range a.Properties {
		here := append(path[:len(path):len(path)], key)
		if p.Header != nil {
			var name string
			if json.Unmarshal(p.Header, &name) != nil || !isToken(name) {
				return fmt.Errorf("property %q: not the name of a header", strings.Join(here, "."))
			}
			switch string(p.Type) {
			case `"string"`, `"integer"`, `"boolean"`:
			default:
				return fmt.Errorf("property %q: the type must be string, integer or boolean", strings.Join(here, "."))
			}
			*found = append(*found, headerParam{paramPrefix + name, here})
		}
		if err := p.collect(here, found); err != nil {
			return err
		}
	}
	return nil
}

// isToken reports whether s may stand in a header's name (RFC 9110 5.6.2).
func isToken(s string) bool {
	for _, c := range []byte(s) {
		if (c|0x20 < 'a' || c|0x20 > 'z') && (c < '0' || c > '9') && strings.IndexByte("!#$%&'*+-.^_`|~", c) < 0 {
			return false
		}
	}
	return s != ""
}

// checkParams compares the headers of a tools/call with its arguments.
func (x *Exchange) checkParams(params []headerParam, args []byte) *codec.Error {
	for i := range params {
		p := &params[i]
		value, found, twice := x.header(p.header)
		arg := args
		for _, key := range p.path {
			arg = member(arg, key)
		}
		absent := arg == nil || string(arg) == "null"
		var problem string
		switch {
		case twice:
			problem = " header is there twice"
		case absent && !found:
			continue
		case absent:
			problem = " header has no argument in the body"
		case !found:
			problem = " header is required"
		case !headerRepeats(value, arg):
			problem = " header differs from the body's argument"
		default:
			continue
		}
		return refuse(CodeHeaderMismatch, "the "+p.header+problem)
	}
	return nil
}

// askedParams returns, with a comma in front of each, the Mcp-Param headers a
// browser asks leave to send: a page may send any, but has to name them.
func (x *Exchange) askedParams() string {
	value, _, _ := x.header("Access-Control-Request-Headers")
	asked := ""
	for name := range strings.SplitSeq(string(value), ",") {
		name = strings.Trim(name, " \t")
		if len(name) > len(paramPrefix) && strings.EqualFold(name[:len(paramPrefix)], paramPrefix) && isToken(name) {
			asked += ", " + name
		}
	}
	return asked
}

// header returns the value of a header and whether it comes more than once.
func (x *Exchange) header(name string) (value []byte, found, twice bool) {
	x.Req.EachHeader(x.Msg, func(n, v []byte) bool {
		if len(n) == len(name) && strings.EqualFold(string(n), name) {
			value, found, twice = v, true, found
		}
		return !twice
	})
	return value, found, twice
}

// headerRepeats reports whether a header carries a raw argument.
func headerRepeats(header, arg []byte) bool {
	value, err := decodeHeader(header)
	if err != nil {
		return false
	}
	if word, ok := text(arg); ok {
		return string(value) == string(word)
	}
	if string(arg) == "true" || string(arg) == "false" {
		return string(value) == string(arg)
	}
	want, ok := safeInteger(arg)
	got, ok2 := safeInteger(value)
	return ok && ok2 && want == got
}

var errHeaderCoding = errors.New("not base64")

// decodeHeader returns what a header says: its text, or what =?base64?…?= wraps.
func decodeHeader(header []byte) ([]byte, error) {
	const prefix, suffix = "=?base64?", "?="
	n := len(header) - len(suffix)
	if n < len(prefix) || string(header[:len(prefix)]) != prefix || string(header[n:]) != suffix {
		return header, nil
	}
	value, err := base64.StdEncoding.Strict().AppendDecode(nil, header[len(prefix):n])
	if err != nil {
		return nil, errHeaderCoding
	}
	return value, nil
}

// safeInteger reads a whole number that every client can hold exactly.
func safeInteger(b []byte) (float64, bool) {
	const most = 1<<53 - 1
	f, err := strconv.ParseFloat(string(b), 64)
	return f, err == nil && f == math.Trunc(f) && f >= -most && f <= most
}
