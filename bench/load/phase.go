package load

import (
	"context"
	"errors"
	"sync"
)

// Phase is a part of a run that is measured by itself. Phases may overlap.
type Phase struct {
	fleet *Fleet
	name  string
	from  float64
	sink  *sink
	cpu   Generator
	once  sync.Once
}

// Phase begins a phase. What happened before its return is not in it.
func (f *Fleet) Phase(ctx context.Context, name string) (*Phase, error) {
	s, err := f.open(ctx)
	if err != nil {
		return nil, err
	}
	return &Phase{fleet: f, name: name, from: f.since(), sink: s, cpu: f.generator()}, nil
}

var errPhaseOver = errors.New("load: the phase has ended before")

// End ends the phase and returns what happened in it. It may be called once.
func (p *Phase) End(ctx context.Context) (*PhaseResult, error) {
	r, err := (*PhaseResult)(nil), errPhaseOver
	p.once.Do(func() { r, err = p.end(ctx) })
	return r, err
}

func (p *Phase) end(ctx context.Context) (*PhaseResult, error) {
	f := p.fleet
	g := f.generator()
	err := f.shut(ctx, p.sink)
	if err != nil {
		return nil, err
	}
	g.CPU -= p.cpu.CPU
	s := f.Status()
	r := &PhaseResult{
		Name: p.name, FromS: p.from, ToS: f.since(), Clients: s.Clients, Connected: s.Connected,
		Counts: p.sink.counts, Checks: p.sink.checks, Outages: p.sink.outages(), Generator: g,
		Corrected: latencyOf(p.sink.corrected), Uncorrected: latencyOf(p.sink.uncorrected), Handshake: latencyOf(p.sink.handshake),
	}
	r.PerSecond = float64(r.Counts.Replies) / max(r.Took().Seconds(), 1e-9)
	f.mu.Lock()
	f.mu.history.phases = append(f.mu.history.phases, *r)
	f.mu.Unlock()
	return r, nil
}
