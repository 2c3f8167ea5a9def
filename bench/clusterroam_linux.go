package bench

import (
	"container/heap"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"time"
)

// roam is the body of a process that holds clients of a cluster: as work, but
// its clients know all nodes and change them as real ones do.
func roam(ctx context.Context, in io.Reader, out io.Writer) error {
	ctx, cancel := context.WithCancelCause(ctx)
	orders := make(chan order)
	go func() {
		defer close(orders)
		cancel(readOrders(ctx, in, orders))
	}()
	var f *herd
	defer func() {
		if f != nil {
			f.close()
		}
	}()
	encoder := json.NewEncoder(out)
	for {
		o, err := nextRoam(ctx, f, orders)
		if errors.Is(err, errParentGone) {
			return nil
		}
		if err != nil {
			return err
		}
		if f == nil {
			if f, err = newHerd(o.Roam.Nodes); err != nil {
				return err
			}
		}
		a := f.do(ctx, o, func(done int) { _ = encoder.Encode(answer{Done: done}) }) // the answer that follows finds the failure
		if err := encoder.Encode(a); err != nil {
			return err
		}
	}
}

// nextRoam waits for an order and serves the clients meanwhile.
func nextRoam(ctx context.Context, f *herd, orders <-chan order) (o order, err error) {
	if f == nil {
		select {
		case o, ok := <-orders:
			if ok {
				return o, nil
			}
		case <-ctx.Done():
		}
		return o, context.Cause(ctx)
	}
	err = f.serve(ctx, func() (ok bool) {
		select {
		case o, ok = <-orders:
		default:
		}
		return ok
	})
	return o, err
}

// herd is clients of one cluster on one epoll set.
type herd struct {
	*client
	nodes   []Target
	dialers []*dialer
	list    []*roamer
	away    lost                // those without a stream, by when they try again
	missing int                 // how many streams are not open
	rounds  map[uint64]*hearing // by number of the event
	turned  int                 // times somebody was turned away
	gone    int                 // sessions that were refused for good
	latest  *hearing            // of the event of number latestN
	latestN uint64
	known   knownEvent
	said    uint64 // what the event read last said, see roamer.count
}

// hearing is how far one event has come.
type hearing struct {
	count int
	last  time.Time
}

func newHerd(addrs []netip.AddrPort) (*herd, error) {
	f := &herd{rounds: map[uint64]*hearing{}}
	for _, a := range addrs {
		d, err := newDialer(a)
		if err != nil {
			return nil, err
		}
		f.dialers = append(f.dialers, d)
		f.nodes = append(f.nodes, Target{Addr: a, Path: "/mcp"})
	}
	c, err := newClient(addrs[0])
	f.client = c
	return f, err
}

// dial opens a connection to a node.
func (f *herd) dial(node int, h handler) (*conn, error) {
	f.dialer = f.dialers[node]
	return f.open(h)
}

// serve serves the clients until done is true or ctx ends.
func (f *herd) serve(ctx context.Context, done func() bool) error {
	return f.run(ctx, func() (time.Duration, bool, error) {
		wait, err := f.comeBack(time.Now())
		return wait, err == nil && done(), err
	})
}

// do executes an order.
func (f *herd) do(ctx context.Context, o order, progress func(int)) answer {
	ctx, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()
	a := answer{Final: true, Roam: &roamAnswer{}}
	f.gather = o.Roam.Gather
	var err error
	switch o.Op {
	case opEnroll:
		err = f.enroll(ctx, o.Roam.Node, o.Count, o.Roam.Streams, progress)
	case opWatch:
		err = f.watch(ctx, o.Roam.Node, o.Count)
	case opAwait:
		a.Roam.At, err = f.await(ctx, o.Roam.Number)
	case opSettle:
		a.Roam.Served, err = f.settle(ctx, o.Roam.Victims, time.Unix(0, o.Roam.Since))
		a.Roam.Gone, a.Roam.Turned = f.gone, f.turned
	case opAudit:
		a.Roam.Audit = f.audit(o.Roam.Number, o.Roam.Failed)
	default:
		err = fmt.Errorf("bench: roamers cannot %q", o.Op)
	}
	if err != nil {
		a.Error = err.Error()
	}
	return a
}

// enroll makes count sessions at a node and, with streams, waits until each has
// its stream.
func (f *herd) enroll(ctx context.Context, node, count int, streams bool, progress func(int)) error {
	t := &f.nodes[node]
	made, open := 0, 0
	p := &pool{client: f.client, size: poolSize, more: func() bool { return made < count && made-open < handshakesMax }}
	p.give = func(k *caller, release func(*caller)) {
		made++
		k.initialize(t, capsNone, func(k *caller, session string) error {
			release(k)
			if !streams {
				open++
				return nil
			}
			r := &roamer{herd: f, node: node, session: session, opened: func() { open++ }}
			f.list = append(f.list, r)
			f.missing++
			return r.attach(node)
		})
	}
	reported := time.Now()
	err := f.run(ctx, func() (time.Duration, bool, error) {
		f.dialer = f.dialers[node]
		if now := time.Now(); now.Sub(reported) >= calmPoll {
			reported = now
			progress(open)
		}
		return tick, open == count, p.staff()
	})
	if err != nil {
		return fmt.Errorf("bench: %d of %d sessions: %w", open, count, err)
	}
	p.close()
	return nil
}

// watch opens count streams at a node that listen for one resource.
func (f *herd) watch(ctx context.Context, node, count int) error {
	open, started := 0, 0
	t := &f.nodes[node]
	err := f.serve(ctx, func() bool {
		for started < count && started-open < handshakesMax {
			started++
			r := &roamer{herd: f, node: node, listens: true, opened: func() { open++ }}
			f.list = append(f.list, r)
			f.missing++
			r.request = t.post(watchCall(1), listenHeaders)
			if _, err := f.dial(node, r); err != nil {
				return false // the kernel has no descriptor now; the deadline says so
			}
		}
		return open == count
	})
	if err != nil {
		return fmt.Errorf("bench: %d of %d streams: %w", open, count, err)
	}
	return nil
}

// await waits until all clients have heard an event.
func (f *herd) await(ctx context.Context, number uint64) (int64, error) {
	h := f.hearing(number)
	err := f.serve(ctx, func() bool { return h.count >= len(f.list)-f.gone })
	if err != nil {
		return 0, fmt.Errorf("bench: %d of %d clients have heard event %d: %w", h.count, len(f.list), number, err)
	}
	delete(f.rounds, number)
	f.latest = nil
	return h.last.UnixNano(), nil
}

func (f *herd) hearing(number uint64) *hearing {
	if f.latest != nil && f.latestN == number {
		return f.latest
	}
	h := f.rounds[number]
	if h == nil {
		h = &hearing{}
		f.rounds[number] = h
	}
	f.latest, f.latestN = h, number
	return h
}

// settleQuiet is how long every stream must have been open for the fault to be
// over, where it is not known who loses his.
const settleQuiet = time.Second

// settle waits until all who were at victims are elsewhere and served, or, with
// none, until nobody has been without a stream for a while.
func (f *herd) settle(ctx context.Context, victims []int, since time.Time) ([]int64, error) {
	stays := func() bool {
		for _, v := range victims {
			for _, r := range f.list {
				if r.node == v && !r.gone {
					return true
				}
			}
		}
		return false
	}
	var calm time.Time
	err := f.serve(ctx, func() bool {
		if f.missing > 0 || stays() {
			calm = time.Time{}
			return false
		}
		if calm.IsZero() {
			calm = time.Now()
		}
		return len(victims) > 0 || time.Since(calm) >= settleQuiet
	})
	if err != nil {
		err = fmt.Errorf("bench: %d of %d clients are without a stream: %w", f.missing, len(f.list), err)
	}
	var served []int64
	for _, r := range f.list {
		if r.served.After(since) {
			served = append(served, int64(r.served.Sub(since)))
		}
	}
	return served, err
}

// audit compares what was heard with the events 1 to number without failed ones.
func (f *herd) audit(number uint64, failed []uint64) audit {
	var sum audit
	excused := map[uint64]bool{}
	for _, n := range failed {
		excused[n] = true
	}
	for _, r := range f.list {
		sum.Sessions++
		sum.Heard += r.heard
		sum.Doubled += r.doubled
		sum.Early += r.early
		for n := range r.missed {
			if !excused[n] {
				sum.Lost++
			}
		}
		for n := r.last + 1; n <= number; n++ {
			if !excused[n] {
				sum.Lost++
			}
		}
	}
	return sum
}

// Pauses of a client that lost its stream: as a real one it does not come back
// in the same instant as all others, and is patient with who turns it away.
const (
	returnSpread = 100 * time.Millisecond
	returnAgain  = 50 * time.Millisecond
	// returnsAtOnce come back before what arrived meanwhile is read: their
	// number is no reason for the first to be served late.
	returnsAtOnce = 64
)

// comeBack lets clients try whose time has come, and returns when the next is due.
func (f *herd) comeBack(now time.Time) (time.Duration, error) {
	for n := 0; len(f.away) > 0; n++ {
		if n == returnsAtOnce {
			return 0, nil // those who were before them are heard first
		}
		r := f.away[0]
		if wait := r.next.Sub(now); wait > 0 {
			return min(wait, tick), nil
		}
		heap.Pop(&f.away)
		if err := r.attach(r.elsewhere()); err != nil {
			return 0, err
		}
	}
	return tick, nil
}

// later has a client try again in a while.
func (f *herd) later(r *roamer, in time.Duration) {
	r.next = time.Now().Add(in + rand.N(returnSpread))
	heap.Push(&f.away, r)
}

// lost are the clients without a stream, those first who try first.
type lost []*roamer

func (l lost) Len() int           { return len(l) }
func (l lost) Less(i, j int) bool { return l[i].next.Before(l[j].next) }
func (l lost) Swap(i, j int)      { l[i], l[j] = l[j], l[i] }
func (l *lost) Push(x any)        { *l = append(*l, x.(*roamer)) }
func (l *lost) Pop() any {
	n := len(*l) - 1
	r := (*l)[n]
	*l = (*l)[:n]
	return r
}
