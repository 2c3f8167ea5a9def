package mcp

import (
	"encoding/base64"
	"maps"
	"slices"
	"strings"

	"github.com/rookery-server/rookery/codec"
)

// registry is what the server offers. A registry is immutable: readers take
// the current one without a lock and writers put a changed copy in its place,
// which costs a copy of the list concerned per change.
type registry struct {
	tools     features[tool]
	resources features[resource]
	templates features[template]
	prompts   features[prompt]

	// Kept by change.
	mirrors   bool // a tool repeats arguments in headers
	completes bool // a prompt or template completes
}

// features is an immutable list of one kind, in the order of its keys.
type features[T any] struct {
	byKey map[string]*feature[T]
	all   []*feature[T] // sorted by key
}

// feature is one entry: what a client sees, encoded once, and what runs.
type feature[T any] struct {
	key    string
	json   []byte
	legacy []byte // json for the eras with sessions where it differs, else nil
	v      T
}

func (f features[T]) get(key []byte) *T {
	if e := f.byKey[string(key)]; e != nil {
		return &e.v
	}
	return nil
}

func (f features[T]) search(key string) (int, bool) {
	return slices.BinarySearchFunc(f.all, key, func(e *feature[T], key string) int { return strings.Compare(e.key, key) })
}

// with returns a copy that has e in the place of any entry of that key.
func (f features[T]) with(e *feature[T]) features[T] {
	n := features[T]{byKey: make(map[string]*feature[T], len(f.all)+1)}
	maps.Copy(n.byKey, f.byKey)
	n.byKey[e.key] = e
	i, found := f.search(e.key)
	n.all = slices.Clone(f.all)
	if found {
		n.all[i] = e
	} else {
		n.all = slices.Insert(n.all, i, e)
	}
	return n
}

// without returns a copy that lacks key, and whether f had it.
func (f features[T]) without(key string) (features[T], bool) {
	i, found := f.search(key)
	if !found {
		return f, false
	}
	n := features[T]{byKey: maps.Clone(f.byKey), all: slices.Delete(slices.Clone(f.all), i, i+1)}
	delete(n.byKey, key)
	return n, true
}

// register is change for something that is added.
func (s *Server) register(kind listKind, f func(r *registry)) error {
	if s.o.Backend != nil {
		return ErrBackend
	}
	s.change(kind, func(r *registry) bool {
		f(r)
		return true
	})
	return nil
}

// change replaces the registry by what f makes of a copy and, unless f says
// that nothing changed, tells those who listen.
func (s *Server) change(kind listKind, f func(r *registry) bool) bool {
	s.mu.Lock()
	r := *s.reg.Load()
	changed := f(&r)
	if changed {
		r.summarize(kind)
		s.reg.Store(&r)
	}
	s.mu.Unlock()
	if changed {
		s.listChanged(kind)
	}
	return changed
}

// summarize brings up to date what r says of all its entries together.
func (r *registry) summarize(changed listKind) {
	if changed == toolList {
		r.mirrors = slices.ContainsFunc(r.tools.all, func(e *feature[tool]) bool { return len(e.v.params) > 0 })
		return
	}
	r.completes = slices.ContainsFunc(r.prompts.all, func(e *feature[prompt]) bool { return e.v.complete != nil }) ||
		slices.ContainsFunc(r.templates.all, func(e *feature[template]) bool { return e.v.complete != nil })
}

// appendPage appends "key":[…] with the page behind cursor, and the cursor of
// the next. A cursor is the last key of its page, so that it stays good while
// entries come and go; its form is nobody's business but ours.
func (f features[T]) appendPage(dst []byte, key string, cursor []byte, size int, modern bool) ([]byte, *codec.Error) {
	i := 0
	if cursor != nil {
		word, ok := text(cursor)
		last, err := base64.RawURLEncoding.DecodeString(string(word))
		if !ok || err != nil {
			return dst, errBadCursor
		}
		var found bool
		if i, found = f.search(string(last)); found {
			i++
		}
	}
	end := min(i+size, len(f.all))
	dst = append(appendKey(dst, key), '[')
	for j, e := range f.all[i:end] {
		if j > 0 {
			dst = append(dst, ',')
		}
		if e.legacy != nil && !modern {
			dst = append(dst, e.legacy...)
		} else {
			dst = append(dst, e.json...)
		}
	}
	dst = append(dst, ']')
	if end < len(f.all) && end > 0 {
		dst = append(appendKey(dst, "nextCursor"), '"')
		dst = base64.RawURLEncoding.AppendEncode(dst, []byte(f.all[end-1].key))
		dst = append(dst, '"')
	}
	return dst, nil
}

// appendCapabilities appends the server's capabilities object: what has at
// least one entry, and what is always there.
func (r *registry) appendCapabilities(dst []byte) []byte {
	dst = append(dst, '{')
	if r.completes {
		dst = append(appendKey(dst, "completions"), "{}"...)
	}
	dst = append(appendKey(dst, "logging"), "{}"...)
	if len(r.prompts.all) > 0 {
		dst = append(appendKey(dst, "prompts"), `{"listChanged":true}`...)
	}
	if r.hasResources() {
		dst = append(appendKey(dst, "resources"), `{"listChanged":true,"subscribe":true}`...)
	}
	if len(r.tools.all) > 0 {
		dst = append(appendKey(dst, "tools"), `{"listChanged":true}`...)
	}
	return append(dst, '}')
}

func (r *registry) hasResources() bool { return len(r.resources.all)+len(r.templates.all) > 0 }
