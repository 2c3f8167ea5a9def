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

// How an event's message is sent.
const (
	bodyInline = iota // origin, message
	bodyKnown         // slot
	bodyNew           // slot, origin, message
)

// bodyOut is the sender's side: which message stands in which slot.
type bodyOut struct {
	next  int
	slots [bodySlots]Origin
	find  map[Origin]uint8
	undo  []undone // since the last position
}

type undone struct {
	slot uint8
	was  Origin
}

func (o *bodyOut) position() int {
	o.undo = o.undo[:0]
	return o.next
}

// rewind takes back what append did since position, for a message that was not
// sent.
func (o *bodyOut) rewind(next int) {
	for i := len(o.undo) - 1; i >= 0; i-- {
		u := o.undo[i]
		delete(o.find, o.slots[u.slot])
		if o.slots[u.slot] = u.was; u.was != (Origin{}) {
			o.find[u.was] = u.slot
		}
	}
	o.next = next
}

// append appends an event's message to b.
func (o *bodyOut) append(b []byte, origin Origin, msg []byte) []byte {
	if len(msg) > bodyMax {
		return appendBytes(appendOrigin(append(b, bodyInline), origin), msg)
	}
	if slot, ok := o.find[origin]; ok {
		return append(b, bodyKnown, slot)
	}
	if o.find == nil {
		o.find = make(map[Origin]uint8, bodySlots)
	}
	slot := uint8(o.next)
	o.undo = append(o.undo, undone{slot, o.slots[slot]})
	delete(o.find, o.slots[slot])
	o.slots[slot], o.find[origin] = origin, slot
	o.next = (o.next + 1) % bodySlots
	return appendBytes(appendOrigin(append(b, bodyNew, slot), origin), msg)
}

// bodyIn is the receiver's side.
type bodyIn struct{ slots [bodySlots]bodySlot }

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
	case bodyNew:
		s := &in.slots[r.uint8()]
		s.origin = r.origin()
		msg := r.bytes()
		if len(msg) > bodyMax {
			r.bad = true
			return Origin{}, nil
		}
		s.msg, s.there = append(s.msg[:0:0], msg...), !r.bad
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
