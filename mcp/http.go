package mcp

import "github.com/rookery-server/rookery/codec"

// Where says on which goroutine a request is to be served.
type Where uint8

// The answers of Plan.
const (
	OnLoop   Where = iota // ServeHTTP does not block: call it on the loop
	OnWorker              // a handler of the user's runs: call it on a worker
)

// Worker is the goroutine a handler runs on.
type Worker interface {
	// Leave takes the handler out of the count of workers because it will
	// wait; with release, later messages of the connection run meanwhile.
	Leave(release bool) error
	Return()
	// Flush writes out now, behind the earlier replies of the connection, and
	// returns it emptied. The error says that the client is gone.
	Flush(out []byte) ([]byte, error)
}

// Exchange is one HTTP request and its response.
type Exchange struct {
	Stream StreamID       // the connection
	Req    *codec.Request // spans into Msg
	Msg    []byte         // the whole request; valid until ServeHTTP returns
	Env    codec.Envelope // set by Plan; spans into the body
	Out    []byte         // the response is appended; earlier replies of the connection may stand in front
	Hold   bool           // out: the response stays open as a stream
	Close  bool           // out: the connection is to be closed after Out
	Word   uint64         // out: goes to StreamClosed, AppendKeepAlive, AppendGoodbye
	Worker Worker         // nil on the loop

	plan plan
}

type plan struct{}

// Plan parses the body once and says where the request is to be served. It
// does not block. Its result travels in x: hand the same Exchange (or a copy
// with the same bytes in Msg) to ServeHTTP.
func (s *Server) Plan(x *Exchange) Where { return OnLoop }

// ServeHTTP serves one request.
func (s *Server) ServeHTTP(x *Exchange) {}

// StreamClosed says that a connection is gone; word is the one of its last
// Exchange, 0 if none was held. Call it for every HTTP connection that closes:
// it ends the calls that the revision ties to their connection.
func (s *Server) StreamClosed(st StreamID, word uint64) {}

// AppendKeepAlive appends what keeps the held stream alive.
func (s *Server) AppendKeepAlive(dst []byte, word uint64) []byte { return dst }

// AppendGoodbye appends the graceful end of the held stream.
func (s *Server) AppendGoodbye(dst []byte, word uint64) []byte { return dst }
