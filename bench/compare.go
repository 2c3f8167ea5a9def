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

// Loads of RunCompare.
const (
	compareTCP  = "tcp"  // a JSON-RPC echo over TCP
	compareMCP  = "mcp"  // tools/call within MCP sessions, each with an open stream when idle
	compareLink = "link" // messages between two nodes
)

var compareLoads = []string{compareTCP, compareMCP, compareLink}

// Defaults of a comparison.
const (
	compareRounds, compareRoundsQuick     = 5, 3
	compareRuns, compareRunsQuick         = 3, 1
	compareIdle, compareIdleQuick         = 4500, 1500
	compareLean                           = 4 // times as many of those that cost little: a megabyte of garbage is much to them
	compareMeasure, compareMeasureQuick   = 2 * time.Second, 500 * time.Millisecond
	compareSettle, compareSettleQuick     = 2 * time.Second, 500 * time.Millisecond
	compareLinkRounds, compareQuickRounds = 3, 1
)

// CompareOptions say what RunCompare measures. Self, Server and Baseline must
// be set.
type CompareOptions struct {
	Self     []string // command with the hidden subcommands of this package
	Server   string
	Args     []string // more arguments for its serve command
	Baseline string   // the binary of bench/baseline
	// Link is the test binary of package cluster, which has the peer link and
	// its comparison in it; "": the link is left out, with a note.
	Link    string
	Loads   []string      // default: all
	Quick   bool          // for a look: fewer and shorter rounds
	Rounds  int           // of turns under load; default 5, with Quick 3
	Timeout time.Duration // of one step, such as opening all clients

	progress *progress
	clients  int           // idle ones; 0: the default
	most     int           // that descriptors allow
	measure  time.Duration // of one turn; 0: the default
	settle   time.Duration // 0: the default
}

// contender is a server of a comparison.
type contender struct {
	program program
	what    string // for the table
	idle    Kind   // the clients that it holds
	lean    bool   // it takes many for their memory to be seen
}

// trial is the same load for several servers; the first is ours.
type trial struct {
	name       string
	contenders []contender
	load       LoadOrder // the closed loop; with rate it is the open one
	clients    int       // under load
	rate       float64   // calls a second of the open loop
}

// trials returns what is to be measured, but for the link.
func (o *CompareOptions) trials() []trial {
	base := func(name, what string, kind Kind, raw bool) contender {
		return contender{baselineProgram(o.Baseline, name, raw), what, kind, false}
	}
	rookery := rookeryProgram(o.Server, o.Args)
	return []trial{
		{
			name: compareTCP, load: LoadOrder{Kind: TCP, Method: "echo"}, clients: 1000, rate: 10_000,
			contenders: []contender{
				{rookery, "rookery, JSON-RPC", TCP, true},
				base("std", "net, a goroutine a connection, bytes", TCP, true),
				base("netpoll", "netpoll, stock Connection, bytes", TCP, true),
			},
		},
		{
			name: compareMCP, load: LoadOrder{Kind: Caller}, clients: 50, rate: 1000,
			contenders: []contender{
				{rookery, "rookery", Stream, true},
				{adapterProgram(o.Baseline), "Go SDK server behind rookery", Stream, true},
				base("nethttp", "net/http, MCP by hand", Stream, false),
				base("mcpgo", "mcp-go", Stream, false),
				base("gosdk", "official Go SDK handler", Stream, false),
			},
		},
	}
}

// RunCompare puts one load on this server and on those that one would use
// instead, in turns, and returns what each costs. Errors and processes: see
// RunMem.
func RunCompare(ctx context.Context, o CompareOptions) (*CompareReport, error) {
	if err := o.fill(); err != nil {
		return nil, err
	}
	machine, err := ThisMachine()
	if err != nil {
		return nil, err
	}
	begun := time.Now()
	r := &CompareReport{Schema: CompareSchema, Taken: begun.UTC(), Machine: machine, Load: LoadAverage(), Rows: []CompareRow{}, Notes: []string{}}
	o.most = machine.Descriptors - reserved
	defer o.progress.clear()
	for _, t := range o.trials() {
		if !slices.Contains(o.Loads, t.name) {
			continue
		}
		rows, err := o.try(ctx, &t)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", t.name, err)
		}
		r.Rows = append(r.Rows, rows...)
	}
	if slices.Contains(o.Loads, compareLink) {
		if err := o.link(ctx, r); err != nil {
			return nil, fmt.Errorf("%s: %w", compareLink, err)
		}
	}
	r.Took = time.Since(begun).Seconds()
	return r, nil
}

// fill checks the options and sets defaults.
func (o *CompareOptions) fill() error {
	if len(o.Loads) == 0 {
		o.Loads = compareLoads
	}
	for _, l := range o.Loads {
		if !slices.Contains(compareLoads, l) {
			return fmt.Errorf("bench: nothing to compare is called %q (there are %v)", l, compareLoads)
		}
	}
	if o.Baseline == "" {
		return errNoBaseline
	}
	if _, err := os.Stat(o.Baseline); err != nil {
		return errors.Join(err, errNoBaseline)
	}
	if o.progress == nil {
		o.progress = &progress{}
	}
	set := func(d *time.Duration, whole, quick time.Duration) {
		if *d == 0 {
			*d = pick(o.Quick, quick, whole)
		}
	}
	set(&o.measure, compareMeasure, compareMeasureQuick)
	set(&o.settle, compareSettle, compareSettleQuick)
	if o.clients == 0 {
		o.clients = pick(o.Quick, compareIdleQuick, compareIdle)
	}
	return nil
}

// pick returns a if yes, else b.
func pick[T any](yes bool, a, b T) T {
	if yes {
		return a
	}
	return b
}

// try measures one trial: what idle clients cost, then calls.
func (o *CompareOptions) try(ctx context.Context, t *trial) ([]CompareRow, error) {
	subjects := make([]*subject, len(t.contenders))
	for i, c := range t.contenders {
		clients := min(pick(c.lean, compareLean, 1)*o.clients, o.most)
		subjects[i] = &subject{program: c.program, kind: c.idle, counts: []int{max(1, clients/3), clients}, runs: pick(o.Quick, compareRunsQuick, compareRuns)}
	}
	m := &memBench{self: o.Self, timeout: o.Timeout, settle: o.settle, progress: o.progress}
	runs, err := m.all(ctx, subjects)
	if err != nil {
		return nil, err
	}
	sides, err := o.calls(ctx, t)
	if err != nil {
		return nil, err
	}
	rows := make([]CompareRow, len(t.contenders))
	for i, c := range t.contenders {
		idle := newMemRow(subjects[i], runs[i])
		rows[i] = newCompareRow(t, c, sides[i])
		rows[i].Clients, rows[i].Bytes = subjects[i].last(), &idle.Slope
		rows[i].beside(&rows[0])
	}
	return rows, nil
}

// turns are what one server did in all rounds.
type turns struct {
	server         *server
	closed, opened []LoadResult
}

// calls loads all servers of a trial in turns: as many calls as it answers, and
// then some at a rate that all can answer. Which goes first changes, so that a
// drift of the machine favours none.
func (o *CompareOptions) calls(ctx context.Context, t *trial) (sides []turns, err error) {
	crew, err := hireCrew(o.Self, o.Timeout)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, crew.stop()) }()
	sides = make([]turns, len(t.contenders))
	for i, c := range t.contenders {
		s, err := startServer(ctx, o.Self, c.program)
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, s.stop()) }()
		sides[i].server = s
	}
	b := &cpuBench{CPUOptions: CPUOptions{Measure: o.measure}}
	rounds := cmp.Or(o.Rounds, pick(o.Quick, compareRoundsQuick, compareRounds))
	for round := range rounds {
		for turn := range sides {
			s := &sides[(round+turn)%len(sides)]
			o.progress.step("%s: round %d of %d, %s", t.name, round+1, rounds, s.server.program.name)
			c := contest{load: t.load, clients: t.clients}
			closed, err := b.visit(ctx, crew, s.server, c)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", s.server.program.name, err)
			}
			c.load.Rate = t.rate
			opened, err := b.visit(ctx, crew, s.server, c)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", s.server.program.name, err)
			}
			s.closed, s.opened = append(s.closed, closed), append(s.opened, opened)
		}
	}
	return sides, nil
}
