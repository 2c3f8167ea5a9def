package session

import (
	"encoding/binary"
	"errors"
)

// Errors of ParseSnapshot. They come as they are, not wrapped.
var (
	ErrSnapshot        = errors.New("session: malformed snapshot")
	ErrSnapshotVersion = errors.New("session: snapshot of an unknown version")
)

// Snapshot is one session in a form that another node understands. Not carried
// of the record, and 0 after ParseSnapshot: what only the table, its process or
// its clock gives a meaning, which is Stream, LastUsed, Client, Topics and Log.
type Snapshot struct {
	Record Record
	Client string      // what Record.Client stands for, see Interner.Name
	URIs   []string    // what the session subscribed to
	Log    LogSnapshot // from Events.Export
}

// LogSnapshot is one log of an Events. The zero value is no log.
type LogSnapshot struct {
	Last   uint32              // last number drawn
	Floors [streamKinds]uint32 // highest number lost, by the top bit of the stream
	Events []Event             // in order of Seq; each above its floor, none above Last
}

// Event is one event of a log.
type Event struct {
	Seq    uint32
	Stream uint32
	Body   []byte // shared, not to be changed
}

// snapshotVersion is the first byte of a snapshot. A node reads the versions up
// to its own, so that a cluster can be upgraded node by node.
//
// Version 1, numbers little-endian, texts and bodies behind their length in 4
// bytes:
//
//	id (16 bytes), Caps (2), Protocol, State, LogLevel, Kind (1 each), Gets (2),
//	Client, number of URIs (4), URIs,
//	Last (4), Floors (4 each), number of events (4), Seq (4), Stream (4), body of each
const snapshotVersion = 1

// Smallest encodings, which bound what a count may claim.
const (
	uriBytesMin   = 4
	eventBytesMin = 12
)

// AppendSnapshot appends the binary form of s to dst. REQUIRES: texts and bodies
// are shorter than 4 GiB.
func AppendSnapshot(dst []byte, s *Snapshot) []byte {
	le := binary.LittleEndian
	r := &s.Record
	dst = append(dst, snapshotVersion)
	dst = append(dst, r.ID[:]...)
	dst = le.AppendUint16(dst, r.Caps)
	dst = append(dst, r.Protocol, r.State, r.LogLevel, r.Kind)
	dst = le.AppendUint16(dst, r.Gets)
	dst = appendText(dst, s.Client)
	dst = le.AppendUint32(dst, uint32(len(s.URIs)))
	for _, uri := range s.URIs {
		dst = appendText(dst, uri)
	}
	dst = le.AppendUint32(dst, s.Log.Last)
	for _, floor := range s.Log.Floors {
		dst = le.AppendUint32(dst, floor)
	}
	dst = le.AppendUint32(dst, uint32(len(s.Log.Events)))
	for i := range s.Log.Events {
		ev := &s.Log.Events[i]
		dst = le.AppendUint32(dst, ev.Seq)
		dst = le.AppendUint32(dst, ev.Stream)
		dst = appendText(dst, ev.Body)
	}
	return dst
}

func appendText[T string | []byte](dst []byte, text T) []byte {
	return append(binary.LittleEndian.AppendUint32(dst, uint32(len(text))), text...)
}

// ParseSnapshot reads what AppendSnapshot writes, all of b, and nothing else:
// whatever it accepts AppendSnapshot writes again byte by byte. Bodies point
// into b; texts are copied. It allocates no more than a few times len(b),
// whatever b claims.
func ParseSnapshot(b []byte) (Snapshot, error) {
	if len(b) == 0 {
		return Snapshot{}, ErrSnapshot
	}
	if b[0] == 0 || b[0] > snapshotVersion {
		return Snapshot{}, ErrSnapshotVersion
	}
	d := snapshotReader{left: b[1:]}
	var s Snapshot
	r := &s.Record
	copy(r.ID[:], d.bytes(len(r.ID)))
	r.Caps = d.uint16()
	r.Protocol, r.State, r.LogLevel, r.Kind = d.uint8(), d.uint8(), d.uint8(), d.uint8()
	r.Gets = d.uint16()
	s.Client = string(d.text())
	if n := d.count(uriBytesMin); n > 0 {
		s.URIs = make([]string, n)
	}
	for i := range s.URIs {
		s.URIs[i] = string(d.text())
	}
	d.log(&s.Log)
	if d.bad || len(d.left) != 0 || r.ID == (ID{}) {
		return Snapshot{}, ErrSnapshot
	}
	return s, nil
}

// snapshotReader reads from the front of left. Once something was missing or
// wrong it is bad and returns zeros.
type snapshotReader struct {
	left []byte
	bad  bool
}

// log reads a log and checks what Import relies on.
func (d *snapshotReader) log(l *LogSnapshot) {
	l.Last = d.uint32()
	for i := range l.Floors {
		l.Floors[i] = d.uint32()
		d.bad = d.bad || l.Floors[i] > l.Last
	}
	if n := d.count(eventBytesMin); n > 0 {
		l.Events = make([]Event, n)
	}
	prev := uint32(0)
	for i := range l.Events {
		ev := Event{Seq: d.uint32(), Stream: d.uint32(), Body: d.text()}
		if ev.Seq <= prev || ev.Seq <= l.Floors[ev.Stream>>streamKindShift] || ev.Seq > l.Last {
			d.bad = true
		}
		if d.bad {
			return
		}
		prev, l.Events[i] = ev.Seq, ev
	}
}

// bytes returns the next n bytes. When there are fewer it returns none.
func (d *snapshotReader) bytes(n int) []byte {
	if d.bad || n < 0 || n > len(d.left) {
		d.bad = true
		return nil
	}
	b := d.left[:n:n]
	d.left = d.left[n:]
	return b
}

func (d *snapshotReader) uint8() uint8 {
	if b := d.bytes(1); b != nil {
		return b[0]
	}
	return 0
}

func (d *snapshotReader) uint16() uint16 {
	if b := d.bytes(2); b != nil {
		return binary.LittleEndian.Uint16(b)
	}
	return 0
}

func (d *snapshotReader) uint32() uint32 {
	if b := d.bytes(4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

// text returns a length and as many bytes.
func (d *snapshotReader) text() []byte { return d.bytes(int(d.uint32())) }

// count returns a number of things of at least size bytes each, which must fit
// into what is left.
func (d *snapshotReader) count(size int) int {
	n := int64(d.uint32())
	if n*int64(size) > int64(len(d.left)) {
		d.bad = true
		return 0
	}
	return int(n)
}

// Export returns what a log holds; the zero value for log 0 and for one that was
// dropped. Bodies are shared with the store and outlive their eviction.
func (e *Events) Export(log uint32) LogSnapshot {
	s := e.shard(log)
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.find(log)
	if l == nil {
		return LogSnapshot{}
	}
	return s.export(l)
}

func (s *eventShard) export(l *eventLog) (out LogSnapshot) {
	s.clean(l)
	out.Last, out.Floors = l.seq, l.floor
	for n := l.first; n != 0; {
		e := s.entries.at(n - 1)
		n = e.next
		kind := e.stream >> streamKindShift
		msg, ok := s.bodies.at(e.body).bytes()
		if !ok { // evicted since clean
			out.Floors[kind] = e.seq
			continue
		}
		out.Events = append(out.Events, Event{Seq: e.seq, Stream: e.stream, Body: msg})
	}
	// What an eviction in the middle has made useless must not be there.
	kept := out.Events[:0]
	for _, ev := range out.Events {
		if ev.Seq > out.Floors[ev.Stream>>streamKindShift] {
			kept = append(kept, ev)
		}
	}
	out.Events = kept
	return out
}

// Import makes a log of what Export or ParseSnapshot returned and returns its
// number, 0 for the zero value and when there are 2^24 logs. Bodies are copied,
// one for each event, and their age begins anew. What is beyond the limits of
// this store goes as if it had been appended.
func (e *Events) Import(from LogSnapshot) (log uint32) {
	if from.Last == 0 && len(from.Events) == 0 {
		return 0
	}
	s, l, log := e.lockOpen(0)
	defer s.mu.Unlock()
	if l == nil {
		return 0
	}
	l.seq, l.floor = from.Last, from.Floors
	for _, ev := range from.Events {
		body := e.Keep(ev.Body)
		s.append(l, ev.Stream, ev.Seq, body)
		e.Release(body)
	}
	return log
}
