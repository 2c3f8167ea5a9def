package server

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"

	"github.com/rookery-server/rookery/codec"
	"github.com/rookery-server/rookery/loop"
)

// ConnID names one connection for ever: after it has closed the id is an error
// ([loop.ErrClosed]), never another client. Zero names none. It is 8 bytes, so
// tables of an embedder may hold very many.
type ConnID = loop.Handle

// ErrParams says that the params of a message are not a JSON object or array.
var ErrParams = errors.New("server: params must be a JSON object or array")

// yieldEvery is how many writes of a fan-out are done before other goroutines
// get the processor.
const yieldEvery = 256

// Notify sends a notification to one client of the TCP listener. params is
// encoded as JSON, which must be an object or array; []byte and
// json.RawMessage are sent as they are, nil sends none. It never blocks. It
// returns loop.ErrClosed when the client is gone and loop.ErrSlow when it does
// not read, in which case it is closed.
func (s *Server) Notify(to ConnID, method string, params any) error {
	if !s.roster.has(to) {
		return loop.ErrClosed
	}
	return s.notify(s.group.Conn(to), method, params)
}

func (s *Server) notify(c loop.Conn, method string, params any) error {
	raw, err := rawParams(params)
	if err != nil {
		return err
	}
	b := s.buffers.Get().(*buffer)
	defer s.putBuffer(b)
	b.b = append(codec.AppendNotification(b.b, method, raw), '\n')
	s.metrics.pushed.Inc()
	return c.Write(b.b)
}

// Broadcast sends a notification to every client of the TCP listener and
// returns to how many it was handed; those who connect meanwhile may be left
// out. It yields to other work every few hundred clients and never waits for
// one of them.
func (s *Server) Broadcast(method string, params any) (int, error) {
	raw, err := rawParams(params)
	if err != nil {
		return 0, err
	}
	line := append(codec.AppendNotification(nil, method, raw), '\n')
	sent, seen := 0, 0
	s.roster.each(func(h ConnID) bool {
		if s.group.Conn(h).Write(line) == nil {
			sent++
		}
		if seen++; seen%yieldEvery == 0 {
			runtime.Gosched()
		}
		return true
	})
	s.metrics.pushed.Add(sent)
	return sent, nil
}

// rawParams encodes params and checks what JSON-RPC allows there.
func rawParams(params any) (raw []byte, err error) {
	switch p := params.(type) {
	case nil:
		return nil, nil
	case []byte:
		raw = p
	case json.RawMessage:
		raw = p
	default:
		if raw, err = codec.Marshal(params); err != nil {
			return nil, fmt.Errorf("server: encode params: %w", err)
		}
	}
	trimmed := bytes.TrimLeft(raw, " \t\r\n")
	if len(trimmed) == 0 || trimmed[0] != '{' && trimmed[0] != '[' || !codec.Valid(raw) {
		return nil, ErrParams
	}
	return raw, nil
}

// buffer is scratch memory for one message.
type buffer struct{ b []byte }

func (s *Server) putBuffer(b *buffer) {
	b.b = b.b[:0]
	if cap(b.b) <= keptBytesMax {
		s.buffers.Put(b)
	}
}
