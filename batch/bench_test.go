package batch

import (
	"fmt"
	"testing"
)

// corpus is like the messages that travel between nodes: an operation, a
// session's handle of 4 bytes, and a notification of about 128 bytes with an id.
func corpus(n int) [][]byte {
	levels := []string{"debug", "info", "notice", "error"}
	words := []string{"order", "invoice", "shipment", "refund", "sensor", "build", "release", "queue", "replica",
		"snapshot", "backup", "account", "created", "deleted", "updated", "delayed", "failed", "done"}
	word := func(x uint64) string { return words[x%uint64(len(words))] }
	list := make([][]byte, n)
	for i := range list {
		x, y := mix(uint64(i)), mix(uint64(i)+1<<32)
		list[i] = append(list[i], 1, byte(y), byte(y>>8)&0x1f, 0, 0)
		list[i] = fmt.Appendf(list[i],
			`{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"%s","data":"%s %s %s %016x"}}`,
			levels[x%4], word(x>>8), word(x>>16), word(x>>24), y)
	}
	return list
}

// BenchmarkLink: messages through two machines in memory, acknowledged, one
// operation a message. The ratio is of bytes on the wire to bytes of messages.
func BenchmarkLink(b *testing.B) {
	messages := corpus(1 << 14)
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
	received, raw := 0, 0
	take := func(_ Lane, msg []byte) error {
		received++
		raw += len(msg)
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
	b.ReportMetric(float64(wire)/float64(raw), "wire/raw")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
}
