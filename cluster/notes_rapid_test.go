package cluster

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/rookery-server/rookery/batch"
)

// notesStore knows every session with a small number, at home at home, and what
// was spread to them.
type notesStore struct {
	Store
	home   uint32
	spread map[Origin]string
	orders []string
}

var errNotForIt = errors.New("not for it")

func (st *notesStore) Find(id ID) (uint64, bool) { return le.Uint64(id[:]), true }
func (st *notesStore) Load(ref uint64) (Session, bool) {
	return Session{ID: notesID(ref), Home: st.home}, ref != 0
}
func (st *notesStore) Commit(uint64, uint32)                    {}
func (st *notesStore) Latest(uint64) uint32                     { return 0 }
func (st *notesStore) PeerGone(uint32)                          {}
func (st *notesStore) Range(uint32, func(uint64, Session) bool) {}

func (st *notesStore) SpreadTo(ref uint64, payload []byte, o Origin, _ bool) error {
	if bytes.HasPrefix(payload, []byte("no")) {
		return errNotForIt
	}
	if _, again := st.spread[o]; !again {
		st.spread[o] = fmt.Sprintf("%d %s", ref, payload)
		st.orders = append(st.orders, string(payload))
	}
	return nil
}

func notesID(n uint64) (id ID) {
	le.PutUint64(id[:], n)
	le.PutUint64(id[8:], mix(n))
	return id
}

// notesPair is two cores and the link between them: a asks, b is the home.
type notesPair struct {
	now    time.Duration
	a, b   *Core
	at, to *Link
	store  *notesStore
	wires  [2][]byte
}

func newNotesPair(acked bool, features batch.Features) *notesPair {
	p := &notesPair{store: &notesStore{spread: map[Origin]string{}}}
	core := func(name string, inc uint64, st Store, o batch.Options) *Core {
		return NewCore(CoreOptions{
			Self: Peer{PeerID: PeerID{Node: name, Incarnation: inc}}, Store: st, Acked: acked, Wake: func(Peer) {}, Link: o,
			Now: func() time.Duration { return p.now }, Logger: slog.New(slog.DiscardHandler), DigestEvery: -1,
		})
	}
	p.a = core("a", 1, &notesStore{home: 1}, batch.Options{})
	p.b = core("b", 2, p.store, batch.Options{Features: features})
	p.at, p.to = p.a.Open(Peer{PeerID: p.b.o.Self.PeerID}), p.b.Open(Peer{PeerID: p.a.o.Self.PeerID})
	p.at.alive.Store(true)
	p.to.alive.Store(true)
	return p
}

func (p *notesPair) connect(t testing.TB) {
	p.wires = [2][]byte{}
	at, to := p.at.Resume(), p.to.Resume()
	if err := errors.Join(p.at.Connect(to), p.to.Connect(at)); err != nil {
		t.Fatal(err)
	}
}

// move brings at most n bytes one way.
func (p *notesPair) move(t testing.TB, back bool, n int) {
	from, to, wire := p.at, p.to, &p.wires[0]
	if back {
		from, to, wire = p.to, p.at, &p.wires[1]
	}
	*wire = from.NextFrame(*wire)
	used, err := to.Receive((*wire)[:min(n, len(*wire))])
	if err != nil {
		t.Fatal(err)
	}
	*wire = (*wire)[used:]
}

// Whatever gets lost with connections and with links that begin anew, and
// wherever a frame is cut: each notification reaches the session it is for, once,
// and who asks hears how it ended.
func TestNotesOverALink(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		features := rapid.SampledFrom([]batch.Features{batch.AllFeatures, batch.FeatureS2}).Draw(rt, "features")
		p := newNotesPair(rapid.Bool().Draw(rt, "acked"), features)
		sessions := rapid.SampledFrom([]uint64{3, 40, 700}).Draw(rt, "sessions")
		ended := map[string]error{}
		asked, anew := 0, false
		step := func() {
			for p.a.Step() || p.b.Step() {
				continue
			}
		}
		p.connect(t)
		for range rapid.IntRange(1, 60).Draw(rt, "steps") {
			switch rapid.IntRange(0, 8).Draw(rt, "what") {
			case 0, 1, 2:
				for range rapid.IntRange(1, 40).Draw(rt, "burst") {
					asked++
					n := 1 + rapid.Uint64Range(0, sessions-1).Draw(rt, "session")
					payload := fmt.Sprintf("%s %d for %d", rapid.SampledFrom([]string{"yes", "yes", "yes", "no"}).Draw(rt, "kind"), asked, n)
					key := rapid.SampledFrom([]string{"", "", payload}).Draw(rt, "key")
					err := p.a.StartNotify(notesID(n), []byte(payload), key, func(err error) {
						if _, twice := ended[payload]; twice {
							rt.Fatalf("%s ended twice", payload)
						}
						ended[payload] = err
					})
					if err != nil {
						rt.Fatal(err)
					}
				}
			case 3, 4:
				p.move(t, false, rapid.IntRange(0, 5000).Draw(rt, "bytes"))
			case 5:
				p.move(t, true, rapid.IntRange(0, 300).Draw(rt, "bytes"))
			case 6:
				step()
			case 7:
				p.at.Disconnect(errors.New("cut"))
				p.to.Disconnect(errors.New("cut"))
				p.connect(t)
			default:
				if rapid.IntRange(0, 5).Draw(rt, "anew") == 0 {
					anew = true
					p.a.Open(p.at.peer)
					p.b.Open(p.to.peer)
					p.connect(t)
				}
			}
		}
		for range 6 {
			p.now += noteAgain
			step()
			for range 200 {
				p.move(t, false, 1<<20)
				step()
				p.move(t, true, 1<<20)
			}
		}
		if len(ended) != asked || p.a.notes.open != 0 || p.at.notes.numbers.n != 0 || p.to.reports.how.n != 0 {
			rt.Fatalf("%d of %d ended, %d open, %d unreported, %d to report", len(ended), asked, p.a.notes.open, p.at.notes.numbers.n, p.to.reports.how.n)
		}
		for payload, err := range ended {
			if no := payload[:2] == "no"; no != errors.Is(err, ErrNotHeld) || !no && err != nil {
				rt.Fatalf("%s: %v", payload, err)
			}
		}
		for _, what := range p.store.spread {
			var ref, n, of uint64
			if _, err := fmt.Sscanf(what, "%d yes %d for %d", &ref, &n, &of); err != nil || ref != of {
				rt.Fatalf("spread: %s: %v", what, err)
			}
		}
		if !anew && features&batch.FeatureNotes != 0 && !slices.IsSortedFunc(p.store.orders, byNumber) {
			rt.Fatalf("out of order: %q", p.store.orders)
		}
	})
}

func byNumber(x, y string) int {
	var a, b int
	_, _ = fmt.Sscanf(x, "yes %d", &a)
	_, _ = fmt.Sscanf(y, "yes %d", &b)
	return a - b
}

// What the receiver makes of handles is what the sender meant, with any number
// of sessions, when messages are not taken, and beyond the bound of the tables.
func TestHandlesAgree(t *testing.T) {
	check := func(out *handlesOut, in *handlesIn, id ID, taken bool) (bound bool, err error) {
		handle, bound := out.of(id)
		if !taken {
			return bound, nil
		}
		if !bound {
			out.bind(handle, id)
			in.bind(handle, id)
		}
		if n := in.at(handle); n == nil || n.id != id {
			return bound, fmt.Errorf("handle %d is not %x", handle, id)
		}
		return bound, nil
	}
	rapid.Check(t, func(t *rapid.T) {
		var out handlesOut
		var in handlesIn
		most := rapid.Uint64Range(1, 2000).Draw(t, "sessions")
		for range rapid.IntRange(1, 100).Draw(t, "steps") {
			from := rapid.Uint64Range(0, most).Draw(t, "from")
			taken := rapid.IntRange(0, 9).Draw(t, "taken") > 0
			for n := from; n < from+20; n++ {
				if _, err := check(&out, &in, notesID(n), taken); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
	var out handlesOut
	var in handlesIn
	const sessions = handlesMax * 5 / 4
	again := 0
	for n := range uint64(4 * sessions) {
		bound, err := check(&out, &in, notesID(1+n%sessions), true)
		if err != nil {
			t.Fatal(err)
		}
		if !bound && n >= 3*sessions {
			again++
		}
	}
	if len(out.slots) != handlesMax || again == 0 || again == sessions {
		t.Errorf("%d handles, %d of %d sessions bound again in the last round", len(out.slots), again, sessions)
	}
	// 10,000 sessions have their handles for good.
	out, in, again = handlesOut{}, handlesIn{}, 0
	for n := range uint64(100_000) {
		bound, err := check(&out, &in, notesID(1+mix(n)%10_000), true)
		if err != nil {
			t.Fatal(err)
		}
		if !bound && n >= 80_000 {
			again++
		}
	}
	if again > 400 {
		t.Errorf("%d of 20,000 uses bound a handle again", again)
	}
	var none ID
	if _, bound := out.of(none); bound {
		t.Error("the session without an id has a handle")
	}
}

// The kinds that batch/SPEC.md names.
func TestNotesKinds(t *testing.T) {
	if kindNote != 40 || kindReport != 41 || notePassed != 5 {
		t.Error("batch/SPEC.md has other numbers")
	}
}

// A peer that says what no peer of ours says is not followed.
func TestNotesMalformed(t *testing.T) {
	for name, msg := range map[string][]byte{
		"handle of nobody":     {kindNote, 8, 5, 0, 'o'},
		"report of nothing":    {kindReport, 0},
		"report of what":       {kindReport, 1<<reportBits | 7},
		"report of no outcome": {kindReport, 1 << reportBits},
		"report of too many":   binary.AppendUvarint([]byte{kindReport}, 3<<reportBits|noteHeld),
		"report of far more":   binary.AppendUvarint([]byte{kindReport}, 1<<63|noteHeld),
		"two reports too many": {kindReport, 1<<reportBits | noteHeld, 2<<reportBits | noteHeld},
	} {
		p := newNotesPair(false, batch.AllFeatures)
		p.connect(t)
		for range 2 {
			if err := p.a.StartNotify(notesID(1), []byte("yes"), "", nil); err != nil {
				t.Fatal(err)
			}
		}
		if err := p.at.in.handle(batch.Data, msg); !errors.Is(err, errMalformed) || p.at.notes.numbers.n != 2 {
			t.Errorf("%s: %v, %d wait", name, err, p.at.notes.numbers.n)
		}
	}
}

// As many notifications as may be under way are; one that hangs holds up none of
// the others, and when all are through nothing is kept for them.
func TestNotesAreBounded(t *testing.T) {
	p := newNotesPair(false, batch.AllFeatures)
	p.connect(t)
	through := 0
	start := func() error { return p.a.StartNotify(notesID(1), []byte("yes"), "", func(error) { through++ }) }
	for range notesMax {
		if err := start(); err != nil {
			t.Fatal(err)
		}
	}
	if err := start(); !errors.Is(err, ErrCongested) {
		t.Fatalf("one more: %v", err)
	}
	oldest := p.a.notes.oldest.number
	all := p.at.notes.numbers.take(nil, p.at.notes.numbers.n)
	p.a.notes.ended(p.a, noteHeld, all[1:]...)
	if p.a.notes.open != 1 || through != notesMax-1 {
		t.Fatalf("%d open, %d through", p.a.notes.open, through)
	}
	for range 5 * notesMax { // the numbers go round the one that hangs
		if err := start(); err != nil {
			t.Fatal(err)
		}
		p.a.notes.ended(p.a, noteHeld, p.at.notes.numbers.take(nil, 1)...)
	}
	if n := p.a.notes.oldest; n.number != oldest || p.a.notes.open != 1 {
		t.Fatalf("%d open, the oldest is %d", p.a.notes.open, n.number-oldest)
	}
	p.now += AckTimeoutDefault
	p.a.Step()
	if p.a.notes.open != 0 || through != 6*notesMax || p.a.notes.table != nil || len(p.at.notes.numbers.buf) > ringMin {
		t.Errorf("%d open, %d through, a table of %d, numbers of %d", p.a.notes.open, through, len(p.a.notes.table), len(p.at.notes.numbers.buf))
	}
}
