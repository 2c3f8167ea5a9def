package cluster

import (
	"errors"
	"slices"
	"testing"

	"github.com/rookery-server/rookery/batch"
	"github.com/rookery-server/rookery/shard"
)

// runLink returns a link to a peer that understands runs and is to hold every
// partition, and the store of its sessions.
func runLink(t *testing.T, o batch.Options) (*Link, *simStore) {
	t.Helper()
	c, l, store := strangers()
	o.Local, o.Remote = 1, 2
	l.m = batch.NewLink(o)
	other := batch.NewLink(batch.Options{Local: 2, Remote: 1})
	if err := errors.Join(other.Connect(l.Resume()), l.Connect(other.Resume())); err != nil {
		t.Fatal(err)
	}
	l.parts = slices.Repeat([]partition{{partLive}}, shard.Partitions)
	c.spread.round.noting.Store(true)
	return l, store
}

// TestRunReachesCopies: one message brings an event to the copies of many
// sessions, under the numbers that their home has drawn; what is no copy of the
// sender's stays as it is.
func TestRunReachesCopies(t *testing.T) {
	l, _ := runLink(t, batch.Options{})
	to := []Place{{Handle: 9, Stream: 1, Seq: 4}, {Handle: 70_000, Stream: 1, Seq: 4}, {Handle: 12, Stream: 2, Seq: 1 << 22}, {Handle: 13, Stream: 2, Seq: 1 << 22}, {Handle: 14, Stream: 2, Seq: 3}}
	e := Event{Origin: Origin{5, 6}, Msg: []byte("news")}
	l.mu.Lock()
	for _, p := range to {
		l.join(1, p, &Event{Stream: p.Stream, Seq: p.Seq, Origin: e.Origin, Msg: e.Msg})
	}
	msg := slices.Clone(l.run.b)
	l.mu.Unlock()

	_, in, store := strangers()
	var copies []*simSession
	for i, p := range to {
		s := &simSession{Session: Session{ID: ID{byte(20 + i)}, Epoch: 1, Home: in.num}}
		store.add(s)
		if copies = append(copies, s); i != 3 { // of which nothing was heard
			in.in.bind(p.Handle, s.ref)
		}
	}
	copies[4].Home = in.num + 1
	if err := in.in.handle(batch.Data, msg); err != nil {
		t.Fatal(err)
	}
	for i, p := range to {
		got := copies[i].log.Events
		if i >= 3 {
			if len(got) > 0 {
				t.Errorf("session %d has %v", i, got)
			}
			continue
		}
		if len(got) != 1 || got[0].Stream != p.Stream || got[0].Seq != p.Seq || got[0].Origin != e.Origin || string(got[0].Msg) != "news" {
			t.Errorf("session %d has %v", i, got)
		}
	}
	if in.in.named(14) != 0 {
		t.Error("a handle of a session that is at home elsewhere stays bound")
	}
}

// TestRunKeepsOrder: a run ends before whatever else is put on its lane, when it
// is long enough, with another event and with a mark; what is noted afterwards
// travels alone.
func TestRunKeepsOrder(t *testing.T) {
	l, _ := runLink(t, batch.Options{})
	first := &Event{Stream: 1, Seq: 1, Origin: Origin{5, 6}, Msg: []byte("m")}
	second := &Event{Stream: 1, Seq: 2, Origin: Origin{5, 7}, Msg: []byte("n")}
	messages := func(want int) {
		t.Helper()
		if got, _ := l.m.Pending(batch.Data); got != want {
			t.Errorf("%d messages, want %d", got, want)
		}
	}
	l.noted(1, 1, first)
	l.noted(2, 2, first)
	messages(0)
	l.noted(1, 1, second)
	messages(1)
	l.change(3, func(b []byte, _ *bodyOut) []byte { return append(b, kindState) })
	messages(3)
	for i := range uint32(runMax + 1) {
		l.noted(1, i, first)
	}
	messages(4)
	if m := l.mark(); m.data != 5 {
		t.Errorf("the mark is at %d", m.data)
	}
	l.core.spread.round.noting.Store(false)
	l.noted(1, 1, first)
	messages(6)
	l.mark()
	messages(6)
}

// TestRunWithoutRoom: the partitions of a run that the lane has no room for wait
// for a fill, and the message's slot is free again.
func TestRunWithoutRoom(t *testing.T) {
	o := batch.Options{}
	o.Cap[batch.Data] = 100
	l, _ := runLink(t, o)
	if _, err := l.m.Append(batch.Data, make([]byte, 95)); err != nil {
		t.Fatal(err)
	}
	l.noted(1, 1, &Event{Stream: 1, Seq: 1, Origin: Origin{5, 6}, Msg: []byte("message")})
	before := l.run.bodies
	l.mark()
	if l.state(1) != partWanted || l.state(2) != partLive {
		t.Errorf("partition 1 is %d, partition 2 is %d", l.state(1), l.state(2))
	}
	if l.bodies[batch.Data].at != before {
		t.Error("the slot is taken")
	}
}

// TestRunTakesRoomOfPublications: what waits in a run counts when a publication
// looks for room, and one that has found some goes behind a run that has taken
// it since: nobody waits for it, so nothing would send it again.
func TestRunTakesRoomOfPublications(t *testing.T) {
	o := batch.Options{}
	o.Cap[batch.Data] = 4096
	l, _ := runLink(t, o)
	c := l.core
	long := &Event{Stream: 1, Seq: 1, Origin: Origin{5, 6}, Msg: make([]byte, 3000)}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.roomFor(make([]byte, 2000), l.num) {
		t.Fatal("no room to begin with")
	}
	l.noted(1, 1, long)
	if c.roomFor(make([]byte, 2000), l.num) {
		t.Error("the run does not count")
	}
	out := &Outgoing{number: 1, payload: make([]byte, 2000)}
	c.pubs.open = []*Outgoing{out}
	c.publishTo(out, l.num)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.appended[batch.Data] != 2 || l.parts[1].state != partLive || len(c.pubs.resend) != 0 {
		t.Errorf("%d messages instead of the run and the publication, partition 1 is %d, to be sent again: %v", l.appended[batch.Data], l.parts[1].state, c.pubs.resend)
	}
}
