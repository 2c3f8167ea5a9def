package mcp

import (
	"context"
	"slices"

	"github.com/rookery-server/rookery/codec"
)

// This file holds the streams of subscriptions/listen (2026-07-28): what each
// asked for and how it is framed.

// listKind is a kind of list whose change is announced, as bits.
type listKind uint8

const (
	toolList listKind = 1 << iota
	promptList
	resourceList

	allLists = toolList | promptList | resourceList
)

// method returns the notification that announces a change.
func (k listKind) method() string {
	switch k {
	case toolList:
		return "notifications/tools/list_changed"
	case promptList:
		return "notifications/prompts/list_changed"
	default:
		return "notifications/resources/list_changed"
	}
}

// listener is one stream. 64 bytes, pinned by a test, and no pointer.
type listener struct {
	stream StreamID // 0: the record is free
	id     [40]byte // the request's id, raw JSON, which tags every message
	idLen  uint8    // idLong: the id is in subscriptions.longIDs
	lists  listKind
	flags  uint8  // as Session.Flags
	gen    uint32 // 31 bits; counts the uses of this slot
	head   uint32 // its subscriptions
	next   uint32 // TCP: index of the next listener of the connection
}

const idLong = 255

// listenBit tells a reference to a listener from one to a session.
const listenBit = 1 << 63

func listenRef(i, gen uint32) owner { return listenBit | uint64(gen)<<32 | uint64(i) }

// filter is what a client wants to hear of.
type filter struct {
	lists listKind
	uris  []string
	raw   []byte // the agreed part, as the acknowledgement lists it
}

func serveListen(_ context.Context, c *Call) error {
	reg := c.s.reg.Load()
	var offered listKind
	if len(reg.tools.all) > 0 {
		offered |= toolList
	}
	if len(reg.prompts.all) > 0 {
		offered |= promptList
	}
	if reg.hasResources() {
		offered |= resourceList
	}
	return c.readFilter(offered, offered&resourceList != 0)
}

// readFilter reads what a client wants to hear of, as far as it is offered.
func (c *Call) readFilter(offered listKind, subscribe bool) error {
	want := member(c.params, "notifications")
	if !isObject(want) {
		return refuse(codec.CodeInvalidParams, "notifications must be an object")
	}
	f := &filter{raw: []byte{'{'}}
	tools, prompts, resources, uris := pick(want, "toolsListChanged", "promptsListChanged", "resourcesListChanged", "resourceSubscriptions")
	f.list(tools, toolList&offered, "toolsListChanged")
	f.list(prompts, promptList&offered, "promptsListChanged")
	f.list(resources, resourceList&offered, "resourcesListChanged")
	if subscribe && uris != nil {
		if e := f.addURIs(uris, c.s.o.SubscriptionsMax); e != nil {
			return e
		}
	}
	if e := f.addTasks(c, member(want, "taskIds")); e != nil {
		return e
	}
	f.raw = append(f.raw, '}')
	c.listen = f
	return nil
}

func (f *filter) list(raw []byte, kind listKind, key string) {
	if kind != 0 && string(raw) == "true" {
		f.lists |= kind
		f.raw = append(appendKey(f.raw, key), "true"...)
	}
}

func (f *filter) addURIs(raw []byte, limit int) *codec.Error {
	for a := elements(raw); ; {
		one, ok := a.next()
		if !ok {
			break
		}
		uri, ok := subscribable(one)
		if !ok {
			return errBadURI
		}
		if slices.Contains(f.uris, uri) {
			continue
		}
		if len(f.uris) == limit {
			return errTooManySubscriptions
		}
		f.uris = append(f.uris, uri)
	}
	if len(f.uris) == 0 {
		return nil
	}
	f.raw = append(appendKey(f.raw, "resourceSubscriptions"), '[')
	for i, uri := range f.uris {
		if i > 0 {
			f.raw = append(f.raw, ',')
		}
		f.raw = codec.AppendString(f.raw, uri)
	}
	f.raw = append(f.raw, ']')
	return nil
}

// subscribable reads the URI of a subscription.
func subscribable(raw []byte) (uri string, ok bool) {
	b, ok := text(raw)
	if !ok || len(b) == 0 || len(b) > uriBytesMax || b[0] == 0 {
		return "", false
	}
	return string(b), true
}

func (f *filter) empty() bool { return f.lists == 0 && len(f.uris) == 0 }

// listen registers a stream under the id of its request and returns its
// reference. next is the connection's earlier listener, 0 if none.
func (t *subscriptions) listen(st StreamID, id []byte, f *filter, flags uint8, next owner) owner {
	t.mu.Lock()
	defer t.mu.Unlock()
	i := t.listens.get()
	l := t.listens.at(i)
	*l = listener{stream: st, idLen: uint8(len(id)), lists: f.lists, flags: flags, gen: (l.gen + 1) & (1<<31 - 1), next: uint32(next)}
	if copy(l.id[:], id) < len(id) {
		if t.longIDs == nil {
			t.longIDs = make(map[uint32]string)
		}
		l.idLen, t.longIDs[i] = idLong, string(id)
	}
	ref := listenRef(i, l.gen)
	for _, uri := range f.uris {
		l.head = t.add(ref, uri, l.head)
	}
	return ref
}

// lookup returns the listener of a reference, nil if it is gone. mu is held.
func (t *subscriptions) lookup(ref owner) (l *listener, i uint32) {
	i = uint32(ref)
	if ref&listenBit == 0 || i == 0 || i >= t.listens.top {
		return nil, 0
	}
	if l = t.listens.at(i); l.stream == 0 || listenRef(i, l.gen) != ref {
		return nil, 0
	}
	return l, i
}

// listener returns a copy of the record of ref.
func (t *subscriptions) listener(ref owner) (l listener, long string, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p, i := t.lookup(ref)
	if p == nil {
		return l, "", false
	}
	if p.idLen == idLong {
		long = t.longIDs[i]
	}
	return *p, long, true
}

// tag returns the raw id; it is part of l or of long.
func (l *listener) tag(long string) []byte {
	if l.idLen == idLong {
		return []byte(long)
	}
	return l.id[:l.idLen]
}

// opened clears the mark of a stream whose head is being written.
func (t *subscriptions) opened(ref owner) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if l, _ := t.lookup(ref); l != nil {
		l.flags &^= flagOpening
	}
}

// unlisten forgets a listener and returns the reference of the connection's
// next one, 0 if there is none.
func (t *subscriptions) unlisten(ref owner) (next owner, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	l, i := t.lookup(ref)
	if l == nil {
		return 0, false
	}
	next = t.after(l)
	t.forget(l, i)
	return next, true
}

// unlistenID forgets the listener with that request id among those of one
// connection, the first of which is head, and returns the head that is left.
func (t *subscriptions) unlistenID(head owner, id []byte) (rest owner, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var before *listener
	for ref := head; ref != 0; {
		l, i := t.lookup(ref)
		if l == nil {
			break
		}
		after := t.after(l)
		if string(l.tag(t.longIDs[i])) != string(id) {
			before, ref = l, after
			continue
		}
		if before != nil {
			before.next = uint32(after)
		} else {
			head = after
		}
		t.forget(l, i)
		return head, true
	}
	return head, false
}

// after returns the reference of the connection's next listener. mu is held.
func (t *subscriptions) after(l *listener) owner {
	if l.next == 0 {
		return 0
	}
	return listenRef(l.next, t.listens.at(l.next).gen)
}

// forget ends the listener's subscriptions and frees its record. mu is held.
func (t *subscriptions) forget(l *listener, i uint32) {
	t.dropLocked(l.head)
	if l.idLen == idLong {
		delete(t.longIDs, i)
	}
	*l = listener{gen: l.gen}
	t.listens.put(i)
}

// listeningTo fills refs with listeners of that kind of list, from index *i on,
// and returns how many there are; 0 ends the search.
func (t *subscriptions) listeningTo(kind listKind, i *uint32, refs []owner) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := 0
	for ; *i < t.listens.top && n < len(refs); *i++ {
		if l := t.listens.at(*i); *i != 0 && l.stream != 0 && l.lists&kind != 0 {
			refs[n] = listenRef(*i, l.gen)
			n++
		}
	}
	return n
}
