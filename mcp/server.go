package mcp

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rookery-server/rookery/codec"
	"github.com/rookery-server/rookery/internal/rpc"
)

// StreamID names a connection that can carry an open response; 0 is none. Its
// top bit is clear.
type StreamID uint64

// Host writes to connections. Its methods are safe from any goroutine, never
// block and never call into this package before they return.
type Host interface {
	// Send writes p, or keeps a copy of it, behind everything written before;
	// the error says that the client is gone or too slow.
	Send(to StreamID, p []byte) error
	// End closes the connection after what was sent.
	End(to StreamID)
}

// Options configures a Server. The zero value of a field means its default;
// Host, Sessions and Calls are required.
type Options struct {
	// Name and Version tell clients who serves them ("rookery", "0"); Title is
	// for people, Instructions for the model that uses the server.
	Name, Version, Title, Instructions string
	Description, WebsiteURL            string
	Icons                              []Icon

	Logger   *slog.Logger // slog.Default
	Host     Host
	Sessions Sessions
	Calls    *rpc.Table
	// Context is the parent of every handler's; context.Background.
	Context context.Context

	// Events keeps what clients of sessions may have missed, so that a stream
	// can be taken up again with Last-Event-ID. nil: nothing is kept, events
	// have no ids, and what happens while a client is away is lost.
	Events Events

	// Replicas is the cluster that the server belongs to, nil: it is alone. Its
	// Events must know Origins then.
	Replicas Replicas
	// Fetch brings a session home that a TCP client wants to take up again and
	// returns its reference, 0 if there is no such session. It may block until
	// ctx is done. An error is a *codec.Error for the client, or says that the
	// session cannot be had now. nil: sessions are here or nowhere.
	Fetch func(ctx context.Context, id [16]byte) (ref uint64, err error)

	// Copied returns when a session that has just begun would survive this
	// process, or when that has taken too long: initialize is answered then. It may
	// block until ctx is done. nil: at once.
	Copied func(ctx context.Context, ref uint64)

	// Intern turns a client's name and version, "name/version", into a number,
	// with at most so many distinct ones; 0 is "other". nil: clients of sessions
	// are not told apart.
	Intern func(client string) uint32
	// ClientName is the inverse of Intern.
	ClientName func(n uint32) string

	// Lapsed reports that this process did not run for so long that others may
	// have taken its sessions over. Until Fence nothing is written to their
	// streams; what comes for them is kept. nil: never.
	Lapsed func() bool

	// Doubt reports that sessions may have a newer home of which this process
	// has not heard yet. What looks lost by a client's last event id is then
	// refused for a while only. nil: never.
	Doubt func() bool
	// Gathering reports whether an event of that number, which the log of a session
	// that was taken over lacks, may still come: from another copy, or from a home
	// that was away. Its client is asked to come again then. nil: never.
	Gathering func(ref uint64, seq uint32) bool

	// Tasks configures tools that run as tasks; without Tasks.Run there are none.
	Tasks TaskOptions

	Limits           codec.Limits // of JSON in HTTP bodies; the codec's defaults
	PageSize         int          // entries in one page of a list; 100
	SubscriptionsMax int          // per session or listen stream; 256
	// AskTimeout is how long a handler waits for an answer and, in the era
	// without sessions, how long an answer may take to come back; 10 minutes.
	AskTimeout time.Duration
	// StateKey authenticates what clients of the era without sessions carry
	// from one round of a call to the next (SEP-2322): 32 random bytes that all
	// servers of a cluster share. nil: drawn, good until the server ends.
	StateKey []byte
	// ListCache says how long lists and server/discover are good.
	ListCache CacheHint
	// AllowedOrigins lists the browser origins that may call besides loopback
	// ones, as "https://host[:port]"; "*" allows all.
	AllowedOrigins []string
	// Middleware wraps the handling of every request, the first outermost.
	Middleware []func(next Handler) Handler
	// Backend answers in the place of what is registered, nil: nobody does. It
	// is served over HTTP only.
	Backend Backend
}

// Handler handles one request. It leaves the result in the call
// ([Call.SetResult]) or returns an error: a *codec.Error goes to the client as
// it is, any other as an internal error with its text. Requests that do not
// run user code are handled on an event loop: a Handler must not block unless
// [Call.OnWorker] is true.
type Handler func(ctx context.Context, c *Call) error

// Server answers MCP requests. It is safe for concurrent use.
type Server struct {
	o        Options // immutable
	handle   Handler // immutable; the middleware around the methods
	info     []byte  // immutable; {"name":…} for clients
	tail     []byte  // immutable; what a modern result begins with
	states   states  // immutable
	listHint []byte  // immutable; Options.ListCache as members
	origins  map[string]struct{}

	mu  sync.Mutex // serialises writers of reg
	reg atomic.Pointer[registry]

	subs    subscriptions
	tasks   taskStore
	opening [openingLocks]sync.Mutex // see opening.go

	deliveries [deliveryLocks]sync.Mutex // see delivery.go
	held       heldStreams
	unsent     unsent
	former     former
	silent     heldStreams // of sessions that Demote made copies
	posts      posts
	beating    beating
	scratch    sync.Pool // of *buffer
	count      counters
}

const (
	pageSizeDefault         = 100
	subscriptionsMaxDefault = 256
	askTimeoutDefault       = 10 * time.Minute
)

// New returns a Server. It starts no goroutine and needs no closing. It panics
// if a required option is missing or Icons have no Src, which are mistakes in
// the program.
func New(o Options) *Server {
	if o.Host == nil || o.Sessions == nil || o.Calls == nil {
		panic(errors.New("mcp: Options.Host, Sessions and Calls are required"))
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Context == nil {
		o.Context = context.Background()
	}
	if o.Name == "" {
		o.Name = "rookery"
	}
	if o.Version == "" {
		o.Version = "0"
	}
	o.PageSize = positive(o.PageSize, pageSizeDefault)
	o.SubscriptionsMax = positive(o.SubscriptionsMax, subscriptionsMaxDefault)
	if o.AskTimeout <= 0 {
		o.AskTimeout = askTimeoutDefault
	}
	o.Tasks.fill()
	s := &Server{o: o}
	s.tasks.o = o.Tasks
	var err error
	if s.info, err = appendImplementation(nil, &o); err != nil {
		panic(err)
	}
	s.states = newStates(o.StateKey, o.AskTimeout)
	s.listHint = o.ListCache.members()
	s.tail = append(s.tail, `"resultType":"complete","_meta":{"`+metaServerInfo+`":`...)
	s.tail = append(append(s.tail, s.info...), '}')
	s.origins = make(map[string]struct{}, len(o.AllowedOrigins))
	for _, origin := range o.AllowedOrigins {
		s.origins[origin] = struct{}{}
	}
	s.reg.Store(new(registry))
	s.scratch.New = func() any { return new(buffer) }
	if o.Replicas != nil {
		s.subs.changed = o.Replicas.Subscribed
	}
	s.handle = serveMethod
	for i := len(o.Middleware) - 1; i >= 0; i-- {
		s.handle = o.Middleware[i](s.handle)
	}
	if o.Backend != nil {
		if err := o.Backend.Err(); err != nil {
			panic(err)
		}
		s.subs.vanished = o.Backend.Unwatched
		if err := o.Backend.Attach(s); err != nil {
			o.Logger.Warn("mcp: attach the backend", "error", err)
		}
	}
	return s
}

func positive(n, otherwise int) int {
	if n <= 0 {
		return otherwise
	}
	return n
}

// buffer is scratch memory for one reply.
type buffer struct{ b []byte }

// bufferKeepMax bounds what one idle scratch buffer may hold: a rare large
// reply must not stay in the pool, which drops only what a collection finds
// unused.
const bufferKeepMax = 64 << 10

func (s *Server) getBuffer() *buffer { return s.scratch.Get().(*buffer) }

func (s *Server) putBuffer(b *buffer) {
	if cap(b.b) <= bufferKeepMax {
		b.b = b.b[:0]
		s.scratch.Put(b)
	}
}
