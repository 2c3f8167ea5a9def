package session

import (
	"strings"
	"testing"
)

func TestKeepAs(t *testing.T) {
	e := NewEvents(EventsOptions{Peer: 3, Bytes: 10})
	own := e.Keep([]byte("own"))
	if o := e.Origin(own); o != (Origin{3, 1}) {
		t.Errorf("the first message is %+v", o)
	}
	if o := e.NewOrigin(); o != (Origin{3, 2}) {
		t.Errorf("NewOrigin = %+v", o)
	}
	a, b := e.KeepAs(from(1), []byte("a")), e.KeepAs(from(1), nil)
	if a == 0 || a != b || e.KeepAs(e.Origin(own), nil) != own {
		t.Errorf("one message is body %d and %d", a, b)
	}
	if zero, more := e.KeepAs(Origin{}, []byte("x")), e.KeepAs(Origin{}, []byte("y")); zero == more || e.Origin(more) != (Origin{3, 4}) {
		t.Errorf("the zero Origin is taken for one: %d, %d", zero, more)
	}
	if n := e.KeepAs(from(2), []byte("longer than 10")); n != 0 || e.Stats().TooLarge != 1 {
		t.Errorf("KeepAs of a long message = %d", n)
	}
	if msg, ok := e.Message(a); !ok || string(msg) != "a" {
		t.Errorf("Message = %q, %v", msg, ok)
	}
	if msg, ok := e.Message(0); ok || msg != nil || e.Origin(0) != (Origin{}) {
		t.Errorf("body 0 is %q of %+v", msg, e.Origin(0))
	}
	e.Release(a)
	e.Release(b)
	if n, _ := e.bodies.find(from(1)); n != 0 {
		t.Errorf("%d is found when nobody holds it", n)
	}
	if n := NewEvents(EventsOptions{Count: -1}).KeepAs(from(1), []byte("a")); n != 0 {
		t.Errorf("KeepAs = %d in a store that keeps nothing", n)
	}
}

// A body that was evicted keeps what it was, and its identity is free again.
func TestOriginOfEvicted(t *testing.T) {
	e := NewEvents(EventsOptions{Budget: cost(100) + 2*entryBytes})
	old := e.KeepAs(from(1), []byte(strings.Repeat("a", 100)))
	log, added := e.AppendAt(0, get, 1, old)
	if !added || !e.Has(log, from(1)) {
		t.Fatal("the event is not there")
	}
	other := e.KeepAs(from(2), []byte(strings.Repeat("b", 100)))
	if _, ok := e.Message(old); ok || e.Origin(old) != from(1) || e.Has(log, from(1)) {
		t.Errorf("the evicted body is %+v", e.Origin(old))
	}
	if again := e.KeepAs(from(1), []byte("c")); again == old || e.Origin(again) != from(1) || e.Has(log, from(1)) {
		t.Errorf("body %d after %d", again, old)
	}
	if _, added := e.AppendAt(log, get, 2, old); added {
		t.Error("an evicted body was added")
	}
	wantSince(t, e, log, get, 1, "not covered")
	wantSince(t, e, log, get, 2, "")
	if msg, ok := e.Message(other); ok {
		t.Errorf("body %d is still %q", other, msg)
	}
}

// Identities come and go, and each leads to its own body.
func TestIndexOfOrigins(t *testing.T) {
	e := NewEvents(EventsOptions{})
	bodies := map[Origin]uint32{}
	add := func(o Origin) { bodies[o] = e.KeepAs(o, []byte("x")) }
	for i := range uint64(3000) {
		add(Origin{Peer: 1, Seq: i + 1})           // all of a peer
		add(Origin{Peer: 2, Seq: (i + 1) * 64})    // each 64th
		add(Origin{Peer: ^i, Seq: i << 32})        // of a peer each
		add(Origin{Peer: i*i + 7, Seq: 1<<63 | i}) // anything
	}
	check := func() {
		longest := 0
		b := &e.bodies
		for i := range b.heads.fresh {
			chain := 0
			for n := *b.heads.at(i); n != 0; n = b.at(n).chain {
				chain++
			}
			longest = max(longest, chain)
		}
		for o, n := range bodies {
			if got, _ := b.find(o); got != n {
				t.Fatalf("%+v leads to %d, want %d", o, got, n)
			}
		}
		if b.live != int64(len(bodies)) || longest > 12 {
			t.Errorf("%d bodies of %d, %d in one bucket", b.live, len(bodies), longest)
		}
	}
	check()
	i := 0
	for o, n := range bodies {
		if i++; i%3 != 0 {
			e.Release(n)
			delete(bodies, o)
			if got, _ := e.bodies.find(o); got != 0 {
				t.Fatalf("%+v leads to %d although it is gone", o, got)
			}
		}
	}
	check()
	for _, n := range bodies {
		e.Release(n)
	}
	e.Sweep(1)
	if n := e.bodies.heads.fresh; n != 0 {
		t.Errorf("%d buckets for no body", n)
	}
	add(Origin{Peer: 1, Seq: 1})
}

// Of the age of its newest body a log keeps 32 bits. Whatever they leave open, no
// event is taken twice.
func TestBirthsGoOn(t *testing.T) {
	const half = 1 << 32
	for _, births := range []uint64{0, half - 2, half - 1, half, 5*half - 1} {
		e := NewEvents(EventsOptions{})
		e.bodies.births.Store(births)
		log, _ := putAt(t, e, 0, get, 1, from(1), "a")
		old := e.KeepAs(from(1), nil)
		s := e.shard(log)
		e.Release(e.Keep(nil)) // a later birth, of no concern to the log
		if got := s.newest(s.find(log)); got != births+1 {
			t.Errorf("the newest body was born as %d, want %d", got, births+1)
		}
		for seq := range uint32(3) {
			if _, added := putAt(t, e, log, get, 2+seq, from(uint64(2+seq)), "b"); !added {
				t.Errorf("%d births: event %d was not added", births, 2+seq)
			}
		}
		for _, later := range []uint64{0, half / 2, half, 3 * half} {
			e.bodies.births.Add(later)
			if _, added := e.AppendAt(log, get, 9, old); added || !e.Has(log, from(1)) || !e.Has(log, from(4)) {
				t.Errorf("%d births, %d later: a message came twice", births, later)
			}
		}
		if _, added := putAt(t, e, log, get, 10, from(10), "c"); !added || !e.Has(log, from(10)) {
			t.Errorf("%d births: the last event was not added", births)
		}
	}
}

// A body whose last reference has just been given back is not found any more,
// although it is there: it will be freed.
func TestKeepAsBesideRelease(t *testing.T) {
	e := NewEvents(EventsOptions{})
	old := e.KeepAs(from(1), []byte("a"))
	s := e.bodies.at(old)
	s.state.Add(^uint32(refOne - 1)) // Release has begun
	if s.hold() {
		t.Error("a body that will be freed was taken")
	}
	body := e.KeepAs(from(1), []byte("a"))
	if body == old {
		t.Fatal("a body that will be freed was given")
	}
	s.state.Add(refOne)
	e.Release(old) // all of it
	if n, _ := e.bodies.find(from(1)); n != body {
		t.Errorf("%+v leads to %d, want %d", from(1), n, body)
	}
	// Of two who keep a message at once the second one finds the first one's.
	if n := e.bodies.shareOrLink([]byte("a"), from(1)); n != body {
		t.Errorf("the body is %d and %d", body, n)
	}
	e.Release(body)
	if e.Release(body); e.bodies.held != 0 || e.bodies.used.Load() != 0 {
		t.Errorf("%d slots and %d bytes for nothing", e.bodies.held, e.bodies.used.Load())
	}
}
