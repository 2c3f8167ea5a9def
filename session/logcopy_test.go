package session

import (
	"math"
	"strconv"
	"testing"
	"time"
)

// putAt keeps msg under an identity and appends it with a number.
func putAt(t *testing.T, e *Events, log, stream, seq uint32, o Origin, msg string) (newLog uint32, added bool) {
	t.Helper()
	body := e.KeepAs(o, []byte(msg))
	defer e.Release(body)
	newLog, added = e.AppendAt(log, stream, seq, body)
	if log != 0 && newLog != log {
		t.Errorf("%x is called %x now", log, newLog)
	}
	return newLog, added
}

// from is an identity that another store gave.
func from(seq uint64) Origin { return Origin{Peer: 9, Seq: seq} }

func TestAppendAt(t *testing.T) {
	e := NewEvents(EventsOptions{Count: 4})
	log, added := putAt(t, e, 0, get, 3, from(3), "3")
	if log == 0 || !added {
		t.Fatalf("AppendAt = %x, %v", log, added)
	}
	for _, step := range []struct {
		name        string
		stream, seq uint32
		origin      uint64
		added       bool
		last        uint32
		want        string // of stream get
	}{
		{"at the end", get, 7, 7, true, 7, "3:3 7:7"},
		{"in between", get, 5, 5, true, 7, "3:3 5:5 7:7"},
		{"at the front", get, 1, 1, true, 7, "1:1 3:3 5:5 7:7"},
		{"a number twice", get, 5, 55, false, 7, "1:1 3:3 5:5 7:7"},
		{"a message twice", get, 6, 5, false, 7, "1:1 3:3 5:5 7:7"},
		{"a message twice, with a new number", get, 9, 1, false, 9, "1:1 3:3 5:5 7:7"},
		{"number 0", get, 0, 10, false, 9, "1:1 3:3 5:5 7:7"},
		{"beyond Count", get, 10, 11, true, 10, "not covered"},
		{"what was lost", get, 1, 12, false, 10, "not covered"},
		{"the oldest in a full log", post, 2, 13, true, 10, "not covered"},
	} {
		_, added := putAt(t, e, log, step.stream, step.seq, from(step.origin), strconv.FormatUint(step.origin, 10))
		if added != step.added || e.Last(log) != step.last {
			t.Errorf("%s: added %v, last %d", step.name, added, e.Last(log))
		}
		if got := since(t, e, log, get, 0); got != step.want {
			t.Errorf("%s: %s", step.name, got)
		}
	}
	wantSince(t, e, log, get, 1, "3:3 5:5 7:7 10:11")
	wantSince(t, e, log, post, 1, "not covered") // it came and went
	if st := e.Stats(); st.Duplicates != 3 || st.EvictedCount != 2 {
		t.Errorf("Stats = %+v", st)
	}
	if _, seq := put(e, log, get, "next"); seq != 11 {
		t.Errorf("the next number is %d", seq)
	}
	e.Drop(log)
	if _, added := putAt(t, e, log, get, 20, from(20), "x"); added {
		t.Error("a dropped log took an event")
	}
	if log, added := e.AppendAt(0, get, 0, 0); log != 0 || added {
		t.Errorf("AppendAt with number 0 = %x, %v", log, added)
	}
}

// An event that could not be kept is lost here too, where its number belongs.
func TestAppendAtLost(t *testing.T) {
	e := NewEvents(EventsOptions{})
	log, _ := putAt(t, e, 0, get, 1, from(1), "a")
	putAt(t, e, log, post, 2, from(2), "b")
	putAt(t, e, log, get, 5, from(5), "e")
	if _, added := e.AppendAt(log, get, 3, 0); added {
		t.Error("body 0 was added")
	}
	wantSince(t, e, log, get, 2, "not covered")
	wantSince(t, e, log, get, 3, "5:e")
	wantSince(t, e, log, post, 0, "2:b")
	if _, added := putAt(t, e, log, get, 2, from(2), "b"); added { // that body is there
		t.Error("one message was added twice")
	}
	if _, added := putAt(t, e, log, get, 3, from(3), "c"); added {
		t.Error("a lost event came back")
	}
	e.AppendAt(log, get, 9, 0)
	wantSince(t, e, log, get, 9, "")
	if e.Last(log) != 9 {
		t.Errorf("Last = %d", e.Last(log))
	}
}

func TestLift(t *testing.T) {
	e := NewEvents(EventsOptions{})
	log := e.Lift(0, 7)
	if log == 0 || e.Last(log) != 7 || e.Lift(log, 5) != log || e.Last(log) != 7 {
		t.Errorf("Lift = %x, last %d", log, e.Last(log))
	}
	wantSince(t, e, log, get, 0, "")
	if _, seq := e.Draw(log); seq != 8 {
		t.Errorf("the next number is %d", seq)
	}
	e.Drop(log)
	if e.Lift(log, 9) != log || e.Last(log) != 0 {
		t.Error("a dropped log was lifted")
	}
	if log := e.Lift(0, 0); log == 0 {
		t.Error("Lift made no log")
	}
}

func TestSetFloors(t *testing.T) {
	e := NewEvents(EventsOptions{})
	log, _ := put(e, 0, get, "a")
	put(e, log, post, "b")
	put(e, log, get, "c")
	if e.SetFloors(log, [2]uint32{1, 5}) != log || e.Last(log) != 5 {
		t.Errorf("Last = %d", e.Last(log))
	}
	wantSince(t, e, log, get, 0, "not covered")
	wantSince(t, e, log, get, 1, "3:c")
	wantSince(t, e, log, post, 4, "not covered")
	wantSince(t, e, log, post, 5, "")
	e.SetFloors(log, [2]uint32{}) // never down
	wantSince(t, e, log, get, 0, "not covered")
	if st := e.Stats(); st.EvictedElsewhere != 2 || st.Events != 1 {
		t.Errorf("Stats = %+v", st)
	}
	if made := e.SetFloors(0, [2]uint32{3, 4}); made == 0 || e.Last(made) != 4 {
		t.Errorf("SetFloors made %x", made)
	}
	e.Drop(log)
	if e.SetFloors(log, [2]uint32{9, 9}) != log || e.Last(log) != 0 {
		t.Error("a dropped log has floors")
	}
}

// Whatever the home that is gone has drawn, its successor draws other numbers.
func TestNextEpoch(t *testing.T) {
	const epoch = 1 << 22
	for _, c := range []struct{ last, want uint32 }{
		{0, epoch - 1},
		{1, epoch - 1},
		{epoch - lagMax - 1, epoch - 1},
		{epoch - lagMax, 2*epoch - 1}, // who is gone may have drawn numbers beyond epoch
		{epoch - 1, 2*epoch - 1},
		{epoch, 2*epoch - 1},
		{1022*epoch + 5, 1023*epoch - 1},
		{1023*epoch - 1, 0},
		{1023 * epoch, 0},
		{math.MaxUint32, 0},
	} {
		e := NewEvents(EventsOptions{})
		log := e.Lift(0, c.last)
		got, last := e.NextEpoch(log, 0)
		want := c.want
		if got != log || last != want {
			t.Errorf("NextEpoch after %x = %x, %x, want %x, %x", c.last, got, last, log, want)
		}
		if want == 0 {
			want = c.last
		}
		if e.Last(log) != want {
			t.Errorf("Last = %x after %x", e.Last(log), c.last)
		}
		if _, seq := e.Draw(log); last != 0 && (seq != last+1 || seq%epoch != 0 || seq-c.last <= lagMax) {
			t.Errorf("%x was drawn after %x", seq, c.last)
		}
	}
	e := NewEvents(EventsOptions{})
	log, last := e.NextEpoch(0, 0)
	if log == 0 || last != epoch-1 {
		t.Errorf("NextEpoch of no log = %x, %x", log, last)
	}
	e.Drop(log)
	if got, last := e.NextEpoch(log, 0); got != log || last != 0 {
		t.Errorf("NextEpoch of a dropped log = %x, %x", got, last)
	}
}

func TestRestream(t *testing.T) {
	e := NewEvents(EventsOptions{})
	log, _ := put(e, 0, 1, "a")
	for _, msg := range []string{"b", "c"} {
		put(e, log, 1, msg)
	}
	put(e, log, post, "d")
	if n := e.Restream(log, 1, 2, 1); n != 2 {
		t.Errorf("Restream = %d", n)
	}
	wantSince(t, e, log, 1, 0, "1:a")
	wantSince(t, e, log, 2, 1, "2:b 3:c")
	for name, n := range map[string]int{
		"of another kind": e.Restream(log, 2, post, 0),
		"to another kind": e.Restream(log, post, 2, 0),
		"beyond the last": e.Restream(log, 2, 3, 3),
		"of log 0":        e.Restream(0, 1, 2, 0),
	} {
		if n != 0 {
			t.Errorf("Restream %s = %d", name, n)
		}
	}
	e.Drop(log)
	if n := e.Restream(log, 2, 1, 0); n != 0 {
		t.Errorf("Restream of a dropped log = %d", n)
	}
}

// A copy answers what its original answers.
func TestCopyOfALog(t *testing.T) {
	home, away := NewEvents(EventsOptions{Count: 3, Peer: 1}), NewEvents(EventsOptions{Peer: 2})
	log, _ := put(home, 0, post, "p")
	for _, msg := range []string{"a", "b", "c"} {
		put(home, log, get, msg)
	}
	home.Draw(log)
	copied := copyLog(t, home, log, away)
	for _, c := range []struct {
		stream, after uint32
		want          string
	}{
		{get, 0, "2:a 3:b 4:c"},
		{get, 3, "4:c"},
		{get, 5, ""},
		{get, 6, "not covered"},
		{post, 0, "not covered"},
		{post, 1, ""},
	} {
		wantSince(t, home, log, c.stream, c.after, c.want)
		wantSince(t, away, copied, c.stream, c.after, c.want)
	}
	second := copyLog(t, home, log, away)
	if st := away.Stats(); st.Logs != 2 || st.Events != 6 || st.Bodies != 3 {
		t.Errorf("two copies: %+v", st)
	}
	for seq := range uint64(4) {
		if o := (Origin{1, seq + 1}); home.Has(log, o) != (seq > 0) || away.Has(second, o) != (seq > 0) {
			t.Errorf("Has(%+v) = %v here, %v there", o, home.Has(log, o), away.Has(second, o))
		}
	}
	// The limits of the other store hold.
	small := NewEvents(EventsOptions{Count: 2})
	copied = copyLog(t, home, log, small)
	wantSince(t, small, copied, get, 1, "not covered")
	wantSince(t, small, copied, get, 2, "3:b 4:c")
	none := NewEvents(EventsOptions{Count: -1})
	copied = copyLog(t, home, log, none)
	wantSince(t, none, copied, get, 3, "not covered")
	wantSince(t, none, copied, get, 5, "")
	home.Drop(log)
	if last, floors := home.Each(log, nil); last != 0 || floors != [2]uint32{} {
		t.Errorf("Each of a dropped log = %d, %v", last, floors)
	}
	if home.Has(log, Origin{1, 2}) {
		t.Error("a dropped log has an event")
	}
}

// An event that is evicted during Each takes those before it along.
func TestEachBesideEviction(t *testing.T) {
	e := NewEvents(EventsOptions{})
	log := uint32(0)
	for _, msg := range []string{"a", "b", "c"} {
		log, _ = put(e, log, get, msg)
	}
	s := e.shard(log)
	l := s.find(log)
	// The bytes of b go and nobody counts it yet: the moment between the two.
	b := s.bodies.at(s.entries.at(s.entries.at(l.first-1).next - 1).body)
	data := b.data.Swap(nil)
	wantSince(t, e, log, get, 0, "not covered")
	if c := exportLog(t, e, log); c.floors != [2]uint32{2, 0} || len(c.events) != 1 || c.events[0].msg != "c" {
		t.Errorf("Each gave %+v", c)
	}
	b.data.Store(data)
	wantSince(t, e, log, get, 0, "1:a 2:b 3:c")
}

// An f that panics leaves the log unlocked and whole.
func TestEachPanics(t *testing.T) {
	e := NewEvents(EventsOptions{})
	log, _ := put(e, 0, get, "a")
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic was swallowed")
			}
		}()
		e.Each(log, func(uint32, uint32, uint32, []byte) { panic("f") })
	}()
	if c := exportLog(t, e, log); len(c.events) != 1 {
		t.Errorf("Each gave %+v", c)
	}
}

// What was evicted and not swept yet decides as if it had been.
func TestCopiesInArrears(t *testing.T) {
	begin := func() (e *Events, log uint32) {
		c := new(clock)
		e = NewEvents(EventsOptions{Age: time.Second, Now: c.now})
		log, _ = putAt(t, e, 0, get, 2, from(2), "a")
		putAt(t, e, log, get, 4, from(4), "b")
		c.move(time.Hour)
		putAt(t, e, log, post, 5, from(5), "c")
		e.bodies.evictAged()
		return e, log
	}
	e, log := begin()
	if _, added := putAt(t, e, log, get, 3, from(3), "x"); added {
		t.Error("an event was added below one that is lost")
	}
	if _, added := putAt(t, e, log, get, 4, from(4), "x"); added || e.Stats().Duplicates != 0 {
		t.Errorf("a lost event came back: %v, %+v", added, e.Stats())
	}
	wantSince(t, e, log, get, 4, "")
	wantSince(t, e, log, post, 4, "5:c")
	e, log = begin()
	e.SetFloors(log, [2]uint32{9, 0})
	if st := e.Stats(); st.EvictedAge != 2 || st.EvictedElsewhere != 0 {
		t.Errorf("SetFloors: %+v", st)
	}
	e, log = begin()
	if n := e.Restream(log, get, get+1, 0); n != 0 {
		t.Errorf("%d lost events have another stream", n)
	}
}

// An event whose publisher's earlier one stands behind a number would come too
// early there.
func TestOvertaken(t *testing.T) {
	e := NewEvents(EventsOptions{Peer: 1})
	put := func(log, seq uint32, o Origin) uint32 {
		body := e.KeepAs(o, []byte("x"))
		defer e.Release(body)
		log, _ = e.AppendAt(log, 1, seq, body)
		return log
	}
	log := put(0, 5, Origin{Peer: 7, Seq: 3})
	log = put(log, 9, Origin{Peer: 8, Seq: 4})
	for _, c := range []struct {
		seq  uint32
		o    Origin
		want bool
	}{
		{4, Origin{Peer: 7, Seq: 4}, true}, {5, Origin{Peer: 7, Seq: 4}, false}, {4, Origin{Peer: 7, Seq: 2}, false},
		{6, Origin{Peer: 8, Seq: 9}, true}, {10, Origin{Peer: 8, Seq: 9}, false}, {1, Origin{Peer: 6, Seq: 9}, false},
	} {
		if got := e.Overtaken(log, c.seq, c.o); got != c.want {
			t.Errorf("behind %d, %v: %v", c.seq, c.o, got)
		}
	}
	if e.Overtaken(0, 1, Origin{Peer: 7, Seq: 9}) {
		t.Error("log 0")
	}
}
