package shard

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// Nodes of different versions have to agree, so these values never change.
func TestPlacementIsPinned(t *testing.T) {
	key := Key{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}
	if got, want := PartitionOf(key), uint16(wantPartition); got != want {
		t.Errorf("PartitionOf = %d, want %d", got, want)
	}
	if got, want := NameHash("n1"), uint64(wantNameHash); got != want {
		t.Errorf("NameHash = %#x, want %#x", got, want)
	}
	if got, want := Tag("n1"), uint16(wantTag); got != want {
		t.Errorf("Tag = %#x, want %#x", got, want)
	}
	if got, want := Weight(4711, NameHash("n1")), uint64(wantWeight); got != want {
		t.Errorf("Weight = %#x, want %#x", got, want)
	}
}

const (
	wantPartition = 7794
	wantNameHash  = 0x676b8bb84ce7267d
	wantTag       = 0x676b
	wantWeight    = 0x02f863b0c4fd6dba
)

func TestPartitionIgnoresTheTag(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var a, b Key
		copy(a[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "key"))
		b = a
		copy(b[:2], rapid.SliceOfN(rapid.Byte(), 2, 2).Draw(t, "tag"))
		if PartitionOf(a) != PartitionOf(b) {
			t.Fatal("the tag moved the key")
		}
		if PartitionOf(a) >= Partitions {
			t.Fatalf("partition %d", PartitionOf(a))
		}
	})
}

// Wherever keys differ, they spread as evenly as random ones.
func TestPartitionsAreEven(t *testing.T) {
	skipSize(t)
	const each = 16
	for at := 2; at+4 <= len(Key{}); at++ {
		counts := make([]int, Partitions)
		for i := range uint32(Partitions * each) {
			var k Key
			binary.BigEndian.PutUint32(k[at:], i)
			counts[PartitionOf(k)]++
		}
		chi := 0.0
		for _, c := range counts {
			chi += float64((c-each)*(c-each)) / each
		}
		// Mean Partitions-1, variance twice that: five standard deviations.
		if math.Abs(chi-Partitions) > 5*math.Sqrt(2*Partitions) {
			t.Errorf("a counter at byte %d: chi square %.0f over %d partitions", at, chi, Partitions)
		}
	}
}

// The promise of the design: 1,000 sets of four names, each member within 5 %
// of its even share, as first holder and among the first three.
func TestSpreadOfRandomNames(t *testing.T) {
	skipSize(t)
	sets := 1000
	if testing.Short() {
		sets = 100
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	worst, worstCopy := 0.0, 0.0
	for range sets {
		names := make([]uint64, 4)
		for i := range names {
			names[i] = NameHash(fmt.Sprintf("node-%x", rnd.Uint64()))
		}
		var first, copies [4]int
		var dst []int
		for p := range uint16(Partitions) {
			dst = Rank(dst, p, names)
			first[dst[0]]++
			for _, i := range dst[:3] {
				copies[i]++
			}
		}
		for i := range names {
			worst = max(worst, math.Abs(float64(first[i])/(Partitions/4)-1))
			worstCopy = max(worstCopy, math.Abs(float64(copies[i])/(Partitions*3/4)-1))
		}
	}
	t.Logf("worst of %d sets: %.2f %% as first holder, %.2f %% among the first three", sets, worst*100, worstCopy*100)
	if worst > 0.05 || worstCopy > 0.05 {
		t.Error("more than 5 % from even")
	}
}

// Names as people give them.
func TestSpreadOfPlainNames(t *testing.T) {
	skipSize(t)
	for _, pattern := range []string{"n%d", "node-%d", "rookery-%d.rookery.svc", "10.0.0.%d"} {
		for nodes := 2; nodes <= 16; nodes++ {
			names := make([]uint64, nodes)
			for i := range names {
				names[i] = NameHash(fmt.Sprintf(pattern, i+1))
			}
			counts := make([]int, nodes)
			var dst []int
			for p := range uint16(Partitions) {
				dst = Rank(dst, p, names)
				counts[dst[0]]++
			}
			even := float64(Partitions) / float64(nodes)
			limit := 5 * math.Sqrt(even) // five standard deviations, of independent weights
			for i, c := range counts {
				if math.Abs(float64(c)-even) > limit {
					t.Errorf(pattern+" of %d holds %d partitions, even is %.0f", i+1, nodes, c, even)
				}
			}
		}
	}
}

// The upper bits are what the comment says: a permutation.
func TestWeightIsStratified(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.Uint64().Draw(t, "name")
		seen := make([]bool, Partitions)
		for p := range uint16(Partitions) {
			upper := Weight(p, name) >> (64 - partitionBits)
			if seen[upper] {
				t.Fatalf("name %#x has the upper bits %#x twice", name, upper)
			}
			seen[upper] = true
		}
	})
}

// A join moves partitions only to the new member, a leave only from the old
// one, and the order of the others stays.
func TestJoinAndLeaveMoveTheLeast(t *testing.T) {
	skipSize(t)
	rapid.Check(t, func(t *rapid.T) {
		names := rapid.SliceOfNDistinct(rapid.Uint64(), 2, 12, rapid.ID).Draw(t, "names")
		left := names[:len(names)-1]
		joined := len(names) - 1
		var before, after []int
		moved := 0
		for p := range uint16(Partitions) {
			before, after = Rank(before, p, left), Rank(after, p, names)
			if after[0] == joined {
				moved++
			}
			rest := slices.DeleteFunc(slices.Clone(after), func(i int) bool { return i == joined })
			if !slices.Equal(before, rest) {
				t.Fatalf("partition %d: %v became %v", p, before, after)
			}
		}
		even := float64(Partitions) / float64(len(names))
		if math.Abs(float64(moved)-even) > 6*math.Sqrt(even) {
			t.Fatalf("%d partitions moved to one of %d members", moved, len(names))
		}
	})
}

func TestRankOrders(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		names := rapid.SliceOfN(rapid.Uint64Range(0, 40), 0, 40).Draw(t, "names")
		p := rapid.Uint16Range(0, Partitions-1).Draw(t, "partition")
		got := Rank(nil, p, names)
		if len(got) != len(names) {
			t.Fatalf("%d of %d names", len(got), len(names))
		}
		seen := make([]bool, len(names))
		for at, i := range got {
			if seen[i] {
				t.Fatalf("%d twice in %v", i, got)
			}
			seen[i] = true
			if at == 0 {
				continue
			}
			a, b := names[got[at-1]], names[i]
			if wa, wb := Weight(p, a), Weight(p, b); wa < wb || wa == wb && a > b {
				t.Fatalf("%v is out of order at %d", got, at)
			}
		}
	})
}

func TestRankAllocatesNothing(t *testing.T) {
	names := make([]uint64, 16)
	for i := range names {
		names[i] = NameHash(fmt.Sprint(i))
	}
	dst := make([]int, 0, len(names))
	if n := testing.AllocsPerRun(100, func() { dst = Rank(dst, 77, names) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkRank(b *testing.B) {
	names := []uint64{NameHash("n1"), NameHash("n2"), NameHash("n3"), NameHash("n4")}
	dst := make([]int, 0, len(names))
	for i := 0; b.Loop(); i++ {
		dst = Rank(dst, uint16(i)%Partitions, names)
	}
}
