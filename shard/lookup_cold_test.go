package shard

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// BenchmarkLookupCold times single lookups of which each finds the caches and
// the translations of addresses full of something else, as the rare lookups of
// a busy process do. The clock is read once before, so that its own code is
// not what is waited for; what reading it costs is reported beside.
func BenchmarkLookupCold(b *testing.B) {
	const n = 50_000
	keys := randomKeys(n)
	m := New(0)
	for i, k := range keys {
		m.Put(k, uint64(i))
	}
	others := make([]byte, 24<<20)
	var sum byte
	clockFrom := time.Now()
	var took, clock []time.Duration
	for b.Loop() {
		for i := 0; i < len(others); i += 64 {
			sum += others[i]
			others[i] = sum
		}
		_ = time.Since(clockFrom)
		k := keys[rand.IntN(n)]
		from := time.Since(clockFrom)
		_, ok := m.Get(k)
		to := time.Since(clockFrom)
		again := time.Since(clockFrom)
		if !ok {
			b.Fatal("a key is missing")
		}
		took, clock = append(took, to-from), append(clock, again-to)
	}
	slices.Sort(took)
	slices.Sort(clock)
	b.ReportMetric(float64(took[len(took)/2]), "p50-ns")
	b.ReportMetric(float64(took[len(took)*95/100]), "p95-ns")
	b.ReportMetric(float64(clock[len(clock)/2]), "clock-ns")
}
