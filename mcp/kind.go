package mcp

// Kind returns what Flags say of the session and not of its streams. It is a
// part of the session's state in other processes.
func (s *Session) Kind() uint8 { return s.Flags & kindFlags }

// SetKind replaces what Kind returns.
func (s *Session) SetKind(kind uint8) { s.Flags = s.Flags&^kindFlags | kind&kindFlags }
