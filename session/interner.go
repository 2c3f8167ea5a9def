package session

import (
	"sync"
	"sync/atomic"
)

const (
	// NamesDefault and NameBytesDefault bound an Interner unless told otherwise.
	NamesDefault     = 4096      // names
	NameBytesDefault = 256 << 10 // total length of the names

	// NameMax is the longest name an Interner keeps, in bytes.
	NameMax = 256
)

// nameOther is what number 0 stands for.
const nameOther = "other"

// Interner numbers names, so that a record holds four bytes of a client's name
// and not the name. It forgets nothing and is therefore bounded: what comes
// after the bound is reached, and every name longer than NameMax, gets number
// 0, "other". All methods may be called from any goroutine.
type Interner struct {
	namesMax int // immutable
	bytesMax int // immutable
	refused  atomic.Uint64

	mu      sync.RWMutex
	numbers map[string]uint32 // guarded by mu
	names   []string          // guarded by mu; names[n-1] has number n
	bytes   int               // guarded by mu; sum of the lengths
}

// NewInterner returns an empty interner for so many names and so many bytes of
// names; 0 means the defaults.
func NewInterner(names, bytes int) *Interner {
	if names <= 0 {
		names = NamesDefault
	}
	if bytes <= 0 {
		bytes = NameBytesDefault
	}
	return &Interner{namesMax: names, bytesMax: bytes, numbers: map[string]uint32{}}
}

// Intern returns the number of name, always the same, or 0. name is copied if it
// is new; a known name costs no allocation.
func (in *Interner) Intern(name []byte) uint32 {
	in.mu.RLock()
	n := in.numbers[string(name)]
	in.mu.RUnlock()
	if n == 0 {
		n = in.add(name)
	}
	if n == 0 {
		in.refused.Add(1)
	}
	return n
}

func (in *Interner) add(name []byte) uint32 {
	if len(name) > NameMax {
		return 0
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	if n := in.numbers[string(name)]; n != 0 {
		return n // somebody was faster
	}
	if len(in.names) >= in.namesMax || in.bytes+len(name) > in.bytesMax {
		return 0
	}
	kept := string(name)
	in.names = append(in.names, kept)
	in.bytes += len(kept)
	n := uint32(len(in.names))
	in.numbers[kept] = n
	return n
}

// Name returns the name with number n; "other" for 0 and for numbers never given.
func (in *Interner) Name(n uint32) string {
	in.mu.RLock()
	defer in.mu.RUnlock()
	if n == 0 || int64(n) > int64(len(in.names)) {
		return nameOther
	}
	return in.names[n-1]
}

// Len returns the number of names kept.
func (in *Interner) Len() int {
	in.mu.RLock()
	defer in.mu.RUnlock()
	return len(in.names)
}

// nameOverhead is what a name costs beside its bytes: two string headers, a
// number, and the slack of a slice and a map that double.
const nameOverhead = 64

// Bytes returns about how much memory the interner holds.
func (in *Interner) Bytes() int64 {
	in.mu.RLock()
	defer in.mu.RUnlock()
	return int64(in.bytes + nameOverhead*len(in.names))
}

// Refused returns how many calls of Intern got 0.
func (in *Interner) Refused() uint64 { return in.refused.Load() }
