package bench

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rookery-server/rookery/bench/wire"
	"github.com/rookery-server/rookery/memprof"
)

const (
	waitingClients = 5000
	eventsClients  = 15000
	// eventsEach are retained for each client.
	eventsEach = 16

	// eventsComponent is the row of /debug/mem of what is retained.
	eventsComponent = "events"
)

// Gauges of /metrics.
const (
	gaugeRunning    = `rookery_workers{state="running"}`
	gaugeWaiting    = `rookery_workers{state="waiting"}`
	gaugeGoroutines = `go_goroutines`
	gaugeBodies     = `rookery_event_bodies`
)

// WaitingResult is a server with handlers that wait for an answer of their
// client, all at once. Bytes of the server as in MemReport.
type WaitingResult struct {
	Clients int    `json:"clients"` // one session and one handler each
	Runs    int    `json:"runs"`
	Before  Spread `json:"before_bytes"`  // without clients
	Waiting Spread `json:"waiting_bytes"` // all wait
	After   Spread `json:"after_bytes"`   // all were answered and have left
	Each    Spread `json:"bytes_per_waiter"`
	// While all wait: handlers that take the place of a worker, handlers that
	// wait outside of that count, goroutines of the process.
	Workers    Spread `json:"workers_running"`
	Handlers   Spread `json:"handlers_waiting"`
	Goroutines Spread `json:"goroutines"`
	// Seconds is from the first answer until every call has its result, each
	// verified; the latency is from an answer to its result, of the last run.
	Seconds Spread  `json:"seconds"`
	Latency Latency `json:"latency"`
}

// EventsResult is a server that retains events for sessions with open streams.
type EventsResult struct {
	Kind    Kind   `json:"kind"`
	Clients int    `json:"clients"`
	Each    int    `json:"events_per_client"`
	Size    int    `json:"event_bytes"` // of each message
	Runs    int    `json:"runs"`
	Before  Spread `json:"before_bytes"` // the streams open, nothing retained
	After   Spread `json:"after_bytes"`
	Grown   Spread `json:"bytes_per_client"` // from before to after
	// What the server says of its store of events.
	Store  Spread `json:"store_bytes"`
	Kept   Spread `json:"events"`
	Bodies Spread `json:"bodies"`
	// Seconds is the time of all publishing: event by event, from the first call
	// that publishes it until every client has it.
	Seconds Spread `json:"seconds"`
}

// waitingRun is what one run of waiting measured.
type waitingRun struct {
	before, waiting, after        int64
	running, handlers, goroutines float64
	burst                         BurstResult
}

// eventsRun is what one run of retaining measured.
type eventsRun struct {
	before, after, store, kept int64
	bodies                     float64
	took                       time.Duration
}

// states measures the kinds of clients for which the server keeps more than a
// connection and a session.
func (b *memBench) states(ctx context.Context, o *MemOptions, r *MemReport) error {
	for _, kind := range stateKinds {
		if len(o.Kinds) > 0 && !slices.Contains(o.Kinds, kind) {
			continue
		}
		s := o.state(kind, r.Machine.Descriptors-reserved)
		if s.last() < defaultStateClients(kind) {
			r.note("%s: measured with %s clients, not %s", kind, thousands(s.last()), thousands(defaultStateClients(kind)))
		}
		var err error
		if kind == Waiting {
			r.Waiting, err = b.waiting(ctx, s)
		} else {
			err = b.events(ctx, s, r)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", s.name(), err)
		}
	}
	return nil
}

func defaultStateClients(kind Kind) int {
	if kind == Waiting {
		return waitingClients
	}
	return eventsClients
}

// state returns how a kind is measured where most clients are possible.
func (o *MemOptions) state(kind Kind, most int) *subject {
	count := min(defaultStateClients(kind), most)
	if n := len(o.Counts); n > 0 {
		count = min(count, o.Counts[n-1])
	}
	runs := min(cmp.Or(o.Runs, defaultRuns), stressRuns)
	if o.Quick {
		runs = 1
	}
	return &subject{program: rookeryProgram(o.Server, o.Args), kind: kind, counts: []int{count}, runs: runs}
}

// waiting lets all clients' calls wait for their users and then answers them.
func (b *memBench) waiting(ctx context.Context, s *subject) (*WaitingResult, error) {
	var runs []waitingRun
	for run := range s.runs {
		var r waitingRun
		err := b.on(ctx, s, fmt.Sprintf("run %d of %d", run+1, s.runs), func(at *site) error {
			return r.measure(ctx, at, s.last())
		})
		if err != nil {
			return nil, err
		}
		runs = append(runs, r)
	}
	by := func(f func(waitingRun) float64) Spread { return spreadBy(runs, f) }
	return &WaitingResult{
		Clients: s.last(), Runs: len(runs),
		Before:     by(func(r waitingRun) float64 { return float64(r.before) }),
		Waiting:    by(func(r waitingRun) float64 { return float64(r.waiting) }),
		After:      by(func(r waitingRun) float64 { return float64(r.after) }),
		Each:       by(func(r waitingRun) float64 { return float64(r.waiting-r.before) / float64(s.last()) }),
		Workers:    by(func(r waitingRun) float64 { return r.running }),
		Handlers:   by(func(r waitingRun) float64 { return r.handlers }),
		Goroutines: by(func(r waitingRun) float64 { return r.goroutines }),
		Seconds:    by(func(r waitingRun) float64 { return r.burst.Took.Seconds() }),
		Latency:    runs[len(runs)-1].burst.Latency,
	}, nil
}

// measure is one run. The server is asked only after its memory has been read.
func (r *waitingRun) measure(ctx context.Context, at *site, count int) (err error) {
	at.say("no clients")
	if r.before, err = at.settle(ctx, at.long); err != nil {
		return err
	}
	at.say(thousands(count) + " calls that wait")
	if _, err = at.crew.open(ctx, at.target, at.kind, count, at.tell); err != nil {
		return err
	}
	if r.waiting, err = at.settle(ctx, at.long); err != nil {
		return err
	}
	addr, _ := at.server.admin()
	gauges, err := newAdmin(addr).gauges(ctx, gaugeRunning, gaugeWaiting, gaugeGoroutines)
	if err != nil {
		return err
	}
	r.running, r.handlers, r.goroutines = gauges[0], gauges[1], gauges[2]
	at.say("all are answered")
	if r.burst, err = at.crew.reply(ctx, at.target); err != nil {
		return err
	}
	if err = at.crew.order(ctx, opShut, at.target, at.kind); err != nil {
		return err
	}
	r.after, err = at.settle(ctx, at.long)
	return err
}

// events lets the server retain events for all clients.
func (b *memBench) events(ctx context.Context, s *subject, report *MemReport) error {
	var runs []eventsRun
	for run := range s.runs {
		var r eventsRun
		err := b.on(ctx, s, fmt.Sprintf("run %d of %d", run+1, s.runs), func(at *site) error {
			return r.measure(ctx, at, s.last())
		})
		if err != nil {
			return err
		}
		runs = append(runs, r)
	}
	by := func(f func(eventsRun) float64) Spread { return spreadBy(runs, f) }
	result := EventsResult{
		Kind: s.kind, Clients: s.last(), Each: eventsEach, Size: eventSize, Runs: len(runs),
		Before:  by(func(r eventsRun) float64 { return float64(r.before) }),
		After:   by(func(r eventsRun) float64 { return float64(r.after) }),
		Grown:   by(func(r eventsRun) float64 { return float64(r.after-r.before) / float64(s.last()) }),
		Store:   by(func(r eventsRun) float64 { return float64(r.store) }),
		Kept:    by(func(r eventsRun) float64 { return float64(r.kept) }),
		Bodies:  by(func(r eventsRun) float64 { return r.bodies }),
		Seconds: by(func(r eventsRun) float64 { return r.took.Seconds() }),
	}
	if want := float64(s.last() * eventsEach); result.Kept.Min < want {
		report.note("%s: only %s of %s events were retained: see the server's limits", s.kind, figure(result.Kept.Min), figure(want))
	}
	report.Events = append(report.Events, result)
	return nil
}

// measure is one run. The server is asked only after its memory has been read.
func (r *eventsRun) measure(ctx context.Context, at *site, count int) (err error) {
	at.say("opening " + thousands(count) + " clients")
	if _, err = at.crew.open(ctx, at.target, at.kind, count, at.tell); err != nil {
		return err
	}
	if r.before, err = at.settle(ctx, at.long); err != nil {
		return err
	}
	for event := range eventsEach {
		at.say(fmt.Sprintf("publishing event %d of %d", event+1, eventsEach))
		took, err := at.crew.keep(ctx, at.target, at.kind, 1)
		if err != nil {
			return err
		}
		r.took += took
	}
	if r.after, err = at.settle(ctx, at.long); err != nil {
		return err
	}
	addr, _ := at.server.admin()
	asked := newAdmin(addr)
	report, err := asked.report(ctx)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(report.Components, func(c memprof.Component) bool { return c.Name == eventsComponent })
	if i < 0 {
		return fmt.Errorf("bench: /debug/mem has no component %q: use one build for both", eventsComponent)
	}
	r.kept, r.store = report.Components[i].Count, report.Components[i].Bytes
	gauges, err := asked.gauges(ctx, gaugeBodies)
	if err != nil {
		return err
	}
	r.bodies = gauges[0]
	return at.crew.order(ctx, opCheck, at.target, at.kind)
}

// gauges returns metrics of the server by their names with labels.
func (a *admin) gauges(ctx context.Context, names ...string) ([]float64, error) {
	body, err := a.get(ctx, "/metrics")
	if err != nil {
		return nil, err
	}
	return parseGauges(body, names)
}

// parseGauges finds the values of names in an exposition.
func parseGauges(text []byte, names []string) ([]float64, error) {
	values, found := make([]float64, len(names)), 0
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), " ")
		i := slices.Index(names, name)
		if i < 0 {
			continue
		}
		v, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return nil, fmt.Errorf("bench: /metrics: %q is no gauge", wire.Clip(lines.Bytes()))
		}
		values[i] = v
		found++
	}
	if found != len(names) {
		return nil, fmt.Errorf("bench: /metrics has %d of %v: use one build for both", found, names)
	}
	return values, lines.Err()
}
