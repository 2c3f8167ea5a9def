package mcp

// Kind returns what Flags say of the session and not of its streams. It is a
// part of the session's state in other processes.
func (s *Session) Kind() uint8 { return s.Flags & kindFlags }

// SetKind replaces what Kind returns.
func (s *Session) SetKind(kind uint8) { s.Flags = s.Flags&^kindFlags | kind&kindFlags }

// AppendMoved appends the end of the session's GET stream, whose client shall
// come back and find it elsewhere. It takes no lock, so f of HandOver may call
// it.
func (s *Session) AppendMoved(dst []byte) []byte {
	if s.Flags&flagTCP != 0 {
		return dst
	}
	chunked := s.Flags&flagPlain == 0
	return appendEnd(appendRetry(dst, chunked, moveRetry), chunked)
}
