package cluster

import (
	"encoding/binary"
	"slices"
)

// roster is the names of all nodes that this process has heard of, sorted, those
// included that are gone. It gives each node a place, which is part of the epochs
// of its takeovers (takeoverEpoch). Two nodes that take over on the two sides of
// a split must not have the same, so they have to know the same names: a process
// that has begun knows nothing of those that died before, and is told with the
// greeting of each peer.
//
// Core.mu guards it.
type roster []string

// rosterMax bounds it. Beyond that the name that comes is not noted, and the
// place is that among those that are.
const rosterMax = 255

func (r *roster) add(name string) {
	if at, there := slices.BinarySearch(*r, name); !there && len(*r) < rosterMax {
		*r = slices.Insert(*r, at, name)
	}
}

// place returns the place of a node among all.
func (r roster) place(name string) int {
	at, _ := slices.BinarySearch(r, name)
	return at
}

// append appends the names as they travel.
func (r roster) append(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(r)))
	for _, name := range r {
		b = appendBytes(b, name)
	}
	return b
}

// read adds names that a peer has sent. One of before sends none.
func (r *roster) read(b []byte) {
	in := reader{left: b}
	for n := in.count(1); n > 0; n-- {
		if name := in.text(); !in.bad && len(name) <= nodeNameMax {
			r.add(name)
		}
	}
}

// place returns the place of this node.
func (c *Core) place() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.roster.place(c.o.Self.Node)
}
