package loop_test

import (
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"github.com/rookery-server/rookery/loop"
)

// rally plays one message back and forth without allocating.
type rally struct {
	net.Conn
	out, in []byte
}

func newRally(t testing.TB, addr string, size int) *rally {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	r := &rally{c, make([]byte, size), make([]byte, size)}
	for i := range r.out {
		r.out[i] = 'x'
	}
	r.out[size-1] = '\n'
	return r
}

func (r *rally) play(t testing.TB) {
	if _, err := r.Write(r.out); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(r.Conn, r.in); err != nil {
		t.Fatal(err)
	}
}

// echoes are the ways through a loop whose cost is pinned.
func echoes() map[string]*proto {
	return map[string]*proto{
		"inline": {step: echoLine},
		"worker": {step: workLine, work: echoRecord},
	}
}

// TestEchoAllocs: in steady state a message costs no allocation, neither on
// the loop nor through a worker.
func TestEchoAllocs(t *testing.T) {
	if loop.RaceEnabled {
		t.Skip("the race detector allocates")
	}
	for name, p := range echoes() {
		t.Run(name, func(t *testing.T) {
			g, addr := newGroup(t, false, loop.Options{TickEvery: time.Second}, p)
			if g.Stats().Backend != "epoll" {
				t.Skip("no such promise for ", g.Stats().Backend)
			}
			r := newRally(t, addr, 64)
			for range 1000 {
				r.play(t)
			}
			if n := testing.AllocsPerRun(5000, func() { r.play(t) }); n != 0 {
				t.Errorf("%v allocations per echo, want 0", n)
			}
		})
	}
}

// BenchmarkEcho is one message there and back over loopback, client included.
func BenchmarkEcho(b *testing.B) {
	for _, k := range backends {
		for name, p := range echoes() {
			for _, size := range []int{64, 4096} {
				b.Run(fmt.Sprintf("%s/%s/%d", k.name, name, size), func(b *testing.B) {
					_, addr := newGroup(b, k.portable, loop.Options{TickEvery: 100 * time.Millisecond}, p)
					r := newRally(b, addr, size)
					b.SetBytes(int64(size))
					b.ReportAllocs()
					for b.Loop() {
						r.play(b)
					}
				})
			}
		}
	}
}
