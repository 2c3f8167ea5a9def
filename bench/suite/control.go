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
func startControl(argv []string, cpus, workers int) (*control, error) {
	if len(argv) == 0 {
		return &control{}, nil
	}
	p, err := bench.StartControl(argv, min(cpus, max(2, cpus/workers)))
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
// of the worst process of all.
func (r *run) pauses(before, after []look) {
	var p99, longest time.Duration
	var count uint64
	for i := range after {
		for w, now := range after[i].gc {
			since := now.Since(earlier(before[i].gc, w, now))
			p99, longest, count = max(p99, since.Quantile(0.99)), max(longest, since.PauseMax), count+since.Pauses.Total()
		}
	}
	r.measured("resources.gc-p99", ms(p99), int(count))
	r.measured("resources.gc-max", ms(longest), int(count))
}

// controlPauses sets the checks of what the control process has measured.
func (r *run) controlPauses(beside bench.ControlReading, err error) {
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
	for _, id := range []string{"resources.gc-p99", "resources.gc-max"} {
		r.check(id).Detail = fmt.Sprintf("a control process meanwhile: p99 %v, longest %v", short(pauses.Quantile(0.99)), short(pauses.Max()))
	}
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
