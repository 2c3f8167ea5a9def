package session

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"
)

func TestInterner(t *testing.T) {
	in := NewInterner(3, 20)
	for _, c := range []struct {
		name    string
		want    uint32
		refused uint64
	}{
		{"alpha", 1, 0},
		{"beta", 2, 0},
		{"alpha", 1, 0},
		{strings.Repeat("x", 12), 0, 1}, // 9 + 12 bytes > 20
		{"", 3, 1},
		{"", 3, 1},
		{"gamma", 0, 2}, // three names are kept
		{"beta", 2, 2},
	} {
		if got := in.Intern([]byte(c.name)); got != c.want || in.Refused() != c.refused {
			t.Errorf("Intern(%q) = %d, refused %d, want %d, %d", c.name, got, in.Refused(), c.want, c.refused)
		}
	}
	for n, want := range map[uint32]string{0: "other", 1: "alpha", 2: "beta", 3: "", 4: "other", 1 << 31: "other"} {
		if got := in.Name(n); got != want {
			t.Errorf("Name(%d) = %q, want %q", n, got, want)
		}
	}
	if in.Len() != 3 || in.Bytes() != 9+3*nameOverhead {
		t.Errorf("Len = %d, Bytes = %d", in.Len(), in.Bytes())
	}
}

func TestInternerRefusesLongNames(t *testing.T) {
	in := NewInterner(0, 0)
	if n := in.Intern([]byte(strings.Repeat("n", NameMax))); n == 0 {
		t.Error("a name of NameMax bytes was refused")
	}
	if n := in.Intern([]byte(strings.Repeat("n", NameMax+1))); n != 0 {
		t.Error("a longer name was kept")
	}
	if in.Refused() != 1 {
		t.Errorf("Refused = %d", in.Refused())
	}
}

// The caller's buffer is reused at once.
func TestInternerCopies(t *testing.T) {
	in := NewInterner(0, 0)
	b := []byte("client 1")
	n := in.Intern(b)
	copy(b, "CLIENT 2")
	if in.Name(n) != "client 1" {
		t.Errorf("Name = %q", in.Name(n))
	}
	if m := in.Intern([]byte("client 1")); m != n {
		t.Errorf("numbered %d and then %d", n, m)
	}
}

// A flood of names stays within the defaults.
func TestInternerIsBounded(t *testing.T) {
	in := NewInterner(0, 0)
	for i := range 3 * NamesDefault {
		in.Intern(fmt.Appendf(nil, "%0200d", i))
	}
	if in.bytes > NameBytesDefault || in.Len() > NamesDefault {
		t.Errorf("%d names of %d bytes", in.Len(), in.bytes)
	}
	if in.Refused() != uint64(3*NamesDefault-in.Len()) {
		t.Errorf("refused %d, kept %d", in.Refused(), in.Len())
	}
	short := NewInterner(0, 0)
	for i := range 2 * NamesDefault {
		short.Intern(fmt.Appendf(nil, "%d", i))
	}
	if short.Len() != NamesDefault {
		t.Errorf("%d names kept, want %d", short.Len(), NamesDefault)
	}
}

func TestInternerAgainstTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		names, bytes := rapid.IntRange(1, 20).Draw(t, "names"), rapid.IntRange(1, 60).Draw(t, "bytes")
		in := NewInterner(names, bytes)
		twin, used := map[string]uint32{}, 0
		for range rapid.IntRange(0, 200).Draw(t, "calls") {
			name := rapid.StringN(0, 4, 8).Draw(t, "name")
			want, known := twin[name]
			if !known && len(twin) < names && used+len(name) <= bytes {
				want = uint32(len(twin) + 1)
				twin[name] = want
				used += len(name)
			}
			if got := in.Intern([]byte(name)); got != want {
				t.Fatalf("Intern(%q) = %d, want %d", name, got, want)
			}
			if want != 0 && in.Name(want) != name {
				t.Fatalf("Name(%d) = %q, want %q", want, in.Name(want), name)
			}
		}
	})
}

// Many intern the same names at once: one number a name, one name a number.
func TestInternerConcurrently(t *testing.T) {
	in := NewInterner(100, 0)
	const workers = 8
	got := make([][200]uint32, workers)
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := range got[w] {
				n := in.Intern(fmt.Appendf(nil, "name %d", i))
				if n != 0 && in.Name(n) != fmt.Sprintf("name %d", i) {
					t.Errorf("Name(%d) = %q", n, in.Name(n))
				}
				got[w][i] = n
			}
		})
	}
	wg.Wait()
	for i := range got[0] {
		for w := range got {
			if got[w][i] != got[0][i] && got[w][i] != 0 && got[0][i] != 0 {
				t.Errorf("name %d has the numbers %d and %d", i, got[0][i], got[w][i])
			}
		}
	}
	if in.Len() != 100 {
		t.Errorf("Len = %d", in.Len())
	}
}

func TestKnownNamesAllocateNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	in := NewInterner(1, 0)
	known, refused := []byte("known"), []byte("refused")
	in.Intern(known)
	for _, name := range [][]byte{known, refused} {
		if n := testing.AllocsPerRun(100, func() { in.Name(in.Intern(name)) }); n != 0 {
			t.Errorf("%s: %v allocations, want 0", name, n)
		}
	}
}
