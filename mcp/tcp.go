package mcp

import "github.com/rookery-server/rookery/codec"

// RPC is one message of a client that speaks newline-delimited JSON-RPC.
type RPC struct {
	Stream  StreamID       // the connection
	Msg     []byte         // one message without its newline, no batch
	Env     codec.Envelope // of Msg, from codec.ParseEnvelope
	Session uint64         // in and out: the connection's session, 0 before initialize
	Out     []byte         // replies are appended, each with its newline
	Worker  Worker         // nil on the loop
}

// Knows reports whether method is one of MCP's and whether it may run on the loop.
func (s *Server) Knows(method []byte) (known, inline bool) { return false, false }

// ServeRPC serves one message.
func (s *Server) ServeRPC(x *RPC) {}

// ConnClosed says that a TCP connection is gone: its calls are cancelled, its
// session (0 if none) and subscriptions end.
func (s *Server) ConnClosed(st StreamID, session uint64) {}
