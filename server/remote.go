package server

import (
	"math"
	"sync"

	"github.com/rookery-server/rookery/cluster"
	"github.com/rookery-server/rookery/loop"
	"github.com/rookery-server/rookery/mcp"
)

// remoteLoop is the loop number in the ids of remote connections: no loop has it.
const remoteLoop = loopsMax

// remotesMax is how many remote connections there may be. A request from one
// more is answered with 503.
const remotesMax = 1 << 20

// isRemote reports whether an id names a connection of another peer.
func isRemote(st mcp.StreamID) bool { return st>>56 == remoteLoop }

// remote is a connection of another peer from which a request came: from the
// arrival of the request until its response is complete or, if that stays open
// as a stream, until the connection has closed.
type remote struct {
	id    mcp.StreamID // immutable; how mcp names it
	link  uint32       // immutable; the peer
	conn  uint64       // immutable; the peer's name for the connection
	table *remotes     // immutable

	mu      sync.Mutex // orders what is written as well
	serving bool       // the request is being served
	held    bool       // the response stays open as a stream
	over    bool       // nothing more can be written
	gone    bool       // it has closed, or belongs to another peer's session now
	word    uint64     // with held: what mcp calls the stream
}

// write sends p and then flags. The error is loop.ErrClosed when the connection
// is gone, else that of the link; nothing can be written afterwards, because a
// response with a gap is worse than none.
func (r *remote) write(flags cluster.ReplyFlags, p []byte) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.writeLocked(flags, p)
}

func (r *remote) writeLocked(flags cluster.ReplyFlags, p []byte) error {
	if r.over {
		return loop.ErrClosed
	}
	if err := r.table.core.Reply(r.link, r.conn, flags, p); err != nil {
		r.over = true
		r.table.loosen(r, true)
		return err
	}
	return nil
}

// end closes the connection behind what was written.
func (r *remote) end() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.writeLocked(cluster.ReplyClose, nil) == nil {
		r.over = true
		r.table.loosen(r, false)
	}
}

// hold makes the connection an open stream once its request has been served. It
// reports false if the connection has closed meanwhile or is not ours any more.
func (r *remote) hold(word uint64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.serving = false
	if r.gone {
		return false
	}
	r.held, r.word = true, word
	_ = r.writeLocked(cluster.ReplyHold, nil) // else it is loose
	return true
}

// stream returns the word of the open stream, 0 if there is none.
func (r *remote) stream() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.held {
		return 0
	}
	return r.word
}

// close says that the connection is gone. It returns the word of its stream, 0
// if there is none, and whether the request is still being served.
func (r *remote) close() (word uint64, serving bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.over, r.gone = true, true
	if r.held {
		r.held, word = false, r.word
	}
	return word, r.serving
}

// remotes is the table of remote connections.
type remotes struct {
	core core // immutable

	mu     sync.RWMutex
	slots  []remoteSlot          // guarded by mu; by the index in an id
	free   []uint32              // guarded by mu; indices of free slots
	gen    uint32                // guarded by mu; none of slots has a lower generation
	byConn map[remoteKey]*remote // guarded by mu
	loose  []looseRemote         // guarded by mu
	late   []*remote             // guarded by mu; streams whose session is to follow them
}

// looseRemote is a connection to which nothing more can be written, while mcp
// may think so. mcp cannot be told where that turns out, which is inside it.
type looseRemote struct {
	r      *remote
	untold bool // the peer, because there was no room: it is to close the connection
}

// remoteSlot is a place for a remote connection. Its generation rises with each
// use, so that an id never names another connection.
type remoteSlot struct {
	gen uint32
	r   *remote // nil: free
}

type remoteKey struct {
	link uint32
	conn uint64
}

// add makes a remote connection whose request is about to be served. It returns
// nil if there are too many, or one of that name exists.
func (t *remotes) add(link uint32, conn uint64) *remote {
	t.mu.Lock()
	defer t.mu.Unlock()
	key := remoteKey{link, conn}
	if t.byConn[key] != nil || len(t.byConn) >= remotesMax {
		return nil
	}
	if len(t.free) == 0 {
		t.free = append(t.free, uint32(len(t.slots)))
		t.slots = append(t.slots, remoteSlot{gen: t.gen})
	}
	i := t.free[len(t.free)-1]
	t.free = t.free[:len(t.free)-1]
	slot := &t.slots[i]
	slot.gen++
	slot.r = &remote{id: mcp.StreamID(join(remoteLoop, int(i), slot.gen)), link: link, conn: conn, table: t, serving: true}
	if t.byConn == nil {
		t.byConn = make(map[remoteKey]*remote)
	}
	t.byConn[key] = slot.r
	return slot.r
}

// get returns the connection of an id, nil if it is gone.
func (t *remotes) get(st mcp.StreamID) *remote {
	_, i, gen := split(ConnID(st))
	t.mu.RLock()
	defer t.mu.RUnlock()
	if i >= len(t.slots) || t.slots[i].gen != gen {
		return nil
	}
	return t.slots[i].r
}

// find returns the connection that a peer calls conn, nil if it is not known.
func (t *remotes) find(link uint32, conn uint64) *remote {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.byConn[remoteKey{link, conn}]
}

// remove forgets a connection; it may have been forgotten already.
func (t *remotes) remove(r *remote) {
	_, i, gen := split(ConnID(r.id))
	t.mu.Lock()
	defer t.mu.Unlock()
	if i >= len(t.slots) || t.slots[i].gen != gen || t.slots[i].r == nil {
		return
	}
	t.slots[i].r = nil
	if gen+1 != 0 { // a slot that has used up its generations stays empty
		t.free = append(t.free, uint32(i))
	}
	delete(t.byConn, remoteKey{r.link, r.conn})
}

// slotsKeep is how many free slots stay.
const slotsKeep = 1 << 10

// shrink gives the table back what a burst has made it grow to, once nothing is
// in it.
func (t *remotes) shrink() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.byConn) > 0 || len(t.slots) <= slotsKeep {
		return
	}
	highest := t.gen
	for i := range t.slots {
		highest = max(highest, t.slots[i].gen)
	}
	if highest == math.MaxUint32 {
		return // a new slot would have no generation left
	}
	t.slots, t.free, t.byConn, t.gen = nil, nil, nil, highest
}

// ofLink returns the connections of a peer.
func (t *remotes) ofLink(link uint32) (found []*remote) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	for _, r := range t.byConn {
		if r.link == link {
			found = append(found, r)
		}
	}
	return found
}

func (t *remotes) loosen(r *remote, untold bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.loose = append(t.loose, looseRemote{r, untold})
}

// postpone has the sessions of streams moved there later. Beyond remotesMax, to
// which those count that have closed meanwhile, sessions stay where they are until
// their clients come again: they are served there just as well.
func (t *remotes) postpone(list ...*remote) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.late = append(t.late, list[:min(len(list), remotesMax-len(t.late))]...)
}

// takeLate returns up to n of the streams that were postponed.
func (t *remotes) takeLate(n int) []*remote {
	t.mu.Lock()
	defer t.mu.Unlock()
	list := t.late[:min(n, len(t.late))]
	if t.late = t.late[len(list):]; len(t.late) == 0 {
		t.late = nil
	}
	return list
}

func (t *remotes) takeLoose() []looseRemote {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := t.loose
	t.loose = nil
	return all
}

func (t *remotes) len() int {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return len(t.byConn)
}
