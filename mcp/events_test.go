package mcp

import (
	"cmp"
	"slices"
	"strings"
	"sync"
	"testing"
)

// fakeEvents is an event log under one lock that keeps everything, or the
// latest few.
type fakeEvents struct {
	mu     sync.Mutex
	bodies map[uint32]string
	refs   map[uint32]int
	origin map[uint32]Origin // of bodies
	logs   map[uint32]*fakeLog
	next   uint32
	max    int  // events a log keeps
	full   bool // nothing can be kept
	peer   uint64
}

type fakeLog struct {
	last   uint32
	floor  [2]uint32
	events []fakeEvent
	fork   uint32
}

type fakeEvent struct{ stream, seq, body uint32 }

func newFakeEvents() *fakeEvents {
	return &fakeEvents{bodies: map[uint32]string{}, refs: map[uint32]int{}, origin: map[uint32]Origin{}, logs: map[uint32]*fakeLog{}, max: 1000}
}

func (e *fakeEvents) Keep(msg []byte) uint32 {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.full {
		return 0
	}
	return e.keep(Origin{Peer: e.peer, Seq: uint64(e.next) + 1}, msg)
}

func (e *fakeEvents) keep(o Origin, msg []byte) uint32 {
	e.next++
	e.bodies[e.next], e.refs[e.next], e.origin[e.next] = string(msg), 1, o
	return e.next
}

func (e *fakeEvents) KeepAs(o Origin, msg []byte) uint32 {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.full {
		return 0
	}
	for body, of := range e.origin {
		if of == o {
			e.refs[body]++
			return body
		}
	}
	return e.keep(o, msg)
}

func (e *fakeEvents) Has(log uint32, o Origin) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	l := e.logs[log]
	return l != nil && slices.ContainsFunc(l.events, func(ev fakeEvent) bool { return e.origin[ev.body] == o })
}

func (e *fakeEvents) AppendAt(log, stream, seq, body uint32) (uint32, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	log, l := e.log(log)
	l.last-- // log draws a number
	at, taken := slices.BinarySearchFunc(l.events, seq, func(ev fakeEvent, seq uint32) int { return cmp.Compare(ev.seq, seq) })
	if taken || seq <= l.floor[stream>>31] {
		return log, false
	}
	l.last = max(l.last, seq)
	e.refs[body]++
	l.events = slices.Insert(l.events, at, fakeEvent{seq: seq, stream: stream, body: body})
	return log, true
}

func (e *fakeEvents) Renumber(log, seq uint32, o Origin) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	l := e.logs[log]
	if l == nil {
		return false
	}
	i := slices.IndexFunc(l.events, func(ev fakeEvent) bool { return e.origin[ev.body] == o })
	if i < 0 || l.events[i].seq < seq || seq <= l.floor[l.events[i].stream>>31] ||
		slices.ContainsFunc(l.events, func(ev fakeEvent) bool { return ev.seq == seq }) {
		return false
	}
	l.events[i].seq = seq
	slices.SortFunc(l.events, func(a, b fakeEvent) int { return cmp.Compare(a.seq, b.seq) })
	return true
}

func (e *fakeEvents) Numbered(log, seq uint32) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	l := e.logs[log]
	return l != nil && slices.ContainsFunc(l.events, func(ev fakeEvent) bool { return ev.seq == seq })
}

func (e *fakeEvents) Overtaken(log, seq uint32, o Origin) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	l := e.logs[log]
	return l != nil && slices.ContainsFunc(l.events, func(ev fakeEvent) bool {
		at := e.origin[ev.body]
		return ev.seq > seq && at.Peer == o.Peer && at.Seq < o.Seq
	})
}

func (e *fakeEvents) Floors(log uint32) (floors [2]uint32) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if l := e.logs[log]; l != nil {
		floors = l.floor
	}
	return floors
}

func (e *fakeEvents) SetFloors(log uint32, floors [2]uint32) uint32 {
	e.mu.Lock()
	defer e.mu.Unlock()
	log, l := e.log(log)
	l.last--
	for kind, floor := range floors {
		l.floor[kind] = max(l.floor[kind], floor)
	}
	l.events = slices.DeleteFunc(l.events, func(ev fakeEvent) bool {
		if ev.seq > l.floor[ev.stream>>31] {
			return false
		}
		e.release(ev.body)
		return true
	})
	return log
}

// NextEpoch knows 1024 epochs, of which the last is never begun.
func (e *fakeEvents) NextEpoch(log, takeover uint32) (uint32, uint32) {
	e.mu.Lock()
	defer e.mu.Unlock()
	log, l := e.log(log)
	l.last--
	next := (l.last + 1<<16) | (1<<epochShift - 1) // further than a lost home can have got
	next = max(next, (max(takeover, 1)<<epochShift)-1)
	if next>>epochShift == 1023 || next < l.last {
		return log, 0
	}
	l.fork = l.last + 1
	l.last = next
	return log, l.last
}

func (e *fakeEvents) Fork(log uint32) uint32 {
	e.mu.Lock()
	defer e.mu.Unlock()
	if l := e.logs[log]; l != nil {
		return l.fork
	}
	return 0
}

func (e *fakeEvents) Heard(log, after uint32) {
	e.mu.Lock()
	defer e.mu.Unlock()
	l := e.logs[log]
	if l == nil || l.fork == 0 {
		return
	}
	turn := (l.last + 1) >> epochShift
	for _, ev := range append(slices.Clone(l.events), fakeEvent{seq: after}) {
		if ev.seq>>epochShift < turn {
			l.fork = max(l.fork, ev.seq+1)
		}
	}
}

func (e *fakeEvents) Lacked(log, stream, least, below uint32) (seq, body uint32) {
	e.mu.Lock()
	defer e.mu.Unlock()
	l := e.logs[log]
	if l == nil {
		return 0, 0
	}
	i := slices.IndexFunc(l.events, func(ev fakeEvent) bool { return ev.stream == stream && ev.seq >= least && ev.seq < below })
	if i < 0 {
		return 0, 0
	}
	ev := l.events[i]
	l.last++
	ev.seq = l.last
	l.events = append(slices.Delete(l.events, i, i+1), ev)
	e.refs[ev.body]++
	return ev.seq, ev.body
}

func (e *fakeEvents) At(log uint32, o Origin) uint32 {
	e.mu.Lock()
	defer e.mu.Unlock()
	if l := e.logs[log]; l != nil {
		for _, ev := range l.events {
			if e.origin[ev.body] == o {
				return ev.seq
			}
		}
	}
	return 0
}

func (e *fakeEvents) Move(log, seq uint32, o Origin) bool {
	if e.At(log, o) >= seq {
		return e.Renumber(log, seq, o)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	l := e.logs[log]
	i := slices.IndexFunc(l.events, func(ev fakeEvent) bool { return e.origin[ev.body] == o })
	if i < 0 || slices.ContainsFunc(l.events, func(ev fakeEvent) bool { return ev.seq == seq }) {
		return false
	}
	l.events[i].seq, l.last = seq, max(l.last, seq)
	slices.SortFunc(l.events, func(a, b fakeEvent) int { return cmp.Compare(a.seq, b.seq) })
	return true
}

func (e *fakeEvents) Restream(log, from, to, after uint32) (n int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	l := e.logs[log]
	if l == nil {
		return 0
	}
	for i := range l.events {
		if ev := &l.events[i]; ev.stream == from && ev.seq > after {
			ev.stream = to
			n++
		}
	}
	return n
}

func (e *fakeEvents) Release(body uint32) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.release(body)
}

func (e *fakeEvents) release(body uint32) {
	if body == 0 {
		return
	}
	if e.refs[body]--; e.refs[body] == 0 {
		delete(e.refs, body)
		delete(e.bodies, body)
		delete(e.origin, body)
	} else if e.refs[body] < 0 {
		panic("released too often")
	}
}

func (e *fakeEvents) log(log uint32) (uint32, *fakeLog) {
	if log == 0 {
		e.next++
		log = e.next
		e.logs[log] = new(fakeLog)
	}
	l := e.logs[log]
	if l == nil {
		panic("a log that was dropped")
	}
	l.last++
	return log, l
}

func (e *fakeEvents) Append(log, stream, body uint32) (uint32, uint32) {
	e.mu.Lock()
	defer e.mu.Unlock()
	log, l := e.log(log)
	if body == 0 {
		l.floor[stream>>31] = l.last
		return log, l.last
	}
	e.refs[body]++
	l.events = append(l.events, fakeEvent{stream, l.last, body})
	for len(l.events) > e.max {
		l.floor[l.events[0].stream>>31] = l.events[0].seq
		e.release(l.events[0].body)
		l.events = slices.Delete(l.events, 0, 1)
	}
	return log, l.last
}

func (e *fakeEvents) Draw(log uint32) (uint32, uint32) {
	e.mu.Lock()
	defer e.mu.Unlock()
	log, l := e.log(log)
	return log, l.last
}

func (e *fakeEvents) Last(log uint32) uint32 {
	e.mu.Lock()
	defer e.mu.Unlock()
	if l := e.logs[log]; l != nil {
		return l.last
	}
	return 0
}

func (e *fakeEvents) Since(log, stream, after uint32, f func(uint32, []byte)) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	l := e.logs[log]
	if l == nil {
		return after == 0
	}
	if after > l.last || after < l.floor[stream>>31] {
		return false
	}
	for _, ev := range l.events {
		if ev.stream == stream && ev.seq > after {
			f(ev.seq, []byte(e.bodies[ev.body]))
		}
	}
	return true
}

func (e *fakeEvents) Drop(log uint32) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if l := e.logs[log]; l != nil {
		for _, ev := range l.events {
			e.release(ev.body)
		}
		delete(e.logs, log)
	}
}

// left counts what nobody dropped or released.
func (e *fakeEvents) left() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.logs) + len(e.bodies)
}

func TestEventIDs(t *testing.T) {
	for want, ev := range map[string][3]uint32{
		"1-0": {1, 0, 0}, "ffff-1": {0xffff, 1, 0}, "80000007-ffffffff": {postBit | 7, 0xffffffff, 0},
		"1-400001-1": {1, 1<<22 | 1, 1}, "1-400001-400000": {1, 1<<22 | 1, 1 << 22}, "1-ffffffff-ffc00000": {1, 0xffffffff, 1023 << 22},
	} {
		id := appendEventID(nil, ev[0], ev[1], ev[2])
		stream, seq, fork, ok := parseEventID(id)
		if string(id) != want || !ok || stream != ev[0] || seq != ev[1] || fork != ev[2] {
			t.Errorf("%s, not %s, is read as %x, %x, %x, %v", id, want, stream, seq, fork, ok)
		}
	}
	// A fork is one of a number's own past.
	for _, seq := range []uint32{5, 1<<22 - 1, 1<<22 | 5} {
		if id := appendEventID(nil, 1, seq, 1<<22|1); strings.Count(string(id), "-") != 1 {
			t.Errorf("%s", id)
		}
	}
	for _, bad := range []string{"", "-", "1", "1-", "-1", "1-1-1", "1-400001-0", "1-400001-", "1-400001-1-1", "1-400001-400001", "1-400001-1 ", "1-400001 1", "1-400001-123456789", "g-1", "1-g", "123456789-1", "1-123456789", " 1-1", "1-1 "} {
		if _, _, _, ok := parseEventID([]byte(bad)); ok {
			t.Errorf("%q is taken for an id", bad)
		}
	}
}
