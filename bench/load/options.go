package load

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Protocol is what clients speak.
type Protocol string

// Protocols.
const (
	// JSONRPC is newline-delimited JSON-RPC 2.0 over TCP.
	JSONRPC Protocol = "jsonrpc"
	// Sessions is MCP 2025-11-25 over Streamable HTTP: each client initializes
	// a session and holds its GET stream; POSTs share pooled keep-alive
	// connections, as behind a gateway.
	Sessions Protocol = "mcp-2025-11-25"
	// Stateless is MCP 2026-07-28: each client holds a subscriptions/listen
	// stream; calls carry version and capabilities themselves.
	Stateless Protocol = "mcp-2026-07-28"
)

// Protocols lists all protocols.
var Protocols = []Protocol{JSONRPC, Sessions, Stateless}

// LateAfter is the delay behind its due time from which a call counts as late.
const LateAfter = time.Millisecond

// Defaults of Options.
const (
	DefaultRamp      = 5000 // connections a second
	DefaultTimeout   = 10 * time.Second
	DefaultDropAfter = time.Second
	DefaultTick      = 500 * time.Microsecond
	DefaultPool      = 64
	DefaultRetry     = 100 * time.Millisecond
	DefaultRetryMax  = 5 * time.Second
	DefaultURI       = "demo://item/load"
)

// Options describe clients and what they do. The zero value of a field that has
// a default means that default.
type Options struct {
	// Targets are where clients connect, round robin. At least one.
	Targets  []Target `json:"targets"`
	Protocol Protocol `json:"protocol"`
	// Clients is the most that will be open at a time. [Run] opens them all.
	Clients int `json:"clients"`
	// Ramp is how many clients [Run] opens a second; 0: DefaultRamp.
	Ramp float64 `json:"ramp"`

	// Rate is how many calls and notifications are due a second over all
	// clients in [Run]; 0: none.
	Rate float64 `json:"rate"`
	// Poisson makes the times between due calls random (exponential).
	Poisson bool `json:"poisson,omitempty"`
	// Burst is how many calls one client makes when its turn comes; 0: 1.
	Burst int `json:"burst,omitempty"`
	// Think is the time between the calls of a burst: each is due so long after
	// the one before. 0: all at once, pipelined on one TCP connection.
	Think time.Duration `json:"think_ns,omitempty"`
	// Idle is the share of clients (0 to 1) that never call.
	Idle float64 `json:"idle,omitempty"`
	// Notify is the share of due messages (0 to 1) that are notifications to
	// the server instead of calls. JSON-RPC does not answer them; HTTP says 202.
	Notify float64 `json:"notify,omitempty"`

	// Method is called over JSONRPC; "": echo. Other methods are called with
	// the same params, and any result is taken as good.
	Method string `json:"method,omitempty"`
	// Tool is called over MCP; "": echo, whose result must be its text.
	Tool string `json:"tool,omitempty"`
	// Args are the arguments of Tool. Without them the tool gets
	// {"text": ...} with a text of Size; with them any result is taken as good
	// that is no error.
	Args json.RawMessage `json:"args,omitempty"`
	// Size is the length of texts; zero: DefaultSize.
	Size Size `json:"size"`

	// Warmup is served by [Run] before it measures, Duration while it does.
	Warmup   time.Duration `json:"warmup_ns,omitempty"`
	Duration time.Duration `json:"duration_ns,omitempty"`
	// Timeout bounds a call and a handshake; 0: DefaultTimeout.
	Timeout time.Duration `json:"timeout_ns"`
	// DropAfter is how long a due call waits for a client, or for a generator
	// that has no time; 0: DefaultDropAfter.
	DropAfter time.Duration `json:"drop_after_ns"`
	// Tick is how long the generator sleeps at least once it has made the calls
	// that were due; 0: DefaultTick. Calls due meanwhile are made together and up
	// to that much late, which counts into the corrected latency. Where the
	// generator shares its processors with the server, a longer one leaves more
	// of them to it.
	Tick time.Duration `json:"tick_ns"`

	// Workload is what [Run] does; "": Steady.
	Workload Workload `json:"workload,omitempty"`
	// Publish is how many numbered events [Run] publishes a second.
	Publish float64 `json:"publish,omitempty"`
	// URI is the resource that listen streams subscribe to; "": DefaultURI.
	URI string `json:"uri,omitempty"`

	// RetryMin and RetryMax bound the backoff of a client that lost its
	// connection; 0: DefaultRetry, DefaultRetryMax.
	RetryMin time.Duration `json:"retry_min_ns,omitempty"`
	RetryMax time.Duration `json:"retry_max_ns,omitempty"`

	// Pool is how many keep-alive connections carry POSTs, for each process and
	// target; 0: DefaultPool.
	Pool int `json:"pool,omitempty"`
	// Spread sends each POST to the next target instead of the one that has
	// the client's stream, as a gateway without affinity does.
	Spread bool `json:"spread,omitempty"`
	// NoStream is for servers that offer no stream: MCP clients hold none.
	NoStream bool `json:"no_stream,omitempty"`

	// AllowRemote permits targets that are not loopback addresses.
	AllowRemote bool `json:"allow_remote,omitempty"`
	// Processes hold the clients; 0: as few as the descriptor limit permits.
	Processes int `json:"processes"`
	// Seed makes schedules and sizes repeat; 0: 1.
	Seed uint64 `json:"seed"`

	// Self is the command line under which this program runs [Work];
	// nil: this executable with the arguments "load", "worker".
	Self []string `json:"-"`
	// Progress is called with each second of the run, in order, by one
	// goroutine at a time; nil: nobody is told. It must not block for long.
	Progress func(Second) `json:"-"`
}

// filled returns o with defaults in place of zeros.
func (o Options) filled() Options {
	set(&o.Ramp, DefaultRamp)
	set(&o.Burst, 1)
	set(&o.Timeout, DefaultTimeout)
	set(&o.DropAfter, DefaultDropAfter)
	set(&o.Tick, min(DefaultTick, o.DropAfter))
	set(&o.Pool, DefaultPool)
	set(&o.RetryMin, DefaultRetry)
	set(&o.RetryMax, max(DefaultRetryMax, o.RetryMin))
	set(&o.URI, DefaultURI)
	set(&o.Method, echo)
	set(&o.Tool, echo)
	set(&o.Workload, Steady)
	set(&o.Seed, 1)
	if o.Size.empty() {
		o.Size = DefaultSize
	}
	return o
}

// echo is the name of the method, and of the tool, that returns what it gets.
const echo = "echo"

func set[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// ErrOptions is wrapped by errors about options that make no sense.
var ErrOptions = errors.New("load: options")

func (o *Options) check() error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("%w: %s", ErrOptions, fmt.Sprintf(format, args...))
	}
	switch {
	case !slices.Contains(Protocols, o.Protocol):
		return bad("protocol %q is none of %v", o.Protocol, Protocols)
	case len(o.Targets) == 0 || len(o.Targets) > targetsMax:
		return bad("%d targets; give 1 to %d", len(o.Targets), targetsMax)
	case o.Clients < 1 || o.Clients > clientsMax:
		return bad("%d clients; give 1 to %d", o.Clients, clientsMax)
	case o.Ramp <= 0 || !rates(o.Ramp, o.Rate, o.Publish):
		return bad("rates lie between 0 and %d a second, and the ramp is not 0", rateMax)
	case !shares(o.Idle, o.Notify):
		return bad("shares lie between 0 and 1")
	case o.Burst < 1 || o.Burst > burstMax:
		return bad("a burst of %d; give 1 to %d", o.Burst, burstMax)
	case min(o.Think, o.Warmup, o.Duration, o.Timeout, o.DropAfter, o.Tick, o.RetryMin, o.RetryMax) < 0:
		return bad("times cannot be negative")
	case o.Tick > min(tickMost, o.DropAfter):
		return bad("a tick of %v; give at most %v, so that nothing is dropped because the generator sleeps", o.Tick, min(tickMost, o.DropAfter))
	case o.RetryMax < o.RetryMin:
		return bad("the longest retry %v is shorter than the shortest %v", o.RetryMax, o.RetryMin)
	case o.Pool < 1 || o.Pool > poolMax:
		return bad("a pool of %d; give 1 to %d", o.Pool, poolMax)
	case o.Processes < 0 || o.Processes > processesMax:
		return bad("%d processes; give 1 to %d, or 0 for as few as will do", o.Processes, processesMax)
	case !slices.Contains(Workloads, o.Workload):
		return bad("workload %q is none of %v", o.Workload, Workloads)
	case o.Args != nil && !json.Valid(o.Args):
		return bad("the arguments %q are no JSON", o.Args)
	case o.NoStream && o.Protocol == JSONRPC:
		return bad("clients without a stream are for MCP")
	}
	for _, t := range o.Targets {
		if err := t.check(o.AllowRemote); err != nil {
			return bad("%v", err)
		}
	}
	return o.Size.check()
}

// rates and shares report whether all of list may be one; what is no number may
// not.
func rates(list ...float64) bool  { return within(list, rateMax) }
func shares(list ...float64) bool { return within(list, 1) }

func within(list []float64, most float64) bool {
	return !slices.ContainsFunc(list, func(v float64) bool { return !(v >= 0 && v <= most) })
}

// Bounds of options: beyond them numbers are mistakes, or would overflow.
const (
	targetsMax   = 1 << 10
	tickMost     = 100 * time.Millisecond // longer than that nothing sleeps
	clientsMax   = 1 << 24
	rateMax      = 1 << 24
	burstMax     = 64
	poolMax      = 1 << 12
	processesMax = 1 << 10
)

// Workload is what [Run] does with clients once they are open.
type Workload string

// Workloads.
const (
	// Steady keeps Rate.
	Steady Workload = "steady"
	// Idle sends nothing: clients hold their connections.
	Idle Workload = "idle"
	// Day is the day of an agent fleet, scaled to Duration: bursts of calls
	// with time to think between them, quiet at night, peaks in the morning
	// and the afternoon, and three waves in which many clients reconnect.
	// Rate is the mean of the day.
	Day Workload = "day"
)

// Workloads lists all workloads.
var Workloads = []Workload{Steady, Idle, Day}
