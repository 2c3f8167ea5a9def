package memprof

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
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
// caches of equal size, so some names are missing: see [Slabs.Alias].
type Slabs map[string]Slab

// ConnectionSlabs are the caches that a TCP connection in an epoll set takes
// objects from.
var ConnectionSlabs = []string{
	"TCP", "TCPv6", "sock_inode_cache", "filp", "dentry", "eventpoll_epi", "eventpoll_pwq", "lsm_inode_cache", "lsm_file_cache",
}

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

// aliasPath holds a link for each cache; merged caches point to one place.
const aliasPath = "/sys/kernel/slab"

// Alias returns the name under which s counts the objects of cache name: name
// itself, or a cache that the kernel has merged it with (eventpoll_pwq is
// often counted as anon_vma_chain), or "" when there is none.
func (s Slabs) Alias(name string) string { return s.alias(name, aliasPath) }

func (s Slabs) alias(name, dir string) string {
	if _, ok := s[name]; ok {
		return name
	}
	want, err := os.Readlink(filepath.Join(dir, name))
	if err != nil {
		return ""
	}
	for _, other := range slices.Sorted(maps.Keys(s)) {
		if to, err := os.Readlink(filepath.Join(dir, other)); err == nil && to == want {
			return other
		}
	}
	return ""
}
