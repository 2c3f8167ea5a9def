package mcp

import (
	"math"
	"slices"
)

// This file is what the subscriptions of sessions need when these are copied to
// other processes.

// ImportSubscriptions makes uris the subscriptions of a session, in the place of
// those it has. Replicas hears nothing of it.
func (s *Server) ImportSubscriptions(ref uint64, uris []string) {
	s.subs.replace(s.o.Sessions, ref, uris)
}

// SubscribeCopy notes one change of a session's subscriptions that happened at
// its home. Replicas hears nothing of it.
func (s *Server) SubscribeCopy(ref uint64, uri string, on bool) {
	s.subs.follow(s.o.Sessions, ref, uri, on)
}

func (t *subscriptions) replace(sessions Sessions, ref uint64, uris []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var before, after uint32
	for _, uri := range slices.Backward(uris) { // the first stands at the head, as Export lists them
		after = t.add(ref, uri, after)
	}
	if !sessions.Update(ref, func(s *Session) { before, s.Topics = s.Topics, after }) {
		before = after
	}
	t.dropLocked(before)
}

func (t *subscriptions) follow(sessions Sessions, ref uint64, uri string, on bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	sess, ok := sessions.Load(ref)
	if !ok {
		return
	}
	if on {
		_, _ = t.subscribeLocked(sessions, ref, &sess, uri, math.MaxInt) // its home has seen to the limit; if it has ended, nobody minds
	} else {
		t.unsubscribeLocked(sessions, ref, &sess, uri)
	}
}

// of returns what a session is subscribed to, the latest first. mu is held.
func (t *subscriptions) of(sess *Session) (uris []string) {
	for i := sess.Topics; i != 0; i = t.entries.at(i).sibling {
		uris = append(uris, t.topics[t.entries.at(i).topic].uri)
	}
	return uris
}

// subscribed reports whether a session is subscribed to uri.
func (t *subscriptions) subscribed(sessions Sessions, ref uint64, uri string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	sess, ok := sessions.Load(ref)
	return ok && slices.Contains(t.of(&sess), uri)
}
