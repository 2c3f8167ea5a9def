package cluster

import "encoding/binary"

// Messages of events are sent once a link, however many sessions have them: an
// event names a slot that both ends fill alike, because they see the same
// messages in the same order. Each lane has its own slots. A message too long
// for a slot goes along with each event.

const (
	bodySlots = 256
	bodyMax   = 4 << 10 // of a message in a slot: both ends hold bodySlots of them at most
)

// How an event's message is sent. Slots are filled in turn, so that a new one need
// not be named. The origin is the publisher unless it is that of the last message
// in a slot, and the number as the difference to the last one's.
const (
	bodyInline = iota // origin, message
	bodyKnown         // slot
	bodyNew           // publisher, number, message
	bodyNext          // number, message: the publisher is the last one's
)

// bodyOut is the sender's side: which message stands in which slot.
type bodyOut struct {
	at    bodyPosition
	slots [bodySlots]Origin
	// find is where an origin may stand, by its hash: a slot that has another one
	// by now, or a collision, costs a message that is sent once more.
	find [4 * bodySlots]uint8
	undo []undone // since the last position
}

// place returns the entry of find for an origin.
func (o *bodyOut) place(origin Origin) *uint8 {
	return &o.find[(origin.Seq^origin.Peer>>32)*0x9e3779b97f4a7c15>>54]
}

// bodyPosition is what both ends know when they come to an event.
type bodyPosition struct {
	next uint8  // slot
	last Origin // that stands in a slot
}

type undone struct {
	slot uint8
	was  Origin
}

func (o *bodyOut) position() bodyPosition {
	o.undo = o.undo[:0]
	return o.at
}

// rewind takes back what append did since position, for a message that was not
// sent.
func (o *bodyOut) rewind(to bodyPosition) {
	for i := len(o.undo) - 1; i >= 0; i-- {
		u := o.undo[i]
		o.slots[u.slot] = u.was
	}
	o.at = to
}

// append appends an event's message to b.
func (o *bodyOut) append(b []byte, origin Origin, msg []byte) []byte {
	if len(msg) > bodyMax || origin == (Origin{}) { // that of an event whose message is lost
		return appendBytes(appendOrigin(append(b, bodyInline), origin), msg)
	}
	place := o.place(origin)
	if o.slots[*place] == origin {
		return append(b, bodyKnown, *place)
	}
	slot := o.at.next
	o.undo = append(o.undo, undone{slot, o.slots[slot]})
	o.slots[slot], *place = origin, slot
	if origin.Peer == o.at.last.Peer {
		b = append(b, bodyNext)
	} else {
		b = binary.LittleEndian.AppendUint64(append(b, bodyNew), origin.Peer)
	}
	b = binary.AppendVarint(b, int64(origin.Seq-o.at.last.Seq))
	o.at = bodyPosition{slot + 1, origin}
	return appendBytes(b, msg)
}

// bodyIn is the receiver's side.
type bodyIn struct {
	at    bodyPosition
	slots [bodySlots]bodySlot
}

type bodySlot struct {
	origin Origin
	msg    []byte
	there  bool
}

// read reads what bodyOut.append wrote. The message is valid until the slot is
// used again or, for one that has none, as long as the reader's bytes.
func (in *bodyIn) read(r *reader) (Origin, []byte) {
	switch kind := r.uint8(); kind {
	case bodyInline:
		return r.origin(), r.bytes()
	case bodyKnown:
		s := &in.slots[r.uint8()]
		if !s.there {
			r.bad = true
		}
		return s.origin, s.msg
	case bodyNew, bodyNext:
		origin := Origin{Peer: in.at.last.Peer}
		if kind == bodyNew {
			origin.Peer = r.uint64()
		}
		origin.Seq = in.at.last.Seq + uint64(r.varint())
		msg := r.bytes()
		if len(msg) > bodyMax {
			r.bad = true
			return Origin{}, nil
		}
		s := &in.slots[in.at.next]
		in.at = bodyPosition{in.at.next + 1, origin}
		s.origin, s.msg, s.there = origin, append(s.msg[:0:0], msg...), !r.bad
		return s.origin, s.msg
	default:
		r.bad = true
		return Origin{}, nil
	}
}

func appendOrigin(b []byte, o Origin) []byte {
	b = binary.LittleEndian.AppendUint64(b, o.Peer)
	return binary.LittleEndian.AppendUint64(b, o.Seq)
}

func appendBytes[T string | []byte](b []byte, p T) []byte {
	return append(binary.AppendUvarint(b, uint64(len(p))), p...)
}
