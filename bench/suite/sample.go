package suite

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/rookery-server/rookery/bench"
	"github.com/rookery-server/rookery/bench/wire"
	"github.com/rookery-server/rookery/memprof"
)

const sampleEvery = time.Second

// look is what was read of one node at one moment.
type look struct {
	at      time.Time
	metrics map[string]float64 // summed over labels; nil: not read
	pss     int64              // bytes, all processes
	free    int64              // of these, pages that the Go runtime of processes that serve may return
	cpu     time.Duration      // used since they started
	gc      []memprof.GC       // of each process that serves
}

// lookAt reads a node. A node that does not run is nothing and no error.
func lookAt(ctx context.Context, t *bed, i int) (l look, err error) {
	l.at = time.Now()
	pids, err := t.PIDs(i)
	if err != nil || len(pids) == 0 {
		return l, err
	}
	for _, pid := range pids {
		p, err := pss(pid)
		if err != nil {
			return l, err
		}
		c, err := memprof.CPUTime(pid)
		if err != nil {
			return l, err
		}
		l.pss, l.cpu = l.pss+p, l.cpu+c
	}
	metrics, err := metricsOf(ctx, t, i)
	if err != nil {
		return l, err
	}
	l.metrics = sums(metrics)
	body, err := t.Get(ctx, i, "/debug/mem")
	if err != nil {
		return l, err
	}
	list, err := accounts(body)
	for _, a := range list {
		l.gc, l.free = append(l.gc, a.GC), l.free+a.Heap.Free
	}
	return l, err
}

// metricsOf returns what a node's metrics page says.
func metricsOf(ctx context.Context, t *bed, i int) (wire.Metrics, error) {
	page, err := t.Get(ctx, i, "/metrics")
	if err != nil {
		return nil, err
	}
	metrics, err := wire.ParseMetrics(string(page))
	if err != nil {
		return nil, fmt.Errorf("suite: %s: %w", t.Name(i), err)
	}
	return metrics, nil
}

// accounts returns those of the processes of a node that serve, from the node's
// account of its memory.
func accounts(body []byte) ([]memprof.Report, error) {
	var node struct {
		memprof.Report
		Workers []memprof.Report `json:"workers"`
	}
	if err := json.Unmarshal(body, &node); err != nil {
		return nil, fmt.Errorf("suite: /debug/mem: %w", err)
	}
	if len(node.Workers) == 0 {
		return []memprof.Report{node.Report}, nil
	}
	return node.Workers, nil
}

// pss returns the proportional set size of a process in bytes: its own memory
// and its share of what it has together with others.
func pss(pid int) (int64, error) {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/smaps_rollup")
	if err != nil {
		return 0, fmt.Errorf("suite: memory of process %d: %w", pid, err)
	}
	if n, ok := kilobytes(text, "Pss:"); ok {
		return n, nil
	}
	return 0, fmt.Errorf("suite: memory of process %d: no Pss in smaps_rollup", pid)
}

// sampler looks at all nodes every second and draws what it sees.
type sampler struct {
	bed     *bed
	control *control
	begun   time.Time // of the run
	stop    context.CancelFunc
	done    sync.WaitGroup

	mu            sync.Mutex
	charts        *charts              // guarded by mu, those of nodes
	looks, failed int                  // guarded by mu
	last          []look               // guarded by mu
	held          []memoryAt           // guarded by mu; of each second in which all nodes were read
	beside        bench.ControlReading // guarded by mu; the last one
}

// newSampler starts to look. close ends it.
func newSampler(ctx context.Context, bed *bed, control *control, begun time.Time, charts *charts) *sampler {
	ctx, stop := context.WithCancel(ctx)
	s := &sampler{bed: bed, control: control, begun: begun, stop: stop, charts: charts, last: make([]look, bed.Len())}
	s.done.Go(func() {
		tick := time.NewTicker(sampleEvery)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				s.sample(ctx)
			case <-ctx.Done():
				return
			}
		}
	})
	return s
}

func (s *sampler) close() {
	s.stop()
	s.done.Wait()
}

// sample looks at all nodes at once.
func (s *sampler) sample(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 5*sampleEvery)
	defer cancel()
	now := make([]look, s.bed.Len())
	errs := make([]error, s.bed.Len())
	var wg sync.WaitGroup
	for i := range now {
		wg.Go(func() { now[i], errs[i] = lookAt(ctx, s.bed, i) })
	}
	var beside bench.ControlReading
	var alone error
	wg.Go(func() { beside, alone = s.control.read(ctx) })
	wg.Wait()
	if ctx.Err() != nil && errors.Is(context.Cause(ctx), context.Canceled) {
		return // the run has ended meanwhile
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	x := time.Since(s.begun).Seconds()
	conns, memory, cpu, gc := missing(len(now)), missing(len(now)), missing(len(now)), missing(s.charts.nodes+1)
	var held, bytes float64
	for i, l := range now {
		s.looks++
		if errs[i] != nil {
			s.failed++
			continue
		}
		if l.metrics == nil {
			s.looks-- // it does not run
			continue
		}
		conns[i], memory[i] = l.metrics[connectionsMetric], float64(l.pss)/1e6
		held, bytes = held+conns[i], bytes+float64(l.pss)
		if before := s.last[i]; before.metrics != nil && l.cpu >= before.cpu {
			cpu[i] = 100 * (l.cpu - before.cpu).Seconds() / l.at.Sub(before.at).Seconds()
			gc[i] = longestPause(before.gc, l.gc)
		}
	}
	if alone == nil {
		if since := beside.Since(s.beside); s.beside.Delays != nil {
			gc[s.charts.nodes] = orNaN(since.GC.PauseMax)
			s.charts.late.Add(x, orNaN(since.Delays.Quantile(0.99)), orNaN(since.Delays.Max()))
		}
		s.beside = beside
	}
	if !slices.ContainsFunc(now, func(l look) bool { return l.metrics == nil }) {
		s.held = append(s.held, memoryAt{now[0].at, sum(now, memoryOf)})
	}
	s.last = now
	s.charts.conns.Add(x, conns...)
	s.charts.memory.Add(x, memory...)
	s.charts.cpu.Add(x, cpu...)
	s.charts.pauses.Add(x, gc...)
	if held >= 1000 { // else it is the programs that are divided, not what clients cost
		s.charts.each.Add(x, bytes/held)
	}
}

// missing returns n values of which none was measured.
func missing(n int) []float64 {
	list := make([]float64, n)
	for i := range list {
		list[i] = math.NaN()
	}
	return list
}

// memoryAt is the memory of all nodes at one moment, in bytes.
type memoryAt struct {
	at    time.Time
	bytes float64
}

// growth returns by how many megabytes all nodes grew between two moments, and
// from how many looks that follows: the median of the last third of the time less
// that of the first, for the whole of it. Two moments alone would say where in
// its cycle the collector happened to be. With too few looks it returns ends, the
// difference of the two moments.
func (s *sampler) growth(from, to time.Time, ends float64) (float64, int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []float64
	for _, m := range s.held {
		if m.at.After(from) && m.at.Before(to) {
			list = append(list, m.bytes)
		}
	}
	third := len(list) / 3
	if third < 3 {
		return ends, 2
	}
	first, last := slices.Sorted(slices.Values(list[:third])), slices.Sorted(slices.Values(list[len(list)-third:]))
	return (last[third/2] - first[third/2]) * 1.5 / 1e6, len(list)
}

// quality returns how many looks there were since the last call, and how many
// of them failed.
func (s *sampler) quality() (looks, failed int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	looks, failed, s.looks, s.failed = s.looks, s.failed, 0, 0
	return looks, failed
}

// lookAll looks at each node that runs, now.
func lookAll(ctx context.Context, t *bed) ([]look, error) {
	list := make([]look, t.Len())
	for i := range list {
		var err error
		if list[i], err = lookAt(ctx, t, i); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// sum adds up one value of all nodes.
func sum(looks []look, f func(look) float64) (total float64) {
	for _, l := range looks {
		total += f(l)
	}
	return total
}

func memoryOf(l look) float64 { return float64(l.pss) }

// usedOf is memory without pages in which nothing is: how many of them there are
// depends on what went before and on when the runtime returned some.
func usedOf(l look) float64 { return float64(l.pss - l.free) }

func metric(name string) func(look) float64 {
	return func(l look) float64 { return l.metrics[name] }
}
