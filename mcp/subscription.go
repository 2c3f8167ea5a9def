package mcp

import (
	"errors"
	"slices"
	"sync"
	"unsafe"

	"github.com/rookery-server/rookery/codec"
)

// This file remembers who wants to hear of which resource. A subscription is
// one 24-byte entry in two lists: the topic's, which a publication walks, and
// its owner's, which ends with the owner. Nothing here points at anything the
// collector must follow, save one string per topic.
//
// Lock order: subscriptions.mu, then the lock of one session record.

// owner names a subscriber: a session's reference, or with the top bit a
// listen stream's (listenRef).
type owner = uint64

// entry is one subscription. 24 bytes, pinned by a test.
type entry struct {
	owner      owner
	topic      uint32
	next, prev uint32 // in the topic's list
	sibling    uint32 // next of the same owner
}

// topic is a URI somebody subscribed to.
type topic struct {
	uri  string
	head uint32 // entries, the latest first
}

// subscriptions is the table. The zero value is ready for use.
type subscriptions struct {
	mu      sync.Mutex
	byURI   map[string]uint32 // guarded by mu, as all that follow
	topics  []topic           // index 0 unused
	vacant  []uint32          // of topics
	entries slab[entry]
	listens slab[listener]
	longIDs map[uint32]string // of listens, ids that do not fit
	walks   []*walk

	// vanished, if set, is told of topics nobody wants any more, under mu, and
	// changed of what sessions at home here want, likewise.
	vanished func(uri string)                      // immutable
	changed  func(ref uint64, uri string, on bool) // immutable
}

// walk is a publication on its way through a topic's list. Entries are removed
// from under it without harm: remove moves it on. Those added meanwhile stand
// in front of it and are not seen; they came after the change they would hear of.
type walk struct{ next uint32 }

var (
	errTooManySubscriptions = refuse(codec.CodeInvalidParams, "too many subscriptions")
	errBadURI               = refuse(codec.CodeInvalidParams, "uri must be a string of 1 to 2048 bytes")
)

// uriBytesMax bounds the URI of a subscription: it is the only part of one
// whose size a client chooses.
const uriBytesMax = 2048

var errNoSession = errors.New("mcp: no such session")

// subscribe adds a session's subscription; one it has already stays as it is.
func (t *subscriptions) subscribe(sessions Sessions, ref uint64, uri string, limit int) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	sess, ok := sessions.Load(ref)
	if !ok {
		return errNoSession
	}
	if sess.Home != 0 {
		return errElsewhere
	}
	added, err := t.subscribeLocked(sessions, ref, &sess, uri, limit)
	if added && t.changed != nil && !sess.Bound() {
		t.changed(ref, uri, true)
	}
	return err
}

// subscribeLocked adds a subscription of sess, which was loaded under mu.
func (t *subscriptions) subscribeLocked(sessions Sessions, ref uint64, sess *Session, uri string, limit int) (added bool, err error) {
	n := 0
	for i := sess.Topics; i != 0; i = t.entries.at(i).sibling {
		if t.topics[t.entries.at(i).topic].uri == uri {
			return false, nil
		}
		n++
	}
	if n >= limit {
		return false, errTooManySubscriptions
	}
	i := t.add(ref, uri, sess.Topics)
	// Whoever writes Topics holds mu, so that the head is still the one loaded.
	if !sessions.Update(ref, func(s *Session) { s.Topics = i }) {
		t.remove(i)
		return false, errNoSession
	}
	return true, nil
}

// unsubscribe ends a session's subscription, if there is one.
func (t *subscriptions) unsubscribe(sessions Sessions, ref uint64, uri string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	sess, ok := sessions.Load(ref)
	if !ok || sess.Home != 0 {
		return
	}
	if t.unsubscribeLocked(sessions, ref, &sess, uri) && t.changed != nil && !sess.Bound() {
		t.changed(ref, uri, false)
	}
}

// unsubscribeLocked ends a subscription of sess, which was loaded under mu.
func (t *subscriptions) unsubscribeLocked(sessions Sessions, ref uint64, sess *Session, uri string) (removed bool) {
	var before uint32
	for i := sess.Topics; i != 0; before, i = i, t.entries.at(i).sibling {
		e := t.entries.at(i)
		if t.topics[e.topic].uri != uri {
			continue
		}
		after := e.sibling
		if before != 0 {
			t.entries.at(before).sibling = after
		} else if !sessions.Update(ref, func(s *Session) { s.Topics = after }) {
			return false // ended meanwhile: drop has or will have the list
		}
		t.remove(i)
		return true
	}
	return false
}

// drop ends all subscriptions of the owner whose list begins at head.
func (t *subscriptions) drop(head uint32) {
	if head == 0 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.dropLocked(head)
}

func (t *subscriptions) dropLocked(head uint32) {
	for i := head; i != 0; {
		after := t.entries.at(i).sibling
		t.remove(i)
		i = after
	}
}

// add puts a new entry at the head of its topic's list.
func (t *subscriptions) add(o owner, uri string, sibling uint32) uint32 {
	id, ok := t.byURI[uri]
	if !ok {
		id = t.newTopic(uri)
	}
	i := t.entries.get()
	tp := &t.topics[id]
	*t.entries.at(i) = entry{owner: o, topic: id, next: tp.head, sibling: sibling}
	if tp.head != 0 {
		t.entries.at(tp.head).prev = i
	}
	tp.head = i
	return i
}

func (t *subscriptions) newTopic(uri string) uint32 {
	var id uint32
	if n := len(t.vacant); n > 0 {
		id = t.vacant[n-1]
		t.vacant = t.vacant[:n-1]
	} else {
		if t.byURI == nil {
			t.byURI = make(map[string]uint32)
			t.topics = make([]topic, 1, 8)
		}
		id = uint32(len(t.topics))
		t.topics = append(t.topics, topic{})
	}
	t.topics[id].uri = uri
	t.byURI[uri] = id
	return id
}

// remove takes the entry out of its topic's list, not out of its owner's. A
// topic nobody wants any more goes with its last entry.
func (t *subscriptions) remove(i uint32) {
	e := t.entries.at(i)
	for _, w := range t.walks {
		if w.next == i {
			w.next = e.next
		}
	}
	tp := &t.topics[e.topic]
	if e.prev != 0 {
		t.entries.at(e.prev).next = e.next
	} else {
		tp.head = e.next
	}
	if e.next != 0 {
		t.entries.at(e.next).prev = e.prev
	}
	if tp.head == 0 {
		delete(t.byURI, tp.uri)
		if t.vanished != nil {
			t.vanished(tp.uri)
		}
		*tp = topic{}
		t.vacant = append(t.vacant, e.topic)
	}
	*e = entry{}
	t.entries.put(i)
}

// has reports whether anybody is subscribed to uri.
func (t *subscriptions) has(uri string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, ok := t.byURI[uri]
	return ok
}

// begin starts a walk through the subscribers of uri; nil if there are none. The
// caller ends it.
func (t *subscriptions) begin(uri string) *walk {
	t.mu.Lock()
	defer t.mu.Unlock()
	id, ok := t.byURI[uri]
	if !ok {
		return nil
	}
	w := &walk{next: t.topics[id].head}
	t.walks = append(t.walks, w)
	return w
}

// step fills owners with the next subscribers and returns how many there are, 0
// at the end.
func (t *subscriptions) step(w *walk, owners []owner) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := 0
	for n < len(owners) && w.next != 0 {
		e := t.entries.at(w.next)
		owners[n] = e.owner
		n++
		w.next = e.next
	}
	return n
}

// end forgets a walk.
func (t *subscriptions) end(w *walk) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if i := slices.Index(t.walks, w); i >= 0 {
		last := len(t.walks) - 1
		t.walks[i], t.walks[last] = t.walks[last], nil
		t.walks = t.walks[:last]
	}
}

// stats counts what there is; bytes is the memory of the tables without the
// maps' own overhead.
func (t *subscriptions) stats() (entries, topics, listens int, bytes int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	bytes = int64(len(t.entries.chunks)) * int64(unsafe.Sizeof([slabChunk]entry{}))
	bytes += int64(len(t.listens.chunks)) * int64(unsafe.Sizeof([slabChunk]listener{}))
	bytes += int64(cap(t.topics)) * int64(unsafe.Sizeof(topic{}))
	bytes += 4 * int64(cap(t.vacant)+cap(t.entries.free)+cap(t.listens.free))
	return t.entries.used(), len(t.byURI), t.listens.used(), bytes
}
