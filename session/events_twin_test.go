package session

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// eventsTwin is what an Events does, in the most obvious way: slices of
// messages, and whatever is lost is taken out everywhere at once.
type eventsTwin struct {
	o      EventsOptions
	now    uint32
	bodies []*twinBody // oldest first; evicted ones are out
	logs   map[uint32]*twinLog
	lost   [reasons]uint64

	duplicates int
}

type twinBody struct {
	msg     string
	origin  Origin
	held    int // references of the machine's own
	stamp   uint32
	refs    int
	evicted bool
	why     reason
}

type twinEvent struct {
	seq, stream uint32
	body        *twinBody
}

type twinLog struct {
	seq    uint32
	floor  [streamKinds]uint32
	events []twinEvent
}

func (w *eventsTwin) used() (sum int64) {
	for _, b := range w.bodies {
		sum += cost(uint32(len(b.msg))) + int64(b.refs)*entryBytes
	}
	return sum
}

func (w *eventsTwin) release(b *twinBody) {
	if b.refs--; b.refs == 0 {
		w.bodies = slices.DeleteFunc(w.bodies, func(x *twinBody) bool { return x == b })
	}
}

func (w *eventsTwin) evictOldest(why reason) {
	w.bodies[0].evicted, w.bodies[0].why = true, why
	w.bodies = w.bodies[1:]
}

func (w *eventsTwin) enforce() {
	for len(w.bodies) > 0 && w.used() > w.o.Budget {
		w.evictOldest(byBudget)
	}
	w.settle()
}

// settle takes what was evicted out of all logs.
func (w *eventsTwin) settle() {
	for _, l := range w.logs {
		var why [streamKinds]reason
		for _, ev := range l.events {
			if kind := ev.stream >> 31; ev.body.evicted {
				l.floor[kind], why[kind] = ev.seq, ev.body.why
			}
		}
		w.cut(l, why)
	}
}

func (w *eventsTwin) cut(l *twinLog, why [streamKinds]reason) {
	var kept []twinEvent
	for _, ev := range l.events {
		if kind := ev.stream >> 31; ev.seq > l.floor[kind] {
			kept = append(kept, ev)
		} else {
			w.release(ev.body)
			w.lost[why[kind]]++
		}
	}
	l.events = kept
}

func (w *eventsTwin) append(l *twinLog, stream uint32, b *twinBody) {
	l.seq++
	w.put(l, stream, l.seq, b)
}

func (w *eventsTwin) appendAt(l *twinLog, stream, seq uint32, b *twinBody) (added bool) {
	l.seq = max(l.seq, seq)
	for _, ev := range l.events {
		if ev.seq == seq || ev.body == b {
			w.duplicates++
			return false
		}
	}
	return seq > l.floor[stream>>31] && w.put(l, stream, seq, b)
}

func (w *eventsTwin) put(l *twinLog, stream, seq uint32, b *twinBody) (added bool) {
	kind := stream >> 31
	if b == nil || b.evicted {
		why := byBytes
		if b != nil {
			why = b.why
			w.lost[why]++
		}
		l.floor[kind] = seq
		w.cut(l, [streamKinds]reason{why, why})
		return false
	}
	b.refs++
	l.events = append(l.events, twinEvent{seq, stream, b})
	slices.SortFunc(l.events, func(a, b twinEvent) int { return cmp.Compare(a.seq, b.seq) })
	for {
		bytes := 0
		for _, ev := range l.events {
			bytes += len(ev.body.msg)
		}
		if len(l.events) <= w.o.Count && bytes <= w.o.Bytes {
			return true
		}
		why := byBytes
		if len(l.events) > w.o.Count {
			why = byCount
		}
		first := l.events[0]
		l.events = l.events[1:]
		l.floor[first.stream>>31] = first.seq
		w.release(first.body)
		w.lost[why]++
	}
}

func (w *eventsTwin) since(log, stream, after uint32) string {
	l := w.logs[log]
	if l == nil && (log != 0 || after != 0) || l != nil && (after > l.seq || after < l.floor[stream>>31]) {
		return "not covered"
	}
	var got []string
	if l != nil {
		for _, ev := range l.events {
			if ev.stream == stream && ev.seq > after {
				got = append(got, fmt.Sprintf("%d:%s", ev.seq, ev.body.msg))
			}
		}
	}
	return strings.Join(got, " ")
}

// eventsMachine drives a store and its twin. The store puts some work off until
// Sweep; it is swept after each step and then equals its twin in everything.
// TestEventsBesideEachOther is about a store in arrears.
type eventsMachine struct {
	*eventsTwin
	e     *Events
	clock *clock
	kept  map[uint32]*twinBody // held references of ours
	all   []uint32             // logs ever made
	given []Origin             // to messages so far
	n     int
}

func TestEventsAgainstTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := new(clock)
		o := EventsOptions{
			Count:  rapid.IntRange(1, 8).Draw(t, "count"),
			Bytes:  rapid.IntRange(1, 60).Draw(t, "bytes"),
			Age:    time.Duration(rapid.IntRange(1, 4).Draw(t, "age")) * time.Second,
			Budget: rapid.SampledFrom([]int64{1, 150, 400, 1000, 1 << 20}).Draw(t, "budget"),
			Peer:   1,
			Now:    c.now,
		}
		m := &eventsMachine{
			eventsTwin: &eventsTwin{o: o, logs: map[uint32]*twinLog{}},
			e:          NewEvents(o), clock: c, kept: map[uint32]*twinBody{}, all: []uint32{0},
		}
		m.e.bodies.births.Store(rapid.SampledFrom([]uint64{0, 1<<32 - 5}).Draw(t, "births"))
		t.Repeat(map[string]func(*rapid.T){
			"keep": m.keep, "append": m.append1, "publish": m.publish, "release": m.letGo,
			"draw": m.drawNumber, "drop": m.dropLog, "wait": m.wait, "": m.check,
			"keepAs": m.keepAs, "appendAt": m.appendAt1, "lift": m.lift, "setFloors": m.setFloors,
			"nextEpoch": m.nextEpoch, "restream": m.restream, "copy": m.copyTo,
		})
	})
}

func (m *eventsMachine) log(t *rapid.T) uint32 { return rapid.SampledFrom(m.all).Draw(t, "log") }

func (m *eventsMachine) stream(t *rapid.T) uint32 {
	return rapid.SampledFrom([]uint32{1, 2, 1<<31 | 1, 1<<31 | 2}).Draw(t, "stream")
}

func (m *eventsMachine) keep(t *rapid.T) {
	m.n++
	msg := fmt.Sprintf("%d%s", m.n, strings.Repeat("x", rapid.IntRange(0, 30).Draw(t, "length")))
	number := m.e.Keep([]byte(msg))
	if (number == 0) != (len(msg) > m.o.Bytes) {
		t.Fatalf("Keep of %d bytes = %d", len(msg), number)
	}
	if number == 0 {
		return
	}
	o := m.e.Origin(number)
	if o.Peer != m.o.Peer || slices.Contains(m.given, o) {
		t.Fatalf("a new message is %+v", o)
	}
	m.keptNow(t, number, msg, o)
}

// keptNow notes the body that has come to be number.
func (m *eventsMachine) keptNow(t *rapid.T, number uint32, msg string, o Origin) {
	if m.kept[number] != nil {
		t.Fatalf("the number %d is in use", number)
	}
	b := &twinBody{msg: msg, origin: o, stamp: m.now, refs: 1, held: 1}
	m.kept[number] = b
	m.given = append(m.given, o)
	m.bodies = append(m.bodies, b)
	m.enforce()
}

func (m *eventsMachine) body(t *rapid.T) uint32 {
	numbers := []uint32{0}
	for n := range m.kept {
		numbers = append(numbers, n)
	}
	slices.Sort(numbers)
	return rapid.SampledFrom(numbers).Draw(t, "body")
}

func (m *eventsMachine) append1(t *rapid.T) { m.appendTo(t, m.log(t), m.stream(t), m.body(t)) }

func (m *eventsMachine) publish(t *rapid.T) {
	body, stream := m.body(t), m.stream(t)
	for _, log := range m.all[1:] {
		m.appendTo(t, log, stream, body)
	}
}

func (m *eventsMachine) appendTo(t *rapid.T, log, stream, body uint32) {
	got, seq := m.e.Append(log, stream, body)
	if l := m.made(t, log, got, seq); l != nil {
		m.append(l, stream, m.kept[body])
		m.enforce()
		m.same(t, l, seq)
	}
}

// made returns the twin of the log that a call on log has named got.
func (m *eventsMachine) made(t *rapid.T, log, got, seq uint32) *twinLog {
	switch {
	case log == 0:
		if got == 0 || slices.Contains(m.all, got) {
			t.Fatalf("a new log is called %x", got)
		}
		m.logs[got] = &twinLog{}
		m.all = append(m.all, got)
	case got != log:
		t.Fatalf("%x is called %x now", log, got)
	case m.logs[log] == nil && seq != 0:
		t.Fatalf("the dropped %x gave %d", log, seq)
	}
	return m.logs[got]
}

func (m *eventsMachine) same(t *rapid.T, l *twinLog, seq uint32) {
	if seq != l.seq {
		t.Fatalf("seq = %d, want %d", seq, l.seq)
	}
	m.sweepNow()
}

// sweepNow has the store do what it put off.
func (m *eventsMachine) sweepNow() { m.e.Sweep(1 << 20) }

func (m *eventsMachine) letGo(t *rapid.T) {
	n := m.body(t)
	m.e.Release(n)
	if b := m.kept[n]; b != nil {
		m.release(b)
		if b.held--; b.held == 0 {
			delete(m.kept, n)
		}
	}
}

func (m *eventsMachine) drawNumber(t *rapid.T) {
	log := m.log(t)
	got, seq := m.e.Draw(log)
	if l := m.made(t, log, got, seq); l != nil {
		l.seq++
		m.same(t, l, seq)
	}
}

func (m *eventsMachine) dropLog(t *rapid.T) {
	log := m.log(t)
	m.e.Drop(log)
	m.dropTwin(log)
}

func (m *eventsMachine) dropTwin(log uint32) {
	if l := m.logs[log]; l != nil {
		for _, ev := range l.events {
			m.release(ev.body)
		}
		delete(m.logs, log)
	}
}

func (m *eventsMachine) wait(t *rapid.T) {
	n := rapid.Uint32Range(1, 2).Draw(t, "seconds")
	m.clock.move(time.Duration(n) * time.Second)
	m.now += n
	for len(m.bodies) > 0 && m.now-m.bodies[0].stamp > uint32(m.o.Age/time.Second) {
		m.evictOldest(byAge)
	}
	m.settle()
	m.sweepNow()
}

func (m *eventsMachine) check(t *rapid.T) {
	m.sweepNow()
	if used := m.e.bodies.used.Load(); used != m.used() || used > m.o.Budget {
		t.Fatalf("%d bytes used, want %d of %d", used, m.used(), m.o.Budget)
	}
	m.checkBodies(t)
	events := 0
	for _, log := range m.all {
		m.checkCopy(t, log)
		l := m.logs[log]
		last := uint32(0)
		if l != nil {
			last = l.seq
			events += len(l.events)
		}
		if got := m.e.Last(log); got != last {
			t.Fatalf("Last(%x) = %d, want %d", log, got, last)
		}
		for _, stream := range []uint32{1, 2, 1<<31 | 1, 1<<31 | 2} {
			for _, after := range []uint32{0, last / 2, last - min(last, 2), last, last + 1, math.MaxUint32} {
				if got, want := since(t, m.e, log, stream, after), m.since(log, stream, after); got != want {
					t.Fatalf("Since(%x, %x, %d) = %q, want %q", log, stream, after, got, want)
				}
			}
		}
	}
	st := m.e.Stats()
	lost := [reasons]uint64{byCount: st.EvictedCount, byBytes: st.EvictedBytes, byAge: st.EvictedAge, byBudget: st.EvictedBudget, byOther: st.EvictedElsewhere}
	if int(st.Logs) != len(m.logs) || int(st.Events) != events || int(st.Bodies) != len(m.bodies) || lost != m.lost || int(st.Duplicates) != m.duplicates {
		t.Fatalf("Stats = %+v, want %d logs, %d events, %d bodies, %v lost", st, len(m.logs), events, len(m.bodies), m.lost)
	}
}
