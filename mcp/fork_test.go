package mcp

import (
	"strconv"
	"strings"
	"testing"
)

// forked is a session whose home was lost when a split began: one side has not
// heard of event 3. Both sides have taken it over, and the second one with the
// higher range.
type forked struct {
	a, b       *fakePeer
	refA, refB uint64
	header     string
	last       string // the client has had 1 and 2
}

func newForked(t *testing.T) *forked {
	t.Helper()
	c := newFakeCluster(3)
	home, f := c.beds[0], &forked{a: c.beds[1], b: c.beds[2]}
	header, ref := home.newSession(t, 1, "2025-11-25")
	f.header = header
	home.get(t, 10, header)
	home.say(1)
	home.say(2)
	f.last = lastID(home.host.take(10))
	copyTo := func(p *fakePeer) (to uint64) {
		home.Export(ref, func(sess Session, uris []string) { to = p.install(home.snap(sess, uris), home.n) })
		return to
	}
	f.refA = copyTo(f.a)
	home.say(3)
	f.refB = copyTo(f.b)
	if !f.a.Promote(f.refA, 2<<takeoverShift, false) || !f.b.Promote(f.refB, 3<<takeoverShift, false) {
		t.Fatal("not taken over")
	}
	return f
}

// say publishes something that the others do not hear of.
func (p *fakePeer) say(n int) {
	pub := Publication{Audience: ToSessions, Method: "notifications/test", Params: []byte(`{"n":` + strconv.Itoa(n) + `}`)}
	p.spreadWire(AppendPublication(nil, &pub), Origin{Peer: 77, Seq: uint64(n)}, true, nil)
}

// hear takes the stream up at a peer and returns what came.
func (f *forked) hear(p *fakePeer, st StreamID, last string) string {
	p.getAfter(st, f.header, last)
	out := p.host.take(st)
	p.disconnect(st)
	return out
}

// A client that heard one side comes to the other one: it gets what only that
// had of the time before, and what came since, each once.
func TestForkedClient(t *testing.T) {
	f := newForked(t)
	f.a.say(4)
	f.a.getAfter(11, f.header, f.last)
	f.a.say(5)
	out := f.a.host.take(11)
	heard(t, out, map[byte]int{2: 0, 3: 0, 4: 1, 5: 1})
	last := lastID(out)
	if strings.Count(last, "-") != 2 {
		t.Fatalf("%s says nothing of before", last)
	}
	f.b.say(6)
	for st := range StreamID(2) { // the first answer is lost
		out = f.hear(f.b, 12+st, last)
		heard(t, out, map[byte]int{1: 0, 2: 0, 3: 1, 4: 0, 5: 0, 6: 1})
	}
	last = lastID(out)
	f.b.say(7)
	heard(t, f.hear(f.b, 14, last), map[byte]int{3: 0, 6: 0, 7: 1})
}

// One that had the event from the lost home, whatever the first side had of it,
// does not get it again.
func TestForkedClientHadIt(t *testing.T) {
	f := newForked(t)
	at := strings.LastIndexByte(f.last, '-')
	f.a.say(4)
	last := lastID(f.hear(f.a, 11, f.last[:at+1]+"9")) // later than 3
	f.b.say(6)
	heard(t, f.hear(f.b, 12, last), map[byte]int{3: 0, 4: 0, 6: 1})
}

// The copies hear where the event stands now, and their log answers likewise when
// they take over.
func TestForkedClientOfCopy(t *testing.T) {
	f := newForked(t)
	f.a.say(4)
	last := lastID(f.hear(f.a, 11, f.last))
	f.b.deltas = nil
	f.hear(f.b, 12, last)
	if n := len(f.b.deltas); n != 2 { // the event, and what the client came with
		t.Errorf("copies are told of %d changes", n)
	}
	if at := f.b.events.At(f.b.logOf(f.refB), Origin{Peer: 77, Seq: 3}); Takeover(at) != 3 {
		t.Errorf("it stands at %x", at)
	}
}

// An id of before there were forks is read as it was then.
func TestForkedClientSaysNothing(t *testing.T) {
	f := newForked(t)
	f.a.say(4)
	last := lastID(f.hear(f.a, 11, f.last))
	last = last[:strings.LastIndexByte(last, '-')]
	f.b.say(6)
	heard(t, f.hear(f.b, 12, last), map[byte]int{3: 0, 4: 0, 6: 1})
}

// What the log has let go of since is not passed over in silence.
func TestForkedClientTooLate(t *testing.T) {
	f := newForked(t)
	f.a.say(4)
	last := lastID(f.hear(f.a, 11, f.last))
	log := f.b.logOf(f.refB)
	f.b.events.SetFloors(log, [2]uint32{f.b.events.Fork(log) - 1})
	if out := f.hear(f.b, 12, last); !strings.Contains(out, "404 Not Found") {
		t.Errorf("%q", out)
	}
}

// A log that descends from the one of the client's number has nothing that the
// client lacks, whatever was brought into it.
func TestForkOfDescendant(t *testing.T) {
	f := newForked(t)
	f.b.say(6)
	last := lastID(f.hear(f.b, 12, f.last))
	f.b.takeOver(t, f.refB, 6<<takeoverShift)
	f.b.say(7)
	heard(t, f.hear(f.b, 13, last), map[byte]int{2: 0, 3: 0, 6: 0, 7: 1})
}

// After healing the other home says where the event stands there. A client that
// has stayed with that gets it once, whether it has heard it or not.
func TestForkHeals(t *testing.T) {
	for _, lost := range []bool{false, true} {
		f := newForked(t)
		f.a.getAfter(11, f.header, f.last)
		f.a.say(4)
		had := f.a.host.take(11)
		f.a.say(3)
		if out := f.a.host.take(11); !lost {
			had = out
		}
		a := f.a.events.logs[f.a.logOf(f.refA)]
		for _, ev := range a.events { // as the cluster brings what the home lacks, or has elsewhere
			o := f.a.events.origin[ev.body]
			if at := f.b.events.At(f.b.logOf(f.refB), o); at == 0 || Takeover(ev.seq) > Takeover(at) {
				f.b.Merge(f.refB, ev.stream, ev.seq, o, []byte(f.a.events.bodies[ev.body]))
			}
		}
		want := map[byte]int{1: 0, 2: 0, 3: 0, 4: 0}
		if lost {
			want[3] = 1
		}
		heard(t, f.hear(f.b, 12, lastID(had)), want)
	}
}

// What is sent once more carries the fork of the range it is of.
func TestNumbering(t *testing.T) {
	const turn = 1 << epochShift
	b := newFakeCluster(1).beds[0]
	log, _ := b.events.Draw(0)
	b.events.NextEpoch(log, 5)
	b.events.Heard(log, 4*turn|7)
	n := b.numbering(log, 2*turn|1, 9)
	for _, c := range [][2]uint32{{2*turn | 4, 9}, {4*turn | 2, 2*turn | 5}, {4*turn | 3, 2*turn | 5}, {5 * turn, 4*turn | 8}} {
		if got := n.next(c[0]); got != c[1] {
			t.Errorf("%x has fork %x, want %x", c[0], got, c[1])
		}
	}
}

func (p *fakePeer) logOf(ref uint64) uint32 {
	sess, _ := p.sessions.Load(ref)
	return sess.Log
}

// What is read as an event id is written like that, up to zeros in front.
func FuzzEventID(f *testing.F) {
	for _, id := range []string{"1-0", "ffff-1", "80000007-ffffffff", "1-400001-1", "1-ffffffff-ffc00000", "01-0400001-01", "1-1-1", "1-400001-400001"} {
		f.Add(id)
	}
	f.Fuzz(func(t *testing.T, id string) {
		stream, seq, fork, ok := parseEventID([]byte(id))
		if !ok {
			return
		}
		again := string(appendEventID(nil, stream, seq, fork))
		a, b, c, ok := parseEventID([]byte(again))
		if !ok || a != stream || b != seq || c != fork || fork > seq {
			t.Errorf("%s is written %s", id, again)
		}
		if trim := strings.NewReplacer("0", "", "-", ""); len(again) > len(id) || trim.Replace(strings.ToLower(id)) != trim.Replace(again) {
			t.Errorf("%s is written %s", id, again)
		}
	})
}

// The same over TCP.
func TestForkedClientTCP(t *testing.T) {
	c := newFakeCluster(3)
	home := c.beds[0]
	home.rpc(1, resumable)
	home.rpc(1, `{"jsonrpc":"2.0","method":"notifications/initialized"}`)
	ref := home.sessions.last
	id := home.idOf(ref)
	copyTo := func(p *fakePeer, epoch uint32) {
		home.Export(ref, func(sess Session, uris []string) {
			at := p.install(home.snap(sess, uris), 1)
			p.sessions.Update(at, func(now *Session) { now.Flags |= sess.Flags & kindFlags })
			if !p.Promote(at, epoch<<takeoverShift, false) {
				t.Error("not taken over")
			}
		})
	}
	home.say(1)
	copyTo(c.beds[1], 2)
	home.say(2)
	copyTo(c.beds[2], 3)
	c.beds[1].say(3)
	c.beds[1].rpc(5, resuming(id, "1-1"))
	out := c.beds[1].host.take(5)
	heard(t, out, map[byte]int{1: 0, 2: 0, 3: 1})
	_, last, _ := strings.Cut(out, `"rookery/eventId":"`)
	last, _, _ = strings.Cut(last, `"`)
	c.beds[2].say(4)
	for st := range StreamID(2) {
		c.beds[2].rpc(6+st, resuming(id, last))
		out = c.beds[2].host.take(6 + st)
		heard(t, out, map[byte]int{1: 0, 2: 1, 3: 0, 4: 1})
	}
	if strings.Count(out, `"rookery/eventId":"1-c`) != 2 {
		t.Errorf("%s", out)
	}
}
