package server

import (
	"encoding/binary"
	"time"
	"unsafe"

	"github.com/rookery-server/rookery/codec"
	"github.com/rookery-server/rookery/mcp"
)

// A record is what waits for a worker: one message and what is known of it, so
// that nothing is parsed twice.
//
//	kind     1 byte
//	index    4 bytes  registered method, little endian (recordCall only)
//	spans    codec.Envelope (recordCall, recordMCP), or webSpans (recordHTTP), as it lies in memory
//	message  the rest; spans count from its first byte
//
// Records never leave the process, so the spans, 22 of them in a request of
// HTTP, are copied as memory rather than encoded one by one.
type recordKind uint8

const (
	recordCall  recordKind = iota + 1 // JSON-RPC, a registered method
	recordMCP                         // JSON-RPC, a method of MCP's
	recordBatch                       // JSON-RPC, an array
	recordHTTP                        // a request to the MCP endpoint
	recordReply                       // a response that only waits for its turn
	recordLast                        // the same, and the connection closes behind it
	recordSent                        // a request that was forwarded ahead of its turn: token (8 bytes, little endian), then as recordHTTP
)

// appendPlain appends the memory of v.
//
// REQUIRES: T holds no pointer (a test looks) and no padding that matters.
func appendPlain[T any](dst []byte, v *T) []byte {
	return append(dst, unsafe.Slice((*byte)(unsafe.Pointer(v)), unsafe.Sizeof(*v))...)
}

// loadPlain fills v with what appendPlain appended and returns what lies behind.
func loadPlain[T any](v *T, src []byte) []byte {
	n := copy(unsafe.Slice((*byte)(unsafe.Pointer(v)), unsafe.Sizeof(*v)), src)
	return src[n:]
}

func appendCallRecord(dst []byte, m *method, msg []byte, env *codec.Envelope) []byte {
	dst = append(dst, byte(recordCall))
	dst = binary.LittleEndian.AppendUint32(dst, m.index)
	return append(appendPlain(dst, env), msg...)
}

func loadCallRecord(rec []byte, env *codec.Envelope) (index uint32, msg []byte) {
	return binary.LittleEndian.Uint32(rec[1:]), loadPlain(env, rec[5:])
}

// webSpans is what a record knows of an HTTP request.
type webSpans struct {
	req codec.Request
	env codec.Envelope
}

func appendWebRecord(dst []byte, x *mcp.Exchange) []byte {
	spans := webSpans{*x.Req, x.Env}
	return append(appendPlain(append(dst, byte(recordHTTP)), &spans), x.Msg...)
}

// load makes of a record what Step had.
func (e *exchange) load(st mcp.StreamID, rec []byte) *mcp.Exchange {
	var spans webSpans
	msg := loadPlain(&spans, rec[1:])
	e.req = spans.req
	e.x = mcp.Exchange{Stream: st, Req: &e.req, Env: spans.env, Msg: msg}
	return &e.x
}

// late reports whether a record waited longer than it may.
func (s *Server) late(wait time.Duration) bool {
	return s.opts.RequestDeadline > 0 && wait > s.opts.RequestDeadline
}
