package server

import (
	"errors"

	"github.com/rookery-server/rookery/cluster"
	"github.com/rookery-server/rookery/mcp"
	"github.com/rookery-server/rookery/session"
)

// replicas is what the cluster sees of this process: its sessions, homes and
// copies alike, and the connections. A session's record, subscriptions and log
// are in three tables; the delivery lock of package mcp holds them together.
type replicas struct{ c *clustering }

var _ cluster.Store = replicas{}

func (t replicas) table() *session.Table { return t.c.s.sessions }
func (t replicas) log() *session.Events  { return t.c.s.events }
func (t replicas) mcp() *mcp.Server      { return t.c.s.mcp }

// Find implements cluster.Store.
func (t replicas) Find(id cluster.ID) (ref uint64, ok bool) {
	r, ok := t.table().Find(id)
	return uint64(r), ok
}

// Load implements cluster.Store.
func (t replicas) Load(ref uint64) (cluster.Session, bool) {
	r, ok := t.table().Load(session.Ref(ref))
	return described(&r), ok
}

// Range implements cluster.Store. Sessions that live and die with a connection
// are not the cluster's.
func (t replicas) Range(from uint32, f func(ref uint64, s cluster.Session) bool) {
	t.table().RangeFrom(from, func(ref session.Ref, r session.Record) bool {
		return bound(&r) || f(uint64(ref), described(&r))
	})
}

// Export implements cluster.Store.
func (t replicas) Export(ref uint64, f func(*cluster.Snapshot)) bool {
	return t.mcp().Export(ref, func(sess mcp.Session, uris []string) {
		t.describe(ref, &sess, uris, f)
	})
}

// describe calls f with the state of a session of which the delivery lock is
// held. The record is read once more under the lock that orders its changes:
// what f sends stands before those that are told later.
func (t replicas) describe(ref uint64, sess *mcp.Session, uris []string, f func(*cluster.Snapshot)) {
	changes := t.c.changes(ref)
	changes.Lock()
	defer changes.Unlock()
	r, ok := t.table().Load(session.Ref(ref))
	if !ok { // it is ending; what is told of it now is followed by its end
		r = toRecord(sess)
	}
	s := cluster.Snapshot{Session: described(&r), Client: t.c.clients.Name(r.Client), Topics: uris}
	s.Log.Last, s.Log.Floors = t.log().Each(sess.Log, func(seq, stream, body uint32, msg []byte) {
		s.Log.Events = append(s.Log.Events, cluster.Event{Stream: stream, Seq: seq, Origin: t.log().Origin(body), Msg: msg})
	})
	s.Log.Fork = t.log().Fork(sess.Log)
	f(&s)
}

// Digest implements cluster.Store.
func (t replicas) Digest(ref uint64) (sum uint64) {
	t.mcp().Export(ref, func(sess mcp.Session, uris []string) {
		r := toRecord(&sess)
		s := described(&r)
		h := newDigest()
		h.bytes(s.ID[:])
		h.word(uint64(s.Epoch))
		h.word(s.State)
		h.word(uint64(t.log().Last(sess.Log)))
		sum = h.sum
		for _, uri := range uris { // in whatever order
			h = newDigest()
			h.bytes([]byte(uri))
			sum += h.sum
		}
	})
	return sum
}

// Adopt implements cluster.Store.
func (t replicas) Adopt(s *cluster.Snapshot) (ref uint64, err error) {
	r := session.Record{Client: t.c.clients.Intern([]byte(s.Client)), Home: s.Home, Epoch: s.Epoch, Log: t.store(&s.Log)}
	unpackState(&r, s.State)
	adopted, err := t.table().Adopt(s.ID, r)
	if err != nil {
		t.log().Drop(r.Log)
		return 0, err
	}
	t.mcp().ImportSubscriptions(uint64(adopted), s.Topics)
	return uint64(adopted), nil
}

// store makes a log, 0 if there is nothing to put in.
func (t replicas) store(l *cluster.Log) (log uint32) {
	for i := range l.Events {
		log = t.append(log, &l.Events[i])
	}
	if l.Floors != [2]uint32{} {
		log = t.log().SetFloors(log, l.Floors)
	}
	if l.Last != 0 {
		log = t.log().Lift(log, l.Last)
		t.log().SetFork(log, l.Fork)
	}
	return log
}

// append puts an event into a log under the number it has, and returns the log,
// which may be new. Stream 0 is a number that was drawn for no event.
func (t replicas) append(log uint32, e *cluster.Event) (newLog uint32) {
	if e.Stream == 0 {
		return t.log().Lift(log, e.Seq)
	}
	var body uint32
	if len(e.Msg) > 0 { // else the home could not keep it
		body = t.log().KeepAs(e.Origin, e.Msg)
		defer t.log().Release(body)
	}
	return t.appendBody(log, e.Stream, e.Seq, e.Origin, body)
}

// appendBody is append for a message that is stored already, or not: 0.
func (t replicas) appendBody(log, stream, seq uint32, o cluster.Origin, body uint32) (newLog uint32) {
	newLog, added := t.log().AppendAt(log, stream, seq, body)
	if !added && body != 0 {
		t.log().Move(newLog, seq, o) // its home has found out where it belongs
	}
	return newLog
}

// Replace implements cluster.Store.
func (t replicas) Replace(ref uint64, s *cluster.Snapshot) (extra []cluster.Event, ok bool) {
	if !t.mcp().Demote(ref, s.Home, s.Epoch) {
		return nil, false
	}
	client := t.c.clients.Intern([]byte(s.Client))
	t.mcp().WithDelivery(ref, func() {
		now, there := t.table().Load(session.Ref(ref))
		if !there {
			return
		}
		extra = t.beyond(now.Log, &s.Log)
		log := t.store(&s.Log)
		ok = t.table().Update(session.Ref(ref), func(r *session.Record) {
			r.Log = log
			unpackState(r, s.State)
			if s.Client != "" {
				r.Client = client
			}
		})
		if ok {
			log = now.Log
		}
		t.log().Drop(log)
	})
	if ok {
		t.mcp().ImportSubscriptions(ref, s.Topics)
	}
	return extra, ok
}

// Dismiss implements cluster.Store.
func (t replicas) Dismiss(ref uint64, ready bool) { t.mcp().Dismiss(ref, ready) }

// Write implements cluster.Store.
func (t replicas) Write(ref uint64, state uint64) {
	t.table().Update(session.Ref(ref), func(r *session.Record) {
		if r.Home != 0 {
			unpackState(r, state)
		}
	})
}

// Subscribe implements cluster.Store.
func (t replicas) Subscribe(ref uint64, topic string, on bool) { t.mcp().SubscribeCopy(ref, topic, on) }

// Append implements cluster.Store. An event that comes after the session has
// come home is merged, as one from the other side of a split is.
func (t replicas) Append(ref uint64, e *cluster.Event) {
	home := false
	t.mcp().WithDelivery(ref, func() {
		r, ok := t.table().Load(session.Ref(ref))
		if home = ok && r.Home == 0; !ok || home {
			return
		}
		if log := t.append(r.Log, e); log != r.Log && !t.setLog(ref, log) {
			t.log().Drop(log)
		}
	})
	if home {
		t.Merge(ref, []cluster.Event{*e})
	}
}

// AppendEach implements cluster.Store.
func (t replicas) AppendEach(home uint32, e *cluster.Event, to []cluster.Place) (others []cluster.Place) {
	var body uint32
	if len(e.Msg) > 0 {
		body = t.log().KeepAs(e.Origin, e.Msg)
		defer t.log().Release(body)
	}
	others = to[:0]
	for _, p := range to {
		taken := false
		t.mcp().WithDelivery(p.Ref, func() { taken = t.appendCopy(home, &p, e.Origin, body) })
		if !taken {
			others = append(others, p)
		}
	}
	return others
}

// appendCopy puts a body into the log of a copy whose home is home and reports
// whether it is one. The delivery lock is held.
func (t replicas) appendCopy(home uint32, p *cluster.Place, o cluster.Origin, body uint32) bool {
	r, ok := t.table().Load(session.Ref(p.Ref))
	if !ok || r.Home != home {
		return false
	}
	log := t.appendBody(r.Log, p.Stream, p.Seq, o, body)
	if log != r.Log && !t.setLog(p.Ref, log) {
		t.log().Drop(log)
	}
	return true
}

func (t replicas) setLog(ref uint64, log uint32) bool {
	return t.table().Update(session.Ref(ref), func(r *session.Record) { r.Log = log })
}

// Remove implements cluster.Store.
func (t replicas) Remove(ref uint64) {
	if r, ok := t.table().Load(session.Ref(ref)); !ok || r.Home == 0 {
		return // it has come home
	}
	if r, ok := t.table().Delete(session.Ref(ref)); ok {
		t.mcp().SessionEnded(ref, toSession(&r))
	}
}

// End implements cluster.Store.
func (t replicas) End(ref uint64) {
	if last, ok := (sessions{table: t.table(), cluster: t.c}).Delete(ref); ok {
		t.mcp().SessionEnded(ref, last)
	}
}

// Promote implements cluster.Store.
func (t replicas) Promote(ref uint64, epoch uint32, unclean bool) bool {
	t.table().Touch(session.Ref(ref)) // it has been in use elsewhere
	return t.mcp().Promote(ref, epoch, !unclean)
}

// HandOver implements cluster.Store.
func (t replicas) HandOver(ref uint64, home, epoch uint32, f func(s *cluster.Snapshot, conn uint64, framing uint8)) bool {
	var left mcp.StreamID
	var goodbye []byte
	err := t.mcp().HandOver(ref, home, epoch, func(sess mcp.Session, uris []string) {
		conn := uint64(0)
		if sess.Stream != 0 {
			if conn = t.c.leave(sess.Stream, home); conn == 0 {
				left, goodbye = sess.Stream, sess.AppendMoved(nil)
			}
		}
		t.describe(ref, &sess, uris, func(s *cluster.Snapshot) { f(s, conn, sess.Flags) })
	})
	if left != 0 && err == nil {
		_ = host{t.c.s}.Send(left, goodbye) // gone already: just as well
		host{t.c.s}.End(left)
	}
	return err == nil
}

// Attach implements cluster.Store.
func (t replicas) Attach(ref uint64, conn uint64, framing uint8) bool {
	return t.c.attach(conn, func(st mcp.StreamID) (word uint64, ok bool) {
		return t.mcp().AttachStream(ref, st, framing)
	})
}

// Spread implements cluster.Store.
func (t replicas) Spread(payload []byte, origin cluster.Origin, again bool) (cluster.Walk, error) {
	p, err := mcp.ParsePublication(payload)
	if err != nil {
		return nil, err
	}
	sp := t.mcp().Spread(&p, origin)
	sp.Again, sp.Later = again, true
	return sp, nil
}

// errNotDelivered says that a session has neither a stream nor a log for a
// message, or is not meant by it.
var errNotDelivered = errors.New("server: the session does not get this message")

// SpreadTo implements cluster.Store.
func (t replicas) SpreadTo(ref uint64, payload []byte, origin cluster.Origin, again bool) error {
	p, err := mcp.ParsePublication(payload)
	if err != nil {
		return err
	}
	sp := t.mcp().Spread(&p, origin).Only(ref)
	sp.Again, sp.Later = again, true
	for !sp.Step(1) {
		continue
	}
	if sp.Delivered() == 0 {
		return errNotDelivered
	}
	return nil
}

// Commit implements cluster.Store.
func (t replicas) Commit(ref uint64, last uint32) { t.mcp().Commit(ref, last) }

// Latest implements cluster.Store.
func (t replicas) Latest(ref uint64) uint32 {
	r, ok := t.table().Load(session.Ref(ref))
	if !ok {
		return 0
	}
	return t.log().Last(r.Log)
}

// Serve implements cluster.Store.
func (t replicas) Serve(from uint32, conn uint64, msg []byte) {
	if from == 0 {
		t.c.here(conn)
		return
	}
	t.c.serveFor(from, conn, msg)
}

// ClientGone implements cluster.Store.
func (t replicas) ClientGone(from uint32, conn uint64) {
	if r := t.c.remotes.find(from, conn); r != nil {
		t.c.clientGone(r)
	}
}

// Deliver implements cluster.Store.
func (t replicas) Deliver(conn uint64, flags cluster.ReplyFlags, p []byte) {
	t.c.deliver(conn, flags, p)
}

// Refuse implements cluster.Store.
func (t replicas) Refuse(conn uint64, why cluster.Refusal) { t.c.refuse(conn, why) }

// PeerGone implements cluster.Store. Requests that wait for that peer are the
// core's to refuse.
func (t replicas) PeerGone(link uint32) {
	for _, r := range t.c.remotes.ofLink(link) {
		// Should the peer return, its client must not wait for us.
		_ = t.c.core.Reply(r.link, r.conn, cluster.ReplyClose, nil)
		t.c.clientGone(r)
	}
}
