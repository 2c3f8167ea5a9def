package load

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
	"unsafe"
)

// What a client costs is pinned: 64 bytes, and no pointer.
func TestClientIsSmall(t *testing.T) {
	if size := unsafe.Sizeof(client{}); size != 64 {
		t.Errorf("a client takes %d bytes", size)
	}
}

// idleWorker returns a worker with n clients that are up and go nowhere: what
// they send is kept.
func idleWorker(n int, o Options) *worker {
	o = o.filled()
	w := &worker{
		setup: &setup{Shards: 1}, o: &o, calls: newCalls(), kept: map[int32]*kept{}, missed: map[int32]*gaps{},
		tally: newTally(), ready: newList(), random: rand.New(rand.NewPCG(1, 1)),
	}
	w.speech, w.texts = newSpeech(&o), newTexts(o.Size.longest(), 1)
	for i := range n {
		w.clients = append(w.clients, client{fd: noOne, prev: noOne, next: noOne, head: noOne, tail: noOne, state: up})
		w.push(int32(i))
	}
	return w
}

// One turn of the loop sends less than it reads, whatever is due; what is due for
// too long is dropped.
func TestTurnsAreBounded(t *testing.T) {
	w := idleWorker(300, Options{Protocol: JSONRPC})
	w.setRate(1000, 0)
	const now = int64(500 * time.Millisecond)
	for turn, want := range []int64{callsAtOnce, 2 * callsAtOnce, 300, 300} {
		w.issue(now)
		if got := w.tally.counts.Sent; got != want || w.behind != (turn < 2) {
			t.Errorf("turn %d: %d sent, behind %v", turn, got, w.behind)
		}
	}
	if callsAtOnce >= eventCount || w.tally.counts.Late < 290 {
		t.Errorf("%d late", w.tally.counts.Late)
	}
	w.issue(int64(2 * time.Second)) // due from 0.3 to 1 s: too late
	if c := &w.tally.counts; c.Dropped != 701 && c.Dropped != 700 || c.Due != c.Sent+c.Dropped {
		t.Errorf("%+v", c)
	}
}

// Clients take turns, the one that has waited longest first; those that are busy,
// in a burst or silent do not.
// Calls that are due meanwhile go out together: the loop sleeps for a tick at
// least, and no longer than until what is due after it.
func TestRest(t *testing.T) {
	const ms = int64(time.Millisecond)
	for _, test := range []struct {
		tick      time.Duration
		due, want int64 // from now
	}{
		{500 * time.Microsecond, ms / 10, ms / 2},
		{2 * time.Millisecond, ms / 10, 2 * ms},
		{2 * time.Millisecond, 5 * ms, 5 * ms},
		{2 * time.Millisecond, 500 * ms, tickMax},
	} {
		const now = 7 * ms
		o := Options{Tick: test.tick}.filled()
		w := &worker{o: &o, schedule: schedule{interval: 1, next: float64(now + test.due)}}
		w.calls.oldest = noOne
		if got := w.rest(now); got != test.want {
			t.Errorf("tick %v, due in %d ns: sleeps for %d ns, want %d", test.tick, test.due, got, test.want)
		}
	}
}

func TestReadyList(t *testing.T) {
	w := idleWorker(6, Options{Protocol: JSONRPC})
	for _, i := range []int32{0, 3, 5} {
		w.pull(i)
		w.pull(i)
	}
	w.clients[3].flying = 1
	w.clients[5].flags |= idler
	for _, i := range []int32{3, 5, 0, 0} {
		w.push(i)
	}
	var got []int32
	for i := w.ready.first; i != noOne; i = w.clients[i].next {
		got = append(got, i)
	}
	if want := []int32{1, 2, 4, 0}; !slices.Equal(got, want) || w.ready.last != 0 {
		t.Errorf("%v, want %v", got, want)
	}
}

// Deadlines come in the order in which calls are made, and a ticket is worth
// nothing once its call has ended.
func TestCalls(t *testing.T) {
	s := newCalls()
	r := rand.New(rand.NewPCG(1, 2))
	var order []int32 // model
	var old []ticket
	for now := range int64(5000) {
		if len(order) > 0 && r.IntN(2) == 0 {
			at := r.IntN(len(order))
			old = append(old, s.ticket(order[at]))
			s.give(order[at])
			order = slices.Delete(order, at, at+1)
		} else {
			order = append(order, s.take(kindCall, 0, now, now))
		}
		if s.count != len(order) {
			t.Fatalf("%d calls, want %d", s.count, len(order))
		}
	}
	var got []int32
	for k := s.oldest; k != noOne; k = s.list[k].newer {
		if !s.valid(s.ticket(k)) {
			t.Error("a call under way is not valid")
		}
		got = append(got, k)
	}
	if !slices.Equal(got, order) {
		t.Errorf("%v, want %v", got, order)
	}
	for _, o := range old {
		if s.valid(o) {
			t.Fatalf("%+v is valid", o)
		}
	}
}

// Backoff grows to its bound, with jitter from nothing, and starts after what the
// server asked for.
func TestBackoff(t *testing.T) {
	w := idleWorker(1, Options{Protocol: JSONRPC})
	const now, after = int64(time.Hour), int64(time.Second)
	for tries, reach := range map[uint8]time.Duration{0: DefaultRetry, 3: 8 * DefaultRetry, 200: DefaultRetryMax} {
		var earliest, latest = int64(1) << 62, int64(0)
		for range 2000 {
			w.clients[0].tries = tries
			w.timers = nil
			w.comeBack(0, after, now)
			earliest, latest = min(earliest, w.timers[0].at), max(latest, w.timers[0].at)
		}
		if low, high := earliest-now-after, latest-now-after; low < 0 || low > int64(reach)/20 || high > int64(reach) || high < int64(reach)*9/10 {
			t.Errorf("after %d tries: %v to %v, want up to %v", tries, time.Duration(low), time.Duration(high), reach)
		}
	}
}
