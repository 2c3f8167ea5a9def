package mcp

import (
	"time"

	"github.com/rookery-server/rookery/codec"
)

// This file is how a session moves from one process to another. At each time
// one process is its home; others that know of it have a copy, whose record
// names the home. Moving turns that field, under the session's delivery lock:
// what is sent to the client before stands in front of it and is part of what
// moves, and what comes later finds a copy and is refused with ErrMoved.

// Export calls f with a session's record and the URIs it is subscribed to, under
// the locks that changes of both, and of its event log, are made under: what
// Replicas was told before is in it, and what it is told later is not. f must
// only copy. It reports whether there is such a session.
func (s *Server) Export(ref uint64, f func(sess Session, uris []string)) bool {
	delivery := s.delivery(ref)
	delivery.Lock()
	defer delivery.Unlock()
	s.subs.mu.Lock()
	defer s.subs.mu.Unlock()
	sess, ok := s.o.Sessions.Load(ref)
	if ok {
		f(sess, s.subs.of(&sess))
	}
	return ok
}

// Promote makes this process the home of a session of which it has a copy, in
// that epoch. It reports false if there is no such session or one of a higher
// epoch.
//
// With clean the former home has handed it over, with all it had, and a stream
// that AttachStream set goes on. Otherwise nobody knows what it did last: the
// log's numbers begin a new range, so that they never meet those it drew.
func (s *Server) Promote(ref uint64, epoch uint32, clean bool) bool {
	delivery := s.delivery(ref)
	delivery.Lock()
	defer delivery.Unlock()
	sess, ok := s.o.Sessions.Load(ref)
	if !ok || sess.Epoch > epoch {
		return false
	}
	if sess.Home == 0 {
		return s.o.Sessions.Update(ref, func(now *Session) { now.Epoch = epoch })
	}
	log := sess.Log
	if !clean {
		log = s.nextEpoch(log, epoch>>takeoverShift)
	}
	ok = s.o.Sessions.Update(ref, func(now *Session) {
		now.Home, now.Epoch, now.Log = 0, epoch, log
		if !clean {
			now.Stream = 0
			now.Flags &= kindFlags
			now.Gets = max(now.Gets, 1) // the lost home may have opened one: what comes is kept for it
		}
	})
	if ok {
		s.count.promoted.Add(1)
	} else if log != sess.Log {
		s.dropLog(log)
	}
	return ok
}

// takeoverShift divides an epoch: above is the number of the latest takeover,
// which no other process has taken for one of its own, below are moves.
const takeoverShift = 16

// nextEpoch begins a new range of a log's numbers. At a thousand there is none
// left: the log ends, and a client that missed something is told so.
func (s *Server) nextEpoch(log, takeover uint32) uint32 {
	if s.o.Events == nil {
		return log
	}
	next, last := s.o.Events.NextEpoch(log, takeover)
	if last == 0 {
		s.dropLog(log)
		return 0
	}
	return next
}

func (s *Server) dropLog(log uint32) {
	if s.o.Events != nil {
		s.o.Events.Drop(log)
	}
}

// Demote makes a copy of a session, whose home is elsewhere in that epoch: its
// calls are cancelled with ErrMoved, and nothing else is written to its client.
// Open streams stay open, so that it does not come to the new home before that
// knows what the client has had from here, until Dismiss ends them. The record of
// a copy is brought up to date. It reports false if there is no such session or
// one of a higher epoch.
func (s *Server) Demote(ref uint64, home, epoch uint32) bool {
	was, ok := s.demote(ref, home, epoch)
	if ok && was.Home == 0 {
		s.count.demoted.Add(1)
		s.o.Calls.CancelScope(sessionScope(ref), ErrMoved)
	}
	return ok
}

func (s *Server) demote(ref uint64, home, epoch uint32) (was Session, ok bool) {
	delivery := s.delivery(ref)
	delivery.Lock()
	defer delivery.Unlock()
	was, ok = s.o.Sessions.Load(ref)
	if !ok || was.Epoch > epoch || !s.leave(ref, home, epoch) {
		return was, false
	}
	s.unsent.forget(ref)
	s.former.take(ref)
	silent := append(s.silent.of(ref), s.held.drop(ref)...)
	if was.Stream != 0 {
		silent = append(silent, held{st: was.Stream, flags: was.Flags})
	}
	s.silent.set(ref, silent)
	return was, true
}

// Dismiss ends the streams that clients had when Demote made a copy of their
// session, so that they come back and find the new home: at once, if that is
// ready for them.
func (s *Server) Dismiss(ref uint64, ready bool) {
	retry := fencedRetry
	if ready {
		retry = moveRetry
	}
	delivery := s.delivery(ref)
	delivery.Lock()
	defer delivery.Unlock()
	for _, h := range s.silent.drop(ref) {
		s.sendElsewhere(h.st, h.flags, retry)
	}
}

// leave makes the record that of a copy without streams.
func (s *Server) leave(ref uint64, home, epoch uint32) bool {
	return s.o.Sessions.Update(ref, func(now *Session) {
		now.Home, now.Epoch, now.Stream = home, epoch, 0
		now.Flags &= kindFlags
	})
}

// sendElsewhere ends a stream whose client shall come back.
func (s *Server) sendElsewhere(st StreamID, flags uint8, retry time.Duration) {
	if flags&flagTCP == 0 {
		chunked := flags&flagPlain == 0
		_ = s.o.Host.Send(st, appendEnd(appendRetry(nil, chunked, retry), chunked)) // gone already: just as well
	}
	s.o.Host.End(st)
}

// updateHome changes the record of a session at home here. It takes the delivery
// lock, so that what is exported is older than the change or has it.
func (s *Server) updateHome(ref uint64, f func(*Session)) *codec.Error {
	delivery := s.delivery(ref)
	delivery.Lock()
	defer delivery.Unlock()
	e := errUnknownSession
	s.o.Sessions.Update(ref, func(now *Session) {
		if now.Home != 0 {
			e = errElsewhere
			return
		}
		e = nil
		f(now)
	})
	return e
}

// HandOver makes a copy of a session that rests, as Demote does, and calls f
// with what moves: the record, with the connection of its open stream, 0 for
// none, and how that is framed, and its subscriptions. The connection stays open
// and is nobody's here any more; it is f's to see that it goes along. The locks
// are those of Export. A TCP connection ends instead: its client comes back to
// where the session is. The error is ErrBusy if calls or questions are in flight
// or more than one stream is open; ErrMoved if the home is not here or epoch is
// not higher; ErrNoStream if there is no such session.
func (s *Server) HandOver(ref uint64, home, epoch uint32, f func(sess Session, uris []string)) error {
	delivery := s.delivery(ref)
	delivery.Lock()
	defer delivery.Unlock()
	sess, ok := s.o.Sessions.Load(ref)
	switch {
	case !ok:
		return ErrNoStream
	case sess.Home != 0 || epoch <= sess.Epoch:
		return ErrMoved
	case sess.Flags&flagHeld != 0, s.o.Calls.Busy(sessionScope(ref)):
		return ErrBusy
	}
	s.sendAllUnsent(ref)
	s.subs.mu.Lock()
	defer s.subs.mu.Unlock()
	if sess, ok = s.o.Sessions.Load(ref); !ok {
		return ErrNoStream // ended meanwhile
	}
	if sess.Stream != 0 && sess.Flags&flagTCP != 0 {
		s.sendElsewhere(sess.Stream, sess.Flags, moveRetry)
		sess.Stream = 0
	}
	f(sess, s.subs.of(&sess))
	if !s.leave(ref, home, epoch) {
		return ErrNoStream // likewise
	}
	s.former.take(ref)
	s.count.demoted.Add(1)
	return nil
}

// AttachStream makes a connection that came along with a session the open GET
// stream of its copy here; flags are those of the record that was handed over.
// It must be called before Promote: from there on what is sent goes to it, and
// nothing can fall between. word is what Exchange.Word would be. It reports
// false if there is no such copy; the connection is to be closed then.
func (s *Server) AttachStream(ref uint64, st StreamID, flags uint8) (word uint64, ok bool) {
	delivery := s.delivery(ref)
	delivery.Lock()
	defer delivery.Unlock()
	attached := false
	s.o.Sessions.Update(ref, func(now *Session) {
		if now.Home == 0 {
			return
		}
		attached = true
		now.Stream = st
		now.Flags = now.Flags&kindFlags | flags&flagPlain | flagSettled
	})
	if attached {
		s.count.streamsOpened.Add(1)
	}
	return ref, attached
}
