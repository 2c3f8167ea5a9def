package loop

import (
	"sync"
	"sync/atomic"

	"github.com/rookery-server/rookery/internal/ring"
)

// A dispatcher carries connections that have records from the loops to
// workers. It knows only their handles: what there is to do for one, and that
// a connection is handed over at most once at a time, is the backend's affair.
//
// Handles go into a bounded ring per loop. Drainers, goroutines of the pool,
// pop them and call run until the rings are empty, then they end: no goroutine
// waits for work. At most Options.Workers drainers are active. One that waits
// for something (leave) is not, and another may start in its place.
//
// Wake-ups. A submit starts a drainer unless one is already on its way. These
// invariants keep a handle from lying in a ring with nobody to pop it; they
// rest on the sequential consistency of Go's atomics:
//
//   - Whoever sets starting either starts a drainer, which clears it before
//     its first pop, or clears it and then looks at active once more.
//   - A drainer that stops being active (empty rings, leave) looks at the rings
//     after it has given up its place.
//
// A dispatcher must not be copied. All methods are safe for concurrent use.
type dispatcher struct {
	rings      []*ring.Queue[Handle] // by loop; immutable
	run        func(h Handle)        // immutable; recovers what its handlers throw
	task       func()                // d.drain, stored once: a method value allocates
	pool       Pool                  // immutable; nil: goroutines of our own
	workers    int32                 // immutable; bound of active
	waitingMax int32                 // immutable; bound of waiting

	// onSpace is told that a ring that had refused a submit is half empty
	// again, once per such transition. It runs on a drainer and must be quick:
	// it wakes the loop. A submit that the ring refused *before* it was called
	// is worth repeating; so whoever keeps a list of the refused must hold the
	// list's lock over submit and append. Set before the first submit.
	onSpace func(loop int)

	starting atomic.Bool   // a drainer has been started and has not yet run
	active   atomic.Int32  // drainers started and not waiting
	waiting  atomic.Int32  // drainers between leave and comeBack
	live     atomic.Int32  // drainers started and not ended; active + waiting, but never 0 between the two
	full     []atomic.Bool // by loop: a submit was refused and onSpace is due

	stopping atomic.Bool
	mu       sync.Mutex
	ended    sync.Cond // on mu; signalled when live becomes 0 while stopping
}

// newDispatcher returns a dispatcher that calls run for each submitted handle.
func newDispatcher(o *Options, run func(h Handle)) *dispatcher {
	d := &dispatcher{
		rings:      make([]*ring.Queue[Handle], o.Loops),
		full:       make([]atomic.Bool, o.Loops),
		run:        run,
		pool:       o.Pool,
		workers:    int32(min(o.Workers, 1<<30)),
		waitingMax: int32(min(o.WaitingMax, 1<<30)),
		onSpace:    func(int) {},
	}
	for i := range d.rings {
		d.rings[i] = ring.New[Handle](o.RingSize)
	}
	d.task = d.drain
	d.ended.L = &d.mu
	return d
}

// submit queues h in the ring of its loop and sees to it that a drainer runs.
// It reports false when the ring is full: the caller stops reading and tries
// again after onSpace. It allocates nothing and blocks no longer than the
// pool's Submit does.
func (d *dispatcher) submit(h Handle) bool {
	i := h.loop()
	if q := d.rings[i]; !q.TryPush(h) {
		// The mark must stand before the attempt that decides: whoever pops
		// after a refused push then sees it.
		d.full[i].Store(true)
		if !q.TryPush(h) {
			return false
		}
	}
	d.wake()
	return true
}

// leave takes the calling drainer out of the active ones, because its handler
// is going to wait. It fails with ErrTooManyWaiting at Options.WaitingMax.
func (d *dispatcher) leave() error {
	if !add(&d.waiting, d.waitingMax) {
		return ErrTooManyWaiting
	}
	d.active.Add(-1)
	d.wake()
	return nil
}

// comeBack ends what leave began. It does not wait for a place: until the
// records in hand are done, active may exceed its bound by those who came back.
func (d *dispatcher) comeBack() {
	d.active.Add(1)
	d.waiting.Add(-1)
}

// stop returns when the rings are empty and all drainers have ended.
// REQUIRES: nobody submits any more, except from inside run.
func (d *dispatcher) stop() {
	d.stopping.Store(true)
	d.mu.Lock()
	defer d.mu.Unlock()
	for d.live.Load() > 0 {
		d.ended.Wait()
	}
}

// depth returns how many handles lie in the rings.
func (d *dispatcher) depth() (n int) {
	for _, q := range d.rings {
		n += q.Len()
	}
	return n
}

// bound returns how many handles fit into the rings.
func (d *dispatcher) bound() int { return len(d.rings) * d.rings[0].Cap() }

// running returns how many workers are active.
func (d *dispatcher) running() int { return int(d.active.Load()) }

// waits returns how many workers have left and wait.
func (d *dispatcher) waits() int { return int(d.waiting.Load()) }

// wake starts a drainer if there is something to pop, a place is free and no
// other drainer is on its way.
func (d *dispatcher) wake() {
	for d.depth() > 0 {
		if d.starting.Load() || !d.starting.CompareAndSwap(false, true) {
			return // that one will find what we pushed
		}
		if !add(&d.active, d.workers) {
			d.starting.Store(false)
			if d.active.Load() >= d.workers {
				return // each of them looks here when it gives up its place
			}
			continue // one of them did, while our mark kept it from starting a successor
		}
		if d.start() {
			return
		}
		d.active.Add(-1)
		d.starting.Store(false)
		if d.active.Load() > 0 {
			return
		}
	}
}

// start starts a drainer. A pool may refuse: it is full of handlers that wait,
// or of another group's. That is fine while a drainer of ours is active, since
// it pops what we could not; the last resort is a goroutine of our own.
func (d *dispatcher) start() bool {
	d.live.Add(1)
	if d.pool == nil {
		go d.task()
		return true
	}
	if d.pool.Submit(d.task) == nil {
		return true
	}
	if d.active.Load() <= 1 {
		go d.task()
		return true
	}
	d.gone()
	return false
}

// drain runs what is in the rings until they are empty or, after handlers came
// back from waiting, too many are active.
func (d *dispatcher) drain() {
	defer d.finish() // deferred: a handler may end the goroutine (runtime.Goexit)
	d.starting.Store(false)
	for from := 0; ; from++ {
		h, ok := d.pop(from)
		if !ok {
			return
		}
		if d.active.Load() < d.workers {
			d.wake() // what lies behind h need not wait for it
		}
		d.run(h)
		if d.active.Load() > d.workers {
			return
		}
	}
}

// finish gives up the drainer's place.
func (d *dispatcher) finish() {
	d.active.Add(-1)
	d.wake()
	d.gone()
}

// gone counts a drainer out; the last one ends stop.
func (d *dispatcher) gone() {
	if d.live.Add(-1) == 0 && d.stopping.Load() {
		d.mu.Lock()
		d.ended.Broadcast()
		d.mu.Unlock()
	}
}

// pop takes a handle from the first ring that has one, beginning with ring
// from, so that no loop's ring is served before the others for ever.
func (d *dispatcher) pop(from int) (Handle, bool) {
	for i := range d.rings {
		i = (i + from) % len(d.rings)
		h, ok := d.rings[i].TryPop()
		if !ok {
			continue
		}
		if d.full[i].Load() && d.rings[i].Len() <= d.rings[i].Cap()/2 && d.full[i].CompareAndSwap(true, false) {
			d.onSpace(i)
		}
		return h, true
	}
	return 0, false
}

// add increments v unless it has reached bound.
func add(v *atomic.Int32, bound int32) bool {
	for {
		n := v.Load()
		if n >= bound {
			return false
		}
		if v.CompareAndSwap(n, n+1) {
			return true
		}
	}
}
