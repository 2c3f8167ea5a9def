package server

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"runtime"
	"slices"
	"time"

	"github.com/rookery-server/rookery/cluster"
	"github.com/rookery-server/rookery/codec"
	"github.com/rookery-server/rookery/loop"
	"github.com/rookery-server/rookery/mcp"
)

// Options configure a Server. The zero value serves nothing but is valid: set
// the addresses that are wanted. Defaults stand beside the fields; sizes are
// bytes.
type Options struct {
	// TCP, HTTP and Admin are the addresses to listen on ("host:port", port 0
	// for any free one; TCP and HTTP also "unix:/path"). An empty address
	// turns that listener off. An Admin address without a host means loopback.
	TCP, HTTP, Admin string
	// Listeners are sockets that are bound already; they take the place of the
	// addresses.
	Listeners Listeners

	// Name, Version, Title and Instructions introduce the server to MCP
	// clients. Default: "rookery", the version of the main module. Description,
	// WebsiteURL and Icons are for people.
	Name, Version, Title, Instructions string
	Description, WebsiteURL            string
	Icons                              []mcp.Icon
	// AllowedOrigins are browser origins that may call /mcp besides those of
	// loopback; "*" allows all.
	AllowedOrigins []string
	// PageSize bounds one page of an MCP list. Default: 100.
	PageSize int
	// ListCache says how long MCP lists are good. Default: stale at once.
	ListCache mcp.CacheHint
	// StateKey authenticates what clients without a session carry from one
	// round of a call to the next: at least 32 random bytes, the same for all
	// servers behind one address. Default: drawn, good until the server ends.
	StateKey []byte
	// SubscriptionsMax bounds the subscriptions of one session. Default: 256.
	SubscriptionsMax int
	// Tasks bounds calls of tools that run as tasks; Run is the server's own.
	// Default: see [mcp.TaskOptions].
	Tasks mcp.TaskOptions
	// Middleware wraps the handling of every MCP request, the first outermost.
	Middleware []func(mcp.Handler) mcp.Handler
	// MCPBackend answers MCP clients in the place of what is registered with
	// Server.MCP: see mcp/gosdk. It belongs to one server, which closes it. With
	// it /mcp is served over HTTP only, and Name to Instructions are unused.
	MCPBackend mcp.Backend

	// Logger receives what an operator should know. Default: slog.Default().
	Logger *slog.Logger

	// Workers is how many handlers run at a time. Default: 64 × GOMAXPROCS.
	Workers int
	// WaitingMax bounds handlers that wait for a client outside the count of
	// Workers. Default: 65,536.
	WaitingMax int
	// AsksMax bounds questions to clients that are not answered yet. Default: 65,536.
	AsksMax int
	// AskTimeout bounds how long a handler waits for a client's answer, and how
	// long a client without a session may take to call again with one. Default:
	// 10 min.
	AskTimeout time.Duration
	// RequestDeadline is how long a request may wait for a worker before it is
	// answered with "overloaded" instead. Negative: for ever. Default: 10 s.
	RequestDeadline time.Duration

	// MessageMax bounds one JSON-RPC line and one HTTP body. Default: 16 MiB.
	MessageMax int
	// BatchMax bounds the messages of one batch. Default: 100.
	BatchMax int
	// DepthMax bounds the nesting of JSON. Default: 64.
	DepthMax int

	// SessionsMax bounds MCP sessions. Default: 1,048,576.
	SessionsMax int
	// SessionIdle ends an MCP session that has no open stream and was not used
	// for so long. Negative: never. Default: 30 min.
	SessionIdle time.Duration
	// Events bounds what is kept for clients that come back.
	Events EventLimits

	// DrainTimeout is how long Run lets requests in flight finish when its
	// context ends. Default: 10 s.
	DrainTimeout time.Duration

	// Cluster makes the server one of several with the same sessions; nil: it is
	// alone.
	Cluster *ClusterOptions
	connect func(cluster.Store) (core, error) // for tests: in the place of Cluster

	// Loop tunes the event loops. Its Logger, Pool, Workers, WaitingMax and
	// MessageMax are set from the fields above.
	Loop loop.Options
}

// Listeners are sockets that others have bound: a supervisor whose processes
// share them, or a service manager.
type Listeners struct {
	// TCP and HTTP come from [Bind], here or in the process they are inherited
	// from. Start duplicates them; they remain the caller's.
	TCP, HTTP *os.File
	// Admin belongs to the server once it is started.
	Admin net.Listener
}

// Bind opens a listening socket for Listeners; addr as for Options.TCP, which
// becomes the file's name. The caller owns the file, and the path of a unix
// socket.
func Bind(addr string) (*os.File, error) { return loop.Bind(addr) }

// EventLimits bounds the events kept for clients of MCP sessions, who can take
// up a stream that broke with Last-Event-ID. What is beyond a bound goes, the
// oldest first; a client that would need it is told to begin anew. Zero fields
// mean the defaults.
type EventLimits struct {
	Count  int           // events of a session; negative: nothing is kept. Default: 256
	Bytes  int           // bytes of messages of a session, in a cluster at most 8 MiB. Default: 256 KiB
	Age    time.Duration // of an event. Default: 5 min
	Budget int64         // memory of the events of all sessions, in bytes. Default: 64 MiB
}

// clusterEventsBytes bounds Events.Bytes in a cluster, where a session goes to
// other processes with its events as one message, of at most 16 MiB.
const clusterEventsBytes = 8 << 20

// Defaults that other fields do not compute.
const (
	waitingMax      = 1 << 16
	sessionsMax     = 1 << 20
	tasksRunning    = 1 << 10
	requestDeadline = 10 * time.Second
	sessionIdle     = 30 * time.Minute
	drainTimeout    = 10 * time.Second
	askTimeout      = 10 * time.Minute
	keepAlive       = 25 * time.Second
	stateKeyMin     = 32 // bytes: as many as the authenticator has

	// loopsMax keeps the top bit of a handle clear: ids of connections and of
	// sessions are told apart by it. One more loop number is not any loop's: see
	// remoteLoop.
	loopsMax = 127
)

// fill sets defaults and names the first impossible option.
func (o *Options) fill() error {
	setInt(&o.Workers, 64*runtime.GOMAXPROCS(0))
	setInt(&o.WaitingMax, waitingMax)
	setInt(&o.AsksMax, waitingMax)
	setInt(&o.MessageMax, codec.LineBytesMax)
	setInt(&o.BatchMax, codec.BatchMax)
	setInt(&o.DepthMax, codec.DepthMax)
	setInt(&o.SessionsMax, sessionsMax)
	setInt(&o.Tasks.Running, tasksRunning)
	setDuration(&o.RequestDeadline, requestDeadline)
	setDuration(&o.SessionIdle, sessionIdle)
	setDuration(&o.DrainTimeout, drainTimeout)
	setDuration(&o.AskTimeout, askTimeout)
	setDuration(&o.Loop.KeepAlive, keepAlive) // as loop has it: calls that stream are kept alive as often
	if o.Cluster != nil {
		c := *o.Cluster
		o.Cluster = &c
		if err := c.fill(); err != nil {
			return err
		}
		if o.StateKey == nil && c.Keys != nil {
			o.StateKey = c.Keys.State()
		}
	}
	if o.Name == "" {
		o.Name = "rookery"
	}
	if o.Version == "" {
		o.Version = buildVersion()
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return o.check()
}

func (o *Options) check() error {
	var errs []error
	if o.MCPBackend != nil {
		errs = append(errs, o.MCPBackend.Err())
	}
	for _, c := range []struct {
		value int
		name  string
	}{
		{o.Workers, "Workers"}, {o.WaitingMax, "WaitingMax"}, {o.AsksMax, "AsksMax"},
		{o.MessageMax, "MessageMax"}, {o.BatchMax, "BatchMax"}, {o.DepthMax, "DepthMax"},
		{o.SessionsMax, "SessionsMax"}, {o.Tasks.Running, "Tasks.Running"},
	} {
		if c.value < 0 {
			errs = append(errs, fmt.Errorf("server: %s must be positive", c.name))
		}
	}
	if o.MessageMax > 1<<30 {
		errs = append(errs, errors.New("server: MessageMax must not exceed 1 GiB"))
	}
	if o.DrainTimeout < 0 || o.AskTimeout < 0 {
		errs = append(errs, errors.New("server: DrainTimeout and AskTimeout must not be negative"))
	}
	if n := len(o.StateKey); n > 0 && n < stateKeyMin {
		errs = append(errs, fmt.Errorf("server: StateKey must have at least %d bytes", stateKeyMin))
	}
	if slices.ContainsFunc(o.Icons, func(i mcp.Icon) bool { return i.Src == "" }) {
		errs = append(errs, errors.New("server: an icon needs Src"))
	}
	if o.Loop.Loops > loopsMax {
		errs = append(errs, fmt.Errorf("server: Loop.Loops must not exceed %d", loopsMax))
	}
	if e := &o.Events; e.Bytes < 0 || e.Age < 0 || e.Budget < 0 {
		errs = append(errs, errors.New("server: Events.Bytes, Age and Budget must not be negative"))
	}
	if o.Cluster != nil && o.Events.Bytes > clusterEventsBytes {
		errs = append(errs, errors.New("server: Events.Bytes must not exceed 8 MiB in a cluster"))
	}
	return errors.Join(errs...)
}

// loopOptions returns o.Loop with what follows from the other fields.
func (o *Options) loopOptions(p loop.Pool) loop.Options {
	l := o.Loop
	l.Logger, l.Pool = o.Logger, p
	l.Workers, l.WaitingMax = o.Workers, o.WaitingMax
	l.MessageMax = max(o.MessageMax+len("\r\n"), (&codec.HTTPLimits{Body: o.MessageMax}).Message())
	setInt(&l.Loops, min(max(1, runtime.GOMAXPROCS(0)/2), loopsMax)) // as loop has it, with our maximum
	return l
}

func setInt(p *int, value int) {
	if *p == 0 {
		*p = value
	}
}

func setDuration(p *time.Duration, value time.Duration) {
	if *p == 0 {
		*p = value
	}
}
