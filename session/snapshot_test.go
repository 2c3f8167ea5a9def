package session

import (
	"bytes"
	"encoding/hex"
	"errors"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func sampleSnapshot() Snapshot {
	return Snapshot{
		Record: Record{ID: ID{1, 15: 2}, Caps: 0x0304, Protocol: 5, State: 6, LogLevel: 7, Kind: 8, Gets: 0x090a},
		Client: "inspector 1",
		URIs:   []string{"a://b", ""},
		Log: LogSnapshot{Last: 9, Floors: [2]uint32{3, 0}, Events: []Event{
			{Seq: 1, Stream: 1<<31 | 1, Body: []byte{}},
			{Seq: 4, Stream: 1, Body: []byte("hi")},
		}},
	}
}

// The bytes of version 1 are fixed: nodes of other builds read them.
func TestSnapshotBytes(t *testing.T) {
	s := sampleSnapshot()
	want := strings.Join([]string{
		"01",
		"01000000000000000000000000000002", "0403", "05", "06", "07", "08", "0a09",
		"0b000000" + hex.EncodeToString([]byte("inspector 1")),
		"02000000", "05000000" + hex.EncodeToString([]byte("a://b")), "00000000",
		"09000000", "03000000", "00000000",
		"02000000",
		"01000000", "01000080", "00000000",
		"04000000", "01000000", "02000000" + hex.EncodeToString([]byte("hi")),
	}, "")
	b := AppendSnapshot([]byte("head"), &s)
	if got := hex.EncodeToString(b[4:]); string(b[:4]) != "head" || got != want {
		t.Errorf("AppendSnapshot:\n%s\nwant\n%s", got, want)
	}
	if back, err := ParseSnapshot(b[4:]); err != nil || !reflect.DeepEqual(back, s) {
		t.Errorf("ParseSnapshot = %+v, %v", back, err)
	}
}

// What has a meaning on one node only is not carried.
func TestSnapshotLeavesLocalThingsOut(t *testing.T) {
	s := sampleSnapshot()
	want := s
	s.Record.Stream, s.Record.LastUsed, s.Record.Client, s.Record.Topics, s.Record.Log = 1, 2, 3, 4, 5
	back, err := ParseSnapshot(AppendSnapshot(nil, &s))
	if err != nil || !reflect.DeepEqual(back, want) {
		t.Errorf("ParseSnapshot = %+v, %v, want %+v", back, err, want)
	}
}

func TestBadSnapshots(t *testing.T) {
	change := func(f func(*Snapshot)) []byte {
		s := sampleSnapshot()
		f(&s)
		return AppendSnapshot(nil, &s)
	}
	good := change(func(*Snapshot) {})
	for n := range len(good) {
		if _, err := ParseSnapshot(good[:n]); !errors.Is(err, ErrSnapshot) {
			t.Errorf("the first %d of %d bytes: %v", n, len(good), err)
		}
	}
	version := func(v byte) []byte { return append([]byte{v}, good[1:]...) }
	for _, c := range []struct {
		name string
		b    []byte
		want error
	}{
		{"good", good, nil},
		{"a newer version", version(snapshotVersion + 1), ErrSnapshotVersion},
		{"the newest version", version(255), ErrSnapshotVersion},
		{"version 0", version(0), ErrSnapshotVersion},
		{"bytes behind the end", append(good[:len(good):len(good)], 0), ErrSnapshot},
		{"no id", change(func(s *Snapshot) { s.Record.ID = ID{} }), ErrSnapshot},
		{"a floor above the last number", change(func(s *Snapshot) { s.Log.Floors[0] = 10 }), ErrSnapshot},
		{"an event at its floor", change(func(s *Snapshot) { s.Log.Floors[0] = 4 }), ErrSnapshot},
		{"an event with number 0", change(func(s *Snapshot) { s.Log.Events[0].Seq = 0 }), ErrSnapshot},
		{"events out of order", change(func(s *Snapshot) { s.Log.Events[0].Seq = 5 }), ErrSnapshot},
		{"a number twice", change(func(s *Snapshot) { s.Log.Events[0].Seq = 4 }), ErrSnapshot},
		{"an event above the last number", change(func(s *Snapshot) { s.Log.Events[1].Seq = 10 }), ErrSnapshot},
	} {
		got, err := ParseSnapshot(c.b)
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
		if err != nil && !reflect.DeepEqual(got, Snapshot{}) {
			t.Errorf("%s: %+v beside an error", c.name, got)
		}
	}
}

// A count that the rest cannot hold costs no memory.
func TestSnapshotCountsAreBounded(t *testing.T) {
	s := sampleSnapshot()
	b := AppendSnapshot(nil, &s)
	for i := range b {
		hostile := bytes.Clone(b)
		copy(hostile[i:], "\xff\xff\xff\xff")
		if n := testing.AllocsPerRun(1, func() { ParseSnapshot(hostile) }); n > 8 {
			t.Errorf("%v allocations with 0xffffffff at %d", n, i)
		}
	}
}

func TestSnapshotsComeBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := Snapshot{Record: drawRecord(t), Client: rapid.String().Draw(t, "client"), URIs: rapid.SliceOfN(rapid.String(), 1, 5).Draw(t, "uris")}
		r := &s.Record
		r.ID[0] |= 1
		r.Stream, r.LastUsed, r.Client, r.Topics, r.Log = 0, 0, 0, 0, 0
		for range rapid.IntRange(0, 5).Draw(t, "events") {
			s.Log.Last += rapid.Uint32Range(1, 1000).Draw(t, "step")
			s.Log.Events = append(s.Log.Events, Event{Seq: s.Log.Last, Stream: rapid.Uint32().Draw(t, "stream"), Body: rapid.SliceOfN(rapid.Byte(), 1, 9).Draw(t, "body")})
		}
		back, err := ParseSnapshot(AppendSnapshot(nil, &s))
		if err != nil || !reflect.DeepEqual(back, s) {
			t.Fatalf("%+v came back as %+v, %v", s, back, err)
		}
	})
}

// FuzzParseSnapshot: what is accepted has one spelling, and a store takes it.
func FuzzParseSnapshot(f *testing.F) {
	s := sampleSnapshot()
	f.Add(AppendSnapshot(nil, &s))
	f.Add(AppendSnapshot(nil, &Snapshot{Record: Record{ID: ID{1}}}))
	f.Add([]byte{2})
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := ParseSnapshot(b)
		if err != nil {
			return
		}
		if again := AppendSnapshot(nil, &s); !bytes.Equal(again, b) {
			t.Errorf("%x is written as %x", b, again)
		}
		e := NewEvents(EventsOptions{})
		log := e.Import(s.Log)
		if out := e.Export(log); out.Last != s.Log.Last || len(s.Log.Events) <= 256 && !reflect.DeepEqual(out, s.Log) {
			t.Errorf("%+v came out as %+v", s.Log, out)
		}
	})
}

// A log moves with everything that decides what Since says.
func TestImport(t *testing.T) {
	from, to := NewEvents(EventsOptions{Count: 3}), NewEvents(EventsOptions{})
	log, _ := put(from, 0, post, "p")
	for _, msg := range []string{"a", "b", "c"} {
		put(from, log, get, msg)
	}
	from.Draw(log)
	out := from.Export(log)
	moved := to.Import(out)
	from.Drop(log)
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
		wantSince(t, to, moved, c.stream, c.after, c.want)
	}
	if string(out.Events[0].Body) != "a" {
		t.Errorf("an exported body is %q when its log is gone", out.Events[0].Body)
	}
	if _, seq := to.Draw(moved); seq != 6 {
		t.Errorf("the next number is %d", seq)
	}
	if to.Import(LogSnapshot{}) != 0 || to.Import(from.Export(log)) != 0 {
		t.Error("a log was made of none")
	}
	// The limits of the new store hold.
	small := NewEvents(EventsOptions{Count: 2})
	moved = small.Import(out)
	wantSince(t, small, moved, get, 1, "not covered")
	wantSince(t, small, moved, get, 2, "3:b 4:c")
	none := NewEvents(EventsOptions{Count: -1})
	moved = none.Import(out)
	wantSince(t, none, moved, get, 3, "not covered")
	wantSince(t, none, moved, get, 5, "")
}

// An event that is evicted while its log is exported takes those before it along.
func TestExportBesideEviction(t *testing.T) {
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
	out := e.Export(log)
	if out.Floors != [2]uint32{2, 0} || len(out.Events) != 1 || string(out.Events[0].Body) != "c" {
		t.Errorf("Export = %+v", out)
	}
	b.data.Store(data)
	wantSince(t, e, log, get, 0, "1:a 2:b 3:c")
}
