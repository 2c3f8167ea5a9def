package cluster

import (
	"log/slog"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/rookery-server/rookery/batch"
)

// restStore has no sessions.
type restStore struct{ Store }

func (restStore) Find(ID) (uint64, bool)                   { return 0, false }
func (restStore) Load(uint64) (Session, bool)              { return Session{}, false }
func (restStore) Range(uint32, func(uint64, Session) bool) {}
func (restStore) PeerGone(uint32)                          {}

// restView are four nodes, the last of which has started so often.
func restView(starts uint64) *View {
	v := &View{Version: starts + 1, Self: "n0"}
	for i := range uint64(4) {
		inc := 1 + i
		if i == 3 {
			inc += starts
		}
		v.Nodes = append(v.Nodes, Node{
			Name: "n" + strconv.Itoa(int(i)), Incarnation: inc, State: Alive,
			Workers: []WorkerInfo{{Incarnation: inc, State: Alive}},
		})
	}
	return v
}

func heapBytes() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// What a process among four has for their links and for who holds what, at rest:
// its plan, and of each link what partitions the peer holds. And what each former
// process leaves behind whose place has another tenant: little more than a name.
func TestMemoryAtRest(t *testing.T) {
	const (
		budget     = 320 << 10 // of all
		perRestart = 4 << 10
		restarts   = 100
	)
	var now time.Duration
	before := heapBytes()
	v := restView(0)
	c := NewCore(CoreOptions{
		Self: v.Nodes[0].peer(&v.Nodes[0].Workers[0]), Store: restStore{}, Wake: func(Peer) {}, DigestEvery: -1,
		Now: func() time.Duration { return now }, Logger: slog.New(slog.DiscardHandler),
	})
	settle := func() {
		for range 50 {
			now += stepEvery
			c.Step()
			for _, l := range c.links { // the peers have processed everything
				if !l.alive.Load() {
					continue
				}
				other := batch.NewLink(batch.Options{Local: l.peer.Incarnation, Remote: 1})
				if l.life == 0 {
					c.Open(l.peer)
				}
				ours := l.Resume()
				theirs := other.Resume()
				for lane := range batch.Lane(batch.Lanes) {
					theirs.Received[lane] = l.m.Sent(lane)
				}
				if l.Connect(theirs) != nil || ours.Version == 0 {
					t.Fatal("no connection")
				}
				for p := l.NextFrame(nil); len(p) > 0; p = l.NextFrame(nil) {
					l.Written()
				}
			}
		}
	}
	c.SetView(v)
	settle()
	rest := heapBytes() - before
	t.Logf("%d bytes for plan and links at rest", rest)
	if rest > budget {
		t.Errorf("%d bytes for plan and links at rest, budget %d", rest, budget)
	}
	for i := range uint64(restarts) {
		c.SetView(restView(1 + i))
		settle()
	}
	grown := (heapBytes() - before - rest) / restarts
	t.Logf("%d bytes for each restart of a peer", grown)
	if grown > perRestart {
		t.Errorf("%d bytes for each restart of a peer, budget %d", grown, perRestart)
	}
	runtime.KeepAlive(c)
}
