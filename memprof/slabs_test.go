package memprof

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const slabText = `slabinfo - version: 2.1
# name            <active_objs> <num_objs> <objsize> <objperslab> <pagesperslab> : tunables <limit> <batchcount> <sharedfactor> : slabdata <active_slabs> <num_slabs> <sharedavail>
TCP                   26     39   2368   13    8 : tunables    0    0    0 : slabdata      3      3      0
filp                 648    651    192   21    1 : tunables    0    0    0 : slabdata     31     31      0
`

func TestParseSlabs(t *testing.T) {
	got, err := parseSlabs([]byte(slabText), 4096)
	if err != nil {
		t.Fatal(err)
	}
	if want := (Slab{Name: "TCP", Objects: 26, Size: 2368, Bytes: 3 * 8 * 4096}); got["TCP"] != want {
		t.Errorf("got %+v, want %+v", got["TCP"], want)
	}
	if len(got) != 2 {
		t.Errorf("%d slabs, want 2", len(got))
	}
}

func TestParseSlabsRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"":                          "unknown format",
		"slabinfo - version: 3.0\n": "unknown format",
		slabText + "short 1 2\n":    "is not a slab",
		strings.Replace(slabText, "2368", "big", 1): "invalid syntax",
	} {
		if _, err := parseSlabs([]byte(text), 4096); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one that says %q", err, want)
		}
	}
}

// TestReadSlabs opens sockets and finds most of them in the kernel's account.
// Other processes close theirs meanwhile, maybe as many: then it tries again.
func TestReadSlabs(t *testing.T) {
	if _, err := ReadSlabs(); errors.Is(err, ErrSlabs) {
		t.Skip(err)
	}
	const sockets, tries = 1000, 10
	var grown []int
	for range tries {
		by := slabsGrownBy(t, sockets)
		if by >= sockets/2 {
			return
		}
		grown = append(grown, by)
	}
	t.Errorf("%d sockets grew sock_inode_cache by %v objects", sockets, grown)
}

// slabsGrownBy returns how many sockets more the kernel counts when so many have
// been opened.
func slabsGrownBy(t *testing.T, sockets int) int {
	t.Helper()
	base, err := ReadSlabs()
	if err != nil {
		t.Fatal(err)
	}
	for range sockets {
		l, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = l.Close() }()
	}
	now, err := ReadSlabs()
	if err != nil {
		t.Fatal(err)
	}
	return int(now["sock_inode_cache"].Objects - base["sock_inode_cache"].Objects)
}

func TestSlabsAlias(t *testing.T) {
	dir := t.TempDir()
	for name, to := range map[string]string{"kept": ":A-64", "merged": ":A-64", "alone": ":A-8"} {
		if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	s := Slabs{"other": {}, "kept": {}}
	for name, want := range map[string]string{"kept": "kept", "merged": "kept", "alone": "", "unknown": ""} {
		if got := s.alias(name, dir); got != want {
			t.Errorf("alias(%q) = %q, want %q", name, got, want)
		}
	}
}
