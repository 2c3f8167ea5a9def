package cluster

import (
	"errors"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rookery-server/rookery/batch"
)

// This file is what the model keeps for clients: logs of events, and
// publications on their way into them.

// Merge gives an event that another home has drawn a number for, before this
// one took over, that number if its client has not been at a later home since, or
// has had it: the client says with which it comes. Else the event has to have a
// new number to reach it. Should it turn out that the client has had it, that is
// undone: see settle.
func (st *simStore) Merge(ref uint64, events []Event) {
	for i := range events {
		e := &events[i]
		s := st.byRef[ref]
		if s == nil || s.Home != 0 {
			return
		}
		if _, mark := isCame(e); mark {
			s.log.appendAt(e)
			st.p.core.Noted(s.ref, e.Stream, e.Seq, e.Origin, e.Msg)
			continue
		}
		had := s.log.had(e.Seq)
		if at, has := s.log.at(e.Origin); has {
			switch {
			case st.raise(s, e, at):
			case e.Seq >= at:
			case had:
				st.renumber(s, e)
			default:
				s.formerly(e)
			}
			continue
		}
		st.p.w.note("%s merges %x %d-%x %s, had %v, later %v", st.p.id, s.ID[:2], e.Stream, e.Seq, e.Msg, had, s.log.cameLater(e.Seq))
		if e.Seq>>epochBits < s.log.turn() && (had || !s.log.cameLater(e.Seq)) {
			s.log.appendAt(e)
			st.p.core.Noted(s.ref, e.Stream, e.Seq, e.Origin, e.Msg)
			continue
		}
		s.formerly(e)
		_ = st.send(s, string(e.Msg), e.Origin, true)
		st.commit(s)
	}
}

// formerly remembers the number of an event at a former home. A client whose
// stream is open has said what it has had.
func (s *simSession) formerly(e *Event) {
	if s.stream.conn == 0 {
		s.former = append(s.former, *e)
	}
}

// settle gives events that the client has had from a former home the numbers
// that they have there: it comes with the last one that it has had, and with the
// fork below which it has had all of earlier ranges.
func (st *simStore) settle(s *simSession, after, fork uint32) {
	s.former = slices.DeleteFunc(s.former, func(e Event) bool {
		had := e.Seq>>epochBits == after>>epochBits && e.Seq <= after || e.Seq>>epochBits < after>>epochBits && e.Seq < fork
		if had {
			st.renumber(s, &e)
		}
		at, has := s.log.at(e.Origin)
		return had || !has || at <= after
	})
}

func (st *simStore) renumber(s *simSession, e *Event) {
	if s.log.renumber(e.Origin, e.Seq) {
		st.p.core.Noted(s.ref, e.Stream, e.Seq, e.Origin, e.Msg)
	}
}

// renumber is session.Events.Renumber.
func (l *Log) renumber(o Origin, seq uint32) bool {
	at, has := l.at(o)
	return has && seq < at && l.move(o, seq)
}

// move is session.Events.Move.
func (l *Log) move(o Origin, seq uint32) bool {
	i := slices.IndexFunc(l.Events, func(e Event) bool { return e.Origin == o })
	if i < 0 || slices.ContainsFunc(l.Events, func(e Event) bool { return e.Seq == seq }) {
		return false
	}
	l.Events[i].Seq, l.Last = seq, max(l.Last, seq)
	slices.SortFunc(l.Events, bySeq)
	return true
}

// epochBits is where in a number the takeovers are counted.
const epochBits = 22

// turn returns how many takeovers there were: those that the next number counts.
func (l *Log) turn() uint32 { return (l.Last + 1) >> epochBits }

// A client that comes to a home which has taken over without the former one's
// help leaves a mark in the log: an event of no stream, with the number it came
// with. So all copies know it.
func (st *simStore) mark(s *simSession, seq uint32) {
	turn := s.log.turn()
	if turn == 0 {
		return
	}
	here, before := false, false
	for i := range s.log.Events {
		if n, is := isCame(&s.log.Events[i]); is && s.log.Events[i].Seq>>epochBits == turn {
			here, before = true, before || n>>epochBits == seq>>epochBits && n >= seq
		}
	}
	if before || here && seq>>epochBits == turn {
		return
	}
	s.log.Last++
	e := Event{Seq: s.log.Last, Origin: Origin{st.p.id.Incarnation, uint64(s.log.Last) | s.ref<<32 | 1<<62}, Msg: []byte("came " + utoa(seq))}
	s.log.Events = append(s.log.Events, e)
	st.p.core.Noted(s.ref, 0, e.Seq, e.Origin, e.Msg)
}

func isCame(e *Event) (after uint32, ok bool) {
	text, ok := strings.CutPrefix(string(e.Msg), "came ")
	return atou(text), ok && e.Stream == 0
}

// had reports whether the client has had what stands under a number at a former
// home: it came from there with that one or a higher one.
func (l *Log) had(seq uint32) bool {
	return slices.ContainsFunc(l.Events, func(e Event) bool {
		n, is := isCame(&e)
		return is && n>>epochBits == seq>>epochBits && n >= seq
	})
}

// cameLater reports whether the client has come to a home that took over later
// than the one which drew a number.
func (l *Log) cameLater(seq uint32) bool {
	return slices.ContainsFunc(l.Events, func(e Event) bool {
		_, is := isCame(&e)
		return is && e.Seq>>epochBits > seq>>epochBits
	})
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
func (st *simStore) commit(s *simSession) { st.commitTo(s, math.MaxUint32) }

func (st *simStore) commitTo(s *simSession, last uint32) {
	from := s.unsent
	switch {
	case from == 0 || last < from:
		return
	case last < s.log.Last:
		s.unsent = last + 1
	default:
		s.unsent = 0
	}
	if s.Home != 0 || s.stream.conn == 0 {
		return // kept
	}
	text := ""
	for i := range s.log.Events {
		if e := &s.log.Events[i]; e.Stream == s.gets() && e.Seq >= from && e.Seq <= last {
			text += st.eventText(e, s.log.Fork)
		}
	}
	st.out(s.stream, 0, text)
}

func (st *simStore) eventText(e *Event, fork uint32) string {
	return "event " + utoa(e.Stream) + " " + utoa(e.Seq) + " " + string(e.Msg) + " " + utoa(st.p.id.Incarnation) + " " + utoa(fork) + "\n"
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
			case tries == 0 || !errors.Is(st.p.core.Reply(to.from, to.conn, ReplyClose, nil), batch.ErrFull):
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
	visited   []*simSession // and not committed
	count     int           // visited
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
		if err := w.st.send(s, w.msg, w.origin, w.again); err == nil || errors.Is(err, errHasIt) {
			w.delivered++
		}
		w.visited = append(w.visited, s)
		w.count++
	}
	return len(w.refs) == 0
}

func (w *simWalk) Visited() int { return w.count }

func (w *simWalk) Commit(int) (n int, done bool) {
	for ; n < 2 && len(w.visited) > 0; n++ {
		if s := w.visited[0]; w.st.byRef[s.ref] == s {
			w.st.commit(s)
		}
		w.visited = w.visited[1:]
	}
	return n, len(w.visited) == 0
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
	if errors.Is(err, errHasIt) {
		return nil
	}
	return err
}

func (st *simStore) Commit(ref uint64, last uint32) {
	if s := st.byRef[ref]; s != nil {
		st.commitTo(s, last)
	}
}

func (st *simStore) Latest(ref uint64) uint32 {
	if s := st.byRef[ref]; s != nil {
		return s.log.Last
	}
	return 0
}
