package mcp

import (
	"errors"
	"runtime"

	"github.com/rookery-server/rookery/codec"
)

// Spread is a publication on its way through the clients of this process: the
// sessions at home here and the listen streams. It belongs to one goroutine at
// a time. One that is not walked to its end must be closed.
type Spread struct {
	// Again says that the publication may have been this way before: a session
	// whose log has an event of its Origin is not sent another. Streams without
	// a log hear it once more. Set it before the first Step.
	Again bool
	// Later puts the event into the logs of sessions and leaves it to Commit to
	// write it to their streams. Set it before the first Step.
	Later bool

	s         *Server
	p         Publication
	origin    Origin
	n         *notice // nil before the first client
	only      uint64  // the one session, 0 all
	w         *walk
	refs      []uint64 // ToSessions: those not told yet
	noted     []noted  // Later: sessions to write to
	written   int      // of noted
	stage     spreadStage
	visited   int
	delivered int
}

// noted is an event that a session's log has got and its client has not.
type noted struct {
	of  streamOf
	seq uint32
}

type spreadStage uint8

const (
	spreadNew spreadStage = iota
	spreadOn
	spreadOver
)

// Spread begins to bring p to its audience in this process. o is the identity
// that its event gets in every log; the zero Origin lets Events draw one. A
// publication ToSession needs Only.
//
// Who subscribes or comes after the first Step is left out, and so are sessions
// whose home is elsewhere: it is told them there. A session that comes home
// meanwhile may be missed; see Only.
func (s *Server) Spread(p *Publication, o Origin) *Spread { return &Spread{s: s, p: *p, origin: o} }

// Only narrows the walk to one session, if it belongs to the audience, and
// returns sp. It must be called before the first Step.
func (sp *Spread) Only(ref uint64) *Spread {
	sp.only = ref
	return sp
}

// Delivered returns to how many clients the message went, or for how many it is
// kept, so far; those that had it already count.
func (sp *Spread) Delivered() int { return sp.delivered }

// Visited returns how many clients were visited so far.
func (sp *Spread) Visited() int { return sp.visited }

// Step writes to at most max further clients, at least to one, and reports
// whether all were told. It does not block and takes a few microseconds a
// client: yield between steps of some hundred. No lock is held from one client
// to the next, but for ToSessions the first Step looks at every session.
func (sp *Spread) Step(max int) (done bool) {
	if sp.stage == spreadNew {
		sp.start()
	}
	out := sp.s.outbox()
	defer out.close()
	var batch [publishBatch]owner
	for sp.stage == spreadOn {
		k := sp.next(batch[:min(len(batch), positive(max, 1))])
		if k == 0 {
			sp.Close()
			break
		}
		for _, o := range batch[:k] {
			if sp.send(o, &out) {
				sp.delivered++
			}
		}
		sp.visited += k
		if max -= k; max <= 0 {
			break
		}
	}
	return sp.stage == spreadOver
}

// start finds out where the walk begins.
func (sp *Spread) start() {
	sp.stage = spreadOn
	switch {
	case sp.only != 0:
		if sess, ok := sp.s.o.Sessions.Load(sp.only); ok && sp.isFor(sp.only, &sess) {
			sp.refs = []uint64{sp.only}
		}
	case sp.p.Audience == ToSubscribers:
		if sp.w = sp.s.subs.begin(sp.p.Topic); sp.w == nil {
			sp.stage = spreadOver
			return
		}
	case sp.p.Audience == ToSessions:
		sp.s.o.Sessions.Range(func(ref uint64, sess Session) bool {
			if sp.isFor(ref, &sess) {
				sp.refs = append(sp.refs, ref)
			}
			return true
		})
	}
	if sp.w != nil || len(sp.refs) > 0 {
		sp.n = sp.p.notice()
		sp.n.origin, sp.n.again, sp.n.later = sp.origin, sp.Again, sp.Later
	}
}

// isFor reports whether a session belongs to the audience.
func (sp *Spread) isFor(ref uint64, sess *Session) bool {
	switch {
	case sess.Home != 0:
		return false
	case sp.p.Audience == ToSubscribers:
		return sp.s.subs.subscribed(sp.s.o.Sessions, ref, sp.p.Topic)
	case sp.p.Audience == ToSession:
		return true
	case sess.Flags&flagTCP != 0 && sess.State != StateReady && sess.Flags&flagSettled == 0:
		return false // it may not have its answer to initialize yet
	}
	return (sess.Stream != 0 || sess.Gets != 0) && (sp.p.Level == 0 || sp.p.Level >= sess.level())
}

// next fills batch with the next clients, 0 at the end.
func (sp *Spread) next(batch []owner) int {
	if sp.w != nil {
		return sp.s.subs.step(sp.w, batch)
	}
	k := copy(batch, sp.refs)
	sp.refs = sp.refs[k:]
	return k
}

// send tells one client and reports whether it has the message or will.
func (sp *Spread) send(o owner, out *outbox) bool {
	if o&listenBit != 0 {
		return sp.s.countSent(sp.s.sendToListener(o, sp.n, out))
	}
	out.flush()
	err := sp.s.sendToSession(o, sp.n)
	switch {
	case err == nil:
		if sp.n.seq != 0 && sp.only == 0 {
			sp.noted = append(sp.noted, noted{streamOf{o, sp.n.stream}, sp.n.seq})
		}
		sp.n.seq = 0
		return sp.s.countSent(nil)
	case errors.Is(err, errHasIt):
		return true
	case errors.Is(err, ErrMoved):
		return false
	}
	return sp.s.countSent(err)
}

// Commit writes to at most max clients whose logs have got the event since the
// last Commit, and returns how many those were and whether there are no more. It
// must follow each Step with Later, also the last one; until then everything
// behind the event waits in its session's log. What other walks have put there
// since goes with it.
func (sp *Spread) Commit(max int) (n int, done bool) {
	left := sp.noted[sp.written:]
	n = min(max, len(left))
	out := sp.s.outbox()
	defer out.close()
	for i := range left[:n] {
		sp.s.commit(left[i].of, left[i].seq, sp.n, &out)
	}
	if sp.written += n; sp.written < len(sp.noted) {
		return n, false
	}
	sp.noted, sp.written = sp.noted[:0], 0
	return n, true
}

// Commit writes to the client of a session what a Spread with Later, of Only that
// session, has put into its log, as far as it is numbered up to last: what came
// behind that is another Commit's. That Spread remembers nothing.
func (s *Server) Commit(ref uint64, last uint32) {
	delivery := s.delivery(ref)
	delivery.Lock()
	defer delivery.Unlock()
	for _, of := range s.unsent.streams(ref) {
		s.sendUnsentTo(of, last)
	}
}

// Close ends the walk before its end; afterwards and at the end it does
// nothing.
func (sp *Spread) Close() {
	if sp.w != nil {
		sp.s.subs.end(sp.w)
	}
	if sp.n != nil {
		sp.n.release(sp.s.o.Events)
	}
	sp.w, sp.refs, sp.stage = nil, nil, spreadOver // n is for Commit
}

// spreadHere brings p to its audience in a server that is alone.
func (s *Server) spreadHere(p *Publication) (delivered int) {
	o, keyed := p.KeyOrigin()
	sp := s.Spread(p, o)
	sp.Again = keyed
	for !sp.Step(publishBatch) {
		runtime.Gosched()
	}
	return sp.delivered
}

// notice builds the message.
func (p *Publication) notice() *notice {
	if p.Audience == ToSubscribers {
		return newNotification(p.Method, p.Params)
	}
	return newNotice(codec.AppendNotification(nil, p.Method, p.Params))
}
