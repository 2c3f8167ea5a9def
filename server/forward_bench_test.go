package server

import (
	"context"
	"net/http"
	"testing"

	"github.com/rookery-server/rookery/cluster"
	"github.com/rookery-server/rookery/codec"
	"github.com/rookery-server/rookery/loop"
)

// idleCore is the core of a cluster in which nothing happens.
type idleCore struct{}

func (idleCore) Opened(uint64)                                          {}
func (idleCore) Changed(uint64)                                         {}
func (idleCore) Ended(uint64, cluster.ID)                               {}
func (idleCore) Noted(uint64, uint32, uint32, cluster.Origin, []byte)   {}
func (idleCore) Subscribed(uint64, string, bool)                        {}
func (idleCore) Route(uint64, cluster.ID, []byte, bool)                 {}
func (idleCore) Reply(uint32, uint64, cluster.ReplyFlags, []byte) error { return nil }
func (idleCore) ConnGone(uint64)                                        {}
func (idleCore) HandOverTo(uint64, uint32) bool                         { return true }
func (idleCore) Fetch(context.Context, cluster.ID) (ref uint64, err error) {
	return 0, cluster.ErrUnknown
}
func (idleCore) Publish(context.Context, []byte, string) (int, error)     { return 0, nil }
func (idleCore) Notify(context.Context, cluster.ID, []byte, string) error { return nil }

// steps feeds a request of a session at home here to the protocol as a loop
// would, without one.
func steps(t testing.TB, o Options) (once func()) {
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	step := func(msg []byte) []byte {
		var scan [2]uint64
		turn := loop.Turn{In: msg, Scan: &scan}
		if v := s.web.Step(&turn); v != loop.Next {
			t.Fatalf("verdict %d", v)
		}
		return turn.Out
	}
	var res codec.Span
	out := step([]byte(post(initialize)))
	const key = "Mcp-Session-Id: "
	for i := range out {
		if i+len(key)+32 <= len(out) && string(out[i:i+len(key)]) == key {
			res = codec.Span{Off: uint32(i), Len: uint32(len(key) + 32)}
		}
	}
	msg := []byte(post(`{"jsonrpc":"2.0","id":1,"method":"ping"}`, string(res.Of(out))))
	var turn loop.Turn
	var scan [2]uint64
	return func() {
		turn.In, turn.N, turn.Out, turn.Scan = msg, 0, turn.Out[:0], &scan
		if v := s.web.Step(&turn); v != loop.Next {
			t.Fatalf("verdict %d", v)
		}
	}
}

func homeOptions() map[string]Options {
	return map[string]Options{
		"alone": {}, "in a cluster": {connect: func(cluster.Store) (core, error) { return idleCore{}, nil }},
	}
}

// TestHomeAllocations: being in a cluster costs a request of a session at home
// no allocation, and a server that is alone nothing at all.
func TestHomeAllocations(t *testing.T) {
	skipUnderRace(t)
	allocs := map[string]float64{}
	for name, o := range homeOptions() {
		allocs[name] = testing.AllocsPerRun(1000, steps(t, o))
	}
	if allocs["alone"] != allocs["in a cluster"] {
		t.Errorf("allocations: %v", allocs)
	}
}

// BenchmarkHomeRequest is a ping of a session at home here.
func BenchmarkHomeRequest(b *testing.B) {
	for name, o := range homeOptions() {
		b.Run(name, func(b *testing.B) {
			once := steps(b, o)
			b.ReportAllocs()
			for b.Loop() {
				once()
			}
		})
	}
}

// BenchmarkForward is a ping sent to the server that is not the home, over
// sockets and through a fake core.
func BenchmarkForward(b *testing.B) {
	for _, at := range []int{0, 1} {
		b.Run([]string{"at home", "forwarded"}[at], func(b *testing.B) {
			_, servers := startFleet(b, 2, Options{}, nil)
			id := dial(b, servers[0].HTTPAddr()).begin()
			p := dial(b, servers[at].HTTPAddr())
			msg := post(`{"jsonrpc":"2.0","id":1,"method":"ping"}`, id)
			b.ReportAllocs()
			for b.Loop() {
				p.send(msg)
				if r := p.response("POST"); r.StatusCode != http.StatusOK {
					b.Fatal(r.Status)
				}
			}
		})
	}
}
