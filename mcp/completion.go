package mcp

import (
	"context"
	"strconv"

	"github.com/rookery-server/rookery/codec"
)

// completionsMax is how many suggestions the protocol allows at once.
const completionsMax = 100

// CompletionRequest asks for values of one argument of a prompt or one
// variable of a resource template.
type CompletionRequest struct {
	Prompt      string // the prompt's name, or
	URITemplate string // the template's text

	Argument string            // which argument or variable
	Value    string            // what the user has typed
	Context  map[string]string // those already chosen; nil if the client says nothing
}

// Completion is a list of suggestions, the best first.
type Completion struct {
	Values []string // of more than 100 only the first are sent
	Total  int      // how many there are, 0 unknown
	More   bool     // there are more
}

// completer is what users register for completion.
type completer func(ctx context.Context, c *Call, q CompletionRequest) (*Completion, error)

// completion is who answers a completion/complete request.
type completion struct {
	f      completer // nil: no suggestions
	inline bool
	q      CompletionRequest
}

// completion finds who completes what a raw ref names.
func (r *registry) completion(ref []byte) (completion, *codec.Error) {
	kind, rawName, rawURI, _ := pick(ref, "type", "name", "uri", "\x00")
	word, _ := text(kind)
	switch string(word) {
	case "ref/prompt":
		name, ok := text(rawName)
		if p := r.prompts.get(name); ok && p != nil {
			return completion{p.complete, p.inline, CompletionRequest{Prompt: string(name)}}, nil
		}
		return completion{}, refuse(codec.CodeInvalidParams, "ref names no prompt")
	case "ref/resource":
		uri, ok := text(rawURI)
		if t := r.templates.get(uri); ok && t != nil {
			return completion{t.complete, t.inline, CompletionRequest{URITemplate: string(uri)}}, nil
		}
		if ok && r.resources.get(uri) != nil {
			return completion{}, nil // nothing to complete in it
		}
		return completion{}, refuse(codec.CodeInvalidParams, "ref names no resource template")
	}
	return completion{}, refuse(codec.CodeInvalidParams, "ref must be a ref/prompt or a ref/resource")
}

// inlineCompletion reports whether a completion/complete request runs on the loop.
func (r *registry) inlineCompletion(params []byte) bool {
	who, e := r.completion(member(params, "ref"))
	return e != nil || who.f == nil || who.inline
}

func serveComplete(ctx context.Context, c *Call) error {
	reg := c.s.reg.Load()
	if !reg.completes && c.rev.modern() {
		return errUnknownMethod
	}
	ref, argument, chosen, meta := pick(c.params, "ref", "argument", "context", "_meta")
	if !isObject(ref) || !isObject(argument) {
		return refuse(codec.CodeInvalidParams, "ref and argument must be objects")
	}
	who, e := reg.completion(ref)
	if e != nil {
		return e
	}
	rawName, rawValue, _, _ := pick(argument, "name", "value", "\x00", "\x00")
	name, okName := text(rawName)
	value, okValue := text(rawValue)
	if !okName || !okValue {
		return refuse(codec.CodeInvalidParams, "argument.name and argument.value must be strings")
	}
	c.readToken(meta)
	found := new(Completion)
	if who.f != nil {
		who.q.Argument, who.q.Value = string(name), string(value)
		var ok bool
		if who.q.Context, ok = stringMap(member(chosen, "arguments")); !ok {
			return refuse(codec.CodeInvalidParams, "context.arguments are strings")
		}
		answer, err := who.f(ctx, c, who.q)
		if err != nil {
			return err
		}
		if answer != nil {
			found = answer
		}
	}
	c.close(found.append(c.open()))
	return nil
}

func (f *Completion) append(dst []byte) []byte {
	values, more := f.Values, f.More
	total := max(f.Total, len(values))
	if len(values) > completionsMax {
		values, more = values[:completionsMax], true
	}
	dst = append(appendKey(dst, "completion"), `{"values":[`...)
	for i, v := range values {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = codec.AppendString(dst, v)
	}
	dst = append(dst, ']')
	if !more || f.Total > 0 || len(f.Values) > completionsMax {
		dst = strconv.AppendInt(appendKey(dst, "total"), int64(total), 10)
	}
	return append(strconv.AppendBool(appendKey(dst, "hasMore"), more), '}')
}

// stringMap decodes an object of strings; nil for what is absent. ok is false
// for anything else.
func stringMap(raw []byte) (m map[string]string, ok bool) {
	if raw == nil || string(raw) == "null" {
		return nil, true
	}
	if !isObject(raw) {
		return nil, false
	}
	m = make(map[string]string)
	for o := members(raw); ; {
		key, val, more := o.next()
		if !more {
			return m, true
		}
		word, isText := text(val)
		if !isText {
			return nil, false
		}
		m[unescape(key)] = string(word)
	}
}
