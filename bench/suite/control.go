package suite

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/rookery-server/rookery/bench"
	"github.com/rookery-server/rookery/memprof"
)

// errNoControl says that there is nothing to read.
var errNoControl = errors.New("suite: there is no control process")

// control is the control process of a run, read by the sampler and by checks.
type control struct {
	mu      sync.Mutex
	process *bench.Control // guarded by mu; nil: it could not be started
}

// startControl starts a control process with as many processors as a process of
// a node uses: with several a node they divide the machine, and have two at least.
// It keeps a share of one processor busy.
func startControl(argv []string, cpus, workers int, share float64) (*control, error) {
	if len(argv) == 0 {
		return &control{}, nil
	}
	p, err := bench.StartControl(argv, min(cpus, max(2, cpus/workers)), share)
	return &control{process: p}, err
}

func (c *control) read(ctx context.Context) (bench.ControlReading, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.process == nil {
		return bench.ControlReading{}, errNoControl
	}
	return c.process.Read(ctx)
}

func (c *control) stop() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.process == nil {
		return nil
	}
	p := c.process
	c.process = nil
	if err := p.Stop(); err != nil {
		return fmt.Errorf("suite: the control process: %w", err)
	}
	return nil
}

// pauses sets the checks of the collector's pauses between two moments: those
// of the worst process of all. It returns those of all servers together.
func (r *run) pauses(before, after []look) memprof.GC {
	var p99, longest time.Duration
	var all memprof.GC
	for i := range after {
		for w, now := range after[i].gc {
			since := now.Since(earlier(before[i].gc, w, now))
			p99, longest = max(p99, since.Quantile(0.99)), max(longest, since.PauseMax)
			all.Pauses.Add(since.Pauses)
			all.Stopping.Add(since.Stopping)
		}
	}
	r.measured("resources.gc-p99", ms(p99), int(all.Pauses.Total()))
	r.measured("resources.gc-max", ms(longest), int(all.Pauses.Total()))
	return all
}

// controlPauses sets the checks of what the control process has measured, and
// says it beside the pauses of all servers.
func (r *run) controlPauses(servers memprof.GC, beside bench.ControlReading, err error) {
	pauses, delays := beside.GC.Pauses, beside.Delays
	if err == nil && (pauses.Total() == 0 || delays.Total() == 0) {
		err = errors.New("the control process measured nothing")
	}
	if err != nil {
		r.failed(err, controlChecks...)
		return
	}
	r.measured("resources.control-p99", ms(pauses.Quantile(0.99)), int(pauses.Total()))
	r.measured("resources.control-max", ms(pauses.Max()), int(pauses.Total()))
	r.measured("resources.control-late", ms(delays.Quantile(0.99)), int(delays.Total()))
	r.check("resources.control-late").Detail = fmt.Sprintf("median %v, longest %v", short(delays.Quantile(0.5)), short(delays.Max()))
	busy := ""
	if r.ControlShare > 0 {
		busy = fmt.Sprintf(", kept busy for %.0f %% of a processor", 100*r.ControlShare)
	}
	r.check("resources.gc-p99").Detail = fmt.Sprintf("all servers: %s; a control process meanwhile%s: %s", spreadOf(servers), busy, spreadOf(beside.GC))
	r.check("resources.gc-max").Detail = fmt.Sprintf("a control process meanwhile: longest %v", short(pauses.Max()))
}

// spreadOf says how long pauses were, and how much of that was spent on waiting
// until the threads of the process had stopped.
func spreadOf(gc memprof.GC) string {
	of := func(p memprof.Pauses) string {
		return fmt.Sprintf("%v, %v, %v, %v", short(p.Quantile(0.5)), short(p.Quantile(0.9)), short(p.Quantile(0.99)), short(p.Max()))
	}
	return fmt.Sprintf("%d pauses, median, 90th, 99th percentile and longest %s, until all threads had stopped %s", gc.Pauses.Total(), of(gc.Pauses), of(gc.Stopping))
}

// controlChecks are those that the control process measures.
var controlChecks = []string{"resources.control-p99", "resources.control-max", "resources.control-late"}

// earlier returns what process w of a node had done before, nothing when it is
// another one by now.
func earlier(before []memprof.GC, w int, now memprof.GC) memprof.GC {
	if w < len(before) && before[w].Cycles <= now.Cycles && before[w].Pauses.Total() <= now.Pauses.Total() {
		return before[w]
	}
	return memprof.GC{}
}

// longestPause returns the longest pause of any process of a node since an
// earlier look, in milliseconds; NaN when there was none.
func longestPause(before, now []memprof.GC) float64 {
	var longest time.Duration
	for w, gc := range now {
		longest = max(longest, gc.Since(earlier(before, w, gc)).PauseMax)
	}
	return orNaN(longest)
}

// orNaN returns d in milliseconds, NaN for none.
func orNaN(d time.Duration) float64 {
	if d <= 0 {
		return math.NaN()
	}
	return ms(d)
}
