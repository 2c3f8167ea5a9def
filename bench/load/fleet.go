package load

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/rookery-server/rookery/bench"
	"github.com/rookery-server/rookery/memprof"
)

// Fleet is clients that are driven step by step. Its methods may be called from
// any goroutine; those with a context block until the load processes have done
// what was asked, or ctx ends, or a load process does, which is an error of all
// methods from then on. Close it.
type Fleet struct {
	o       Options
	run     string
	machine bench.Machine
	started time.Time
	members []*member
	publish *publisher // nil: the protocol has no events

	mu struct {
		sync.Mutex
		want    int // clients that were ramped up to
		history history
	}
	tell struct {
		sync.Mutex // held while Options.Progress runs
	}
	closing sync.Once
	unhook  func() bool     // from the context of Start
	over    context.Context // ends with the first load process, whose status is its cause
	fail    context.CancelCauseFunc
}

// reservedFDs are descriptors of a load process that are no client's.
const reservedFDs = 64

// Start starts the load processes, which open nothing yet. They end with Close,
// or when ctx does. An error that wraps [ErrOptions] is the caller's.
func Start(ctx context.Context, o Options) (*Fleet, error) {
	o = o.filled()
	if err := o.check(); err != nil {
		return nil, err
	}
	machine, err := bench.ThisMachine()
	if err != nil {
		return nil, err
	}
	if err := o.staff(machine.Descriptors); err != nil {
		return nil, err
	}
	sources, err := sourcesFor(o.Targets)
	if err != nil {
		return nil, err
	}
	name := make([]byte, 4)
	_, _ = rand.Read(name) // never fails
	f := &Fleet{o: o, run: hex.EncodeToString(name), machine: machine, started: time.Now()}
	if o.Protocol != JSONRPC {
		if o.URI == DefaultURI {
			f.o.URI += "-" + f.run // events of other runs are not ours
		}
		f.publish = newPublisher(f.o.Targets, sources)
	}
	f.mu.history = newHistory()
	f.over, f.fail = context.WithCancelCause(context.Background())
	for range f.o.Processes {
		m, err := startMember(f.o.Self, f.hear, f.fail)
		if err != nil {
			return nil, errors.Join(err, f.Close())
		}
		f.members = append(f.members, m)
	}
	f.unhook = context.AfterFunc(ctx, f.hangUp)
	capacity := (f.o.Clients + len(f.members) - 1) / len(f.members)
	_, err = f.all(ctx, func(i int) order {
		return order{Op: opSetup, Setup: &setup{
			Options: f.o, Shard: i, Shards: len(f.members), Capacity: capacity,
			Started: f.started.UnixNano(), Run: f.run, Sources: sources,
		}}
	})
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// staff sets how many processes there are and how they are started.
func (o *Options) staff(descriptors int) error {
	each := descriptors - reservedFDs
	if o.Protocol != JSONRPC {
		each -= o.Pool * len(o.Targets)
	}
	if each < 1 {
		return fmt.Errorf("%w: %d descriptors a process are too few for %d pooled connections to each of %d targets",
			ErrOptions, descriptors, o.Pool, len(o.Targets))
	}
	need := (o.Clients + each - 1) / each
	if o.Processes == 0 {
		o.Processes = need
	}
	if o.Processes < need {
		return fmt.Errorf("%w: %d clients need %d processes of %d descriptors", ErrOptions, o.Clients, need, descriptors)
	}
	if o.Processes > processesMax {
		return fmt.Errorf("%w: %d processes are more than %d: raise `ulimit -Hn`", ErrOptions, o.Processes, processesMax)
	}
	if o.Self != nil {
		return nil
	}
	exe, err := os.Executable()
	o.Self = []string{exe, "load", "worker"}
	return err
}

// hangUp lets all load processes end.
func (f *Fleet) hangUp() {
	for _, m := range f.members {
		m.CloseInput()
	}
}

// Close ends all load processes and waits for them. Further calls do nothing.
// It returns nil: how processes fared the other methods have told.
func (f *Fleet) Close() error {
	f.closing.Do(func() {
		if f.unhook != nil {
			f.unhook()
		}
		f.hangUp()
		for _, m := range f.members {
			_ = m.Stop() // its status has been reported
		}
		if f.publish != nil {
			f.publish.close()
		}
		f.fail(errGone)
	})
	return nil
}

// all sends each process its order and returns their answers.
func (f *Fleet) all(ctx context.Context, of func(i int) order) ([]answer, error) {
	answers := make([]answer, len(f.members))
	errs := make([]error, len(f.members))
	var wait sync.WaitGroup
	for i, m := range f.members {
		wait.Go(func() { answers[i], errs[i] = m.ask(ctx, of(i)) })
	}
	wait.Wait()
	for _, err := range errs {
		if err != nil {
			return answers, err // the others say the same
		}
	}
	return answers, nil
}

func (f *Fleet) each(ctx context.Context, o order) error {
	_, err := f.all(ctx, func(int) order { return o })
	return err
}

// since returns the time of the run in seconds.
func (f *Fleet) since() float64 { return time.Since(f.started).Seconds() }

// Started returns when the run started: the zero of at_s, from_s and to_s.
func (f *Fleet) Started() time.Time { return f.started }

// Ramp opens clients until there are n, at most perSecond a second, and waits
// until each has been served once. What it returns is what was reached, also
// beside an error. A client whose handshake fails tries again.
func (f *Fleet) Ramp(ctx context.Context, n int, perSecond float64) (RampResult, error) {
	r := RampResult{FromS: f.since(), Clients: n}
	f.mu.Lock()
	have := f.mu.want
	f.mu.Unlock()
	if n < have || n > f.o.Clients || perSecond <= 0 || !rates(perSecond) {
		return r, fmt.Errorf("%w: a ramp from %d to %d clients of %d at %g a second", ErrOptions, have, n, f.o.Clients, perSecond)
	}
	s, err := f.open(ctx)
	if err != nil {
		return r, err
	}
	f.mu.Lock()
	f.mu.want = n
	f.mu.Unlock()
	shards := len(f.members)
	share := func(total, i int) int { return total*(i+1)/shards - total*i/shards }
	start := time.Now()
	_, err = f.all(ctx, func(i int) order {
		return order{Op: opRamp, Count: share(n, i) - share(have, i), PerSecond: perSecond / float64(shards)}
	})
	r.Took = time.Since(start)
	late, cancel := grace(ctx)
	defer cancel()
	if e := f.shut(late, s); e != nil {
		return r, errors.Join(err, e)
	}
	r.Opened, r.Failed = int(s.counts.Connects-s.counts.Back), s.counts.Refused
	r.PerSecond = float64(r.Opened) / r.Took.Seconds()
	r.Handshake = latencyOf(s.handshake)
	f.mu.Lock()
	f.mu.history.ramps = append(f.mu.history.ramps, r)
	f.mu.Unlock()
	if err != nil {
		err = fmt.Errorf("load: %d of %d clients are open after %v, %d handshakes failed%s: %w",
			f.Status().Connected, n, r.Took.Round(time.Millisecond), r.Failed, f.firstError(), err)
	}
	return r, err
}

// lastWords is how long load processes may take to say what they have measured
// when nobody waits for more: a machine that is overloaded keeps them waiting too.
const lastWords = 30 * time.Second

// grace returns a context for what has to be done after ctx ended.
func grace(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(context.WithoutCancel(ctx), lastWords, errStarved)
}

var errStarved = errors.New("load: the load processes do not answer: the machine gives them no time")

// Rate makes perSecond calls due a second, from now on; 0: none.
func (f *Fleet) Rate(ctx context.Context, perSecond float64) error {
	if !rates(perSecond) {
		return fmt.Errorf("%w: a rate of %g", ErrOptions, perSecond)
	}
	return f.each(ctx, order{Op: opRate, PerSecond: perSecond / float64(len(f.members))})
}

// Spread sets [Options].Spread from now on.
func (f *Fleet) Spread(ctx context.Context, on bool) error {
	return f.each(ctx, order{Op: opSpread, On: on})
}

// Reconnect ends the connections of a share (0 to 1) of clients, each at a
// random moment within over, which come back by themselves. A client in the
// middle of a call finishes it first. It returns at once.
func (f *Fleet) Reconnect(ctx context.Context, share float64, over time.Duration) error {
	if !shares(share) || over < 0 {
		return fmt.Errorf("%w: a wave of %g within %v", ErrOptions, share, over)
	}
	return f.each(ctx, order{Op: opShake, Share: share, Over: over})
}

// Hold lets the clients go on for d. It ends early, with an error, when ctx or a
// load process does.
func (f *Fleet) Hold(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-f.over.Done():
		return context.Cause(f.over)
	}
}

// Status is how things stand.
type Status struct {
	Clients   int    // to be open
	Connected int    // that are
	Away      int    // that have no connection and will try again
	UnderWay  int    // calls
	Total     Counts // since Start
	Checks    Checks
}

// Status returns how things stood when the load processes last reported: up to
// a second ago. It does not block.
func (f *Fleet) Status() Status {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := Status{Clients: f.mu.want, Total: f.mu.history.total.counts, Checks: f.mu.history.total.checks}
	for _, m := range f.members {
		s.Connected += m.connected
		s.Away += m.away
		s.UnderWay += m.flying
	}
	return s
}

// Fresh is Status after the load processes have reported anew.
func (f *Fleet) Fresh(ctx context.Context) (Status, error) {
	err := f.each(ctx, order{Op: opFlush})
	return f.Status(), err
}

// poll is how often a condition is looked at.
const poll = 50 * time.Millisecond

// Until waits until ok says so of a fresh status.
func (f *Fleet) Until(ctx context.Context, ok func(Status) bool) (Status, error) {
	for {
		s, err := f.Fresh(ctx)
		if err != nil || ok(s) {
			return s, err
		}
		if err := f.Hold(ctx, poll); err != nil {
			return s, err
		}
	}
}

// Recovered waits until all clients are connected. It knows only of losses that
// clients have noticed; to wait for those of a server just killed, wait with
// Until for Total.Lost first.
func (f *Fleet) Recovered(ctx context.Context) error {
	s, err := f.Until(ctx, func(s Status) bool { return s.Connected == s.Clients })
	if err != nil {
		return fmt.Errorf("load: %d of %d clients are connected%s: %w", s.Connected, s.Clients, f.firstError(), err)
	}
	return nil
}

// Drain stops calling and waits until no call is under way, which takes at most
// Options.Timeout.
func (f *Fleet) Drain(ctx context.Context) error {
	if err := f.Rate(ctx, 0); err != nil {
		return err
	}
	_, err := f.Until(ctx, func(s Status) bool { return s.UnderWay == 0 })
	return err
}

// generator reads what the load processes have used so far.
func (f *Fleet) generator() Generator {
	g := Generator{Processes: len(f.members)}
	for _, m := range f.members {
		if cpu, err := memprof.CPUTime(m.PID()); err == nil {
			g.CPU += cpu // a process that has ended has no clock any more
		}
		if memory, err := memprof.ReadMemory(m.PID()); err == nil {
			g.Memory += memory.Own()
		}
	}
	return g
}

// PIDs returns the process ids of the load processes.
func (f *Fleet) PIDs() []int {
	var list []int
	for _, m := range f.members {
		list = append(list, m.PID())
	}
	return list
}

// Result returns what the run has measured so far. Phases and ramps are in it
// when they have ended.
func (f *Fleet) Result() *Result {
	g := f.generator()
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.mu.history.result(f, g)
}
