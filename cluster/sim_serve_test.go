package cluster

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rookery-server/rookery/shard"
)

// This file is how the model answers requests and holds streams.

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
		st.get(to, s, words[2], words[3], atou(strings.Join(words[4:], "")))
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
func (st *simStore) get(to simStream, s *simSession, stream, after string, fork uint32) {
	if s.stream.conn != 0 {
		st.endStream(s)
	}
	if stream == "-" {
		s.State = s.State&^math.MaxUint32 | uint64(s.gets()+1)
		st.p.core.Changed(s.ref)
		st.mark(s, 0)
		s.log.heard(0)
		s.stream, s.opened, s.unsent = to, true, 0
		st.hold(to, s, "open "+utoa(s.gets())+" "+utoa(s.log.Last)+" "+utoa(s.log.Fork)+"\n")
		return
	}
	n, seq := atou(stream), atou(after)
	numbered := slices.ContainsFunc(append(slices.Clone(s.log.Events), s.former...), func(e Event) bool { return e.Seq == seq })
	if seq>>epochBits > s.log.turn() || seq>>epochBits < s.log.turn() && !numbered && st.p.core.Gathering(s.ref, seq) {
		// It had a newer home, on the other side of a split, or heard more of a
		// lost one than is here.
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
	st.settle(s, seq, fork)
	st.catchUp(s, n, seq, fork)
	s.log.heard(seq)
	st.mark(s, seq)
	text := "open " + stream + " " + after + " " + utoa(fork) + "\n"
	for i := range s.log.Events {
		e := &s.log.Events[i]
		if e.Stream != n || e.Seq <= seq {
			continue
		}
		if e.Seq>>epochBits != seq>>epochBits {
			fork = seq + 1
		}
		if seq = e.Seq; seq>>epochBits == s.log.turn() {
			fork = s.log.Fork
		}
		text += st.eventText(e, fork)
	}
	s.stream, s.opened, s.unsent = to, true, 0
	st.hold(to, s, text)
}

func (st *simStore) hold(to simStream, s *simSession, text string) {
	st.out(to, ReplyHold, text)
	if to.from != 0 {
		st.follow(s.ref, to)
	}
}

// follow moves a session to where its client is, as soon as that may be.
func (st *simStore) follow(ref uint64, to simStream) {
	s := st.byRef[ref]
	if s == nil || s.Home != 0 || s.stream != to {
		return
	}
	if !st.p.core.HandOverTo(ref, to.from) {
		st.p.w.after(st.p.w.between(500*time.Millisecond, time.Second), func() { st.p.do(func() { st.follow(ref, to) }) })
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
			_ = st.p.core.Reply(link, s.stream.conn, ReplyClose, nil)
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
