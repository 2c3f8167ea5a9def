package mcp

import (
	"slices"
	"sync"
)

// This file keeps the streams that a session has open besides the latest GET
// stream, which stands in its record: earlier GET streams that still live, and
// responses to POST that a client took up again on a new connection. Few
// sessions have any.

// heldMax is how many there may be for one session; the oldest ends for a new one.
const heldMax = 8

// held is one such stream.
type held struct {
	stream uint32 // its number, see postBit
	st     StreamID
	flags  uint8 // as Session.Flags
}

// heldStreams is the table, by session. The zero value is ready for use.
type heldStreams struct {
	mu sync.Mutex
	m  map[uint64][]held // guarded by mu; the slices by the session's delivery lock
}

func (t *heldStreams) of(ref uint64) []held {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.m[ref]
}

func (t *heldStreams) set(ref uint64, all []held) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(all) == 0 {
		delete(t.m, ref)
		return
	}
	if t.m == nil {
		t.m = make(map[uint64][]held)
	}
	t.m[ref] = all
}

// find returns the stream that match finds. The delivery lock is held.
func (t *heldStreams) find(ref uint64, match func(held) bool) (h held, ok bool) {
	all := t.of(ref)
	i := slices.IndexFunc(all, match)
	if i < 0 {
		return h, false
	}
	return all[i], true
}

// drop forgets the streams of a session and returns them.
func (t *heldStreams) drop(ref uint64) []held {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := t.m[ref]
	delete(t.m, ref)
	return all
}

// outlet returns where notifications of a session go: its latest open GET
// stream, else the number of its latest with no connection. The delivery lock
// is held.
func (s *Server) outlet(ref uint64, sess *Session) held {
	latest := held{uint32(sess.Gets), sess.Stream, sess.Flags}
	if latest.st != 0 || sess.Flags&flagHeld == 0 {
		return latest
	}
	all := s.held.of(ref)
	for i := len(all) - 1; i >= 0; i-- {
		if all[i].stream&postBit == 0 {
			return all[i]
		}
	}
	return latest
}

// hold adds an open stream in the place of one of the same number, which ends.
// It reports whether the session still lives. The delivery lock is held.
func (s *Server) hold(ref uint64, h held) bool {
	if !s.o.Sessions.Update(ref, func(sess *Session) { sess.Flags |= flagHeld }) {
		return false
	}
	all := s.held.of(ref)
	i := slices.IndexFunc(all, numbered(h.stream))
	if i < 0 && len(all) == heldMax {
		i = 0
	}
	if i >= 0 {
		s.count.streamsReplaced.Add(1)
		s.endStream(all[i].st, all[i].flags)
		all = slices.Delete(all, i, i+1)
	}
	s.held.set(ref, append(all, h))
	return true
}

// letGo forgets the open stream that match finds and returns it. The delivery
// lock is held.
func (s *Server) letGo(ref uint64, match func(held) bool) (h held, ok bool) {
	all := s.held.of(ref)
	i := slices.IndexFunc(all, match)
	if i < 0 {
		return h, false
	}
	h = all[i]
	all = slices.Delete(all, i, i+1)
	s.held.set(ref, all)
	if len(all) == 0 {
		s.o.Sessions.Update(ref, func(sess *Session) { sess.Flags &^= flagHeld })
	}
	return h, true
}

// onConnection finds the stream on a connection.
func onConnection(st StreamID) func(held) bool { return func(h held) bool { return h.st == st } }

// numbered finds the stream of a number.
func numbered(stream uint32) func(held) bool {
	return func(h held) bool { return h.stream == stream }
}
