package load

// arena keeps short strings of many clients (session ids, last event ids)
// without a pointer for each. Places come in steps of arenaStep bytes; one that is
// given up serves a string of the same size again, so there are as many of each
// size as there ever were at a time.
type arena struct {
	bytes []byte
	free  [arenaClasses][]uint32 // of places, by size ÷ arenaStep
}

const (
	arenaStep    = 16
	arenaClasses = 17
	// arenaLongest is the longest string. Ids that are longer are refused: no
	// server needs them, and a length fits into a byte.
	arenaLongest = arenaStep*(arenaClasses-1) - 1
)

// place says where a string is. The zero place holds none.
type place struct {
	at     uint32
	length uint8
}

func class(n int) int { return (n + arenaStep - 1) / arenaStep }

// get returns the string at p, valid until the next put.
func (a *arena) get(p place) []byte { return a.bytes[p.at : p.at+uint32(p.length)] }

// put returns the place of text, which replaces what was at p.
// REQUIRES: len(text) <= arenaLongest.
func (a *arena) put(p place, text []byte) place {
	if class(len(text)) != class(int(p.length)) {
		a.drop(p)
		p.at = a.take(class(len(text)))
	}
	p.length = uint8(len(text))
	copy(a.bytes[p.at:], text)
	return p
}

// drop gives up the string at p.
func (a *arena) drop(p place) {
	if c := class(int(p.length)); c > 0 {
		a.free[c] = append(a.free[c], p.at)
	}
}

func (a *arena) take(class int) uint32 {
	if class == 0 {
		return 0
	}
	if list := a.free[class]; len(list) > 0 {
		at := list[len(list)-1]
		a.free[class] = list[:len(list)-1]
		return at
	}
	at := len(a.bytes)
	a.bytes = append(a.bytes, make([]byte, class*arenaStep)...)
	return uint32(at)
}
