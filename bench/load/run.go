package load

import (
	"context"
	"errors"
	"math"
	"sync"
	"time"

	"github.com/rookery-server/rookery/bench"
)

// measured is the name of Run's phase.
const measured = "measured"

// Run opens Options.Clients clients, does what the workload says for
// Options.Duration after Options.Warmup, and returns what it measured. When ctx
// ends it stops and returns what was measured until then with Interrupted set,
// beside the cause. An error without a result means that nothing was measured.
func Run(ctx context.Context, o Options) (*Result, error) {
	o = o.filled()
	if o.Workload == Day {
		o = o.ofDay()
	}
	// The load processes must outlive ctx to say what they have measured.
	f, err := Start(context.WithoutCancel(ctx), o)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	err = f.perform(ctx)
	r := f.Result()
	r.Interrupted = ctx.Err() != nil
	return r, err
}

// rampPatience is how many times longer than planned a ramp may take.
const rampPatience = 5

// rampFirst is how long the first client may take where others are refused: a
// wrong address, or another protocol, need not be tried for half a minute.
const rampFirst = 5 * time.Second

// perform is Run from the ramp to the audit.
func (f *Fleet) perform(ctx context.Context) error {
	if err := f.openAll(ctx); err != nil {
		return err
	}
	if err := f.Rate(ctx, f.o.rate()); err != nil {
		return err
	}
	if err := f.Hold(ctx, f.o.Warmup); err != nil {
		return err
	}
	phase, err := f.Phase(ctx, measured)
	if err != nil {
		return err
	}
	err = f.work(ctx)
	late, cancelLate := grace(ctx)
	defer cancelLate()
	_, e := phase.End(late)
	if err == nil { // else that is why, and the end only says it again
		err = e
	}
	if err != nil {
		return err
	}
	if err := f.Drain(ctx); err != nil {
		return err
	}
	if f.publish != nil && f.o.Publish > 0 {
		_, err = f.Audit(ctx)
	}
	return err
}

// openAll opens all clients. It gives up when that takes too long, or nobody is
// let in.
func (f *Fleet) openAll(ctx context.Context) error {
	planned := time.Duration(float64(f.o.Clients) / f.o.Ramp * float64(time.Second))
	ctx, cancel := context.WithTimeoutCause(ctx, rampPatience*planned+3*f.o.Timeout, errRampSlow)
	defer cancel()
	ctx, giveUp := context.WithCancelCause(ctx)
	var looking sync.WaitGroup
	looking.Go(func() {
		for wait := rampFirst; bench.Sleep(ctx, wait) == nil; wait = time.Second {
			if s := f.Status(); s.Total.Connects > 0 {
				return
			} else if s.Total.Refused > 0 {
				giveUp(errRampRefused)
				return
			}
		}
	})
	_, err := f.Ramp(ctx, f.o.Clients, f.o.Ramp)
	giveUp(nil)
	looking.Wait()
	return err
}

var (
	errRampSlow    = errors.New("the ramp takes too long: the server is slow or stuck, or asked for more than it may hold")
	errRampRefused = errors.New("nobody was let in: check --target and --protocol")
)

// rate is what is due a second at the start.
func (o *Options) rate() float64 {
	if o.Workload == Idle {
		return 0
	}
	return o.Rate
}

// work lets the clients do what the workload says, for Options.Duration.
func (f *Fleet) work(ctx context.Context) error {
	if f.o.Publish > 0 {
		ctx, cancel := context.WithCancel(ctx)
		done := make(chan struct{})
		go func() {
			defer close(done)
			f.announce(ctx)
		}()
		defer func() { cancel(); <-done }()
	}
	if f.o.Workload != Day {
		return f.Hold(ctx, f.o.Duration)
	}
	return f.day(ctx)
}

// announce publishes at Options.Publish until ctx ends. What fails is counted by
// the audit.
func (f *Fleet) announce(ctx context.Context) {
	every := time.NewTicker(time.Duration(float64(time.Second) / f.o.Publish))
	defer every.Stop()
	for {
		select {
		case <-every.C:
			// The call goes on when ctx ends in the middle of it, so that its
			// event is not one of which nobody knows.
			late, cancel := context.WithTimeout(context.WithoutCancel(ctx), publishTimeout)
			_, _ = f.Publish(late)
			cancel()
		case <-ctx.Done():
			return
		}
	}
}

// A day of an agent fleet: an agent works in bursts and thinks between calls.
// Times are those of the day before it is scaled to the duration of a run.
const (
	dayLength = 24 * time.Hour
	dayBurst  = 8
	dayThink  = 2 * time.Second
	daySteps  = 240 // in which the rate follows the curve
	waveShare = 0.2
	waveOver  = 30 * time.Minute
)

// dayWaves are the hours at which many clients reconnect: laptops that wake up,
// a release at noon, the way home.
var dayWaves = []float64{7, 12.5, 18}

// ofDay fills in what a day implies.
func (o Options) ofDay() Options {
	if o.Burst == 1 {
		o.Burst = dayBurst
	}
	if o.Think == 0 {
		o.Think = max(o.scaled(dayThink), time.Millisecond)
	}
	o.Poisson = true
	return o
}

// scaled returns what d of the day is in the run.
func (o *Options) scaled(d time.Duration) time.Duration {
	return time.Duration(float64(d) / float64(dayLength) * float64(o.Duration))
}

// dayCurve is how busy the fleet is at an hour, 1 on average over the day: a
// fifth at night, peaks at 10:30 and 15:00.
func dayCurve(hour float64) float64 {
	const night, mean = 0.2, 0.8549
	bell := func(at, width float64) float64 { return math.Exp(-(hour - at) * (hour - at) / (2 * width * width)) }
	return (night + 1.9*bell(10.5, 1.6) + 1.7*bell(15, 1.9)) / mean
}

func (f *Fleet) day(ctx context.Context) error {
	start := time.Now()
	waves := dayWaves
	for step := range daySteps {
		hour := 24 * float64(step) / daySteps
		if err := f.Rate(ctx, f.o.Rate*dayCurve(hour)); err != nil {
			return err
		}
		if len(waves) > 0 && hour >= waves[0] {
			waves = waves[1:]
			if err := f.Reconnect(ctx, waveShare, f.o.scaled(waveOver)); err != nil {
				return err
			}
		}
		next := start.Add(f.o.Duration * time.Duration(step+1) / daySteps)
		if err := f.Hold(ctx, max(time.Until(next), 0)); err != nil {
			return err
		}
	}
	return nil
}
