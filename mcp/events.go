package mcp

import "strconv"

// Events keeps the latest events of each session, so that a client whose
// stream broke gets exactly what it missed (2025-11-25, transports,
// resumability and redelivery). A log belongs to one session and is named by a
// number, 0 for none; its events are numbered from 1 on, in one row for all
// streams of the session. Bodies are stored once, however many logs hold them.
//
// An implementation is safe for concurrent use and never blocks. This package
// uses one log from one goroutine at a time.
type Events interface {
	// Keep stores a copy of msg and returns a reference, which Release gives
	// back; 0 if it cannot be kept.
	Keep(msg []byte) (body uint32)
	Release(body uint32)
	// Append notes body as the next event of a stream; a log 0 is made. With
	// body 0 the event is lost: what came before it on streams of its kind is
	// not covered any more. Bit 31 of stream tells the two kinds apart.
	Append(log, stream, body uint32) (sameLog, seq uint32)
	// Draw takes a number without an event.
	Draw(log uint32) (sameLog, seq uint32)
	// Last returns the latest number, 0 for log 0.
	Last(log uint32) (seq uint32)
	// Since calls f for each event of a stream numbered above after, in order,
	// or for none and reports false: the log lacks one of them, or never had
	// the number after. f must not call Events; msg is good until it returns.
	Since(log, stream, after uint32, f func(seq uint32, msg []byte)) (covered bool)
	// Drop ends a log; 0 is allowed.
	Drop(log uint32)

	// What follows only a server in a cluster and idempotency keys need.

	// KeepAs is Keep for a message that has an identity already. A body of that
	// Origin that is still stored is shared, whatever msg is.
	KeepAs(o Origin, msg []byte) (body uint32)
	// Has reports whether a log has an event of that Origin.
	Has(log uint32, o Origin) bool
	// AppendAt notes body under a number that another process has drawn, in its
	// place among the others; added is false if the number is taken or lost.
	AppendAt(log, stream, seq, body uint32) (sameLog uint32, added bool)
	// Renumber gives o's event a lower number, and with it its place, unless that
	// is taken or lost. Numbered reports whether an event has that number.
	Renumber(log, seq uint32, o Origin) bool
	Numbered(log, seq uint32) bool
	// Overtaken reports whether an earlier event of o's publisher is numbered
	// above seq.
	Overtaken(log, seq uint32, o Origin) bool
	// Floors returns the highest number that is not covered any more, by kind of
	// stream: bit 31. SetFloors raises them.
	Floors(log uint32) [2]uint32
	SetFloors(log uint32, floors [2]uint32) (sameLog uint32)
	// NextEpoch raises the last number drawn so far that what is drawn from now
	// on never meets what a lost home drew, nor what another one draws that takes
	// over elsewhere as a takeover of another number; a log 0 is made. last is 0
	// if there is no number left. A number's upper 10 bits are the takeover.
	NextEpoch(log, takeover uint32) (sameLog, last uint32)
	// Restream makes the events of stream from numbered above after events of
	// stream to and returns how many.
	Restream(log, from, to, after uint32) (n int)

	// Fork returns the lowest number that the client of a log may lack in another
	// one of the session, of those below the range that NextEpoch has begun; 0 if
	// the log was not taken over. Heard raises it: the client has had the number
	// after and gets what follows. See fork.go.
	Fork(log uint32) (fork uint32)
	Heard(log, after uint32)
	// Lacked makes the first event of a stream from least on, below below, a new
	// one and returns its number, 0 if there is none, and a reference to its body.
	Lacked(log, stream, least, below uint32) (seq, body uint32)
	// At returns the number of o's event, 0 if it is not there; Move gives it
	// another one, unless that is taken or lost.
	At(log uint32, o Origin) (seq uint32)
	Move(log, seq uint32, o Origin) bool
}

// epochShift divides an event's number: above is the takeover after which it was
// drawn. Each home that takes over without the former's help begins a range.
const epochShift = 22

// Takeover returns after how many takeovers the number of an event was drawn.
func Takeover(seq uint32) uint32 { return seq >> epochShift }

// postBit marks the number of a stream that is the response to a POST; GET
// streams have those of Session.Gets.
const postBit = 1 << 31

// An event's id is "stream-number" or, above the first range of numbers,
// "stream-number-fork", all in hexadecimal: a cursor in its own stream, as the
// specification asks, and unique in its session. A fork is below the range of the
// number; 0 is none.
func appendEventID(dst []byte, stream, seq, fork uint32) []byte {
	dst = strconv.AppendUint(dst, uint64(stream), 16)
	dst = append(dst, '-')
	dst = strconv.AppendUint(dst, uint64(seq), 16)
	if fork == 0 || fork > seq>>epochShift<<epochShift {
		return dst
	}
	return strconv.AppendUint(append(dst, '-'), uint64(fork), 16)
}

// parseEventID reads what appendEventID wrote, and nothing else.
func parseEventID(id []byte) (stream, seq, fork uint32, ok bool) {
	stream, n, ok := parseHex(id)
	if !ok || n == len(id) || id[n] != '-' {
		return 0, 0, 0, false
	}
	id = id[n+1:]
	seq, n, ok = parseHex(id)
	if !ok || n == len(id) {
		return stream, seq, 0, ok
	}
	fork, digits, ok := parseHex(id[n+1:])
	ok = ok && id[n] == '-' && n+1+digits == len(id) && fork > 0 && fork <= seq>>epochShift<<epochShift
	return stream, seq, fork, ok
}

// parseHex reads a number of 1 to 8 digits and returns how many there were.
func parseHex(b []byte) (n uint32, digits int, ok bool) {
	for digits < len(b) && unhex(b[digits]) <= 15 {
		if digits == 8 {
			return 0, digits, false
		}
		n = n<<4 | uint32(unhex(b[digits]))
		digits++
	}
	return n, digits, digits > 0
}

// primes reports whether clients of that revision know events without data.
// Older ones try to parse them.
func primes(rev Revision) bool { return rev >= Revision20251125 }
