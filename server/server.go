package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/panjf2000/ants/v2"

	"github.com/rookery-server/rookery/internal/rpc"
	"github.com/rookery-server/rookery/loop"
	"github.com/rookery-server/rookery/mcp"
	"github.com/rookery-server/rookery/session"
)

// Errors of a server's life.
var (
	// ErrStarted is returned by a second Start.
	ErrStarted = errors.New("server: already started")
	// ErrClosed is returned by Start after Shutdown or Close, and is the cause
	// with which the contexts of handlers end.
	ErrClosed = errors.New("server: closed")
)

// A Server serves JSON-RPC and MCP clients. Its life:
//
//	New → Start → Shutdown or Close
//	New → Run, which is Start and Shutdown
//
// Handlers, tools and resources may be registered at any time. All methods are
// safe for concurrent use.
type Server struct {
	opts     Options
	log      *slog.Logger
	methods  methods
	group    *loop.Group
	pool     *ants.Pool
	mcp      *mcp.Server
	rpc      *rpc.Table
	sessions *session.Table
	events   *session.Events
	metrics  *instruments
	web      *web
	cluster  *clustering  // nil when it is alone
	node     *clusterNode // likewise
	roster   roster
	janitor  *janitor
	admin    *admin // nil when it is off

	base   context.Context // parent of the contexts of all calls
	cancel context.CancelCauseFunc

	// cancels counts cancellations in progress. A call that ends meanwhile is
	// left to the collector, because its flight may be in their hands; one that
	// ends before or after them is not, and is used again.
	cancels atomic.Int32

	// Scratch objects, used between two verdicts or inside one job.
	calls, workers, exchanges, buffers, rpcs sync.Pool

	tcpAddr, httpAddr net.Addr // set by Start

	mu    sync.Mutex
	phase phase         // guarded by mu
	ended chan struct{} // closed when everything has ended
}

// phase is where a server stands in its life; it only grows.
type phase uint8

const (
	phaseNew phase = iota
	phaseRunning
	phaseDraining
	phaseClosed
)

// New returns a server that does nothing yet. It fails when an option is
// impossible. Call Close in the end even if the server is never started: it
// holds descriptors of event loops.
func New(o Options) (*Server, error) {
	if err := o.fill(); err != nil {
		return nil, err
	}
	s := &Server{opts: o, log: o.Logger, ended: make(chan struct{})}
	s.methods.init()
	s.initPools()
	s.base, s.cancel = context.WithCancelCause(context.Background())
	var err error
	s.pool, err = ants.NewPool(s.opts.Workers+s.opts.WaitingMax+s.opts.Tasks.Running, ants.WithNonblocking(true),
		ants.WithPanicHandler(func(v any) { s.panicked("worker", v) }))
	if err != nil {
		return nil, fmt.Errorf("server: worker pool: %w", err)
	}
	if s.group, err = loop.New(s.opts.loopOptions(s.pool)); err != nil {
		s.pool.Release()
		return nil, err
	}
	s.rpc = rpc.NewTable(o.AsksMax)
	s.metrics = newInstruments(s)
	s.web = newWeb(s)
	if err := s.initTables(); err != nil {
		s.group.Close()
		s.pool.Release()
		return nil, err
	}
	s.janitor = newJanitor(s)
	return s, nil
}

// MCP returns what tools, resources and prompts are registered with. It serves
// /mcp of the HTTP listener and MCP's methods on the TCP listener.
func (s *Server) MCP() *mcp.Server { return s.mcp }

// Start binds the listeners and serves them until Shutdown or Close. When a
// listener cannot be bound the server is closed.
func (s *Server) Start() error {
	if err := s.start(); err != nil {
		if !errors.Is(err, ErrStarted) {
			s.Close()
		}
		return err
	}
	s.log.Info("serving", slog.Any("tcp", s.tcpAddr), slog.Any("http", s.httpAddr), slog.Any("admin", s.AdminAddr()),
		slog.String("backend", s.group.Stats().Backend))
	return nil
}

func (s *Server) start() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch s.phase {
	case phaseRunning:
		return ErrStarted
	case phaseDraining, phaseClosed:
		return ErrClosed
	}
	var err error
	ls := &s.opts.Listeners
	if s.opts.TCP != "" || ls.TCP != nil {
		if s.tcpAddr, err = s.listen(s.opts.TCP, ls.TCP, newLines(s)); err != nil {
			return fmt.Errorf("server: listen tcp %s: %w", s.opts.TCP, err)
		}
	}
	if s.opts.HTTP != "" || ls.HTTP != nil {
		if s.httpAddr, err = s.listen(s.opts.HTTP, ls.HTTP, s.web); err != nil {
			return fmt.Errorf("server: listen http %s: %w", s.opts.HTTP, err)
		}
	}
	if s.opts.Admin != "" || ls.Admin != nil {
		if s.admin, err = newAdmin(s, s.opts.Admin); err != nil {
			return fmt.Errorf("server: listen admin %s: %w", s.opts.Admin, err)
		}
	}
	if s.node != nil {
		if err := s.node.start(s.adminAddr()); err != nil {
			return err
		}
	}
	if err := s.group.Start(); err != nil {
		return fmt.Errorf("server: start loops: %w", err)
	}
	s.janitor.start()
	if s.admin != nil {
		s.admin.start()
	}
	s.phase = phaseRunning
	return nil
}

// listen serves f, or addr when there is none.
func (s *Server) listen(addr string, f *os.File, p loop.Protocol) (net.Addr, error) {
	if f != nil {
		return s.group.ListenFile(f, p)
	}
	return s.group.Listen(addr, p)
}

// Run starts the server, serves until ctx ends, then drains it for at most
// Options.DrainTimeout. It returns nil after a complete drain.
func (s *Server) Run(ctx context.Context) error {
	if err := s.Start(); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
	case <-s.ended: // somebody else ended it
		return ErrClosed
	}
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.opts.DrainTimeout)
	defer cancel()
	return s.Shutdown(drain)
}

// Shutdown moves sessions to other nodes of its cluster, for half of the time
// that ctx leaves and at most 30 s, stops accepting, lets requests in flight
// finish, says goodbye on open streams and returns when everything has ended. When ctx ends first, the
// contexts of the handlers that still run are cancelled, connections are closed
// at once and ctx's error is returned. A handler that ignores its context holds
// Shutdown up.
func (s *Server) Shutdown(ctx context.Context) error {
	if !s.enter(phaseDraining) {
		select {
		case <-s.ended:
			return nil
		case <-ctx.Done():
			s.Close()
			return ctx.Err()
		}
	}
	stop := context.AfterFunc(ctx, func() { s.cancel(ErrClosed) })
	defer stop()
	if s.node != nil {
		s.node.drain(ctx, drainMax)
	}
	err := s.group.Shutdown(ctx)
	if s.cluster != nil && err == nil {
		err = s.cluster.foreign.wait(ctx)
	}
	if s.node != nil {
		s.node.leave(ctx)
	}
	s.finish()
	return err
}

// Close ends everything at once: contexts of handlers are cancelled and
// connections closed. It waits for the handlers to return.
func (s *Server) Close() {
	first := s.enter(phaseDraining)
	s.cancel(ErrClosed)
	s.group.Close()
	if first {
		s.finish()
	}
	<-s.ended
}

// enter moves to phase p and reports whether it was this call that did.
func (s *Server) enter(p phase) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.phase >= p {
		return false
	}
	s.phase = p
	return true
}

// finish ends what is left once the loops have ended.
func (s *Server) finish() {
	s.cancel(ErrClosed)
	_ = s.mcp.WaitTasks(context.Background()) // which have just been cancelled
	if s.cluster != nil {
		_ = s.cluster.foreign.wait(context.Background()) // likewise
	}
	if s.node != nil {
		s.node.close()
	}
	s.janitor.stop()
	if s.admin != nil {
		s.admin.stop()
	}
	if err := s.pool.ReleaseTimeout(poolPatience); err != nil {
		s.log.Error("workers are left", slog.Any("error", err))
	}
	if s.opts.MCPBackend != nil {
		s.opts.MCPBackend.Close()
	}
	s.enter(phaseClosed)
	close(s.ended)
}

// poolPatience is how long idle workers get to end.
const poolPatience = 5 * time.Second

// ready reports whether the server takes requests.
func (s *Server) ready() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.phase == phaseRunning
}

// TCPAddr returns the bound address of the JSON-RPC listener, nil when it is
// off or not started.
func (s *Server) TCPAddr() net.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tcpAddr
}

// HTTPAddr returns the bound address of the HTTP listener, nil when it is off
// or not started.
func (s *Server) HTTPAddr() net.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.httpAddr
}

// AdminAddr returns the bound address of the admin listener, nil when it is
// off or not started.
func (s *Server) AdminAddr() net.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.admin == nil {
		return nil
	}
	return s.admin.addr()
}

// adminAddr is AdminAddr for other nodes. The caller holds mu.
func (s *Server) adminAddr() string {
	if s.admin == nil {
		return ""
	}
	return s.admin.addr().String()
}

// Stats is a snapshot of a server; fields are read one by one.
type Stats struct {
	Loop     loop.Stats
	MCP      mcp.Stats
	Events   session.EventsStats
	Clients  int64 // connections open on the JSON-RPC listener
	Sessions int   // MCP sessions
	InFlight int   // calls whose handler runs or waits on a worker
	Asks     int   // questions to clients not answered yet
}

// Stats returns a snapshot.
func (s *Server) Stats() Stats {
	return Stats{
		Loop: s.group.Stats(), MCP: s.mcp.Stats(), Events: s.events.Stats(), Clients: s.roster.open.Load(),
		Sessions: s.sessions.Len(), InFlight: s.rpc.InFlight(), Asks: s.rpc.Asks(),
	}
}

// buildVersion returns the version of the program's main module.
func buildVersion() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}
