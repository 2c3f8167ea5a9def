package load

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// sink adds up reports from one moment to another.
type sink struct {
	counts      Counts
	checks      Checks
	corrected   *hdrhistogram.Histogram
	uncorrected *hdrhistogram.Histogram
	handshake   *hdrhistogram.Histogram
	outage      *hdrhistogram.Histogram
	firstLost   int64
	lastBack    int64
}

func newSink() *sink {
	return &sink{corrected: newHistogram(), uncorrected: newHistogram(), handshake: newHistogram(), outage: newHistogram()}
}

// addFields adds the integers of from to those of to, two structs of one type.
func addFields[T any](to, from *T) {
	a, b := reflect.ValueOf(to).Elem(), reflect.ValueOf(from).Elem()
	for i := range a.NumField() {
		a.Field(i).SetInt(a.Field(i).Int() + b.Field(i).Int())
	}
}

// counted is a report with its histograms unpacked.
type counted struct {
	*report
	corrected, uncorrected, handshake, outage *hdrhistogram.Histogram // nil: empty
}

func unpackReport(r *report) (counted, error) {
	c := counted{report: r}
	for _, h := range []struct {
		to   **hdrhistogram.Histogram
		from string
	}{{&c.corrected, r.Corrected}, {&c.uncorrected, r.Uncorrected}, {&c.handshake, r.Handshake}, {&c.outage, r.Outage}} {
		if h.from == "" {
			continue
		}
		*h.to = newHistogram()
		if err := unpack(*h.to, h.from); err != nil {
			return c, err
		}
	}
	return c, nil
}

func (s *sink) add(r *counted) {
	addFields(&s.counts, &r.Counts)
	addFields(&s.checks, &r.Checks)
	for _, h := range [][2]*hdrhistogram.Histogram{
		{s.corrected, r.corrected}, {s.uncorrected, r.uncorrected}, {s.handshake, r.handshake}, {s.outage, r.outage},
	} {
		if h[1] != nil {
			h[0].Merge(h[1])
		}
	}
	if r.FirstLost > 0 && (s.firstLost == 0 || r.FirstLost < s.firstLost) {
		s.firstLost = r.FirstLost
	}
	s.lastBack = max(s.lastBack, r.LastBack)
}

func (s *sink) outages() Outages {
	return Outages{
		Lost: s.counts.Lost, Back: s.counts.Back, Length: latencyOf(s.outage),
		FirstLostS: float64(s.firstLost) / 1e9, LastBackS: float64(s.lastBack) / 1e9,
	}
}

// history is what the coordinator knows of a run.
type history struct {
	total    *sink
	sinks    []*sink // those of total, phases and ramps under way
	seconds  []Second
	open     map[int]*second // not yet reported by all
	told     int             // of seconds: Options.Progress has had them
	rounds   map[uint32]round
	errors   []string
	ramps    []RampResult
	phases   []PhaseResult
	audit    *Audit
	complete int // the last second that is complete
}

// second is a second of which reports are missing.
type second struct {
	Second
	latency *hdrhistogram.Histogram
}

func newHistory() history {
	r := history{total: newSink(), open: map[int]*second{}, rounds: map[uint32]round{}, complete: -1}
	r.sinks = []*sink{r.total}
	return r
}

// errorsMax bounds the errors kept in words.
const errorsMax = 20

// hear takes a report of m.
func (f *Fleet) hear(m *member, r *report) error {
	c, err := unpackReport(r)
	if err != nil {
		return err
	}
	f.mu.Lock()
	rec := &f.mu.history
	m.connected, m.away, m.flying = r.Connected, r.Away, r.Flying
	for _, s := range rec.sinks {
		s.add(&c)
	}
	for _, n := range r.Rounds {
		have := rec.rounds[n.Number]
		rec.rounds[n.Number] = round{Number: n.Number, Count: have.Count + n.Count, Last: max(have.Last, n.Last)}
	}
	for _, text := range r.Errors {
		if len(rec.errors) < errorsMax && !slices.Contains(rec.errors, text) {
			rec.errors = append(rec.errors, text)
		}
	}
	rec.addSecond(&c)
	if r.Ends {
		m.second = r.Second
		f.finish()
	}
	f.mu.Unlock()
	f.notify()
	return nil
}

// addSecond adds a report to its second. What belongs to a second that is told
// already, because its process was held up, counts in the next one.
func (r *history) addSecond(c *counted) {
	at := max(c.Second, r.complete+1)
	s := r.open[at]
	if s == nil {
		s = &second{Second: Second{AtS: at}}
		r.open[at] = s
	}
	s.Due += c.Counts.Due
	s.Sent += c.Counts.Sent
	s.Replies += c.Counts.Replies
	s.Notes += c.Counts.Notes
	s.Errors += c.Counts.Failures()
	s.Late += c.Counts.Late
	s.Dropped += c.Counts.Dropped
	s.Connects += c.Counts.Connects
	s.Lost += c.Counts.Lost
	s.Heard += c.Checks.Heard
	s.Violations += c.Checks.Violations()
	if c.corrected != nil {
		if s.latency == nil {
			s.latency = newHistogram()
		}
		s.latency.Merge(c.corrected)
	}
}

// finish completes the seconds that all processes have reported.
func (f *Fleet) finish() {
	r := &f.mu.history
	until := f.members[0].second
	for _, m := range f.members {
		until = min(until, m.second)
	}
	for r.complete < until {
		r.complete++
		s := r.open[r.complete]
		delete(r.open, r.complete)
		if s == nil {
			s = &second{Second: Second{AtS: r.complete}}
		}
		if h := s.latency; h != nil {
			s.P50, s.P99, s.Max = time.Duration(h.ValueAtPercentile(50)), time.Duration(h.ValueAtPercentile(99)), time.Duration(h.Max())
		}
		for _, m := range f.members {
			s.Connected += m.connected
			s.Away += m.away
		}
		r.seconds = append(r.seconds, s.Second)
	}
}

// notify calls Options.Progress with the seconds that are complete.
func (f *Fleet) notify() {
	if f.o.Progress == nil {
		return
	}
	f.tell.Lock()
	defer f.tell.Unlock()
	f.mu.Lock()
	list := f.mu.history.seconds[f.mu.history.told:]
	f.mu.history.told = len(f.mu.history.seconds)
	f.mu.Unlock()
	for _, s := range list {
		f.o.Progress(s)
	}
}

// open begins to add up what happens from now on.
func (f *Fleet) open(ctx context.Context) (*sink, error) {
	if err := f.each(ctx, order{Op: opFlush}); err != nil {
		return nil, err
	}
	s := newSink()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mu.history.sinks = append(f.mu.history.sinks, s)
	return s, nil
}

// shut ends that.
func (f *Fleet) shut(ctx context.Context, s *sink) error {
	err := f.each(ctx, order{Op: opFlush})
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mu.history.sinks = slices.DeleteFunc(f.mu.history.sinks, func(x *sink) bool { return x == s })
	return err
}

// firstError returns the first error of a client as the end of a sentence.
func (f *Fleet) firstError() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.mu.history.errors) == 0 {
		return ""
	}
	return fmt.Sprintf(" (such as: %s)", f.mu.history.errors[0])
}

func (r *history) result(f *Fleet, g Generator) *Result {
	return &Result{
		Schema: Schema, Started: f.started, Machine: f.machine, Options: f.o,
		Ramps: slices.Clone(r.ramps), Phases: slices.Clone(r.phases), Seconds: slices.Clone(r.seconds),
		Total: r.total.counts, Checks: r.total.checks, Errors: slices.Clone(r.errors),
		Events: r.audit, Generator: g,
	}
}
