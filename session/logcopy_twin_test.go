package session

import (
	"fmt"
	"slices"
	"strings"

	"pgregory.net/rapid"
)

// logCopy is what Each says of a log, to be carried to another store.
type logCopy struct {
	last   uint32
	floors [streamKinds]uint32
	events []copiedEvent
}

type copiedEvent struct {
	seq, stream uint32
	origin      Origin
	msg         string
}

func exportLog(t rapid.TB, e *Events, log uint32) (c logCopy) {
	t.Helper()
	c.last, c.floors = e.Each(log, func(seq, stream, body uint32, msg []byte) {
		c.events = append(c.events, copiedEvent{seq, stream, e.Origin(body), string(msg)})
	})
	prev := uint32(0)
	for _, ev := range c.events {
		if ev.seq <= prev || ev.seq > c.last || ev.seq <= c.floors[ev.stream>>31] {
			t.Errorf("Each of %x gave %+v", log, c)
		}
		prev = ev.seq
	}
	return c
}

// copyLog makes a log of to from a log of from as the copies of a session do.
func copyLog(t rapid.TB, from *Events, log uint32, to *Events) (copied uint32) {
	t.Helper()
	c := exportLog(t, from, log)
	if copied = to.SetFloors(0, c.floors); to.Lift(copied, c.last) != copied {
		t.Errorf("the number of %x changed", copied)
	}
	for _, ev := range c.events {
		body := to.KeepAs(ev.origin, []byte(ev.msg))
		if log, _ := to.AppendAt(copied, ev.stream, ev.seq, body); log != copied {
			t.Errorf("%x is called %x now", copied, log)
		}
		to.Release(body)
	}
	return copied
}

// The machine of events_twin_test.go goes on with what copies need.

// stored returns the body of o that a store must find, nil if there is none.
func (w *eventsTwin) stored(o Origin) *twinBody {
	for _, b := range w.bodies {
		if b.origin == o {
			return b
		}
	}
	return nil
}

// keepAs keeps a message of another store, or one that was here before.
func (m *eventsMachine) keepAs(t *rapid.T) {
	m.n++
	o := Origin{Peer: 2, Seq: uint64(m.n)}
	if len(m.given) > 0 && rapid.Bool().Draw(t, "known") {
		o = rapid.SampledFrom(m.given).Draw(t, "origin")
	}
	msg := fmt.Sprintf("%d/%d%s", o.Peer, o.Seq, strings.Repeat("y", rapid.IntRange(0, 30).Draw(t, "length")))
	number, b := m.e.KeepAs(o, []byte(msg)), m.stored(o)
	switch {
	case b != nil:
		if number == 0 || m.e.Origin(number) != o {
			t.Fatalf("KeepAs(%+v) = %d, which is %+v", o, number, m.e.Origin(number))
		}
		if kept := m.kept[number]; kept != nil && kept != b {
			t.Fatalf("KeepAs(%+v) = %d, which is %+v", o, number, kept)
		}
		m.kept[number] = b
		b.refs++
		b.held++
		m.enforce()
	case (number == 0) != (len(msg) > m.o.Bytes):
		t.Fatalf("KeepAs of %d bytes = %d", len(msg), number)
	case number != 0:
		m.keptNow(t, number, msg, o)
	}
}

// appendAt1 takes numbers that are new, in between, or there already.
func (m *eventsMachine) appendAt1(t *rapid.T) {
	log, stream, body := m.log(t), m.stream(t), m.body(t)
	seq := rapid.Uint32Range(0, 12).Draw(t, "seq")
	if rapid.Bool().Draw(t, "near the end") {
		seq += m.e.Last(log) - min(m.e.Last(log), 6)
	}
	got, added := m.e.AppendAt(log, stream, seq, body)
	if seq == 0 {
		if got != log || added {
			t.Fatalf("AppendAt with number 0 = %x, %v", got, added)
		}
		return
	}
	l := m.made(t, log, got, 0)
	if l == nil {
		if added {
			t.Fatalf("the dropped %x took an event", log)
		}
		return
	}
	if want := m.appendAt(l, stream, seq, m.kept[body]); added != want {
		t.Fatalf("AppendAt(%x, %x, %d, %d) = %v, want %v", log, stream, seq, body, added, want)
	}
	m.enforce()
	m.same(t, l, m.e.Last(got))
}

func (m *eventsMachine) lift(t *rapid.T) {
	log, last := m.log(t), rapid.Uint32Range(0, 30).Draw(t, "last")
	got := m.e.Lift(log, last)
	if l := m.made(t, log, got, 0); l != nil {
		l.seq = max(l.seq, last)
	}
}

func (m *eventsMachine) setFloors(t *rapid.T) {
	log := m.log(t)
	floors := [2]uint32{rapid.Uint32Range(0, 20).Draw(t, "floor"), rapid.Uint32Range(0, 20).Draw(t, "floor of the other kind")}
	got := m.e.SetFloors(log, floors)
	l := m.made(t, log, got, 0)
	if l == nil {
		return
	}
	for kind, floor := range floors {
		l.floor[kind], l.seq = max(l.floor[kind], floor), max(l.seq, floor)
	}
	m.cut(l, [streamKinds]reason{byOther, byOther})
}

func (m *eventsMachine) nextEpoch(t *rapid.T) {
	log := m.log(t)
	if m.e.Last(log)>>epochShift > 1 {
		t.Skip("takeovers enough")
	}
	got, last := m.e.NextEpoch(log, 0)
	l := m.made(t, log, got, last)
	if l == nil {
		return
	}
	if want := l.seq>>epochShift<<epochShift + 1<<epochShift - 1; last != want && l.seq&epochMask < epochMask-lagMax {
		t.Fatalf("NextEpoch = %x after %x", last, l.seq)
	}
	l.seq = last
	m.same(t, l, m.e.Last(got))
}

func (m *eventsMachine) restream(t *rapid.T) {
	log, from, to := m.log(t), m.stream(t), m.stream(t)
	after, want := rapid.Uint32Range(0, 8).Draw(t, "after"), 0
	if l := m.logs[log]; l != nil && from>>31 == to>>31 {
		for i := range l.events {
			if ev := &l.events[i]; ev.stream == from && ev.seq > after {
				ev.stream = to
				want++
			}
		}
	}
	if n := m.e.Restream(log, from, to, after); n != want {
		t.Fatalf("Restream(%x, %x, %x, %d) = %d, want %d", log, from, to, after, n, want)
	}
}

// copyTo copies a log within the store: not one message is stored again.
func (m *eventsMachine) copyTo(t *rapid.T) {
	log := m.log(t)
	l := m.logs[log]
	if l == nil {
		if c := exportLog(t, m.e, log); c.last != 0 || c.events != nil || c.floors != [2]uint32{} {
			t.Fatalf("Each of %x = %+v", log, c)
		}
		return
	}
	c := exportLog(t, m.e, log)
	got := m.e.SetFloors(0, c.floors)
	twin := m.made(t, 0, got, 0)
	twin.seq, twin.floor = max(c.floors[0], c.floors[1]), c.floors
	for _, ev := range c.events {
		body, b := m.e.KeepAs(ev.origin, []byte(ev.msg)), m.stored(ev.origin)
		if b == nil { // the budget took it since
			m.e.Release(body)
			b = &twinBody{msg: ev.msg, origin: ev.origin, stamp: m.now}
			m.bodies = append(m.bodies, b)
			body = m.e.KeepAs(ev.origin, []byte(ev.msg))
		}
		b.refs++
		m.enforce()
		_, added := m.e.AppendAt(got, ev.stream, ev.seq, body)
		if want := m.appendAt(twin, ev.stream, ev.seq, b); added != want {
			t.Fatalf("AppendAt of %+v = %v, want %v", ev, added, want)
		}
		m.enforce()
		m.e.Release(body)
		m.release(b)
		m.sweepNow()
	}
	m.e.Lift(got, c.last)
	twin.seq = c.last
}

// checkBodies looks each identity up.
func (m *eventsMachine) checkBodies(t *rapid.T) {
	for _, o := range m.given {
		b := m.stored(o)
		if n, _ := m.e.bodies.find(o); (n != 0) != (b != nil) || n != 0 && m.e.Origin(n) != o {
			t.Fatalf("the body of %+v is %d, want %+v", o, n, b)
		}
	}
	for n, b := range m.kept {
		if msg, ok := m.e.Message(n); ok == b.evicted || ok && string(msg) != b.msg || m.e.Origin(n) != b.origin {
			t.Fatalf("body %d is %q, %v, %+v, want %+v", n, msg, ok, m.e.Origin(n), b)
		}
	}
}

// checkCopy compares what Each and Has say of a log.
func (m *eventsMachine) checkCopy(t *rapid.T, log uint32) {
	var want logCopy
	if l := m.logs[log]; l != nil {
		want.last, want.floors = l.seq, l.floor
		for _, ev := range l.events {
			want.events = append(want.events, copiedEvent{ev.seq, ev.stream, ev.body.origin, ev.body.msg})
		}
	}
	if got := exportLog(t, m.e, log); got.last != want.last || got.floors != want.floors || !slices.Equal(got.events, want.events) {
		t.Fatalf("Each of %x = %+v, want %+v", log, got, want)
	}
	for _, o := range m.given {
		has := slices.ContainsFunc(want.events, func(ev copiedEvent) bool { return ev.origin == o })
		if got := m.e.Has(log, o); got != has {
			t.Fatalf("Has(%x, %+v) = %v", log, o, got)
		}
	}
}
