package mcp

// Kind returns what Flags say of the session and not of its streams. It is a
// part of the session's state in other processes.
func (sess *Session) Kind() uint8 { return sess.Flags & kindFlags }

// SetKind replaces what Kind returns.
func (sess *Session) SetKind(kind uint8) { sess.Flags = sess.Flags&^kindFlags | kind&kindFlags }
