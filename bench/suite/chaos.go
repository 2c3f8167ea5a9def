package suite

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/rookery-server/rookery/bench/load"
)

// chaosAge is how long all nodes have been up and filled, at least, when one is
// killed.
const chaosAge = 2 * time.Second

// rage kills nodes at random, one after another, while clients call and hear
// events, and starts each again.
func (r *run) rage(f *load.Fleet) error {
	defer r.span("chaos")()
	length := r.Soak
	if length == 0 {
		length = DefaultChaos
	}
	r.say("  chaos for %v", length)
	if err := f.Rate(r.ctx, r.Scale.HoldRate); err != nil {
		return err
	}
	phase, err := f.Phase(r.ctx, "chaos")
	if err != nil {
		return err
	}
	dice := rand.New(rand.NewPCG(r.Seed, 0))
	kills := 0
	for end := time.Now().Add(length); time.Now().Before(end); kills++ {
		if err := r.strike(f, dice.IntN(nodeCount)); err != nil {
			return fmt.Errorf("suite: after %d kills: %w", kills, err)
		}
	}
	ctx, cancel := r.step("hearing all events")
	defer cancel()
	heard, err := f.Audit(ctx)
	if err != nil {
		return err
	}
	p, err := phase.End(ctx)
	if err != nil {
		return err
	}
	n := r.Scale.Clients
	r.measured("chaos.survival", 100*(1-float64(p.Counts.Gone)/float64(n)), n)
	r.measured("chaos.lost", float64(heard.Missing), int(heard.Published)*heard.Clients)
	r.measured("chaos.doubled", float64(heard.Doubled), int(heard.Published)*heard.Clients)
	r.check("chaos.survival").Detail = fmt.Sprintf("%d kills in %v", kills, p.Took().Round(time.Second))
	return f.Rate(ctx, 0)
}

// strike kills one node and waits until all is as before.
func (r *run) strike(f *load.Fleet, victim int) error {
	ctx, cancel := r.step("recovering")
	defer cancel()
	if err := r.mingle(ctx, f); err != nil {
		return err
	}
	before, err := lost(ctx, f)
	if err != nil {
		return err
	}
	if _, err := r.bed.Kill(victim); err != nil {
		return err
	}
	r.mark(true, "%s killed", r.bed.Name(victim))
	_ = publish(ctx, f, 1) // it may fail, and then need not be heard
	if err := back(ctx, f, before); err != nil {
		return err
	}
	if err := r.bed.Start(victim); err != nil {
		return err
	}
	if _, err := r.bed.Agreed(ctx, r.bed.Others(), nodeCount); err != nil {
		return err
	}
	r.mark(false, "%s back", r.bed.Name(victim))
	if err := surely(ctx, f, 1); err != nil {
		return err
	}
	return context.Cause(ctx)
}

// mingle lets one client in as many as there are nodes go to another node, within
// chaosAge or as fast as a quarter of the ramps, and waits for them. Clients stay
// where a kill has driven them: a node that was killed before had none, and to
// kill it again was no test.
func (r *run) mingle(ctx context.Context, f *load.Fleet) error {
	moving := float64(r.Scale.Clients) / nodeCount
	over := max(chaosAge, time.Duration(4*moving/r.Scale.RampRate*float64(time.Second)))
	if err := f.Reconnect(ctx, 1.0/nodeCount, over); err != nil {
		return err
	}
	if err := f.Hold(ctx, over); err != nil {
		return err
	}
	return f.Recovered(ctx)
}
