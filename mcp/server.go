package mcp

import (
	"log/slog"

	"github.com/rookery-server/rookery/internal/rpc"
)

// StreamID names a connection that can carry an open response; 0 is none. Its
// top bit is clear.
type StreamID uint64

// Host writes to connections. Its methods are safe from any goroutine and
// never block.
type Host interface {
	// Send writes p, or keeps a copy of it; the error says that the client is
	// gone or too slow.
	Send(to StreamID, p []byte) error
	// End closes the connection after what was sent.
	End(to StreamID)
}

// Options configures a Server; the zero value of a field means its default.
type Options struct {
	Name, Version, Title, Instructions string

	Logger   *slog.Logger // slog.Default
	Host     Host         // required
	Sessions Sessions     // required
	Calls    *rpc.Table   // required

	// Intern turns a client's name and version into a number, at most so many
	// distinct ones; 0 is "other". nil: clients are not told apart.
	Intern func(client string) uint32
	// ClientName is the inverse of Intern.
	ClientName func(n uint32) string

	PageSize         int      // entries in one page of a list; 100
	AllowedOrigins   []string // besides loopback ones; "*" allows all
	SubscriptionsMax int      // per session or stream; 256
}

// Server answers MCP requests.
type Server struct{ o Options }

// New returns a Server.
func New(o Options) *Server { return &Server{o: o} }

// SessionEnded says that the session table dropped a session by itself (idle
// timeout): its calls, questions, subscriptions and stream end. mcp calls it
// itself where it deletes a session.
func (s *Server) SessionEnded(ref uint64, last Session) {}

// ResourceUpdated tells the subscribers of uri that it changed and returns to how many.
func (s *Server) ResourceUpdated(uri string) (delivered int) { return 0 }

// Stats counts what happened since the start.
type Stats struct{ Requests uint64 }

// Stats returns the counters.
func (s *Server) Stats() Stats { return Stats{} }
