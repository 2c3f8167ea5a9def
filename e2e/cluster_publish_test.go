package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// broadcasts are publishers that call the tool broadcast, each one call after
// the other on one node, until they are stopped.
type broadcasts struct {
	t         *testing.T
	a         *audience
	all       []*publisher
	stop      context.CancelFunc
	wg        sync.WaitGroup
	mayBeLate bool // see lateShare
}

// publisher is one of them. Its texts are p<publisher>/<number>.
type publisher struct {
	*listener
	number int
	node   *member
	last   int   // number drawn; read after stop
	acked  []int // numbers of calls that succeeded; read after stop
	failed []int // others: they may have been delivered
	count  atomic.Int64
	why    map[string]int
}

// publishEvery is the shortest time between two calls of a publisher: the load
// is to be there through a fault, not to saturate.
const publishEvery = 100 * time.Millisecond

// publish begins to broadcast from each of nodes.
func (a *audience) publish(nodes ...*member) *broadcasts {
	a.t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	b := &broadcasts{t: a.t, a: a, stop: stop}
	a.t.Cleanup(b.end)
	for i, node := range nodes {
		p := &publisher{listener: &listener{a: a, number: -1 - i}, number: i, node: node, last: a.last[i], why: map[string]int{}}
		for j, m := range a.c.members {
			if m == node {
				p.at.Store(int32(j))
			}
		}
		if err := p.initialize(ctx); err != nil {
			a.t.Fatal(err)
		}
		b.all = append(b.all, p)
		b.wg.Go(func() { p.run(ctx) })
	}
	return b
}

// run broadcasts until ctx ends; the call under way then is finished.
func (p *publisher) run(ctx context.Context) {
	tick := time.NewTicker(publishEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		p.last++
		n := p.last
		if why := p.once(n); why != "" {
			p.failed = append(p.failed, n)
			p.why[why]++
			continue
		}
		p.acked = append(p.acked, n)
		p.count.Add(1)
	}
}

// once broadcasts n and returns why that failed, "" if it did not.
func (p *publisher) once(n int) string {
	ctx, cancel := context.WithTimeout(context.Background(), settlePatience)
	defer cancel()
	status, answer, err := p.call(ctx, p.node, n, "broadcast", fmt.Sprintf(`{"text":"p%d/%d"}`, p.number, n))
	switch {
	case err != nil:
		return err.Error()
	case status != http.StatusOK:
		return fmt.Sprintf("status %d: %s", status, answer)
	case bytes.Contains(answer, []byte(`"isError":true`)):
		return string(answer)
	}
	return ""
}

// more waits until each publisher has had n more successes.
func (b *broadcasts) more(n int64) {
	b.t.Helper()
	var want []int64
	for _, p := range b.all {
		want = append(want, p.count.Load()+n)
	}
	b.a.c.await("broadcasts that succeed", func() bool {
		for i, p := range b.all {
			if p.count.Load() < want[i] {
				return false
			}
		}
		return true
	})
}

// errLate: a broadcast was heard once, but behind a later one of its publisher.
var errLate = errors.New("was heard after")

// lateShare is of how many clients one may hear something behind what came later
// when a split heals: a home that has not heard yet that it is fenced may send
// what is published then, before what its side missed. It was so in 4 of 28 runs
// and is not promised away; since publications wait until those who return have
// brought all it was in none of 31. More than that, or anything lost or heard
// twice, is an error.
const lateShare = 10

// verify ends the publishers and requires that each client hears each broadcast
// that succeeded exactly once and in order; others at most once. It allows
// failed calls only if may.
func (b *broadcasts) verify(may bool) {
	b.t.Helper()
	b.end()
	total := 0
	for _, p := range b.all {
		total += len(p.acked)
		if len(p.failed) > 0 {
			b.t.Logf("publisher %d on %s: %d succeeded, failed: %v", p.number, p.node.name, len(p.acked), p.why)
			if !may {
				b.t.Errorf("publisher %d on %s: %d calls failed", p.number, p.node.name, len(p.failed))
			}
		}
	}
	b.complete()
	late := 0
	for _, l := range b.a.members {
		l.mu.Lock()
		for _, p := range b.all {
			switch n, err := p.judge(l.heard[p.number]); {
			case err == nil:
			case b.mayBeLate && errors.Is(err, errLate):
				if late++; late == 1 {
					b.t.Logf("client %d, publisher %d: %v\n\t%s", l.number, p.number, err, l.told(fmt.Sprintf("%d/%d", p.number, n)))
				}
			default:
				b.a.fault("client %d, session %s, publisher %d: %v\n\t%s", l.number, l.session, p.number, err, l.told(fmt.Sprintf("%d/%d", p.number, n)))
			}
		}
		l.mu.Unlock()
	}
	if late > 0 {
		b.t.Logf("KNOWN: %d clients heard a broadcast late around the healing of the cluster; docs/cluster.md says when", late)
	}
	if late > len(b.a.members)/lateShare {
		b.a.fault("%d of %d clients heard a broadcast late", late, len(b.a.members))
	}
	b.a.check()
	b.t.Logf("%d clients heard %d broadcasts; %d streams, %d connections failed, %d times 503, longest without stream %v", len(b.a.members), total,
		b.a.resumes.Load(), b.a.cut.Load(), b.a.unavailable.Load(), b.a.worst().Round(time.Millisecond))
}

// end ends the publishers. The next ones go on with their numbers: what failed
// here may be heard by then.
func (b *broadcasts) end() {
	b.stop()
	b.wg.Wait()
	for _, p := range b.all {
		b.a.last[p.number] = max(b.a.last[p.number], p.last)
	}
}

// complete waits until every client has as many messages as succeeded.
func (b *broadcasts) complete() {
	b.t.Helper()
	deadline := time.Now().Add(settlePatience)
	for _, l := range b.a.members {
		for _, p := range b.all {
			for l.missing(p) && time.Now().Before(deadline) {
				time.Sleep(10 * time.Millisecond)
			}
		}
	}
}

// missing reports whether l lacks a broadcast of p that succeeded.
func (l *listener) missing(p *publisher) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	heard := make(map[int]bool, len(l.heard[p.number]))
	for _, n := range l.heard[p.number] {
		heard[n] = true
	}
	for _, n := range p.acked {
		if !heard[n] {
			return true
		}
	}
	return false
}

// judge compares what one client heard of p with what p sent. It returns the
// broadcast that is wrong, and in what way.
func (p *publisher) judge(heard []int) (int, error) {
	times, acked := map[int]int{}, map[int]bool{}
	for _, n := range heard {
		times[n]++
	}
	for _, n := range p.acked {
		if acked[n] = true; times[n] == 0 {
			return n, fmt.Errorf("%d was not heard; heard %d, the first is %d", n, len(heard), slices.Min(append([]int{1 << 30}, heard...)))
		}
	}
	for _, n := range heard {
		if times[n] != 1 {
			return n, fmt.Errorf("%d was heard %d times", n, times[n])
		}
	}
	last := 0
	for _, n := range heard {
		switch {
		case acked[n] && n < last:
			return last, fmt.Errorf("%d %w %d", n, errLate, last)
		case acked[n]:
			last = n
		}
	}
	return 0, nil
}
