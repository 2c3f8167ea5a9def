package cluster

import (
	"encoding/binary"
	"errors"
	"log/slog"
	"runtime/metrics"
	"testing"
	"time"

	"github.com/rookery-server/rookery/batch"
)

// strangeStore is a simStore that serves no requests: those are words.
type strangeStore struct{ *simStore }

func (strangeStore) Serve(uint32, uint64, []byte) {}

// strangers returns a core with a session at home, and its link to a peer.
func strangers() (*Core, *Link, *simStore) {
	w := newWorld(1, false)
	w.cfg.delay = time.Millisecond
	p := &proc{w: w, id: PeerID{Node: "a", Incarnation: 1}, links: map[*Link]*simEnd{}, conns: map[uint64]*clientConn{}}
	p.store = newSimStore(p)
	p.core = NewCore(CoreOptions{
		Self: Peer{PeerID: p.id}, Store: strangeStore{p.store}, Acked: true, Wake: func(Peer) {},
		Now: func() time.Duration { return w.now }, Logger: slog.New(slog.DiscardHandler),
	})
	l := p.core.Open(Peer{PeerID: PeerID{Node: "b", Incarnation: 2}})
	l.alive.Store(true)
	s := &simSession{Session: Session{ID: ID{1}, Epoch: 1}, topics: []string{"t"}}
	p.store.add(s)
	return p.core, l, p.store
}

// strangeMessages has at least one well-formed message of each kind.
func strangeMessages() (all [][]byte) {
	s := Snapshot{Session: Session{ID: ID{2}, Epoch: 3, State: 4}, Client: "c", Topics: []string{"t"}, Log: Log{Last: 1, Events: []Event{{1, 1, Origin{5, 6}, []byte("m")}}}}
	var out bodyOut
	handle := func(kind byte) []byte { return appendHandle(nil, kind, 7) }
	num := func(kind byte) []byte { return binary.AppendUvarint([]byte{kind}, 1) }
	var set partitionSet
	return [][]byte{
		appendSnapshot(append(handle(kindOpen), 0), &s, &out),
		le.AppendUint64(handle(kindState), 9),
		appendBytes(append(handle(kindTopic), 1), "topic"),
		appendEvent(handle(kindEvent), 1, 2, Origin{5, 7}, []byte("n"), &out),
		append(handle(kindClose), s.ID[:]...),
		appendPartitions([]byte{kindReset}, []uint16{1, 2}),
		binary.AppendUvarint(appendID(nil, kindElsewhere, ID{1}), 9),
		le.AppendUint64(le.AppendUint32(appendID(nil, kindStale, ID{1}), 9), 2),
		appendEvents(append(num(kindMerge), s.ID[:]...), s.Log.Events, nil),
		append(num(kindMerged), mergeAgain),
		appendOrphans(orphanTake, []ID{{1}, {9}}),
		appendSnapshot(append(num(kindMoved), 0, 0), &s, nil),
		append(le.AppendUint64(appendID(nil, kindFetch, ID{1}), 2), 3),
		append(appendID(nil, kindKept, ID{1}), 1),
		append(appendID(nil, kindArrived, ID{1}), 1),
		appendForward(2, 1, hopsMax, ID{1}, []byte("GET")),
		le.AppendUint64(num(kindAt), 2),
		le.AppendUint64(append(num(kindNotHere), notSure), 1),
		{kindLeaving},
		append(append(num(kindReply), 0), "bytes"...),
		num(kindGone),
		append(appendOrigin(le.AppendUint64(append(num(kindPublish), 1, 0, flagAcked), 0), Origin{2, 1}), "all x"...),
		append(num(kindPublished), 0, byte(statusHeld), 1),
		(&notifying{inc: 3, number: 1 | noteNumber, hops: 3, origin: Origin{2, 2}, id: ID{1}, payload: []byte("one y")}).whole(2),
		(&notifying{inc: 2, number: 1 | noteNumber, hops: 3, origin: Origin{^uint64(2), 1 | noteNumber}, id: ID{1}, payload: []byte("one z")}).whole(2),
		append(num(kindNotified), noteHeld),
		binary.AppendUvarint(appendPartitionSet(appendPartitionSet([]byte{kindDigest}, &set), &set), 0),
		appendPartitions([]byte{kindDiffer}, []uint16{1}),
		append(append(append([]byte{kindNote}, noteBinds|8, 5, 0), s.ID[:]...), "one b"...),
		append(appendOrigin(append([]byte{kindNote, 8 | noteBinds | noteKeyed, 6, 0}, s.ID[:]...), Origin{2, 2}), "one c"...),
		{kindReport},
		append(out.append([]byte{kindEvents}, Origin{5, 8}, []byte("o")), byte(zigzag(7)<<1), 1, 3),
	}
}

// whole returns all of kindNotify.
func (n *notifying) whole(self uint64) []byte { return append(n.append(nil, self), n.payload...) }

// openEnded says of which messages the end is a payload or a list.
var openEnded = map[byte]bool{kindForward: true, kindReply: true, kindPublish: true, kindNotify: true, kindNote: true, kindOrphan: true}

// TestInboundMalformed: of every kind what is cut, or goes on, ends the
// connection with errMalformed.
func TestInboundMalformed(t *testing.T) {
	seen := map[byte]bool{}
	for _, msg := range strangeMessages() {
		seen[msg[0]] = true
		_, l, _ := strangers()
		if err := l.in.handle(batch.Data, msg); err != nil {
			t.Errorf("kind %d: %v", msg[0], err)
		}
		if openEnded[msg[0]] {
			continue
		}
		bad := [][]byte{append(msg[:len(msg):len(msg)], 0)}
		for n := range min(len(msg), 100) {
			bad = append(bad, msg[:n])
		}
		for _, b := range bad {
			if err := l.in.handle(batch.Data, b); !errors.Is(err, errMalformed) {
				t.Errorf("%d of %d bytes of kind %d: %v", len(b), len(msg), msg[0], err)
			}
		}
	}
	_, l, _ := strangers()
	for kind := range 256 {
		switch known := kind < len(l.in.wire) && l.in.wire[kind] != nil; {
		case known && !seen[byte(kind)]:
			t.Errorf("kind %d is not here", kind)
		case !known && !errors.Is(l.in.handle(batch.Data, []byte{byte(kind)}), errMalformed):
			t.Errorf("kind %d, of which there is none", kind)
		}
	}
	other := batch.NewLink(batch.Options{Local: 2, Remote: 1})
	if err := errors.Join(other.Connect(l.Resume()), l.Connect(other.Resume())); err != nil {
		t.Fatal(err)
	}
	if _, err := other.Append(batch.Data, []byte{kindState}); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Receive(other.NextFrame(nil)); !errors.Is(err, errMalformed) {
		t.Errorf("the connection goes on: %v", err)
	}
}

func allocated() uint64 {
	s := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64()
}

// FuzzInbound: whatever a peer sends, each behind its length in two bytes, is
// handled or refused with errMalformed, and costs no more than a multiple of
// its length.
func FuzzInbound(f *testing.F) {
	var all []byte
	for _, msg := range strangeMessages() {
		one := append(binary.LittleEndian.AppendUint16(nil, uint16(len(msg))), msg...)
		f.Add(one)
		all = append(all, one...)
	}
	f.Add(all)
	f.Add(append(all, 5, 0, kindNote, 8, 5, 0, 'o')) // what the handle was bound to
	f.Fuzz(func(t *testing.T, p []byte) {
		c, l, _ := strangers()
		before, n := allocated(), 0
		for ; len(p) >= 2; n++ {
			size := min(int(binary.LittleEndian.Uint16(p)), len(p)-2)
			err := l.in.handle(batch.Data, p[2:2+size])
			if err != nil && !errors.Is(err, errMalformed) {
				t.Fatal(err)
			}
			p = p[2+size:]
		}
		l.in.flush()
		for range n + 8 {
			c.Step()
		}
		// Tables of a fixed size, and what digests and bodies need.
		if got := allocated() - before; got > 32<<20+uint64(n)<<20 {
			t.Errorf("%d messages made us allocate %d bytes", n, got)
		}
	})
}
