package session

import (
	"encoding/binary"
	"math"
)

// Record is the state of one session. It holds no pointers; what needs more
// room is kept elsewhere and named here by a number.
type Record struct {
	ID       ID     // given by Create; changes to it are ignored
	Stream   uint64 // handle of the open stream, 0 none
	LastUsed uint32 // seconds since the table was made; set by Create, Touch and a change of Stream
	Client   uint32 // name and version of the client, as an Interner numbers them
	Topics   uint32 // head of the subscription list, owner's use
	Caps     uint16 // capabilities, owner's use
	Protocol uint8  // protocol revision, owner's use
	State    uint8  // owner's use
	LogLevel uint8  // owner's use
	Kind     uint8  // owner's use
	Gets     uint16 // streams opened so far, owner's use
	Log      uint32 // number of the session's log in Events, owner's use
	Epoch    uint32 // takeovers so far: who has the highest may write the protocol state, owner's use
	Home     uint32 // 0 if this process is the session's home, else its number for the process that is, owner's use
}

// Ref addresses a session: bits 0 to 31 are the index of its slot, bits 32 to
// 62 the generation of the slot, odd while the session lives. The zero Ref is
// none. Bit 63 is always 0, for owners who tell Refs from other handles by it.
type Ref uint64

// generationMax is the last generation of a slot; a slot that reached it is not
// used again, so that a Ref never comes back (64 bytes lost after 10^9 sessions).
const generationMax = math.MaxInt32

func makeRef(index, generation uint32) Ref { return Ref(generation)<<32 | Ref(index) }

func (r Ref) index() uint32      { return uint32(r) }
func (r Ref) generation() uint32 { return uint32(r >> 32) }

// recordWords is the size of a packed Record in 64-bit words:
//
//	0, 1  ID, little-endian
//	2     Stream
//	3     LastUsed | Client<<32
//	4     Topics | Caps<<32 | Protocol<<48 | State<<56
//	5     LogLevel | Kind<<8 | Gets<<16 | Log<<32
//	6     Epoch | Home<<32
//
// With the slot's state that is one cache line.
const (
	recordWords = 7
	wordID      = 0
	wordUsed    = 3
)

type packed [recordWords]uint64

func (r *Record) pack() packed {
	return packed{
		binary.LittleEndian.Uint64(r.ID[:8]),
		binary.LittleEndian.Uint64(r.ID[8:]),
		r.Stream,
		uint64(r.LastUsed) | uint64(r.Client)<<32,
		uint64(r.Topics) | uint64(r.Caps)<<32 | uint64(r.Protocol)<<48 | uint64(r.State)<<56,
		uint64(r.LogLevel) | uint64(r.Kind)<<8 | uint64(r.Gets)<<16 | uint64(r.Log)<<32,
		uint64(r.Epoch) | uint64(r.Home)<<32,
	}
}

func (p *packed) unpack() (r Record) {
	binary.LittleEndian.PutUint64(r.ID[:8], p[0])
	binary.LittleEndian.PutUint64(r.ID[8:], p[1])
	r.Stream = p[2]
	r.LastUsed, r.Client = uint32(p[3]), uint32(p[3]>>32)
	r.Topics, r.Caps = uint32(p[4]), uint16(p[4]>>32)
	r.Protocol, r.State = uint8(p[4]>>48), uint8(p[4]>>56)
	r.LogLevel, r.Kind = uint8(p[5]), uint8(p[5]>>8)
	r.Gets, r.Log = uint16(p[5]>>16), uint32(p[5]>>32)
	r.Epoch, r.Home = uint32(p[6]), uint32(p[6]>>32)
	return r
}
