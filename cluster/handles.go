package cluster

import "sync/atomic"

// A link names the sessions of notifications by handles of two bytes, one table
// for each direction: the first notification for a session binds a handle to its
// id, later ones say the handle. The sender chooses; the receiver only remembers.
// Both see the same messages of the data lane in the same order, so that they
// agree without a word, across connections too, until the link begins anew.
//
// Nothing is there before the first notification. The tables grow with the
// sessions that are named, to handlesMax: then they take 1 MiB at the sender and
// 2 MiB at the receiver, and a session that has no handle takes that of another,
// which is bound again when it is next named.

const (
	handleWays = 4       // handles that a session may have: its set
	handlesMin = 64      // of a sender's first table
	handlesMax = 1 << 16 // two bytes
)

// handlesOut is the sender's table: sets of handleWays ids, as a cache has them.
type handlesOut struct {
	slots []ID // zero: free; a power of two of them
	used  int
	turn  uint8 // which of a full set is given up next
}

// of returns a session's handle, or with bound false the one that it is to get:
// see bind.
func (t *handlesOut) of(id ID) (handle uint16, bound bool) {
	if t.slots == nil {
		t.slots = make([]ID, handlesMin)
	}
	set := t.set(id)
	free := -1
	for way := range handleWays {
		switch t.slots[set+way] {
		case id:
			return uint16(set + way), id != ID{}
		case ID{}:
			if free < 0 {
				free = way
			}
		}
	}
	switch {
	case free >= 0:
		return uint16(set + free), false
	case len(t.slots) < handlesMax && 2*t.used >= len(t.slots):
		// What was bound is bound again, to other handles: the receiver need not
		// be told that the table grew.
		t.slots, t.used = make([]ID, 2*len(t.slots)), 0
		return uint16(t.set(id)), false
	}
	t.turn++
	return uint16(set) + uint16(t.turn%handleWays), false
}

// set returns the first handle of a session's set.
func (t *handlesOut) set(id ID) int {
	h := (le.Uint64(id[:]) ^ mix(le.Uint64(id[8:]))) * 0x9e3779b97f4a7c15
	return int(h>>32) & (len(t.slots)/handleWays - 1) * handleWays
}

// bind notes that the peer was sent the id with a handle that of returned.
func (t *handlesOut) bind(handle uint16, id ID) {
	if t.slots[handle] == (ID{}) {
		t.used++
	}
	t.slots[handle] = id
}

const handlePage = 256

// handlesIn is the receiver's table, in pages that are made when one of their
// handles is bound. Pages stay where they are, for Step to remember refs there.
type handlesIn struct {
	pages *[handlesMax / handlePage]*[handlePage]named
}

// named is a session that has a handle.
type named struct {
	id  ID
	ref atomic.Uint64 // of ours as it was last; to be checked

	bound bool
}

func (t *handlesIn) bind(handle uint16, id ID) *named {
	if t.pages == nil {
		t.pages = new([handlesMax / handlePage]*[handlePage]named)
	}
	page := &t.pages[handle/handlePage]
	if *page == nil {
		*page = new([handlePage]named)
	}
	n := &(*page)[handle%handlePage]
	n.id, n.bound = id, true
	n.ref.Store(0)
	return n
}

// at returns the session of a handle, nil if there is none.
func (t *handlesIn) at(handle uint16) *named {
	if t.pages == nil || t.pages[handle/handlePage] == nil {
		return nil
	}
	n := &t.pages[handle/handlePage][handle%handlePage]
	if !n.bound {
		return nil
	}
	return n
}
