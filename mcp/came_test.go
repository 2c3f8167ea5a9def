package mcp

import (
	"strings"
	"testing"
)

func late(n byte) (Origin, []byte) {
	return Origin{Peer: 9, Seq: uint64(n)}, []byte(`{"jsonrpc":"2.0","method":"late","params":{"n":` + string('0'+n) + `}}`)
}

// heard looks how often each of the events that late makes is in what a client
// was sent.
func heard(t *testing.T, out string, want map[byte]int) {
	t.Helper()
	for n, times := range want {
		if got := strings.Count(out, `"n":`+string('0'+n)); got != times {
			t.Errorf("%d came %d times, want %d: %q", n, got, times, out)
		}
	}
}

// takeOver makes a bed home of a session of which it has a copy, without the
// former home's help.
func (p *fakePeer) takeOver(t *testing.T, ref uint64, epoch uint32) {
	t.Helper()
	if !p.Demote(ref, 7, epoch-1) || !p.Promote(ref, epoch, false) {
		t.Fatal("not taken over")
	}
}

// Two takeovers, and the client came between: what it has had of the first home
// is what it said then. Its later ids say nothing of that.
func TestMergeAfterTwoTakeovers(t *testing.T) {
	b := newFakeCluster(1).beds[0]
	header, ref := b.newSession(t, 1, "2025-11-25")
	b.get(t, 10, header)
	b.takeOver(t, ref, 2)
	b.getAfter(11, header, "1-5")
	if err := b.notifyID(b.idOf(ref), 9); err != nil {
		t.Fatal(err)
	}
	last := lastID(b.host.take(11))
	b.disconnect(11)
	b.takeOver(t, ref, 4)
	for _, n := range []byte{5, 6} {
		o, msg := late(n)
		b.Merge(ref, 1, uint32(n), o, msg)
	}
	b.getAfter(12, header, last)
	heard(t, b.host.take(12), map[byte]int{5: 0, 6: 1})
}

// An old request that was long on its way says less than the client has had. What
// was merged as new by that is not sent again to the client that comes later.
func TestComesWithMoreThanItSaid(t *testing.T) {
	for _, byOther := range []bool{false, true} { // the events came here by another way as well
		b := newFakeCluster(1).beds[0]
		header, ref := b.newSession(t, 1, "2025-11-25")
		b.get(t, 10, header)
		b.takeOver(t, ref, 2)
		b.getAfter(11, header, "1-2")
		b.host.take(11)
		b.disconnect(11)
		for _, n := range []byte{3, 4, 5} {
			o, msg := late(n)
			if byOther {
				sp := b.Spread(&Publication{Audience: ToSessions, Method: "late", Params: []byte(`{"n":` + string('0'+n) + `}`)}, o)
				for !sp.Step(1) {
				}
			}
			b.Merge(ref, 1, uint32(n), o, msg)
		}
		b.getAfter(12, header, "1-4")
		heard(t, b.host.take(12), map[byte]int{3: 0, 4: 0, 5: 1})
		// By now it is known: 4 at another former home comes late.
		o, msg := late(8)
		b.disconnect(12)
		b.Merge(ref, 1, 1, o, msg)
		b.getAfter(13, header, "1-400009")
		heard(t, b.host.take(13), map[byte]int{8: 0})
	}
}

// What a client said goes where the log goes, and the log keeps its events: a
// publication that comes again is known.
func TestMarksMoveWithTheLog(t *testing.T) {
	c := newFakeCluster(2)
	b, to := c.beds[0], c.beds[1]
	header, ref := b.newSession(t, 1, "2025-11-25")
	b.get(t, 10, header)
	o, msg := late(3)
	b.takeOver(t, ref, 2)
	b.Merge(ref, 1, 3, o, msg)
	b.getAfter(11, header, "1-6")
	b.disconnect(11)
	var s snapshot
	if err := b.HandOver(ref, 2, 3, func(sess Session, uris []string) { s = b.snap(sess, uris) }); err != nil {
		t.Fatal(err)
	}
	ref = to.install(s, 1)
	if !to.Promote(ref, 3, true) {
		t.Fatal("not promoted")
	}
	if sess, _ := to.sessions.Load(ref); !to.events.Has(sess.Log, o) {
		t.Error("an event that the client has had is forgotten")
	}
	for _, n := range []byte{5, 7} {
		o, msg := late(n)
		to.Merge(ref, 1, uint32(n), o, msg)
	}
	to.getAfter(12, header, "1-6")
	heard(t, to.host.take(12), map[byte]int{3: 0, 5: 0, 7: 1})
}

// A session over TCP is no exception.
func TestMergeAfterTakeoverTCP(t *testing.T) {
	b := newFakeCluster(1).beds[0]
	b.rpc(10, resumable)
	ref := b.sessions.last
	id := b.idOf(ref)
	b.closeConn(10)
	b.takeOver(t, ref, 2)
	b.rpc(11, resuming(id, "1-5"))
	for _, n := range []byte{5, 6} {
		o, msg := late(n)
		b.Merge(ref, 1, uint32(n), o, msg)
	}
	heard(t, b.host.take(11), map[byte]int{5: 0, 6: 1})
}
