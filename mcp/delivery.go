package mcp

import "sync"

// This file brings one message to one session. Noting it in the session's log
// and writing it to a stream is one step under the session's delivery lock, and
// so is opening a stream and writing what was missed: an event is either in
// what a stream begins with or follows on it, never both and never neither.
// It makes the order of the log the order on the wire as well.
//
// Host.Send does not block, so the lock is held for some microseconds. Inside
// it the locks of subscriptions, of one session record and of the tables in
// held.go and poststream.go may be taken, and no second delivery lock.

// deliveryLocks spreads sessions over locks; a power of two.
const deliveryLocks = 64

func (s *Server) delivery(ref uint64) *sync.Mutex {
	return &s.deliveries[(ref*0x9e3779b97f4a7c15)>>58]
}

// sendToSession sends n over the session's TCP connection or its GET stream.
// Without an open stream it is kept for a client that had one and may come
// back. The error says that the client will not get it.
func (s *Server) sendToSession(ref uint64, n *notice) error {
	delivery := s.delivery(ref)
	delivery.Lock()
	defer delivery.Unlock()
	sess, ok := s.o.Sessions.Load(ref)
	switch {
	case !ok:
		return ErrNoStream
	case sess.Home != 0:
		return ErrMoved
	case sess.Bound():
		return s.o.Host.Send(sess.Stream, n.line)
	case n.again && s.o.Events != nil && s.o.Events.Has(sess.Log, n.origin):
		return errHasIt
	}
	if s.lapsed() {
		s.endStreams(ref, &sess) // the event is kept
	}
	to := s.outlet(ref, &sess)
	if s.o.Events == nil || to.stream == 0 {
		if to.st == 0 {
			return ErrNoStream
		}
		return s.o.Host.Send(to.st, n.framing(to.flags))
	}
	body := n.keep(s.o.Events)
	seq := s.note(ref, &sess, to.stream, body)
	if n.later && to.st != 0 && to.flags&flagTCP == 0 && seq != 0 && body != 0 {
		n.stream, n.seq = to.stream, seq
		s.unsent.add(streamOf{ref, to.stream}, seq)
		return nil
	}
	if s.sendUnsent(streamOf{ref, to.stream}) && body != 0 {
		return nil // it was among them
	}
	if to.st == 0 {
		if body == 0 || seq == 0 {
			return ErrNoStream
		}
		s.count.kept.Add(1)
		return nil
	}
	if seq == 0 { // the log took nothing
		return s.o.Host.Send(to.st, n.framing(to.flags))
	}
	err := s.o.Host.Send(to.st, n.numbered(to.flags, to.stream, seq, s.forkOf(sess.Log, seq)))
	if err != nil && body != 0 {
		s.count.kept.Add(1) // the stream is about to close; the client may take it up again
		return nil
	}
	return err
}

// note puts body into the session's log as the next event of a stream and
// returns its number, 0 if the session has ended or the log takes nothing. The delivery lock is held.
func (s *Server) note(ref uint64, sess *Session, stream, body uint32) (seq uint32) {
	log, seq := s.o.Events.Append(sess.Log, stream, body)
	return s.keepLog(ref, sess, log, stream, seq, body)
}

// draw takes the next number of the session's log, 0 if the session has ended.
// The delivery lock is held.
func (s *Server) draw(ref uint64, sess *Session) (seq uint32) {
	log, seq := s.o.Events.Draw(sess.Log)
	return s.keepLog(ref, sess, log, 0, seq, 0)
}

// keepLog remembers the log of a session that had none, and tells the copies
// what came into it.
func (s *Server) keepLog(ref uint64, sess *Session, log, stream, seq, body uint32) uint32 {
	if log != sess.Log {
		if !s.o.Sessions.Update(ref, func(now *Session) { now.Log = log }) {
			s.o.Events.Drop(log) // endSession will not hear of it
			return 0
		}
		sess.Log = log
	}
	if seq != 0 && s.o.Replicas != nil {
		s.o.Replicas.Noted(ref, stream, seq, body)
	}
	return seq
}

// WithDelivery runs f under the session's delivery lock: nothing is written to
// its client meanwhile and nothing comes into its log. f must not block and not
// call methods of Server that concern a session, which take the lock too.
func (s *Server) WithDelivery(ref uint64, f func()) {
	delivery := s.delivery(ref)
	delivery.Lock()
	defer delivery.Unlock()
	f()
}
