package session

import (
	"encoding/binary"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
)

// messageOf returns a message whose bytes say which it is.
func messageOf(o Origin) []byte {
	return binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(nil, o.Peer), o.Seq)
}

// isMessageOf reports whether msg is that of o.
func isMessageOf(o Origin, msg []byte) bool {
	return len(msg) == 16 && binary.LittleEndian.Uint64(msg) == o.Peer && binary.LittleEndian.Uint64(msg[8:]) == o.Seq
}

// TestKeepAsBesideEachOther has workers keep, append and let go of the same few
// messages at once, beside evictions: a body is never another message, and is
// stored once while somebody holds it.
func TestKeepAsBesideEachOther(t *testing.T) {
	for _, c := range []struct {
		name string
		o    EventsOptions
	}{
		{"kept", EventsOptions{}},
		{"evicted", EventsOptions{Budget: 6 * (cost(16) + 2*entryBytes)}},
	} {
		t.Run(c.name, func(t *testing.T) { keepAsBesideEachOther(t, NewEvents(c.o)) })
	}
}

func keepAsBesideEachOther(t *testing.T, e *Events) {
	const workers, messages = 4, 12
	rounds := 30_000
	if raceEnabled {
		rounds = 5000
	}
	pinned := e.KeepAs(from(0), messageOf(from(0))) // may be evicted, and is not freed
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(11, uint64(w)))
			log := uint32(0)
			for seq := range uint32(rounds) {
				o := from(rng.Uint64N(messages))
				body := e.KeepAs(o, messageOf(o))
				if msg, ok := e.Message(body); e.Origin(body) != o || ok && !isMessageOf(o, msg) {
					t.Errorf("body %d of %+v is %x of %+v", body, o, msg, e.Origin(body))
				}
				var added bool
				if log, added = e.AppendAt(log, get, seq+1, body); added && e.Last(log) != seq+1 {
					t.Errorf("Last = %d after %d", e.Last(log), seq+1)
				}
				e.Release(body)
				if rng.IntN(4) == 0 {
					e.Drop(log)
					log = 0
				}
				e.Has(log, from(rng.Uint64N(messages)))
			}
			e.Drop(log)
		})
	}
	wg.Wait()
	e.Release(pinned)
	b := &e.bodies
	if b.used.Load() != 0 || b.condemned.Load() != 0 || b.held != 0 || b.live != 0 {
		t.Errorf("left behind: %d used, %d condemned, %d held, %d live", b.used.Load(), b.condemned.Load(), b.held, b.live)
	}
	for i := range b.heads.fresh {
		if n := *b.heads.at(i); n != 0 {
			t.Errorf("bucket %d leads to %d", i, n)
		}
	}
}

// delta is one event on its way from the home of a session to a copy.
type delta struct {
	log    int // of the home, by its place
	seq    uint32
	stream uint32
	origin Origin // zero: lost
}

// TestCopiesBesideEachOther has a home publish to its logs and two links bring
// the events to copies, each event twice and by different links, so that they
// arrive out of order. In the end the copies answer what the home answers.
func TestCopiesBesideEachOther(t *testing.T) {
	const logs, links = 20, 2
	rounds := 400
	if raceEnabled {
		rounds = 150
	}
	o := EventsOptions{Count: 1 << 15, Bytes: 1 << 20, Peer: 1}
	home := NewEvents(o)
	o.Peer = 2
	away := NewEvents(o)
	var numbers [logs]uint32 // of the home
	copies := make([]uint32, logs)
	for i := range copies {
		copies[i] = away.Lift(0, 0)
	}
	var deltas [links]chan delta
	for i := range deltas {
		deltas[i] = make(chan delta, 64)
	}
	var added, twice atomic.Int64
	var wg sync.WaitGroup
	for i := range links {
		wg.Go(func() { bring(t, away, copies, deltas[i], uint64(i), &added, &twice) })
	}
	rng := rand.New(rand.NewPCG(13, 0))
	events := int64(0)
	for range rounds {
		id := home.NewOrigin()
		body := home.KeepAs(id, messageOf(id))
		stream := uint32(1+rng.IntN(2)) | uint32(rng.IntN(2))<<31
		for i := range numbers {
			if rng.IntN(3) == 0 {
				continue
			}
			d := delta{log: i, stream: stream, origin: id}
			numbers[i], d.seq = home.Append(numbers[i], stream, body)
			events++
			for _, link := range deltas {
				link <- d
			}
		}
		home.Release(body)
	}
	for _, link := range deltas {
		close(link)
	}
	wg.Wait()
	if added.Load() != events || twice.Load() != events*(links-1) || int64(away.Stats().Duplicates) != twice.Load() {
		t.Errorf("%d events: %d added, %d twice, %+v", events, added.Load(), twice.Load(), away.Stats())
	}
	for i, log := range numbers {
		want, got := exportLog(t, home, log), exportLog(t, away, copies[i])
		if want.last != got.last || want.floors != got.floors || len(want.events) != len(got.events) {
			t.Fatalf("log %d: %d events up to %d, want %d up to %d", i, len(got.events), got.last, len(want.events), want.last)
		}
		for j := range want.events {
			if want.events[j] != got.events[j] {
				t.Fatalf("log %d: %+v, want %+v", i, got.events[j], want.events[j])
			}
		}
		away.Drop(copies[i])
	}
	if st := away.Stats(); st.Bodies != 0 || st.Events != 0 || away.bodies.used.Load() != 0 {
		t.Errorf("left behind: %+v", st)
	}
}

// bring appends what comes over a link, a few events in another order, and reads.
func bring(t *testing.T, e *Events, copies []uint32, from <-chan delta, seed uint64, added, twice *atomic.Int64) {
	rng := rand.New(rand.NewPCG(17, seed))
	var held []delta
	flush := func() {
		rng.Shuffle(len(held), func(i, j int) { held[i], held[j] = held[j], held[i] })
		for _, d := range held {
			body := e.KeepAs(d.origin, messageOf(d.origin))
			if _, ok := e.AppendAt(copies[d.log], d.stream, d.seq, body); ok {
				added.Add(1)
			} else {
				twice.Add(1)
			}
			if e.Release(body); !e.Has(copies[d.log], d.origin) {
				t.Errorf("%+v is not there", d)
			}
		}
		held = held[:0]
	}
	for d := range from {
		if held = append(held, d); len(held) > rng.IntN(30) {
			flush()
			exportLog(t, e, copies[d.log])
		}
	}
	flush()
}
