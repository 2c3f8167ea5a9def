package batch

import (
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/rookery-server/rookery/bench/corpus"
)

// headed returns messages as they might travel between nodes: an operation and
// a session's handle, 5 bytes, in front of JSON of 128.
func headed(n int) [][]byte {
	c := corpus.New()
	handles := map[[16]byte]uint32{}
	for i, id := range c.SessionIDs() {
		handles[id] = uint32(i)
	}
	list := make([][]byte, n)
	for i, m := range c.Take(n) {
		list[i] = binary.LittleEndian.AppendUint32([]byte{1}, handles[m.Session])
		list[i] = append(list[i], m.JSON...)
	}
	return list
}

// BenchmarkLink: messages through two machines in memory, acknowledged, one
// operation a message. The ratio is of bytes on the wire to bytes of JSON.
func BenchmarkLink(b *testing.B) {
	messages := headed(1 << 15)
	for _, c := range []struct {
		name     string
		lane     Lane
		features Features
	}{
		{"plain", Data, NoFeatures},
		{"s2", Data, FeatureS2},
		{"huffman", Data, AllFeatures},
		{"zstd", Bulk, AllFeatures},
	} {
		for _, burst := range []int{1, 16, 4096} {
			b.Run(fmt.Sprintf("%s/burst=%d", c.name, burst), func(b *testing.B) {
				x, y := pair(b, Options{Features: c.features}, Options{Features: c.features})
				benchmarkLink(b, x, y, c.lane, messages, burst)
			})
		}
	}
}

func benchmarkLink(b *testing.B, x, y *Link, lane Lane, messages [][]byte, burst int) {
	received, json := 0, 0
	take := func(_ Lane, msg []byte) error {
		received++
		json += len(msg) - 5
		return nil
	}
	out, back := make([]byte, 0, 1<<18), make([]byte, 0, 1<<10)
	wire := 0
	b.ReportAllocs()
	for i := 0; i < b.N; {
		for range min(burst, b.N-i) {
			if _, err := x.Append(lane, messages[i%len(messages)]); err != nil {
				b.Fatal(err)
			}
			i++
		}
		for received < i {
			out = x.NextFrame(out[:0])
			wire += len(out)
			if _, err := y.Receive(out, take); err != nil {
				b.Fatal(err)
			}
			back = y.NextFrame(back[:0])
			if _, err := x.Receive(back, take); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(wire)/float64(json), "wire/json")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
}
