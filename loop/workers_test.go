package loop

import (
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// fussyPool refuses every n-th task and any beyond its size, as a pool does
// that others use too.
type fussyPool struct {
	size, every int32
	busy, calls atomic.Int32
}

var errFull = errors.New("pool is full")

func (p *fussyPool) Submit(task func()) error {
	if p.calls.Add(1)%p.every == 0 || !add(&p.busy, p.size) {
		return errFull
	}
	go func() {
		defer p.busy.Add(-1)
		task()
	}()
	return nil
}

// gauge counts who is inside and remembers the most.
type gauge struct{ now, most atomic.Int32 }

func (g *gauge) enter() {
	n := g.now.Add(1)
	for m := g.most.Load(); n > m && !g.most.CompareAndSwap(m, n); m = g.most.Load() {
	}
}

func (g *gauge) leave() { g.now.Add(-1) }

// rush drives a dispatcher: each loop submits its handles as a backend does,
// waiting for onSpace when the ring is full.
type rush struct {
	o     Options
	each  int // handles of a loop
	waits bool
	ran   [][]atomic.Int32 // by loop and index
	in    gauge
	done  sync.WaitGroup
	space []chan struct{}
}

func (r *rush) drive(t rapid.TB) {
	var d *dispatcher
	d = newDispatcher(&r.o, func(h Handle) {
		r.in.enter()
		r.ran[h.loop()][h.index()].Add(1)
		if h.index()%7 == 0 {
			runtime.Gosched()
		}
		r.in.leave()
		if r.waits && h.index()%5 == 0 && d.leave() == nil {
			runtime.Gosched()
			d.comeBack()
		}
		r.done.Done()
	})
	for range r.o.Loops {
		r.ran = append(r.ran, make([]atomic.Int32, r.each))
		r.space = append(r.space, make(chan struct{}, 1))
	}
	d.onSpace = func(loop int) {
		select {
		case r.space[loop] <- struct{}{}:
		default:
		}
	}
	r.done.Add(r.o.Loops * r.each)
	stuck := time.AfterFunc(20*time.Second, func() {
		panic("a wake-up was lost")
	})
	var loops sync.WaitGroup
	for l := range r.o.Loops {
		loops.Go(func() {
			for i := range r.each {
				for !d.submit(makeHandle(l, i, 1)) {
					<-r.space[l]
				}
			}
		})
	}
	r.done.Wait()
	loops.Wait() // a submit may still be on its way out
	d.stop()
	stuck.Stop()
	r.check(t, d)
}

func (r *rush) check(t rapid.TB, d *dispatcher) {
	for l := range r.ran {
		for i := range r.ran[l] {
			if n := r.ran[l][i].Load(); n != 1 {
				t.Fatalf("handle %d of loop %d ran %d times", i, l, n)
			}
		}
	}
	if most := int(r.in.most.Load()); !r.waits && most > r.o.Workers {
		t.Fatalf("%d workers at a time, allowed are %d", most, r.o.Workers)
	}
	if d.depth() != 0 || d.running() != 0 || d.waits() != 0 || d.live.Load() != 0 || d.starting.Load() {
		t.Fatalf("left behind: depth %d, running %d, waiting %d, live %d, starting %v",
			d.depth(), d.running(), d.waits(), d.live.Load(), d.starting.Load())
	}
}

// TestDispatcherRunsEachOnce: whatever the bounds, the pool and the handlers
// do, each submitted handle runs exactly once and no more than Workers at a
// time, and stop leaves nothing behind.
func TestDispatcherRunsEachOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := &rush{
			o: Options{
				Loops:      rapid.IntRange(1, 3).Draw(t, "loops"),
				Workers:    rapid.IntRange(1, 5).Draw(t, "workers"),
				WaitingMax: rapid.IntRange(0, 3).Draw(t, "waitingMax"),
				RingSize:   rapid.IntRange(1, 64).Draw(t, "ring"),
			},
			each:  rapid.IntRange(1, 400).Draw(t, "handles"),
			waits: rapid.Bool().Draw(t, "waits"),
		}
		if rapid.Bool().Draw(t, "pool") {
			r.o.Pool = &fussyPool{
				size:  rapid.Int32Range(1, 6).Draw(t, "poolSize"),
				every: rapid.Int32Range(1, 5).Draw(t, "refuseEvery"),
			}
		}
		r.drive(t)
	})
}

// TestDispatcherUnderPressure is the same with many handles, for the race
// detector and for rare interleavings.
func TestDispatcherUnderPressure(t *testing.T) {
	for _, pool := range []Pool{nil, &fussyPool{size: 3, every: 3}} {
		for _, waits := range []bool{false, true} {
			r := &rush{o: Options{Loops: 2, Workers: 4, WaitingMax: 8, RingSize: 16, Pool: pool}, each: 15_000, waits: waits}
			r.drive(t)
		}
	}
}

// TestDispatcherWakes submits one handle at a time to an idle dispatcher: each
// must be picked up although the drainer before is just about to end.
func TestDispatcherWakes(t *testing.T) {
	ran := make(chan Handle)
	d := newDispatcher(&Options{Loops: 1, Workers: 1, RingSize: 2}, func(h Handle) { ran <- h })
	for i := range 20_000 {
		if !d.submit(makeHandle(0, i, 1)) {
			t.Fatal("refused")
		}
		select {
		case h := <-ran:
			if h.index() != i {
				t.Fatalf("ran %d, want %d", h.index(), i)
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("handle %d was forgotten", i)
		}
	}
	d.stop()
}

// TestDispatcherWaiting: handlers that leave do not take a place, up to
// WaitingMax; the next one is told.
func TestDispatcherWaiting(t *testing.T) {
	const waiters = 3
	gate := make(chan struct{})
	results := make(chan error, waiters+1)
	var d *dispatcher
	d = newDispatcher(&Options{Loops: 1, Workers: 1, WaitingMax: waiters, RingSize: 16}, func(h Handle) {
		err := d.leave()
		results <- err
		if err == nil {
			<-gate
			d.comeBack()
		}
	})
	for i := range waiters + 1 {
		d.submit(makeHandle(0, i, 1))
	}
	refused := 0
	for range waiters + 1 {
		if err := <-results; errors.Is(err, ErrTooManyWaiting) {
			refused++
		} else if err != nil {
			t.Errorf("leave: %v", err)
		}
	}
	if refused != 1 {
		t.Errorf("%d of %d were refused, want 1", refused, waiters+1)
	}
	if n := d.waits(); n != waiters {
		t.Errorf("waiting: %d, want %d", n, waiters)
	}
	close(gate)
	d.stop()
	if d.running() != 0 || d.waits() != 0 {
		t.Errorf("afterwards: running %d, waiting %d", d.running(), d.waits())
	}
}

// TestDispatcherSpace: a refusal is followed by exactly one onSpace, when the
// ring is half empty.
func TestDispatcherSpace(t *testing.T) {
	gate := make(chan struct{})
	began := make(chan struct{}, 16)
	var told []int
	d := newDispatcher(&Options{Loops: 1, Workers: 1, RingSize: 4}, func(Handle) { began <- struct{}{}; <-gate })
	d.onSpace = func(int) { told = append(told, d.depth()) }
	d.submit(makeHandle(0, 0, 1))
	<-began // the ring is empty again, the only worker busy
	n := 0
	for d.submit(makeHandle(0, 1+n, 1)) {
		n++
	}
	if n != d.bound() || d.depth() != n {
		t.Errorf("took %d, holds %d, bound %d", n, d.depth(), d.bound())
	}
	close(gate)
	d.stop()
	if len(told) != 1 || told[0] != d.bound()/2 {
		t.Errorf("onSpace was told at depths %v, want once at %d", told, d.bound()/2)
	}
}

// TestDispatcherStopWaits: stop returns after the last handler, also one that
// waits.
func TestDispatcherStopWaits(t *testing.T) {
	gate, left := make(chan struct{}), make(chan struct{})
	var over atomic.Bool
	var d *dispatcher
	d = newDispatcher(&Options{Loops: 1, Workers: 1, WaitingMax: 1, RingSize: 4}, func(Handle) {
		if d.leave() != nil {
			t.Error("leave refused")
		}
		close(left)
		<-gate
		d.comeBack()
		over.Store(true)
	})
	d.submit(makeHandle(0, 1, 1))
	<-left
	stopped := make(chan struct{})
	go func() { d.stop(); close(stopped) }()
	select {
	case <-stopped:
		t.Error("stopped while a handler waits")
	default:
	}
	close(gate)
	<-stopped
	if !over.Load() {
		t.Error("stopped before the handler was done")
	}
}

// TestDispatcherSurvivesGoexit: a handler that ends its goroutine does not take
// the place with it.
func TestDispatcherSurvivesGoexit(t *testing.T) {
	ran := make(chan int, 8)
	d := newDispatcher(&Options{Loops: 1, Workers: 1, RingSize: 8}, func(h Handle) {
		ran <- h.index()
		if h.index()%2 == 0 {
			runtime.Goexit()
		}
	})
	for i := range 8 {
		d.submit(makeHandle(0, i, 1))
	}
	d.stop()
	if len(ran) != 8 {
		t.Errorf("%d of 8 ran", len(ran))
	}
}

// TestDispatcherLoopsShare: a flood of one loop does not keep another loop's
// handle waiting until it is over.
func TestDispatcherLoopsShare(t *testing.T) {
	gate, began := make(chan struct{}), make(chan struct{}, 1)
	var order []int
	d := newDispatcher(&Options{Loops: 2, Workers: 1, RingSize: 64}, func(h Handle) {
		select {
		case began <- struct{}{}:
		default:
		}
		<-gate
		order = append(order, h.loop())
	})
	d.submit(makeHandle(0, 0, 1))
	<-began
	for i := range 40 {
		d.submit(makeHandle(0, 1+i, 1))
	}
	d.submit(makeHandle(1, 0, 1))
	close(gate)
	d.stop()
	for i, l := range order {
		if l == 1 && i > 3 {
			t.Errorf("the other loop's handle came %dth", i+1)
		}
	}
}

func TestDispatcherAllocs(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	ran := make(chan struct{})
	d := newDispatcher(&Options{Loops: 1, Workers: 2, RingSize: 8}, func(Handle) { ran <- struct{}{} })
	h := makeHandle(0, 1, 1)
	if n := testing.AllocsPerRun(2000, func() {
		d.submit(h)
		<-ran
	}); n > 0 {
		t.Errorf("%v allocations per handle, want 0", n)
	}
	d.stop()
}

// BenchmarkDispatcher is one hand-off to an idle dispatcher and back.
func BenchmarkDispatcher(b *testing.B) {
	ran := make(chan struct{}, 1)
	d := newDispatcher(&Options{Loops: 1, Workers: 2, RingSize: 8}, func(Handle) { ran <- struct{}{} })
	b.ReportAllocs()
	for b.Loop() {
		d.submit(makeHandle(0, 1, 1))
		<-ran
	}
	d.stop()
}
