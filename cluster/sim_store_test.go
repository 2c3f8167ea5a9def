package cluster

import (
	"cmp"
	"errors"
	"math"
	"slices"
	"strings"
)

// simStore is a Store as server has one, made of maps: what each method means,
// without what makes it fast. Requests and responses are words.
type simStore struct {
	p      *proc
	byRef  map[uint64]*simSession
	byID   map[ID]*simSession
	last   uint64
	broken map[simStream]bool // connections of peers that are still to be closed
	gone   map[ID]bool        // ended at their clients' wish while at home here
}

// simSession is a session, or a copy of one.
type simSession struct {
	Session
	ref    uint64
	client string
	topics []string // the latest first
	log    Log
	stream simStream   // the open one
	busy   int         // calls in flight
	opened bool        // a stream was opened since it was taken over
	silent []simStream // until Dismiss
	former []Event     // with the numbers that they have at a former home
	unsent uint32      // from this event on the client of the open stream has none; 0: it has all
}

// simStream is a connection: of this process (from 0) or of a peer.
type simStream struct {
	from uint32
	conn uint64
}

// What State holds: how often a stream was opened, and a number that calls raise.
func (s *simSession) gets() uint32 { return uint32(s.State) }

func newSimStore(p *proc) *simStore {
	return &simStore{p: p, byRef: map[uint64]*simSession{}, byID: map[ID]*simSession{}, gone: map[ID]bool{}, broken: map[simStream]bool{}}
}

func (st *simStore) add(s *simSession) {
	st.last++
	s.ref = st.last | 7<<32
	st.byRef[s.ref], st.byID[s.ID] = s, s
}

func (st *simStore) remove(s *simSession) {
	delete(st.byRef, s.ref)
	delete(st.byID, s.ID)
}

func (st *simStore) Find(id ID) (uint64, bool) {
	if s := st.byID[id]; s != nil {
		return s.ref, true
	}
	return 0, false
}

func (st *simStore) Load(ref uint64) (Session, bool) {
	if s := st.byRef[ref]; s != nil {
		return s.Session, true
	}
	return Session{}, false
}

func (st *simStore) sorted() []*simSession {
	all := make([]*simSession, 0, len(st.byRef))
	for _, s := range st.byRef {
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b *simSession) int { return cmp.Compare(a.ref, b.ref) })
	return all
}

func (st *simStore) Range(from uint32, f func(ref uint64, s Session) bool) {
	for _, s := range st.sorted() {
		if uint32(s.ref) >= from && st.byRef[s.ref] == s && !f(s.ref, s.Session) {
			return
		}
	}
}

func (st *simStore) Count() (homes, copies int) {
	for _, s := range st.byRef {
		switch RoleOf(s.Home) {
		case RoleHome:
			homes++
		case RoleCopy:
			copies++
		}
	}
	return homes, copies
}

func (st *simStore) Digest(ref uint64) uint64 {
	s := st.byRef[ref]
	if s == nil {
		return 0
	}
	d := uint64(0)
	for i := range 2 {
		d = mix(d ^ le.Uint64(s.ID[8*i:]))
	}
	d = mix(d ^ uint64(s.Epoch))
	d = mix(d ^ s.State)
	topics := slices.Sorted(slices.Values(s.topics))
	for _, c := range []byte(strings.Join(topics, " ")) {
		d = mix(d ^ uint64(c))
	}
	return mix(d ^ uint64(s.log.Last))
}

func (st *simStore) Export(ref uint64, f func(*Snapshot)) bool {
	s := st.byRef[ref]
	if s != nil {
		f(s.snapshot())
	}
	return s != nil
}

func (s *simSession) snapshot() *Snapshot {
	return &Snapshot{Session: s.Session, Client: s.client, Topics: slices.Clone(s.topics), Log: s.log.clone()}
}

func (l *Log) clone() Log {
	c := *l
	c.Events = slices.Clone(l.Events)
	for i := range c.Events {
		c.Events[i].Msg = slices.Clone(c.Events[i].Msg)
	}
	return c
}

func (st *simStore) Adopt(full *Snapshot) (uint64, error) {
	if st.byID[full.ID] != nil {
		st.p.w.fail("%s adopts a session twice", st.p.id)
		return 0, errors.New("there")
	}
	s := &simSession{}
	st.add(s)
	st.set(s, full)
	return s.ref, nil
}

// set makes s what full says.
func (st *simStore) set(s *simSession, full *Snapshot) {
	if full.Home == 0 {
		st.p.w.fail("%s: a copy without a home", st.p.id)
	}
	delete(st.byID, s.ID)
	s.Session, s.client, s.topics, s.log = full.Session, full.Client, slices.Clone(full.Topics), full.Log.clone()
	s.opened, s.unsent, s.former = false, 0, nil
	st.byID[s.ID] = s
}

func (st *simStore) Replace(ref uint64, full *Snapshot) (extra []Event, ok bool) {
	s := st.byRef[ref]
	if s == nil {
		return nil, false
	}
	if full.Epoch < s.Epoch {
		st.p.w.fail("%s: epoch of a session goes from %d back to %d", st.p.id, s.Epoch, full.Epoch)
	}
	if s.Home == 0 {
		st.p.w.note("%s is fenced: %x epoch %d by %d, topics %v", st.p.id, s.ID[:2], s.Epoch, full.Epoch, s.topics)
		if s.stream.conn != 0 {
			s.silent = append(s.silent, s.stream)
		}
		s.stream, s.busy = simStream{}, 0
	}
	for _, e := range s.log.Events {
		at, has := full.Log.at(e.Origin)
		if !has || e.Seq < at || s.log.Fork != 0 && s.log.Fork <= at && at>>epochBits < e.Seq>>epochBits {
			extra = append(extra, e)
		}
	}
	marksFirst(extra)
	st.p.w.note("%s has %x from %v in epoch %x, not %x; pointer %v, %d more events", st.p.id, s.ID[:2], st.p.core.link(full.home()).peer, full.Epoch, s.Epoch, full.isPointer(), len(extra))
	st.set(s, full)
	return extra, true
}

func (st *simStore) Dismiss(ref uint64, ready bool) {
	if s := st.byRef[ref]; s != nil {
		st.p.w.note("%s dismisses the client of %x, ready %v", st.p.id, s.ID[:2], ready)
		if !ready {
			st.sayLater(s)
		}
		st.endSilent(s)
	}
}

func (st *simStore) sayLater(s *simSession) {
	for _, to := range s.silent {
		st.out(to, 0, "later\n")
	}
}

func (st *simStore) endSilent(s *simSession) {
	for _, to := range s.silent {
		st.out(to, ReplyClose, "goodbye\n")
	}
	s.silent = nil
}

func (l *Log) has(o Origin) bool {
	_, has := l.at(o)
	return has
}

// at returns the number of an event.
func (l *Log) at(o Origin) (seq uint32, has bool) {
	for i := range l.Events {
		if l.Events[i].Origin == o {
			return l.Events[i].Seq, true
		}
	}
	return 0, false
}

// copyOf returns a session for a change that its home has told.
func (st *simStore) copyOf(ref uint64) *simSession {
	s := st.byRef[ref]
	if s != nil && s.Home == 0 {
		st.p.w.fail("%s: somebody else changes a session at home here", st.p.id)
		return nil
	}
	return s
}

func (st *simStore) Write(ref uint64, state uint64) {
	if s := st.copyOf(ref); s != nil {
		s.State = state
	}
}

func (st *simStore) Subscribe(ref uint64, topic string, on bool) {
	if s := st.copyOf(ref); s != nil {
		s.subscribe(topic, on)
	}
}

func (s *simSession) subscribe(topic string, on bool) bool {
	was := slices.Contains(s.topics, topic)
	switch {
	case on && !was:
		s.topics = slices.Insert(s.topics, 0, topic)
	case !on && was:
		s.topics = slices.DeleteFunc(s.topics, func(t string) bool { return t == topic })
	}
	return on != was
}

func (st *simStore) Append(ref uint64, e *Event) {
	if s := st.copyOf(ref); s != nil {
		s.log.appendAt(e)
	}
}

func (st *simStore) AppendEach(home uint32, e *Event, to []Place) (others []Place) {
	others = to[:0]
	for _, p := range to {
		s := st.byRef[p.Ref]
		if s == nil || s.Home != home {
			others = append(others, p)
			continue
		}
		s.log.appendAt(&Event{Stream: p.Stream, Seq: p.Seq, Origin: e.Origin, Msg: e.Msg})
	}
	return others
}

// appendAt is session.Events.AppendAt.
func (l *Log) appendAt(e *Event) {
	l.Last = max(l.Last, e.Seq)
	if len(e.Msg) == 0 || l.move(e.Origin, e.Seq) || l.has(e.Origin) || slices.ContainsFunc(l.Events, func(x Event) bool { return x.Seq == e.Seq }) {
		return
	}
	c := *e
	c.Msg = slices.Clone(e.Msg)
	l.Events = append(l.Events, c)
	slices.SortFunc(l.Events, bySeq)
}

func (st *simStore) Remove(ref uint64) {
	if s := st.copyOf(ref); s != nil {
		st.p.w.note("%s removes its copy of %x", st.p.id, s.ID[:2])
		st.remove(s)
		st.endSilent(s)
	}
}

func (st *simStore) End(ref uint64) {
	if s := st.byRef[ref]; s != nil && s.Home == 0 {
		st.remove(s)
		st.gone[s.ID] = true
		st.endSilent(s)
		st.endStream(s)
		st.p.core.Ended(ref, s.ID)
	}
}

func (st *simStore) Promote(ref uint64, epoch uint32, unclean bool) bool {
	s := st.byRef[ref]
	if s == nil || s.Epoch > epoch {
		return false
	}
	if s.isPointer() {
		st.p.w.fail("%s: a pointer becomes a home", st.p.id)
	}
	st.p.w.note("%s is home of %x, epoch %d, unclean %v, topics %v, last %x", st.p.id, s.ID[:2], epoch, unclean, s.topics, s.log.Last)
	if s.Home == 0 {
		s.Epoch = epoch
		st.p.w.homeOf(st.p, s)
		return true
	}
	s.Home, s.Epoch, s.unsent = 0, epoch, 0
	if unclean {
		s.stream, s.opened = simStream{}, false
		next := max((uint64(s.log.Last)+1<<16)|(1<<epochBits-1), uint64(epoch>>movesBits)<<epochBits-1)
		if next >= math.MaxUint32 {
			st.p.w.fail("no epoch left")
		}
		s.log.Fork = s.log.Last + 1
		s.log.Last = uint32(next)
	}
	st.p.w.homeOf(st.p, s)
	return true
}

func (st *simStore) HandOver(ref uint64, home, epoch uint32, f func(*Snapshot, uint64, uint8)) bool {
	s := st.byRef[ref]
	if s == nil || s.Home != 0 || epoch <= s.Epoch || s.busy > 0 {
		return false
	}
	st.commit(s)
	conn := uint64(0)
	if s.stream.from == home {
		conn, s.stream = s.stream.conn, simStream{}
	} else {
		st.endStream(s)
	}
	st.p.w.note("%s hands %x over to %s, connection %d", st.p.id, s.ID[:2], st.p.core.link(home).peer, conn)
	f(s.snapshot(), conn, 0)
	s.Home, s.Epoch = home, epoch
	return true
}

func (st *simStore) Attach(ref uint64, conn uint64, _ uint8) bool {
	s := st.byRef[ref]
	c := st.p.conns[conn]
	if s == nil || s.Home == 0 || c == nil {
		return false
	}
	s.stream, s.opened = simStream{0, conn}, true
	return true
}
