package server

import (
	"runtime"
	"testing"
	"time"

	"github.com/rookery-server/rookery/memprof"
)

func TestReliefRule(t *testing.T) {
	const mb = 1 << 20
	wasteful := memprof.Heap{Live: 10 * mb, Objects: 30 * mb, Free: 5 * mb}
	tidy := memprof.Heap{Live: 10 * mb, Objects: 10*mb + reliefBytes/2}
	begin := time.Unix(1000, 0)
	type look struct {
		second int
		events int64 // since the last look
		heap   memprof.Heap
		due    bool
	}
	for _, tt := range []struct {
		name  string
		looks []look
	}{
		{"quiet and wasteful", []look{{0, 0, wasteful, false}, {1, 0, wasteful, false}, {2, 0, wasteful, true}}},
		{"quiet and tidy", []look{{0, 0, tidy, false}, {2, 0, tidy, false}, {60, 0, tidy, false}}},
		{"small waste", []look{{0, 0, tidy, false}, {3, 0, memprof.Heap{Free: reliefBytes - 1}, false}, {4, 0, memprof.Heap{Free: reliefBytes}, true}}},
		{"waste is small beside what lives", []look{{0, 0, tidy, false}, {3, 0, memprof.Heap{Live: 100 * mb, Objects: 109 * mb}, false}}},
		{"busy", []look{{0, 5000, wasteful, false}, {1, 5000, wasteful, false}, {9, 5000, wasteful, false}}},
		{"quiet is counted from the last busy second", []look{{0, 0, wasteful, false}, {1, 5000, wasteful, false}, {2, 0, wasteful, false}, {3, 0, wasteful, false}, {4, 0, wasteful, true}}},
		{"a trickle is quiet", []look{{0, 100, wasteful, false}, {1, 100, wasteful, false}, {2, 100, wasteful, true}}},
		{"not too often", []look{{0, 0, wasteful, false}, {2, 0, wasteful, true}, {3, 0, wasteful, false}, {6, 0, wasteful, false}, {7, 0, wasteful, true}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var r relief
			var events int64
			for _, l := range tt.looks {
				events += l.events
				if got := r.due(begin.Add(time.Duration(l.second)*time.Second), events, l.heap); got != l.due {
					t.Errorf("second %d: %v", l.second, got)
				}
			}
		})
	}
}

// TestIdleSessionsEnd: a session without a stream ends, one with a stream
// stays for as long as the stream does.
func TestIdleSessionsEnd(t *testing.T) {
	t.Parallel() // it mostly waits
	eachBackend(t, func(t *testing.T, o Options) {
		t.Parallel()
		o.SessionIdle = 2 * time.Second // more than opening the stream takes, however busy the machine
		s := startServer(t, o, nil)
		idle, kept := dial(t, s.HTTPAddr()), dial(t, s.HTTPAddr())
		idleSession, keptSession := idle.begin(), kept.begin()
		stream := openStream(t, s, keptSession)
		eventually(t, "the idle one ends", func() bool { return s.Stats().Sessions == 1 })
		ping := func(p *peer, session string) int {
			p.send(post(`{"jsonrpc":"2.0","id":1,"method":"ping"}`, session))
			return p.response("POST").StatusCode
		}
		if got := ping(idle, idleSession); got != 404 {
			t.Errorf("idle: %d", got)
		}
		if got := ping(kept, keptSession); got != 200 {
			t.Errorf("kept: %d", got)
		}
		stream.c.Close()
		eventually(t, "the other one ends after its stream", func() bool { return s.Stats().Sessions == 0 })
	})
}

// TestMemoryComesBack makes a burst of garbage and waits for the janitor.
func TestMemoryComesBack(t *testing.T) {
	s := startServer(t, Options{}, testMethods)
	func() { // garbage once it has returned
		var burst [][]byte
		for range 32 {
			burst = append(burst, make([]byte, 1<<20))
		}
		runtime.KeepAlive(burst)
	}()
	dial(t, s.TCPAddr()).ask(marker)
	eventually(t, "memory is given back", func() bool { return s.metrics.memoryReturns.Get() > 0 })
	if h := memprof.ReadHeap(); h.Free > 16<<20 {
		t.Errorf("%d bytes are still free", h.Free)
	}
}
