package bench

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"
)

// Names of what RunCPU measures.
const (
	compareEcho   = "echo"         // handled on the loop, beside raw bytes
	compareWorker = "echo-worker"  // the same through a worker
	compareTools  = "tools-call"   // MCP over HTTP, beside mcp-go
	compareAdapt  = "adapter-call" // one server of the Go SDK, behind mcp/gosdk and behind its own handler
	measureRate   = "conn-rate"    // connections opened a second
	measureGC     = "gc"           // pauses of the collector under many clients
	measureFanout = "fan-out"      // one change published to many streams
)

var cpuParts = []string{compareEcho, compareWorker, compareTools, compareAdapt, measureRate, measureGC, measureFanout}

const (
	defaultPairs = 7
	quickPairs   = 3

	defaultMeasure = 3 * time.Second
	quickMeasure   = time.Second
	warmupPart     = 6 // of the measured time

	// defaultClients are held, or opened for a rate, and fanoutClients are
	// published to; fewer where descriptors are few.
	defaultClients = 18000
	fanoutClients  = 15000
)

// contest is a server of ours and one to compare with, under one load.
type contest struct {
	name    string
	load    LoadOrder
	clients int
	adapter bool   // ours is the adapter, not rookery itself
	other   string // baseline
	raw     bool
}

var contests = []contest{
	{name: compareEcho, load: LoadOrder{Kind: TCP, Method: "echo"}, clients: 1000, other: "std", raw: true},
	{name: compareWorker, load: LoadOrder{Kind: TCP, Method: "echo.worker"}, clients: 1000, other: "std", raw: true},
	{name: compareTools, load: LoadOrder{Kind: Caller}, clients: 50, other: "mcpgo"},
	{name: compareAdapt, load: LoadOrder{Kind: Caller}, clients: 50, other: "gosdk", adapter: true},
}

// CPUOptions say what RunCPU measures. Self and Server must be set; Baseline
// too, unless Parts names no comparison.
type CPUOptions struct {
	Self     []string
	Server   string
	Args     []string
	Baseline string
	Parts    []string      // default: all
	Pairs    int           // default 7
	Clients  int           // of conn-rate, gc and fan-out; default 18,000, of fan-out 15,000; fewer where descriptors are few
	Quick    bool          // fewer pairs and runs, shorter turns
	Timeout  time.Duration // of one step, such as opening all clients
	Measure  time.Duration // of one turn; default 3 s
	Budgets  *Budgets

	progress *progress
	most     int // clients that descriptors allow
}

// clients returns how many clients a part has whose default is n.
func (o *CPUOptions) clients(n int) int { return min(cmp.Or(o.Clients, n), o.most) }

// RunCPU measures what requests cost, how fast connections are opened, and how
// long the collector stops the server. Errors and processes: see RunMem.
func RunCPU(ctx context.Context, o CPUOptions) (*CPUReport, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	machine, err := ThisMachine()
	if err != nil {
		return nil, err
	}
	o.most = machine.Descriptors - reserved
	r := &CPUReport{Schema: CPUSchema, Taken: time.Now().UTC(), Machine: machine, Notes: []string{}, Breaches: []Breach{}}
	b := &cpuBench{CPUOptions: o, report: r}
	defer o.progress.clear()
	for _, c := range contests {
		if !slices.Contains(o.Parts, c.name) {
			continue
		}
		result, err := b.compare(ctx, c)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.name, err)
		}
		r.Comparisons = append(r.Comparisons, result)
	}
	if slices.Contains(o.Parts, measureRate) {
		if err := b.rates(ctx); err != nil {
			return nil, fmt.Errorf("%s: %w", measureRate, err)
		}
	}
	if slices.Contains(o.Parts, measureGC) {
		if err := b.gc(ctx); err != nil {
			return nil, fmt.Errorf("%s: %w", measureGC, err)
		}
	}
	if slices.Contains(o.Parts, measureFanout) {
		if err := b.fanout(ctx); err != nil {
			return nil, fmt.Errorf("%s: %w", measureFanout, err)
		}
	}
	r.check(o.Budgets)
	return r, nil
}

var errNoBaseline = errors.New("bench: a comparison needs the baselines: build them with `make baseline`, or name them with --baseline")

func (o *CPUOptions) check() error {
	if len(o.Parts) == 0 {
		o.Parts = cpuParts
	}
	compares := false
	for _, p := range o.Parts {
		if !slices.Contains(cpuParts, p) {
			return fmt.Errorf("bench: nothing to measure is called %q (there are %v)", p, cpuParts)
		}
		compares = compares || slices.ContainsFunc(contests, func(c contest) bool { return c.name == p })
	}
	if compares {
		if o.Baseline == "" {
			return errNoBaseline
		}
		if _, err := os.Stat(o.Baseline); err != nil {
			return errors.Join(err, errNoBaseline)
		}
	}
	o.defaults()
	return nil
}

func (o *CPUOptions) defaults() {
	if o.Pairs <= 0 {
		o.Pairs = defaultPairs
	}
	o.Clients = max(o.Clients, 0)
	if o.Quick {
		o.Pairs = min(o.Pairs, quickPairs)
		o.Measure = cmp.Or(o.Measure, quickMeasure)
	}
	o.Measure = cmp.Or(o.Measure, defaultMeasure)
	if o.progress == nil {
		o.progress = &progress{}
	}
}

// cpuBench carries out one RunCPU.
type cpuBench struct {
	CPUOptions
	report *CPUReport
}

// side is one server of a contest.
type side struct {
	server  *server
	results []LoadResult
}

// compare loads both servers in turns. Which goes first alternates, so that a
// drift of the machine does not favour one.
func (b *cpuBench) compare(ctx context.Context, c contest) (result Comparison, err error) {
	crew, err := hireCrew(b.Self, b.Timeout)
	if err != nil {
		return result, err
	}
	defer func() { err = errors.Join(err, crew.stop()) }()
	first := rookeryProgram(b.Server, b.Args)
	if c.adapter {
		first = adapterProgram(b.Baseline)
	}
	var sides [2]side
	for i, p := range []program{first, baselineProgram(b.Baseline, c.other, c.raw)} {
		s, err := startServer(ctx, b.Self, p)
		if err != nil {
			return result, err
		}
		defer func() { err = errors.Join(err, s.stop()) }()
		sides[i].server = s
	}
	for pair := range b.Pairs {
		for turn := range 2 {
			s := &sides[(pair+turn)%2]
			b.progress.step("%s: pair %d of %d, %s", c.name, pair+1, b.Pairs, s.server.program.name)
			r, err := b.visit(ctx, crew, s.server, c)
			if err != nil {
				return result, fmt.Errorf("%s: %w", s.server.program.name, err)
			}
			s.results = append(s.results, r)
		}
	}
	return newComparison(c, sides[0], sides[1]), nil
}

// visit opens a contest's clients, loads the server, and leaves.
func (b *cpuBench) visit(ctx context.Context, crew *crew, s *server, c contest) (LoadResult, error) {
	t := s.target(c.load.Kind)
	if _, err := crew.open(ctx, t, c.load.Kind, c.clients, nil); err != nil {
		return LoadResult{}, err
	}
	o := c.load
	o.PID, o.Warmup, o.Measure = s.pid, b.Measure/warmupPart, b.Measure
	r, err := crew.load(ctx, t, o)
	if err != nil {
		return r, err
	}
	return r, crew.order(ctx, opLeave, t, c.load.Kind)
}

const rateRuns = 5

// rates opens all clients, of each kind, on fresh servers.
func (b *cpuBench) rates(ctx context.Context) error {
	clients := b.clients(defaultClients)
	runs := rateRuns
	if b.Quick {
		runs = 1
	}
	for _, kind := range idleKinds {
		s := &subject{program: rookeryProgram(b.Server, b.Args), kind: kind, runs: runs, counts: []int{clients}}
		m := &memBench{self: b.Self, timeout: b.Timeout, progress: b.progress}
		var took []time.Duration
		for run := range runs {
			label := fmt.Sprintf("%s, run %d of %d", measureRate, run+1, runs)
			err := m.on(ctx, s, label, func(at *site) error {
				at.say("opening " + thousands(clients))
				t, err := at.crew.open(ctx, at.target, kind, clients, at.tell)
				took = append(took, t)
				return err
			})
			if err != nil {
				return err
			}
		}
		b.report.Rates = append(b.report.Rates, Rate{
			Kind: kind, Clients: clients,
			PerSecond: spreadBy(took, func(d time.Duration) float64 { return float64(clients) / d.Seconds() }),
		})
	}
	return nil
}
