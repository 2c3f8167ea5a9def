package cluster

import (
	"cmp"
	"slices"
)

// This file is what the model knows of two homes that took one session over: see
// session/fork.go and mcp/fork.go.

// heard is session.Events.Heard.
func (l *Log) heard(after uint32) {
	if l.Fork == 0 {
		return
	}
	for _, e := range append(slices.Clone(l.Events), Event{Seq: after}) {
		if e.Seq>>epochBits < l.turn() {
			l.Fork = max(l.Fork, e.Seq+1)
		}
	}
}

// catchUp gives a client what the log with whose number it comes did not have.
func (st *simStore) catchUp(s *simSession, stream, after, fork uint32) {
	turn := after >> epochBits
	if fork == 0 || turn >= s.log.turn() || s.log.Fork != 0 && (s.log.Fork-1)>>epochBits == turn {
		return
	}
	for i := 0; i < len(s.log.Events); {
		e := s.log.Events[i]
		if e.Stream != stream || e.Seq < fork || e.Seq>>epochBits >= turn {
			i++
			continue
		}
		st.p.w.note("%s: client of %x lacks %d-%x %s", st.p.id, s.ID[:2], e.Stream, e.Seq, e.Msg)
		s.log.Last++
		e.Seq = s.log.Last
		s.log.Events = append(slices.Delete(s.log.Events, i, i+1), e)
		st.p.core.Noted(s.ref, e.Stream, e.Seq, e.Origin, e.Msg)
	}
}

// marksFirst puts marks before what else was numbered after the same takeover: they
// say who has heard it.
func marksFirst(events []Event) {
	rank := func(e *Event) int {
		if _, mark := isCame(e); mark {
			return 0
		}
		return 1
	}
	slices.SortStableFunc(events, func(a, b Event) int {
		return cmp.Or(cmp.Compare(a.Seq>>epochBits, b.Seq>>epochBits), cmp.Compare(rank(&a), rank(&b)))
	})
}

// raise moves an event that stands here where a client of another log lacks it to
// its place there.
func (st *simStore) raise(s *simSession, e *Event, at uint32) bool {
	turn := e.Seq >> epochBits
	if at>>epochBits >= turn || turn >= s.log.turn() {
		return false
	}
	there, here := false, false
	for i := range s.log.Events {
		if _, mark := isCame(&s.log.Events[i]); mark {
			there = there || s.log.Events[i].Seq>>epochBits == turn
			here = here || s.log.Events[i].Seq>>epochBits >= s.log.turn()
		}
	}
	if s.log.had(at) || !there || here || !s.log.move(e.Origin, e.Seq) {
		return false
	}
	st.p.w.note("%s: %s of %x stands at %x, not %x", st.p.id, e.Msg, s.ID[:2], e.Seq, at)
	st.p.core.Noted(s.ref, e.Stream, e.Seq, e.Origin, e.Msg)
	return true
}
