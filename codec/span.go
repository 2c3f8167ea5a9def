package codec

// Span names a part of a message by offset and length, in bytes. It holds no
// pointer, so a Span can travel through queues and slabs at no cost to the
// collector; it means something only together with the message it was made
// from. Len 0 says absent (or empty). The zero Span is absent.
type Span struct{ Off, Len uint32 }

// Of returns the bytes s names in b: a part of b, not a copy. It panics when b
// is not the message s was made from and too short for it. The capacity ends
// with the span, so that an append to the result never writes into b.
func (s Span) Of(b []byte) []byte {
	return b[s.Off : s.Off+s.Len : s.Off+s.Len]
}
