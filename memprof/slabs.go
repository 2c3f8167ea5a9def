package memprof

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
)

// slabPath is readable by root only.
const slabPath = "/proc/slabinfo"

// ErrSlabs is returned when the kernel's slabs cannot be read.
var ErrSlabs = errors.New("kernel memory is not readable here")

// Slab is one cache of equal kernel objects.
type Slab struct {
	Name    string `json:"name"`
	Objects int64  `json:"objects"` // in use; a little high, per-CPU spares count as used
	Size    int64  `json:"size"`    // bytes an object
	Bytes   int64  `json:"bytes"`   // pages held by the cache, in bytes, slack included
}

// Slabs holds the caches of the whole machine by name. The kernel merges
// caches of equal size: an epoll wait queue entry (eventpoll_pwq, 64 B), for
// one, may be counted under kmalloc-cg-64 or another name.
type Slabs map[string]Slab

// ReadSlabs reads the slabs of the machine. The error wraps [ErrSlabs] and
// says what to do.
func ReadSlabs() (Slabs, error) {
	text, err := os.ReadFile(slabPath)
	switch {
	case errors.Is(err, os.ErrPermission):
		return nil, fmt.Errorf("memprof: %w: %s is for root: run with sudo to see kernel slabs", ErrSlabs, slabPath)
	case err != nil:
		return nil, fmt.Errorf("memprof: %w: %w", ErrSlabs, err)
	}
	s, err := parseSlabs(text, int64(os.Getpagesize()))
	if err != nil {
		return nil, fmt.Errorf("memprof: %w: %s: %w", ErrSlabs, slabPath, err)
	}
	return s, nil
}

// parseSlabs reads slabinfo version 2.x, whose lines are
//
//	name <active_objs> <num_objs> <objsize> <objperslab> <pagesperslab> : tunables … : slabdata <active_slabs> <num_slabs> …
func parseSlabs(text []byte, page int64) (Slabs, error) {
	head, body, _ := bytes.Cut(text, []byte("\n"))
	if !bytes.HasPrefix(head, []byte("slabinfo - version: 2")) {
		return nil, fmt.Errorf("unknown format %q", head)
	}
	slabs := Slabs{}
	for line := range bytes.Lines(body) {
		if line[0] == '#' {
			continue
		}
		s, err := parseSlab(line, page)
		if err != nil {
			return nil, err
		}
		slabs[s.Name] = s
	}
	return slabs, nil
}

func parseSlab(line []byte, page int64) (Slab, error) {
	words := bytes.Fields(line)
	at := slices.IndexFunc(words, func(w []byte) bool { return string(w) == "slabdata" })
	if len(words) < 6 || at < 0 || at+2 >= len(words) {
		return Slab{}, fmt.Errorf("line %q is not a slab", bytes.TrimSpace(line))
	}
	var n [4]int64 // active objects, object size, pages a slab, slabs
	for i, w := range [][]byte{words[1], words[3], words[5], words[at+2]} {
		v, err := strconv.ParseInt(string(w), 10, 64)
		if err != nil {
			return Slab{}, fmt.Errorf("line %q: %w", bytes.TrimSpace(line), err)
		}
		n[i] = v
	}
	return Slab{Name: string(words[0]), Objects: n[0], Size: n[1], Bytes: n[2] * n[3] * page}, nil
}

// Since returns what grew or shrank since base, largest growth first. Caches
// that did not change are left out.
func (s Slabs) Since(base Slabs) []Slab {
	var grown []Slab
	for name, now := range s {
		before := base[name]
		now.Objects -= before.Objects
		now.Bytes -= before.Bytes
		if now.Objects != 0 || now.Bytes != 0 {
			grown = append(grown, now)
		}
	}
	slices.SortFunc(grown, func(a, b Slab) int {
		return cmp.Or(cmp.Compare(b.Bytes, a.Bytes), cmp.Compare(a.Name, b.Name))
	})
	return grown
}
