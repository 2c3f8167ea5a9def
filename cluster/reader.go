package cluster

import (
	"encoding/binary"
	"errors"
	"math"
)

// errMalformed ends a connection: the peer does not speak our protocol.
var errMalformed = errors.New("cluster: malformed message from a peer")

// reader reads a message of a peer from the front. Once something was missing
// or wrong it is bad and returns zeros. What it returns points into the message.
type reader struct {
	left []byte
	bad  bool
}

func (r *reader) take(n uint64) []byte {
	if r.bad || n > uint64(len(r.left)) {
		r.bad = true
		return nil
	}
	b := r.left[:n:n]
	r.left = r.left[n:]
	return b
}

func (r *reader) uint8() uint8 {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) uint16() uint16 {
	if b := r.take(2); b != nil {
		return binary.LittleEndian.Uint16(b)
	}
	return 0
}

func (r *reader) uint64() uint64 {
	if b := r.take(8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.left)
	if r.bad || n <= 0 {
		r.bad = true
		return 0
	}
	r.left = r.left[n:]
	return v
}

func (r *reader) varint() int64 {
	v, n := binary.Varint(r.left)
	if r.bad || n <= 0 {
		r.bad = true
		return 0
	}
	r.left = r.left[n:]
	return v
}

func (r *reader) uint32() uint32 {
	v := r.uvarint()
	if v > math.MaxUint32 {
		r.bad = true
		return 0
	}
	return uint32(v)
}

func (r *reader) id() (id ID) {
	copy(id[:], r.take(uint64(len(id))))
	return id
}

func (r *reader) origin() Origin { return Origin{Peer: r.uint64(), Seq: r.uint64()} }

func (r *reader) bytes() []byte { return r.take(r.uvarint()) }

func (r *reader) text() string { return string(r.bytes()) }

// short returns a string behind its length of one byte, as gossip has them.
func (r *reader) short() string { return string(r.take(uint64(r.uint8()))) }

// count returns how many things of at least size bytes follow; they must fit
// into what is left, so that nobody allocates by a number that was only claimed.
func (r *reader) count(size uint64) int {
	n := r.uvarint()
	if n > uint64(len(r.left)) || n*size > uint64(len(r.left)) {
		r.bad = true
		return 0
	}
	return int(n)
}

// rest returns all that is left.
func (r *reader) rest() []byte { return r.take(uint64(len(r.left))) }

// end returns the error of a message that was malformed or too long.
func (r *reader) end() error {
	if r.bad || len(r.left) > 0 {
		return errMalformed
	}
	return nil
}
