package server

import (
	"fmt"
	"strings"
	"testing"

	"github.com/rookery-server/rookery/cluster"
	"github.com/rookery-server/rookery/mcp"
)

// TestStoreForks: the home of a session was lost when a split began, and only one
// side has its last event. Both take it over. The client hears the first side and
// comes to the other: it gets that event, once, and what came since.
func TestStoreForks(t *testing.T) {
	p := newStorePair(t)
	full := p.export(t, p.to, p.copyRef)
	less := cloneSnapshot(full)
	less.Home, less.Epoch = 1, 1
	third := less.Log.Events[2]
	less.Log.Events, less.Log.Last = less.Log.Events[:2], less.Log.Events[1].Seq
	if _, ok := p.from.Replace(p.ref, less); !ok || !p.from.Promote(p.ref, 2<<16, true) || !p.to.Promote(p.copyRef, 3<<16, true) {
		t.Fatal("not taken over")
	}
	if fork := p.export(t, p.from, p.ref).Log.Fork; fork != less.Log.Last+1 {
		t.Errorf("fork %x behind %x", fork, less.Log.Last)
	}
	say := func(store cluster.Store, ref uint64, n uint64) {
		t.Helper()
		m := mcp.AppendPublication(nil, &mcp.Publication{Audience: mcp.ToSession, Method: fmt.Sprint("side/", n)})
		if err := store.SpreadTo(ref, m, cluster.Origin{Peer: 9, Seq: n}, false); err != nil {
			t.Fatal(err)
		}
		store.Commit(ref, store.Latest(ref))
	}
	resume := func(s *Server, last string) *peer {
		t.Helper()
		c := dial(t, s.HTTPAddr())
		c.send(getStream + p.id + "\r\nLast-Event-ID: " + last + "\r\n\r\n")
		c.until("200 OK")
		return c
	}
	a := resume(p.home, fmt.Sprintf("1-%x", less.Log.Last))
	say(p.from, p.ref, 1)
	last := strings.TrimPrefix(a.until("id: "), "id: ")
	if !strings.HasSuffix(last, fmt.Sprintf("-%x", less.Log.Last+1)) {
		t.Errorf("%s does not say what its log had", last)
	}
	a.until("side/1")
	a.c.Close()
	say(p.to, p.copyRef, 2)
	for range 2 { // the first answer is lost
		b := resume(p.copied, last)
		b.until("side/2") // it was here before the client
		if got := b.until(`"method"`); !strings.Contains(got, `"n":2`) {
			t.Errorf("got %s", got)
		}
		b.c.Close()
	}
	healed := p.export(t, p.to, p.copyRef)
	for i, e := range healed.Log.Events {
		if e.Origin == third.Origin && mcp.Takeover(e.Seq) != 3 {
			t.Errorf("event %d of the log stands at %x", i, e.Seq)
		}
	}
	if fork := healed.Log.Fork; mcp.Takeover(fork-1) != 2 {
		t.Errorf("fork %x, though the client has heard the other side", fork)
	}
	// A copy follows, up and down.
	for _, seq := range []uint32{healed.Log.Last + 5, third.Seq} {
		full.Epoch, full.Home = 4<<16, 1
		if _, ok := p.from.Replace(p.ref, full); !ok {
			t.Fatal("not replaced")
		}
		e := third
		e.Seq = seq
		p.from.Append(p.ref, &e)
		if now := p.export(t, p.from, p.ref).Log.Events; now[len(now)-1].Seq != seq {
			t.Errorf("the copy has it at %x, not %x", now[len(now)-1].Seq, seq)
		}
	}
	// The fork goes where the session goes.
	var moved *cluster.Snapshot
	eventually(t, "the session rests", func() bool {
		return p.to.HandOver(p.copyRef, 1, 5<<16, func(s *cluster.Snapshot, _ uint64, _ uint8) { moved = cloneSnapshot(s) })
	})
	moved.Home, moved.Epoch = 1, 5<<16
	if _, ok := p.from.Replace(p.ref, moved); !ok || p.export(t, p.from, p.ref).Log.Fork != healed.Log.Fork {
		t.Errorf("fork %x arrives as %x", healed.Log.Fork, p.export(t, p.from, p.ref).Log.Fork)
	}
}

// TestStoreSaysWhereElse: what a home that took over has heard by another way than
// the newer home is among what that is told of.
func TestStoreSaysWhereElse(t *testing.T) {
	p := newStorePair(t)
	full := p.export(t, p.from, p.ref)
	less := cloneSnapshot(full)
	less.Home, less.Epoch = 1, 1
	third := less.Log.Events[2]
	less.Log.Events, less.Log.Last = less.Log.Events[:2], less.Log.Events[1].Seq
	if _, ok := p.from.Replace(p.ref, less); !ok || !p.from.Promote(p.ref, 2<<16, true) {
		t.Fatal("not taken over")
	}
	m := mcp.AppendPublication(nil, &mcp.Publication{Audience: mcp.ToSession, Method: "notifications/x", Params: []byte(`{"n":2}`)})
	if err := p.from.SpreadTo(p.ref, m, third.Origin, true); err != nil {
		t.Fatal(err)
	}
	full.Home, full.Epoch = 2, 3<<16
	extra, ok := p.from.Replace(p.ref, full)
	if !ok || len(extra) != 1 || extra[0].Origin != third.Origin || mcp.Takeover(extra[0].Seq) != 2 {
		t.Errorf("extra %+v, %v", extra, ok)
	}
}

// TestStoreSaysWhoHeard: a home that took over has heard something by another way
// than the newer home before its client came, once. The client, which says so first
// to the newer home, does not get it from there again.
func TestStoreSaysWhoHeard(t *testing.T) {
	p := newStorePair(t)
	less := cloneSnapshot(p.export(t, p.from, p.ref))
	less.Home, less.Epoch = 1, 1
	third := less.Log.Events[2]
	less.Log.Events, less.Log.Last = less.Log.Events[:2], less.Log.Events[1].Seq
	if _, ok := p.from.Replace(p.ref, less); !ok || !p.from.Promote(p.ref, 2<<16, true) || !p.to.Promote(p.copyRef, 3<<16, true) {
		t.Fatal("not taken over")
	}
	m := mcp.AppendPublication(nil, &mcp.Publication{Audience: mcp.ToSession, Method: "notifications/x", Params: []byte(`{"n":2}`)})
	if err := p.from.SpreadTo(p.ref, m, third.Origin, true); err != nil {
		t.Fatal(err)
	}
	a := dial(t, p.home.HTTPAddr())
	a.send(fmt.Sprintf(getStream+"%s\r\nLast-Event-ID: 1-%x\r\n\r\n", p.id, less.Log.Last))
	last := strings.TrimPrefix(a.until("id: "), "id: ")
	a.until(`"n":2`)
	full := p.export(t, p.to, p.copyRef)
	full.Home = 2
	extra, ok := p.from.Replace(p.ref, full)
	if !ok || len(extra) != 2 || !mcp.Marks(extra[0].Stream) || extra[0].Seq < extra[1].Seq {
		t.Fatalf("extra %+v, %v", extra, ok)
	}
	p.to.Merge(p.copyRef, extra)
	if err := p.to.SpreadTo(p.copyRef, m, cluster.Origin{Peer: 9, Seq: 1}, false); err != nil {
		t.Fatal(err)
	}
	b := dial(t, p.copied.HTTPAddr())
	b.send(getStream + p.id + "\r\nLast-Event-ID: " + last + "\r\n\r\n")
	if first := strings.TrimPrefix(b.until("id: "), "id: "); !strings.HasPrefix(first, "1-c0000") {
		t.Errorf("got %s behind %s", first, last)
	}
	for _, e := range p.export(t, p.to, p.copyRef).Log.Events {
		if e.Origin == third.Origin && mcp.Takeover(e.Seq) != 2 {
			t.Errorf("the newer home has it at %x", e.Seq)
		}
	}
}
