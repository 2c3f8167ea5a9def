package bench

import (
	"context"
	"fmt"
	"os/exec"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rookery-server/rookery/memprof"
)

const (
	copySessions      = 40_000
	copySessionsQuick = 8000
	copyBar           = 600
	copyReplicas      = 3
)

// copies compares the memory of all nodes with sessions that have no copies and
// with sessions that have two.
func (b *clusterBench) copies(ctx context.Context) error {
	sessions := copySessions
	if b.Quick {
		sessions = copySessionsQuick
	}
	var grown [2]int64
	for i, replicas := range []int{1, copyReplicas} {
		b.progress.step("copies: %s sessions on %d of %d nodes", thousands(sessions), replicas, clusterNodes)
		err := b.with(ctx, clusterNodes, []string{"--durability", "async", "--replicas", fmt.Sprint(replicas)}, func(ctx context.Context, c *nodes) (err error) {
			grown[i], err = b.growth(ctx, c, sessions, replicas-1)
			return err
		})
		if err != nil {
			return err
		}
	}
	one := float64(grown[0]) / float64(sessions)
	each := float64(grown[1]-grown[0]) / float64(sessions) / (copyReplicas - 1)
	b.report.value("copies", "a session without copies", sessions, one, "bytes", noBar)
	b.report.value("copies", "each copy of a session", sessions, each, "bytes", copyBar)
	return nil
}

// growth returns by how much all nodes grow by sessions that rest.
func (b *clusterBench) growth(ctx context.Context, c *nodes, sessions, copies int) (int64, error) {
	before, err := b.quietMemory(ctx, c)
	if err != nil {
		return 0, err
	}
	if err := b.rest(ctx, c, sessions); err != nil {
		return 0, err
	}
	pages, err := c.pages(ctx, c.all())
	if err != nil {
		return 0, err
	}
	homes, held := 0, 0
	for _, p := range pages {
		homes, held = homes+p.homes(), held+p.copies()
	}
	if homes != sessions || held != copies*sessions {
		return 0, fmt.Errorf("bench: %d sessions and %d copies, not %d and %d", homes, held, sessions, copies*sessions)
	}
	after, err := b.quietMemory(ctx, c)
	return after - before, err
}

// quietMemory returns the memory of all nodes once it has come to rest, after a
// collection in each, since what is garbage does not depend on copies.
func (b *clusterBench) quietMemory(ctx context.Context, c *nodes) (sum int64, err error) {
	for _, n := range c.list {
		if err := n.admin.collect(ctx); err != nil {
			return 0, err
		}
	}
	if err := Sleep(ctx, 2*defaultSettle); err != nil {
		return 0, err
	}
	for _, n := range c.list {
		m, err := memprof.ReadMemory(n.pid())
		if err != nil {
			return 0, err
		}
		sum += m.Anon + m.Shmem
	}
	return sum, nil
}

const (
	ackSessions = 400
	ackCallers  = 32
	ackTime     = 10 * time.Second
)

// ack measures how long an acknowledged broadcast takes at half of the rate
// that saturates the cluster.
func (b *clusterBench) ack(ctx context.Context) error {
	measure := ackTime
	if b.Quick {
		measure = 3 * time.Second
	}
	return b.with(ctx, clusterNodes, []string{"--durability", "acked"}, func(ctx context.Context, c *nodes) (err error) {
		crowd, err := hireRoamers(b.Self, c, b.Timeout)
		if err != nil {
			return err
		}
		defer func() {
			if stopped := crowd.stop(); err == nil {
				err = stopped
			}
		}()
		for i := range c.list {
			if err := crowd.enroll(ctx, i, ackSessions/len(c.list), true, func(int) {}); err != nil {
				return err
			}
		}
		b.progress.step("ack: saturating")
		full := newCallers(c.list[0])
		defer full.voice.close()
		if err := full.run(ctx, measure, 0); err != nil {
			return err
		}
		rate := float64(len(full.took)) / measure.Seconds()
		b.progress.step("ack: %.0f broadcasts a second, half of what is possible", rate/2)
		half := newCallers(c.list[0])
		defer half.voice.close()
		half.number.Store(full.number.Load())
		if err := half.run(ctx, measure, rate/2); err != nil {
			return err
		}
		b.report.value("ack", fmt.Sprintf("broadcasts a second to %d sessions, %d at once", ackSessions, ackCallers), len(full.took), rate, "a second", noBar)
		b.report.times("ack", "acknowledged, saturated", full.took, noBar)
		b.report.times("ack", "acknowledged, at half load", half.took, noBar)
		b.report.value("ack", "not acknowledged", len(full.took)+len(half.took), float64(full.failed+half.failed), "broadcasts", 0)
		return nil
	})
}

// callers publish at once.
type callers struct {
	voice  *announcer
	number atomic.Uint64

	mu     sync.Mutex
	took   []time.Duration // guarded by mu
	failed int             // guarded by mu
}

func newCallers(n *node) *callers { return &callers{voice: newAnnouncer(n.http)} }

// run publishes for a while: as fast as answers come, or rate a second on a
// schedule, when times count from the moment a call was due.
func (k *callers) run(ctx context.Context, d time.Duration, rate float64) error {
	end := time.Now().Add(d)
	due := make(chan time.Time)
	var wg sync.WaitGroup
	for range ackCallers {
		wg.Go(func() {
			for at := range due {
				k.one(ctx, at)
			}
		})
	}
	gap := time.Duration(0)
	if rate > 0 {
		gap = time.Duration(float64(time.Second) / rate)
	}
	for at := time.Now(); at.Before(end) && ctx.Err() == nil; at = at.Add(gap) {
		if rate == 0 {
			due <- time.Time{} // now
			at = time.Now()
			continue
		}
		_ = Sleep(ctx, time.Until(at)) // ctx is looked at above
		due <- at                      // late when all callers are busy; the time counts
	}
	close(due)
	wg.Wait()
	return context.Cause(ctx)
}

func (k *callers) one(ctx context.Context, due time.Time) {
	if due.IsZero() {
		due = time.Now()
	}
	_, err := k.voice.broadcast(ctx, k.number.Add(1))
	took := time.Since(due)
	k.mu.Lock()
	defer k.mu.Unlock()
	if err != nil {
		k.failed++
		return
	}
	k.took = append(k.took, took)
}

const starveTime = time.Minute

// starve keeps all processors busy and looks for nodes declared dead.
func (b *clusterBench) starve(ctx context.Context) error {
	length := starveTime
	if b.Quick {
		length = 10 * time.Second
	}
	return b.with(ctx, clusterNodes, nil, func(ctx context.Context, c *nodes) error {
		if err := b.rest(ctx, c, killSessions); err != nil {
			return err
		}
		burners, err := burn(2 * runtime.NumCPU())
		if err != nil {
			return err
		}
		b.progress.step("starve: %d processes burn for %v", len(burners), length)
		deaths, looks := 0, 0
		for end := time.Now().Add(length); time.Now().Before(end) && ctx.Err() == nil; {
			pages, err := c.pages(ctx, c.all())
			if err == nil {
				looks++
				for _, p := range pages {
					deaths += len(c.list) - p.serving()
				}
			}
			_ = Sleep(ctx, viewPoll)
		}
		for _, p := range burners {
			_ = p.Process.Kill()
			_ = p.Wait() // its signal
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		pages, err := c.pages(ctx, c.all())
		if err != nil {
			return err
		}
		var takeovers, lapses uint64
		for _, p := range pages {
			for i := range p.Processes {
				takeovers += p.Processes[i].Stats.Takeovers
				lapses += p.Processes[i].Stats.Lapses
			}
		}
		b.report.value("starve", "looks that saw a node dead", looks, float64(deaths), "views", 0)
		b.report.value("starve", "sessions taken over", killSessions, float64(takeovers), "sessions", 0)
		b.report.value("starve", "processes that found they had not run for too long", looks, float64(lapses), "times", noBar)
		return nil
	})
}

// burn starts processes that do nothing but keep a processor busy.
func burn(n int) (list []*exec.Cmd, err error) {
	for range n {
		cmd := exec.Command("sh", "-c", "while :; do :; done")
		if err := cmd.Start(); err != nil {
			for _, p := range list {
				_ = p.Process.Kill()
				_ = p.Wait()
			}
			return nil, err
		}
		list = append(list, cmd)
	}
	return list, nil
}
