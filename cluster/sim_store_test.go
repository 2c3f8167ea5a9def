package cluster

import (
	"cmp"
	"errors"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rookery-server/rookery/shard"
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
	stream simStream // the open one
	busy   int       // calls in flight
	opened bool      // a stream was opened since it was taken over
	unsent uint32    // from this event on the client of the open stream has none; 0: it has all
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
	s.opened, s.unsent = false, 0
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
		st.endStream(s)
		s.busy = 0
	}
	for _, e := range s.log.Events {
		if !full.Log.has(e.Origin) {
			extra = append(extra, e)
		}
	}
	st.set(s, full)
	return extra, true
}

func (l *Log) has(o Origin) bool {
	return slices.ContainsFunc(l.Events, func(e Event) bool { return e.Origin == o })
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

// appendAt is session.Events.AppendAt.
func (l *Log) appendAt(e *Event) {
	l.Last = max(l.Last, e.Seq)
	if len(e.Msg) == 0 || l.has(e.Origin) || slices.ContainsFunc(l.Events, func(x Event) bool { return x.Seq == e.Seq }) {
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
	}
}

func (st *simStore) End(ref uint64) {
	if s := st.byRef[ref]; s != nil && s.Home == 0 {
		st.remove(s)
		st.gone[s.ID] = true
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
		return true
	}
	s.Home, s.Epoch, s.unsent = 0, epoch, 0
	if unclean {
		s.stream, s.opened = simStream{}, false
		next := (uint64(s.log.Last) + 1<<16) | (1<<epochBits - 1)
		if next >= math.MaxUint32 {
			st.p.w.fail("no epoch left")
		}
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

// Merge gives an event that another home has drawn a number for, before this
// one took over, that number if its client has not been here since: the client
// says with which it comes. If it has, the event has to have a new number to
// reach it, unless the client had it there.
func (st *simStore) Merge(ref uint64, events []Event) {
	for i := range events {
		e := &events[i]
		s := st.byRef[ref]
		if s == nil || s.Home != 0 {
			return
		}
		if s.log.has(e.Origin) {
			continue
		}
		after, came := s.log.came()
		st.p.w.note("%s merges %x %d-%x %s, client came %v with %x", st.p.id, s.ID[:2], e.Stream, e.Seq, e.Msg, came, after)
		if _, mark := isCame(e); mark || e.Seq>>epochBits < s.log.turn() && (!came || e.Seq <= after) {
			s.log.appendAt(e)
			st.p.core.Noted(s.ref, e.Stream, e.Seq, e.Origin, e.Msg)
			continue
		}
		_ = st.send(s, string(e.Msg), e.Origin, true)
		st.commit(s)
	}
}

// epochBits is where in a number the takeovers are counted.
const epochBits = 22

// turn returns how many takeovers there were: those that the next number counts.
func (l *Log) turn() uint32 { return (l.Last + 1) >> epochBits }

// A client that comes to a home which has taken over without the former one's
// help leaves a mark in the log: an event of no stream, with the number it came
// with. So all copies know it.
func (st *simStore) mark(s *simSession, seq uint32) {
	if _, came := s.log.came(); came || seq>>epochBits == s.log.turn() {
		return
	}
	s.log.Last++
	e := Event{Seq: s.log.Last, Origin: Origin{st.p.id.Incarnation, uint64(s.log.Last) | uint64(s.ref)<<32 | 1<<62}, Msg: []byte("came " + utoa(seq))}
	s.log.Events = append(s.log.Events, e)
	st.p.core.Noted(s.ref, 0, e.Seq, e.Origin, e.Msg)
}

func isCame(e *Event) (after uint32, ok bool) {
	text, ok := strings.CutPrefix(string(e.Msg), "came ")
	return atou(text), ok && e.Stream == 0
}

// came returns with which number the client came since the latest takeover.
func (l *Log) came() (after uint32, ok bool) {
	for i := range l.Events {
		if n, is := isCame(&l.Events[i]); is && l.Events[i].Seq>>epochBits == l.turn() {
			after, ok = n, true
		}
	}
	return after, ok
}

// errHasIt is what send says of a session that has the event.
var errHasIt = errors.New("has it")
var errNoStream = errors.New("no stream")

// send is mcp's sendToSession.
func (st *simStore) send(s *simSession, msg string, o Origin, again bool) error {
	switch {
	case again && s.log.has(o):
		return errHasIt
	case s.gets() == 0 && s.log.turn() == 0:
		return errNoStream
	}
	s.log.Last++
	e := Event{Stream: s.gets(), Seq: s.log.Last, Origin: o, Msg: []byte(msg)}
	s.log.Events = append(s.log.Events, e)
	st.p.core.Noted(s.ref, e.Stream, e.Seq, o, e.Msg)
	if s.unsent == 0 {
		s.unsent = e.Seq
	}
	return nil
}

// commit writes what the client of an open stream has not been sent.
func (st *simStore) commit(s *simSession) {
	from := s.unsent
	s.unsent = 0
	if from == 0 || s.Home != 0 || s.stream.conn == 0 {
		return // kept
	}
	text := ""
	for i := range s.log.Events {
		if e := &s.log.Events[i]; e.Stream == s.gets() && e.Seq >= from {
			text += st.eventText(e)
		}
	}
	st.out(s.stream, 0, text)
}

func (st *simStore) eventText(e *Event) string {
	return "event " + utoa(e.Stream) + " " + utoa(e.Seq) + " " + string(e.Msg) + " " + utoa(st.p.id.Incarnation) + "\n"
}

func utoa[T uint32 | uint64](n T) string { return strconv.FormatUint(uint64(n), 10) }

// out writes to a connection, wherever it is.
func (st *simStore) out(to simStream, flags ReplyFlags, text string) {
	if to.from == 0 {
		st.Deliver(to.conn, flags, []byte(text))
		return
	}
	if st.broken[to] {
		return
	}
	if st.p.core.Reply(to.from, to.conn, flags, []byte(text)) != nil {
		st.ClientGone(to.from, to.conn)
		st.broken[to] = true // with a gap it is worth nothing
		st.tellBroken(to, 100)
	}
}

// tellBroken tells a peer that a stream has ended, as soon as it can be told.
func (st *simStore) tellBroken(to simStream, tries int) {
	st.p.w.after(100*time.Millisecond, func() {
		st.p.do(func() {
			switch {
			case !st.broken[to]:
			case tries == 0 || st.p.core.Reply(to.from, to.conn, ReplyClose, nil) == nil:
				delete(st.broken, to)
			default:
				st.tellBroken(to, tries-1)
			}
		})
	})
}

func (st *simStore) endStream(s *simSession) {
	if s.stream.conn != 0 {
		st.out(s.stream, ReplyClose, "goodbye\n")
	}
	s.stream = simStream{}
}

// simWalk is a publication on its way.
type simWalk struct {
	st        *simStore
	refs      []uint64
	visited   []*simSession
	msg       string
	origin    Origin
	again     bool
	delivered int
}

// A payload is "all text" or "topic text".
func (st *simStore) Spread(payload []byte, origin Origin, again bool) (Walk, error) {
	topic, text, ok := strings.Cut(string(payload), " ")
	if !ok {
		return nil, errors.New("malformed")
	}
	w := &simWalk{st: st, msg: text, origin: origin, again: again}
	for _, s := range st.sorted() {
		if s.Home == 0 && (topic == "all" || slices.Contains(s.topics, topic)) {
			w.refs = append(w.refs, s.ref)
		}
	}
	return w, nil
}

func (w *simWalk) Step(int) bool {
	// A few only, so that much happens between the steps.
	for n := min(len(w.refs), 2); n > 0; n-- {
		s := w.st.byRef[w.refs[0]]
		w.refs = w.refs[1:]
		if s == nil || s.Home != 0 {
			continue
		}
		if err := w.st.send(s, w.msg, w.origin, w.again); err == nil || err == errHasIt {
			w.delivered++
		}
		w.visited = append(w.visited, s)
	}
	return len(w.refs) == 0
}

// Commit is not needed yet: Step writes.

func (w *simWalk) Commit() {
	for _, s := range w.visited {
		if w.st.byRef[s.ref] == s {
			w.st.commit(s)
		}
	}
	w.visited = nil
}

func (w *simWalk) Delivered() int { return w.delivered }

func (st *simStore) SpreadTo(ref uint64, payload []byte, origin Origin, again bool) error {
	s := st.byRef[ref]
	topic, text, _ := strings.Cut(string(payload), " ")
	if s == nil || s.Home != 0 {
		return errNoStream
	}
	if topic != "all" && topic != "one" && !slices.Contains(s.topics, topic) {
		return nil
	}
	err := st.send(s, text, origin, again)
	st.commit(s)
	if err == errHasIt {
		return nil
	}
	return err
}

// request takes what a client of this process asks.
func (st *simStore) request(conn uint64, msg string) {
	words := strings.Fields(msg)
	if words[0] == "init" {
		st.Deliver(conn, ReplyLast, []byte("init "+st.create()+"\n"))
		return
	}
	s := st.byID[parseID(words[1])]
	if s == nil || s.Home != 0 {
		st.p.core.Route(conn, parseID(words[1]), []byte(msg), words[0] == "get")
		return
	}
	st.serve(simStream{0, conn}, s, words)
}

func (st *simStore) create() string {
	s := &simSession{client: "sim"}
	for {
		for i := range s.ID {
			s.ID[i] = byte(st.p.w.rng.Uint32())
		}
		if st.p.w.chance(50) || st.p.core.plan.Load().first(shard.PartitionOf(shard.Key(s.ID))) {
			break
		}
	}
	s.State = 1 << 32
	st.add(s)
	st.p.w.homeOf(st.p, s)
	st.p.core.Opened(s.ref)
	return idText(s.ID)
}

func (st *simStore) Serve(from uint32, conn uint64, msg []byte) {
	words := strings.Fields(string(msg))
	s := st.byID[parseID(words[1])]
	if s == nil || s.Home != 0 {
		st.p.w.fail("%s is to serve a session that is not at home there", st.p.id)
		return
	}
	st.serve(simStream{from, conn}, s, words)
}

// serve does what a request asks of a session at home here.
func (st *simStore) serve(to simStream, s *simSession, words []string) {
	switch words[0] {
	case "get":
		st.get(to, s, words[2], words[3])
	case "sub", "unsub":
		if s.subscribe(words[2], words[0] == "sub") {
			st.p.core.Subscribed(s.ref, words[2], words[0] == "sub")
		}
		st.out(to, ReplyLast, "ok\n")
	case "call":
		s.busy++
		ref := s.ref
		st.p.w.after(st.p.w.between(0, st.p.w.cfg.delay*20), func() { st.p.do(func() { st.called(to, ref) }) })
	case "delete":
		st.End(s.ref)
		st.out(to, ReplyLast, "ok\n")
	default:
		st.p.w.fail("request %q", words)
	}
}

// called ends a call: it has changed the session's state.
func (st *simStore) called(to simStream, ref uint64) {
	s := st.byRef[ref]
	if s == nil || s.Home != 0 || s.busy == 0 {
		st.out(to, ReplyLast, "moved\n")
		return
	}
	s.busy--
	s.State += 1 << 32
	st.p.core.Changed(ref)
	st.out(to, ReplyLast, "ok\n")
}

// get opens the session's stream, or takes it up.
func (st *simStore) get(to simStream, s *simSession, stream, after string) {
	if s.stream.conn != 0 {
		st.endStream(s)
	}
	if stream == "-" {
		s.State = s.State&^math.MaxUint32 | uint64(s.gets()+1)
		st.p.core.Changed(s.ref)
		st.mark(s, 0)
		s.stream, s.opened, s.unsent = to, true, 0
		st.hold(to, s, "open "+utoa(s.gets())+" "+utoa(s.log.Last)+"\n")
		return
	}
	n, seq := atou(stream), atou(after)
	if seq>>epochBits > s.log.turn() {
		// It had a newer home, on the other side of a split.
		st.out(to, ReplyLast, "refused "+utoa(uint32(RefusedUnavailable))+"\n")
		return
	}
	if n > s.gets() {
		if s.log.turn() == 0 {
			st.p.w.fail("%s: a client knows stream %d of %x, which was never opened", st.p.id, n, s.ID[:2])
		}
		if !s.opened {
			for i := range s.log.Events {
				if e := &s.log.Events[i]; e.Stream == s.gets() && e.Seq > seq|(1<<epochBits-1) {
					e.Stream = n
				}
			}
		}
		s.State = s.State&^math.MaxUint32 | uint64(n)
		st.p.core.Changed(s.ref)
	}
	if seq > s.log.Last {
		st.p.w.fail("%s: a client had event %x of %x, the latest is %x", st.p.id, seq, s.ID[:2], s.log.Last)
	}
	st.mark(s, seq)
	text := "open " + stream + " " + after + "\n"
	for i := range s.log.Events {
		if e := &s.log.Events[i]; e.Stream == n && e.Seq > seq {
			text += st.eventText(e)
		}
	}
	s.stream, s.opened, s.unsent = to, true, 0
	st.hold(to, s, text)
}

func (st *simStore) hold(to simStream, s *simSession, text string) {
	st.out(to, ReplyHold, text)
	if to.from != 0 {
		st.p.core.HandOverTo(s.ref, to.from)
	}
}

// fence is what EngineOptions.Fence does.
func (st *simStore) fence() {
	for _, s := range st.sorted() {
		if s.Home != 0 || s.stream.conn == 0 {
			continue
		}
		st.out(s.stream, ReplyClose, "")
		s.stream = simStream{}
	}
}

func (st *simStore) ClientGone(from uint32, conn uint64) {
	delete(st.broken, simStream{from, conn})
	for _, s := range st.sorted() {
		if s.stream == (simStream{from, conn}) {
			s.stream = simStream{}
		}
	}
}

func (st *simStore) PeerGone(link uint32) {
	for _, s := range st.sorted() {
		if s.stream.conn != 0 && s.stream.from == link {
			s.stream = simStream{}
		}
	}
}

func (st *simStore) Deliver(conn uint64, flags ReplyFlags, p []byte) {
	if c := st.p.conns[conn]; c != nil {
		c.toClient(flags, string(p))
	}
}

func (st *simStore) Refuse(conn uint64, why Refusal) {
	if c := st.p.conns[conn]; c != nil {
		c.toClient(ReplyLast, "refused "+utoa(uint32(why))+"\n")
	}
}

// connGone says that a client's connection has closed.
func (st *simStore) connGone(conn uint64) {
	delete(st.p.conns, conn)
	st.ClientGone(0, conn)
	st.p.core.ConnGone(conn)
}

func idText(id ID) string {
	return strconv.FormatUint(le.Uint64(id[:8]), 16) + "." + strconv.FormatUint(le.Uint64(id[8:]), 16)
}

func parseID(s string) (id ID) {
	a, b, _ := strings.Cut(s, ".")
	x, _ := strconv.ParseUint(a, 16, 64)
	y, _ := strconv.ParseUint(b, 16, 64)
	le.PutUint64(id[:8], x)
	le.PutUint64(id[8:], y)
	return id
}

func atou(s string) uint32 {
	n, _ := strconv.ParseUint(s, 10, 32)
	return uint32(n)
}
