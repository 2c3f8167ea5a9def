package cluster

import (
	"errors"
	"math/rand/v2"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/rookery-server/rookery/batch"
)

// benchEnd counts messages instead of keeping them, and tells when the last one
// is there.
type benchEnd struct {
	*testEnd
	left int // guarded by mu
	all  chan struct{}
}

func (e *benchEnd) Receive(p []byte) (int, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.link.Receive(p, func(batch.Lane, []byte) error {
		if e.left--; e.left == 0 {
			close(e.all)
		}
		return nil
	})
}

// BenchmarkMeshLink sends messages of 128 B, as they are with compression
// switched off, from one mesh to another in the same process.
func BenchmarkMeshLink(b *testing.B) {
	for _, unix := range []bool{false, true} {
		b.Run(map[bool]string{false: "tls", true: "unix"}[unix], func(b *testing.B) {
			var ends [2]*benchEnd
			var meshes [2]*testMesh
			for i := range meshes {
				meshes[i] = meshAt(b, "n"+strconv.Itoa(i), func(c *meshConfig) { c.unix, c.link.Features = unix, batch.NoFeatures })
				open := meshes[i].o.Open
				meshes[i].o.Open = func(p Peer) Endpoint {
					ends[i] = &benchEnd{testEnd: open(p).(*testEnd), left: b.N, all: make(chan struct{})}
					return ends[i]
				}
			}
			introduceAll(meshes[0], meshes[1])
			linked(b, meshes[0], meshes[1])
			msg := make([]byte, 128)
			for i := range msg {
				msg[i] = byte(rand.Uint32())
			}
			b.SetBytes(int64(len(msg)))
			before := processCPU(b)
			b.ResetTimer()
			for range b.N {
				benchSend(b, ends[0], msg)
			}
			<-ends[1].all
			b.StopTimer()
			b.ReportMetric(float64(processCPU(b)-before)/float64(b.N), "cpu-ns/op")
		})
	}
}

func benchSend(b *testing.B, e *benchEnd, msg []byte) {
	for {
		e.mu.Lock()
		_, err := e.link.Append(batch.Data, msg)
		e.mu.Unlock()
		e.mesh.Wake(e.peer)
		if err == nil {
			return
		}
		if !errors.Is(err, batch.ErrFull) {
			b.Fatal(err)
		}
		time.Sleep(100 * time.Microsecond) // the lane is full: a producer would do something else
	}
}

func processCPU(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// What an idle link costs a second: its heartbeats, at both ends.
func BenchmarkMeshHeartbeat(b *testing.B) {
	x := meshAt(b, "x", func(c *meshConfig) { c.Heartbeat = time.Millisecond })
	y := meshAt(b, "y", func(c *meshConfig) { c.Heartbeat = time.Millisecond })
	introduceAll(x, y)
	linked(b, x, y)
	start := x.end(y.self).stats().Pure
	before := processCPU(b)
	b.ResetTimer()
	for x.end(y.self).stats().Pure < start+uint64(b.N) {
		time.Sleep(time.Millisecond)
	}
	b.ReportMetric(float64(processCPU(b)-before)/float64(b.N), "cpu-ns/op")
}

// Wake is on the path of every message.
func BenchmarkMeshWake(b *testing.B) {
	x, y := meshAt(b, "x", nil), meshAt(b, "y", func(c *meshConfig) { c.lazy = true })
	x.SetPeers([]Peer{y.self})
	b.ReportAllocs()
	for range b.N {
		x.Wake(y.self)
	}
}
