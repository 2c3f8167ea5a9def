package suite

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/rookery-server/rookery/bench"
	"github.com/rookery-server/rookery/bench/load"
	"github.com/rookery-server/rookery/bench/report"
)

// run is one run of the suite.
type run struct {
	Options
	ctx    context.Context // of the whole run, or of the nodes there are: it ends when one does by itself
	begun  time.Time
	plan   *plan
	report *report.Report
	charts *charts
	parts  map[part]bool // that have a check to measure
	bed    *bed
	procs  int // processes that serve, of each node of bed
	watch  *sampler
	bare   float64 // memory in use of all nodes before there was a client, in bytes
	beside *control
}

// Run runs the suite. It returns a report whenever it began to measure, also
// with an error: that is why it ended early, and stands in the report too.
// Cancelling ctx ends the run; everything it started has ended when it returns.
func Run(ctx context.Context, o Options) (*report.Report, error) {
	o, err := o.filled()
	if err != nil {
		return nil, err
	}
	machine, err := bench.ThisMachine()
	if err != nil {
		return nil, err
	}
	plan, err := makePlan(machine, o.Scale, o.Chaos, "/proc")
	if err != nil {
		return nil, err
	}
	r := &run{Options: o, ctx: ctx, begun: time.Now(), plan: plan, parts: map[part]bool{}}
	r.report = &report.Report{
		Schema: report.Schema, Title: fmt.Sprintf("%d nodes, %s clients", nodeCount, report.Number(float64(o.Scale.Clients))),
		Taken: r.begun, Command: o.Command, Version: o.Version, Commit: o.Commit, Machine: machine, Load: bench.LoadAverage(),
		Settings: plan.settings, Notes: append([]string{}, plan.notes...), Charts: []report.Chart{}, Checks: o.checks(),
	}
	for _, s := range specsOf(o.Scale, o.Chaos) {
		if o.selected(&s) {
			r.parts[s.part] = true
		}
	}
	for _, n := range plan.notes {
		o.Progress(n)
	}
	names := make([]string, nodeCount)
	for i := range names {
		names[i] = fmt.Sprintf("n%d", i+1)
	}
	r.charts = newCharts(names)
	if err = r.controlled(r.all); err != nil {
		r.report.Unfinished = err.Error()
	}
	r.report.Took = time.Since(r.begun).Seconds()
	r.report.Charts = r.charts.list()
	return r.report, err
}

// controlled runs f beside a control process.
func (r *run) controlled(f func() error) (err error) {
	if r.beside, err = startControl(r.Control, r.report.Machine.CPUs, r.plan.workers, r.ControlShare); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.beside.stop()) }()
	return f()
}

// all runs the parts that are asked for, each group of them on nodes of its own.
func (r *run) all() error {
	return r.attempt([]stage{
		{"", []part{forming, ramping, loading, holding, overload, sessions, failing, raging, leaving}, r.cluster},
		{"copies on all nodes", []part{copying}, r.copyAll},
		{fmt.Sprintf("one node with %d processes", r.plan.oneWorkers), []part{crowding}, r.oneNode},
	})
}

// stage is some parts that are measured together.
type stage struct {
	name  string // "": not worth a line
	parts []part
	run   func() error
}

// attempt runs the stages that have a check to measure. One that fails fails its
// own checks; the next one is tried all the same, unless the run has ended.
func (r *run) attempt(list []stage) error {
	for _, s := range list {
		if !r.any(s.parts...) {
			continue
		}
		if s.name != "" {
			r.say("%s", s.name)
		}
		err := s.run()
		if err == nil {
			continue
		}
		if ended := r.ended(); ended != nil {
			return ended
		}
		r.say("  failed: %v", err)
		r.failParts(err, s.parts...)
	}
	return nil
}

// deathKnown is how long it takes, at most, until it is known that a process has
// ended whose end something else has noticed first.
const deathKnown = time.Second

// ended returns why nothing more can be measured, nil if it can. It is asked
// after an error: what it says comes before what followed from it.
func (r *run) ended() error {
	select {
	case <-r.ctx.Done():
		return context.Cause(r.ctx)
	case <-time.After(deathKnown):
		return nil
	}
}

// failParts fails what parts have not measured.
func (r *run) failParts(err error, parts ...part) {
	for _, s := range specsOf(r.Scale, r.Chaos) {
		if c := r.report.Check(s.id); c != nil && c.Got == nil && slices.Contains(parts, s.part) {
			c.Fail("%v", err)
		}
	}
}

// any reports whether one of the parts has a check to measure.
func (r *run) any(list ...part) bool {
	return slices.ContainsFunc(list, func(p part) bool { return r.parts[p] })
}

// check returns the check of that name to be measured; one that nobody asked
// for is measured all the same and thrown away.
func (r *run) check(id string) *report.Check {
	if c := r.report.Check(id); c != nil {
		return c
	}
	return &report.Check{}
}

// measured sets a check and says so.
func (r *run) measured(id string, got float64, samples int) {
	c := r.check(id)
	c.Detail = ""
	c.Measure(got, samples)
	if c.ID != "" {
		r.say("  %s: %s %s (%s)", c.ID, report.Number(got), c.Unit, c.Verdict)
	}
}

// failed says that checks could not be measured. When nothing more can be they
// are left as they are: the end of it all stands beside them.
func (r *run) failed(err error, ids ...string) {
	if r.ctx.Err() != nil {
		return
	}
	for _, id := range ids {
		r.check(id).Fail("%v", err)
	}
}

func (r *run) say(format string, args ...any) { r.Progress(fmt.Sprintf(format, args...)) }

// mark points out this moment, and says so.
func (r *run) mark(bad bool, format string, args ...any) { r.markAt(time.Now(), bad, format, args...) }

// span names, on the charts, what goes on until the returned function is called.
func (r *run) span(text string) (end func()) {
	from := time.Since(r.begun)
	return func() { r.charts.span(from, time.Since(r.begun), text) }
}

func (r *run) markAt(at time.Time, bad bool, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	r.charts.mark(at.Sub(r.begun), bad, text)
	r.say("  %s", text)
}

// step returns a context for one step, whose end names it.
func (r *run) step(what string) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(r.ctx, r.Step, fmt.Errorf("%s took longer than %v (--step-timeout)", what, r.Step))
}

// ackTimeout is how long a publication waits for its copies: an event for all
// sessions is seconds of work for two processors at the larger scales.
const ackTimeout = "20s"

// args are the nodes' own settings for the suite.
func (r *run) args(workers, copies int, durability string) []string {
	list := []string{"--workers", strconv.Itoa(workers), "--replicas", strconv.Itoa(copies), "--durability", durability, "--ack-timeout", ackTimeout}
	return append(list, r.Args...)
}

// with starts a cluster whose nodes have that many workers, runs f and ends it.
func (r *run) with(o bench.TestbedOptions, workers int, f func() error) (err error) {
	whole := r.ctx
	defer func() { r.ctx = whole }()
	var dead context.CancelCauseFunc
	r.ctx, dead = context.WithCancelCause(whole)
	defer dead(nil)
	ctx, cancel := r.step("starting nodes")
	defer cancel()
	o.Server, o.Logs = r.Server, r.Logs
	o.Died = func(err error) { dead(fmt.Errorf("suite: %w (--verbose keeps what nodes say)", err)) }
	start := time.Now()
	t, err := bench.StartTestbed(ctx, o)
	if err != nil {
		return fmt.Errorf("suite: starting nodes: %w", err)
	}
	formed := time.Since(start)
	r.bed, r.procs = &bed{Testbed: t}, workers
	defer func() {
		err = errors.Join(err, t.Stop())
		r.bed = nil
	}()
	if r.any(forming) && r.check("cluster.form-time").Got == nil && o.Nodes == nodeCount { // the first one
		r.measured("cluster.form-time", formed.Seconds(), 1)
	}
	r.watch = newSampler(r.ctx, r.bed, r.beside, r.begun, r.charts)
	defer r.watch.close()
	if r.any(loading, sessions) && o.Nodes == nodeCount {
		if err := r.collect(); err != nil {
			return err
		}
		if r.bare, err = r.rest(usedOf); err != nil {
			return err
		}
	}
	return f()
}

// fleet starts load processes, runs f with them and ends them.
func (r *run) fleet(o load.Options, f func(*load.Fleet) error) (err error) {
	o.Self, o.Tick = r.Self, cmp.Or(o.Tick, r.Scale.Tick)
	offset := time.Since(r.begun).Seconds()
	fleet, err := load.Start(r.ctx, o)
	if err != nil {
		return fmt.Errorf("suite: load: %w", err)
	}
	err = f(fleet)
	result := fleet.Result()
	err = errors.Join(err, fleet.Close())
	// Bursts are meant to be too much: beside them nothing else could be seen.
	r.charts.seconds(result.Seconds, offset, o.Burst <= 1)
	for _, line := range result.Errors {
		r.report.Notes = append(r.report.Notes, fmt.Sprintf("clients (%s): %s", o.Protocol, line))
	}
	return err
}

// targets returns where clients of the nodes connect.
func (r *run) targets(address func(i int) netip.AddrPort) (list []load.Target) {
	for i := range r.bed.Len() {
		list = append(list, load.Target{Addr: address(i), Path: "/mcp"})
	}
	return list
}
