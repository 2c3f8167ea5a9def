package shard

import (
	"math"
	"math/rand/v2"
	"reflect"
	"testing"
	"unsafe"

	"pgregory.net/rapid"
)

// checkInvariants looks at every bucket of a map that nobody writes.
func checkInvariants(t rapid.TB, m *Map) {
	d := m.dir.load()
	covered := 0
	d.each(func(b *bucket) {
		covered += 1 << (d.depth() - b.depth)
		live, used := 0, 0
		for at := range b.groups {
			ctrl := b.group(at).ctrl.Load()
			for i := range groupSlots {
				switch c := byteOf(ctrl, i); {
				case c >= ctrlFull:
					live++
					used++
				case c == ctrlDeleted:
					used++
				case c != ctrlEmpty:
					t.Fatalf("control byte %#x", c)
				}
			}
		}
		if int64(live) != b.live.Load() || used != b.used {
			t.Fatalf("counted %d live, %d used; kept %d and %d", live, used, b.live.Load(), b.used)
		}
		if live > used || used > b.room() || b.dead {
			t.Fatalf("live %d, used %d, room %d, dead %v", live, used, b.room(), b.dead)
		}
		if b.groups > groupsMax && b.depth < m.depthMax {
			t.Fatalf("a table of %d groups was not split", b.groups)
		}
	})
	for i := range d.entries() {
		if d.entries()[i].bucket.Load() == nil {
			covered++
		}
	}
	if covered != len(d.entries()) {
		t.Fatalf("the buckets cover %d of %d entries", covered, len(d.entries()))
	}
}

// fullProbes returns the mean number of groups that lookups of an absent and of
// a present key visit in tables of the largest size that never saw a deletion
// and are about to be split: no map can be fuller. Its hashes are always the
// same; it returns 4.22 and 1.31.
//
// A map's own hash has a seed that no test can choose. That leaves what is
// measured of one map within 0.2 of its mean (a standard deviation, in maps of
// 4,000 to 100,000 keys), and that mean between 1.2 and 2.7 groups for an
// absent key, depending on how full the tables are after so many keys: at
// least seven standard deviations below the bound.
func fullProbes() (absent, hit float64) {
	const tables = 500
	rng := rand.New(rand.NewPCG(1, 2))
	homes, keys := 0, 0
	for range tables {
		b := newBucket(0, groupsMax)
		for range b.room() {
			h := rng.Uint64()
			b.place(h, h, 0, 0)
			g, _ := b.find(h, h, 0)
			at := home(h, b.groups)
			for hit++; b.group(at) != g; hit++ {
				at = b.next(at)
			}
			keys++
		}
		for at := range b.groups {
			for absent++; !hasEmpty(b.group(at).ctrl.Load()); absent++ {
				at = b.next(at)
			}
			homes++
		}
	}
	return absent / float64(homes), hit / float64(keys)
}

// probes returns how many groups a lookup of k visits.
func probes(m *Map, k Key) int {
	h, k0, k1 := m.hash(&k)
	b := m.dir.load().at(h).bucket.Load()
	if b == nil {
		return 0
	}
	found, _ := b.find(h, k0, k1)
	at := home(h, b.groups)
	for n := 1; ; n++ {
		g := b.group(at)
		if g == found || found == nil && hasEmpty(g.ctrl.Load()) {
			return n
		}
		at = b.next(at)
	}
}

// seededKeys returns the next n keys of source.
func seededKeys(source *rand.ChaCha8, n int) []Key {
	keys := make([]Key, n)
	for i := range keys {
		_, _ = source.Read(keys[i][:]) // never fails
	}
	return keys
}

// meanProbes returns the mean number of groups visited, by lookups of absent
// keys and of the given ones.
func meanProbes(m *Map, present []Key) (absent, hit float64) {
	strangers := seededKeys(rand.NewChaCha8([32]byte{1}), 20_000)
	for _, k := range strangers {
		absent += float64(probes(m, k))
	}
	for _, k := range present {
		hit += float64(probes(m, k))
	}
	return absent / float64(len(strangers)), hit / float64(len(present))
}

func TestWordOperations(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var bytes [groupSlots]uint64
		ctrl := uint64(0)
		for i := range bytes {
			bytes[i] = rapid.OneOf(rapid.Uint64Range(0, 1), rapid.Uint64Range(0x80, 0xff)).Draw(t, "byte")
			ctrl = withByte(ctrl, i, bytes[i])
		}
		h := rapid.Uint64().Draw(t, "h")
		empty := false
		maybe := withTag(ctrl, h)
		for i, b := range bytes {
			if byteOf(ctrl, i) != b {
				t.Fatalf("byte %d of %#x is not %#x", i, ctrl, b)
			}
			at := set(0x80) << (8 * i)
			empty = empty || b == ctrlEmpty
			if (full(ctrl)&at != 0) != (b >= ctrlFull) || (notFull(ctrl)&at != 0) != (b < ctrlFull) {
				t.Fatalf("full or notFull wrong for byte %d of %#x", i, ctrl)
			}
			if b == tagByte(h) && maybe&at == 0 {
				t.Fatalf("slot %d of %#x has the tag of %#x and is not found", i, ctrl, h)
			}
			if b < ctrlFull && maybe&at != 0 {
				t.Fatalf("slot %d of %#x is not full and was taken for a match", i, ctrl)
			}
		}
		if hasEmpty(ctrl) != empty {
			t.Fatalf("hasEmpty(%#x) = %v", ctrl, !empty)
		}
		for s := full(ctrl); s != 0; s = s.rest() {
			if bytes[s.first()] < ctrlFull {
				t.Fatalf("first gave slot %d of %#x", s.first(), ctrl)
			}
		}
	})
}

func TestSizes(t *testing.T) {
	if math.MaxInt == math.MaxInt32 {
		t.Skip("the layout is tuned for 64 bits")
	}
	if s := unsafe.Sizeof(group{}); s != 200 {
		t.Errorf("a group has %d bytes, want 200", s)
	}
	if s := unsafe.Sizeof(bucket{}); s != 128 {
		t.Errorf("a bucket has %d bytes, want 128", s)
	}
	if o := unsafe.Offsetof(bucket{}.mu); o != 64 {
		t.Errorf("what insertions write starts at byte %d, want 64", o)
	}
}

// The collector scans one pointer a bucket, and nothing in the tables.
func TestTablesHoldNoPointers(t *testing.T) {
	if f := pointerIn(reflect.TypeFor[group]()); f != "" {
		t.Errorf("a group holds a pointer: %s", f)
	}
}

// pointerIn returns the path of the first pointer within t, "" if there is none.
func pointerIn(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Struct:
		for i := range t.NumField() {
			if f := pointerIn(t.Field(i).Type); f != "" {
				return t.Field(i).Name + "." + f
			}
		}
		return ""
	case reflect.Array:
		return pointerIn(t.Elem())
	case reflect.Bool, reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return ""
	}
	return t.String()
}

func TestGroupsFor(t *testing.T) {
	for live := range 5000 {
		n := groupsFor(live)
		if room := n * groupKeysMax; room < live+live/6+1 {
			t.Fatalf("groupsFor(%d) = %d has room for %d", live, n, room)
		}
		if n <= groupsMax && n > 1 && 4*live < n*groupKeysMax && live > 35 {
			t.Fatalf("groupsFor(%d) = %d would be shrunk at once", live, n)
		}
	}
	if ladder[len(ladder)-1] != groupsMax {
		t.Errorf("the ladder ends at %d", ladder[len(ladder)-1])
	}
}

// Families of keys that differ in few bits, as an adversary or a counter would
// make them, spread like random ones.
func TestStructuredKeysSpread(t *testing.T) {
	skipSize(t)
	const n = 50_000
	absentMax, hitMax := fullProbes()
	for name, family := range map[string]func(i int) Key{
		"low bits":    numbered,
		"high bits":   func(i int) (k Key) { k[0], k[1], k[2] = byte(i), byte(i>>8), byte(i>>16); return k },
		"both words":  func(i int) (k Key) { k[3], k[11], k[7], k[15] = byte(i), byte(i), byte(i>>8), byte(i>>8); return k },
		"middle bits": func(i int) (k Key) { k[6], k[7], k[8] = byte(i), byte(i>>8), byte(i>>16); return k },
	} {
		m := New(0)
		keys := make([]Key, n)
		for i := range keys {
			keys[i] = family(i)
			m.Put(keys[i], 0)
		}
		checkInvariants(t, m)
		absent, hit := meanProbes(m, keys)
		t.Logf("%s: %.3f groups for an absent key, %.3f for a present one", name, absent, hit)
		if absent > absentMax || hit > hitMax {
			t.Errorf("%s: more than %.3f and %.3f", name, absentMax, hitMax)
		}
	}
}

// skipSize skips what one goroutine does very often: the race detector makes
// that ten times as long and finds nothing in it.
func skipSize(t *testing.T) {
	t.Helper()
	if raceEnabled {
		t.Skip("of sheer size, in one goroutine")
	}
}

// scaled returns n, or a tenth under the race detector, as skipSize.
func scaled(n int) int {
	if raceEnabled {
		return n / 10
	}
	return n
}

// A million deletions later a lookup costs no more than in full tables that
// never saw one: what a deletion leaves behind counts as full, and goes with
// the table.
func TestDeletionsLeaveNoTrace(t *testing.T) {
	skipSize(t)
	const n = 20_000
	const rounds = 50
	m := New(0)
	source := rand.NewChaCha8([32]byte{2})
	keys := seededKeys(source, n)
	for _, k := range keys {
		m.Put(k, 0)
	}
	before := m.Bytes()
	for range rounds {
		for i, k := range seededKeys(source, n) {
			m.Delete(keys[i])
			keys[i] = k
			m.Put(k, 0)
		}
	}
	checkInvariants(t, m)
	if m.Len() != n {
		t.Fatalf("Len = %d", m.Len())
	}
	absent, hit := meanProbes(m, keys)
	t.Logf("after %d deletions: %.3f groups for an absent key, %.3f for a present one, %d bytes (before: %d)",
		rounds*n, absent, hit, m.Bytes(), before)
	if absentMax, hitMax := fullProbes(); absent > absentMax || hit > hitMax {
		t.Errorf("more than %.3f and %.3f", absentMax, hitMax)
	}
	if m.Bytes() > before*3/2 {
		t.Errorf("%d bytes for as many keys as %d bytes held before", m.Bytes(), before)
	}
}

// An emptied map gives its tables back.
func TestShrinks(t *testing.T) {
	m := New(0)
	n := scaled(50_000)
	for i := range n {
		m.Put(numbered(i), 0)
	}
	peak := m.Bytes()
	for i := range n {
		m.Delete(numbered(i))
	}
	checkInvariants(t, m)
	left := m.Bytes()
	t.Logf("%d keys: %d bytes, emptied: %d", n, peak, left)
	if left > int64(2*n) {
		t.Errorf("%d bytes left of %d, more than 2 for each of the %d keys", left, peak, n)
	}
	for i := range n {
		m.Put(numbered(i), 0)
	}
	if again := m.Bytes(); again > peak*3/2 {
		t.Errorf("filled again: %d bytes, %d the first time", again, peak)
	}
}

// Past depthMax tables grow instead of being split; nothing else changes.
func TestDepthIsBounded(t *testing.T) {
	m := New(0)
	m.depthMax = 1
	n := scaled(20_000)
	for i := range n {
		m.Put(numbered(i), uint64(i))
	}
	checkInvariants(t, m)
	if d := m.dir.load().depth(); d != 1 {
		t.Errorf("the directory has depth %d, want 1", d)
	}
	for i := range n {
		if v, ok := m.Delete(numbered(i)); !ok || v != uint64(i) {
			t.Fatalf("Delete(%d) = %d, %v", i, v, ok)
		}
	}
	checkInvariants(t, m)
}

func TestEmptyMapIsSmall(t *testing.T) {
	for _, hint := range []int{-1, 0, 1, 100_000, math.MaxInt} {
		if n := New(hint).Bytes(); n > 1000 {
			t.Errorf("New(%d) holds %d bytes", hint, n)
		}
	}
}

func TestBytesPerKey(t *testing.T) {
	skipSize(t)
	for _, hint := range []int{0, 1 << 30} {
		m := New(hint)
		worst, worstAt := 0.0, 0
		for i := range 200_000 {
			m.Put(numbered(i), 0)
			if n := i + 1; n >= 1000 && n%100 == 0 {
				if per := float64(m.Bytes()) / float64(n); per > worst {
					worst, worstAt = per, n
				}
			}
		}
		t.Logf("hint %d: at worst %.1f bytes a key, at %d keys", hint, worst, worstAt)
		if worst > 64 {
			t.Errorf("hint %d: %.1f bytes a key at %d keys, more than 64", hint, worst, worstAt)
		}
	}
}
