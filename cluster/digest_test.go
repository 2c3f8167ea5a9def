package cluster

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// Digests of a set of partitions are those of a word for each.
func TestDigests(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, n := range []int{0, 1, 700, partitions} {
		var set partitionSet
		for _, p := range random.Perm(partitions)[:n] {
			set.add(uint16(p))
		}
		d := newDigests(&set)
		if d.n != n {
			t.Fatalf("%d of %d partitions", d.n, n)
		}
		var want [partitions]uint64
		for range 2 * n {
			p, v := uint16(random.IntN(partitions)), random.Uint64N(2)
			if d.add(p, v); set.has(p) {
				want[p] += v
			}
		}
		var other []uint16
		for p, v := range want {
			if v != 0 {
				other = append(other, uint16(p))
			}
		}
		if got := d.other(); !slices.Equal(got, other) {
			t.Errorf("of %d: %d differ, want %d", n, len(got), len(other))
		}
	}
}

// A round of comparison between processes that hold nothing costs each the sets
// of partitions, not a word for each of them.
func TestDigestBudget(t *testing.T) {
	w := newTestCores(t, 4, true)
	c := w.procs[0].core
	l := c.links[0]
	msg := l.appendDigests(nil)
	got := testing.Benchmark(func(b *testing.B) {
		b.ReportAllocs()
		for range b.N {
			if err := l.in.handle(0, msg); err != nil {
				b.Fatal(err)
			}
		}
	}).AllocedBytesPerOp()
	if got > 5<<10 {
		t.Errorf("%d bytes for the digest of a peer", got)
	}
	t.Logf("%d bytes; message %d", got, len(msg))
}
