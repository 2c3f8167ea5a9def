package suite

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/rookery-server/rookery/bench/report"
	"github.com/rookery-server/rookery/memprof"
)

const sampleEvery = time.Second

// look is what was read of one node at one moment.
type look struct {
	at      time.Time
	metrics map[string]float64 // summed over labels; nil: not read
	pss     int64              // bytes, all processes
	cpu     time.Duration      // used since they started
	gc      memprof.GC
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
	page, err := t.Get(ctx, i, "/metrics")
	if err != nil {
		return l, err
	}
	l.metrics = sums(page)
	body, err := t.Get(ctx, i, "/debug/mem")
	if err != nil {
		return l, err
	}
	var account memprof.Report
	if err := json.Unmarshal(body, &account); err != nil {
		return l, fmt.Errorf("suite: /debug/mem: %w", err)
	}
	l.gc = account.GC
	return l, nil
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
	bed   *bed
	begun time.Time // of the run
	stop  context.CancelFunc
	done  sync.WaitGroup

	mu                       sync.Mutex
	conns, memory, cpu, each *report.Chart // guarded by mu
	looks, failed            int           // guarded by mu
	last                     []look        // guarded by mu
}

// newSampler starts to look. close ends it.
func newSampler(ctx context.Context, bed *bed, begun time.Time, charts *charts) *sampler {
	ctx, stop := context.WithCancel(ctx)
	s := &sampler{bed: bed, begun: begun, stop: stop, conns: charts.conns, memory: charts.memory, cpu: charts.cpu, each: charts.each, last: make([]look, bed.Len())}
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
	wg.Wait()
	if ctx.Err() != nil && errors.Is(context.Cause(ctx), context.Canceled) {
		return // the run has ended meanwhile
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	x := time.Since(s.begun).Seconds()
	conns, memory, cpu := make([]float64, len(now)), make([]float64, len(now)), make([]float64, len(now))
	var held, bytes float64
	for i, l := range now {
		nan := float64(report.Missing())
		conns[i], memory[i], cpu[i] = nan, nan, nan
		s.looks++
		if errs[i] != nil {
			s.failed++
			continue
		}
		if l.metrics == nil {
			s.looks-- // it does not run
			continue
		}
		conns[i], memory[i] = l.metrics["rookery_connections"], float64(l.pss)/1e6
		held, bytes = held+conns[i], bytes+float64(l.pss)
		if before := s.last[i]; before.metrics != nil && l.cpu >= before.cpu {
			cpu[i] = 100 * (l.cpu - before.cpu).Seconds() / l.at.Sub(before.at).Seconds()
		}
	}
	s.last = now
	s.conns.Add(x, conns...)
	s.memory.Add(x, memory...)
	s.cpu.Add(x, cpu...)
	if held >= 1000 { // else it is the programs that are divided, not what clients cost
		s.each.Add(x, bytes/held)
	}
}

// quality returns how many looks there were since the last call, and how many
// of them failed.
func (s *sampler) quality() (looks, failed int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	looks, failed, s.looks, s.failed = s.looks, s.failed, 0, 0
	return looks, failed
}

// all looks at each node that runs, now.
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

func metric(name string) func(look) float64 {
	return func(l look) float64 { return l.metrics[name] }
}
