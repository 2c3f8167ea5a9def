package cluster

import (
	"container/heap"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"slices"
	"time"

	"github.com/rookery-server/rookery/batch"
)

// world is one simulated cluster with its network, its clients and its clock.
type world struct {
	seed    uint64
	rng     *rand.Rand
	now     time.Duration
	queue   simQueue
	queued  uint64
	history uint64 // hash of everything that happened
	trace   bool
	err     error // the first thing that was wrong

	cfg     simConfig
	faults  string  // instead of those that the seed draws; "": simFault
	workers int     // likewise; 0: simWorkers
	procs   []*proc // in the order of their start, the dead included
	hosts   []string
	blocked map[[2]string]bool // from, to
	conns   []*simConn
	clients []*client
	pubs    []*simPub
	later   []func() // ends faults
	owners  map[ownership]*proc
	quiet   bool // no faults, no new work
	// From rests on nothing is under way that a fault has left; at ends it is
	// looked at.
	rests, ends time.Duration
	doubled     map[string]int // events that clients had twice, by excuse
	settles     time.Duration  // when all have noticed how a split, or a long pause, began or ended
}

// simConfig is what a seed decides once.
type simConfig struct {
	nodes, workers, clients int
	replicas                int
	acked                   bool
	delay                   time.Duration // of the network, typical
	publishEvery            time.Duration
	faults                  []string
}

type simEvent struct {
	at time.Duration
	n  uint64
	f  func()
}

type simQueue []simEvent

func (q simQueue) Len() int { return len(q) }
func (q simQueue) Less(i, j int) bool {
	return q[i].at < q[j].at || q[i].at == q[j].at && q[i].n < q[j].n
}
func (q simQueue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *simQueue) Push(x any)   { *q = append(*q, x.(simEvent)) }
func (q *simQueue) Pop() any {
	old := *q
	x := old[len(old)-1]
	old[len(old)-1] = simEvent{}
	*q = old[:len(old)-1]
	return x
}

func newWorld(seed uint64, trace bool) *world {
	return &world{seed: seed, rng: rand.New(rand.NewPCG(seed, 0x5eed)), trace: trace, blocked: map[[2]string]bool{}, owners: map[ownership]*proc{}, doubled: map[string]int{}}
}

// after runs f when d has passed.
func (w *world) after(d time.Duration, f func()) {
	w.queued++
	heap.Push(&w.queue, simEvent{w.now + d, w.queued, f})
}

// between returns a duration of at least lo and less than hi.
func (w *world) between(lo, hi time.Duration) time.Duration {
	return lo + time.Duration(w.rng.Int64N(int64(hi-lo)))
}

func (w *world) chance(percent int) bool { return w.rng.IntN(100) < percent }

func (w *world) note(format string, args ...any) {
	if w.trace {
		fmt.Fprintf(os.Stdout, "%12s  %s\n", w.now, fmt.Sprintf(format, args...))
	}
}

func (w *world) fail(format string, args ...any) {
	if w.err == nil {
		w.err = fmt.Errorf("at %s: %w", w.now, fmt.Errorf(format, args...))
		w.note("FAILED %v", w.err)
	}
}

// happened mixes something into the hash of the history.
func (w *world) happened(x uint64) { w.history = mix(w.history ^ x + uint64(w.now)) }

// simEventsMax is many times what a history has: one that exceeds it goes round in
// a circle.
const simEventsMax = 2_000_000

// runUntil runs what happens before a time.
func (w *world) runUntil(end time.Duration) {
	for w.err == nil && len(w.queue) > 0 && w.queue[0].at <= end {
		if w.queued > simEventsMax {
			w.fail("somebody is never done")
			return
		}
		e := heap.Pop(&w.queue).(simEvent)
		w.now = e.at
		w.happened(e.n)
		e.f()
	}
	w.now = max(w.now, end)
}

// proc is one process of a simulated cluster.
type proc struct {
	w     *world
	id    PeerID
	core  *Core
	store *simStore

	dead    bool
	crashed bool // with its machine: what it has sent is lost
	severed bool // it died while others could not hear what it had sent
	paused  bool
	since   time.Duration
	waiting []func() // what came while it was paused
	stepAt  time.Duration
	stepN   uint64
	slow    bool // reads little from its links
	ready   bool // it has joined: clients are let in

	// what it knows of others
	version  uint64
	known    map[PeerID]*knownPeer
	draining map[string]bool
	acts     map[PeerID]bool // whom it saw alive when it stepped last

	links map[*Link]*simEnd
	conns map[uint64]*clientConn
	last  uint64 // connection number
}

type knownPeer struct {
	id    PeerID
	heard time.Duration
	state NodeState
	limit time.Duration // of silence
}

func (w *world) start(node string, worker uint16) *proc {
	p := &proc{
		w: w, id: PeerID{Node: node, Worker: worker, Incarnation: w.rng.Uint64() | 1},
		known: map[PeerID]*knownPeer{}, links: map[*Link]*simEnd{}, conns: map[uint64]*clientConn{},
		draining: map[string]bool{},
	}
	p.store = newSimStore(p)
	logger := slog.New(slog.DiscardHandler)
	p.core = NewCore(CoreOptions{
		Self: Peer{PeerID: p.id}, Store: p.store, Replicas: w.cfg.replicas, Acked: w.cfg.acked,
		Now: func() time.Duration { return w.now }, Wake: p.wake, Attention: func() { p.stepIn(w.between(time.Microsecond, 50*time.Microsecond)) },
		Link: batch.Options{Features: batch.FeatureForks}, Logger: logger, DigestEvery: 2 * time.Second,
	})
	if len(w.procs)%2 == 1 {
		p.core.spread.round.most = 3 // a publication takes some rounds
	}
	w.procs = append(w.procs, p)
	p.stepIn(0)
	p.see()
	w.after(w.between(0, 50*time.Millisecond), p.tick)
	return p
}

// do runs f when the process can: now, or after a pause, or never.
func (p *proc) do(f func()) {
	switch {
	case p.dead:
	case p.paused:
		p.waiting = append(p.waiting, f)
	default:
		f()
	}
}

// stepIn has Core.Step called after d, or earlier.
func (p *proc) stepIn(d time.Duration) {
	at := p.w.now + d
	if p.stepN != 0 && p.stepAt <= at {
		return
	}
	n := p.w.queued + 1
	p.stepAt, p.stepN = at, n
	p.w.after(d, func() { p.do(func() { p.step(n) }) })
}

func (p *proc) step(n uint64) {
	if p.stepN != n {
		return // an earlier one was wanted
	}
	p.stepN = 0
	p.w.checkPubs(p) // what was acknowledged before it acts on its latest view
	p.acts = p.alive()
	if p.core.Step() {
		p.stepIn(p.w.between(20*time.Microsecond, 200*time.Microsecond))
	} else {
		p.stepIn(stepEvery)
	}
	p.w.checkPubs(p)
}

// alive returns whom it sees alive.
func (p *proc) alive() map[PeerID]bool {
	all := map[PeerID]bool{p.id: true}
	for id, k := range p.known {
		all[id] = k.state == Alive
	}
	return all
}

// tick is the process's idea of who is alive.
func (p *proc) tick() {
	if p.dead {
		return
	}
	p.w.after(p.w.between(40*time.Millisecond, 60*time.Millisecond), p.tick)
	if p.paused {
		return
	}
	changed, all := false, true
	for _, q := range p.w.procs {
		if q == p {
			continue
		}
		k := p.known[q.id]
		if !q.dead && !q.paused && !p.w.blocked[[2]string{q.id.Node, p.id.Node}] && (k != nil || p.w.chance(30)) {
			if k == nil {
				p.meet(q)
				changed = true
				k = p.known[q.id]
			}
			k.heard = p.w.now
		}
		if k == nil {
			all = all && q.dead
			continue
		}
		state := Alive
		if p.w.now-k.heard > k.limit {
			state = Dead
		}
		if state != k.state {
			k.state, changed = state, true
		}
	}
	if changed {
		p.see()
	}
	p.ready = p.ready || all
}

// meet makes another process known.
func (p *proc) meet(q *proc) {
	for id := range p.known { // the place has another tenant
		if id.Node == q.id.Node && id.Worker == q.id.Worker && id != q.id {
			delete(p.known, id)
		}
	}
	p.known[q.id] = &knownPeer{
		id: q.id, heard: p.w.now, state: Alive,
		limit: p.w.between(700*time.Millisecond, 1300*time.Millisecond),
	}
	p.w.after(p.w.between(time.Millisecond, 30*time.Millisecond), func() { p.w.dial(p, q) })
}

// see gives the core a view.
func (p *proc) see() {
	p.version++
	v := &View{Version: p.version, Self: p.id.Node}
	ids := []PeerID{p.id}
	for id := range p.known {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, PeerID.Compare)
	for _, id := range ids {
		state := Alive
		if k := p.known[id]; k != nil {
			state = k.state
		}
		if len(v.Nodes) == 0 || v.Nodes[len(v.Nodes)-1].Name != id.Node {
			v.Nodes = append(v.Nodes, Node{Name: id.Node, State: state, Incarnation: 1, Draining: p.draining[id.Node]})
		}
		n := &v.Nodes[len(v.Nodes)-1]
		n.Workers = append(n.Workers, WorkerInfo{Worker: id.Worker, Incarnation: id.Incarnation, State: state, Gone: state == Dead && p.w.isGone(id)})
		if state == Alive {
			n.State = Alive
		}
	}
	if err := v.check(); err != nil {
		p.w.fail("view: %w", err)
		return
	}
	p.w.note("%s sees %s", p.id, viewText(v))
	p.core.SetView(v)
}

func viewText(v *View) (s string) {
	for _, n := range v.Nodes {
		for _, k := range n.Workers {
			s += fmt.Sprintf(" %s/%d=%s(%x)", n.Name, k.Worker, k.State, k.Incarnation>>52)
		}
	}
	return s
}

// kill ends a process, or its machine. Others notice soon.
func (w *world) kill(p *proc, machine bool) {
	if p.dead {
		return
	}
	w.note("KILL %s, machine %v", p.id, machine)
	p.dead, p.crashed = true, machine
	p.severed = slices.ContainsFunc(w.hosts, func(node string) bool { return w.blocked[[2]string{p.id.Node, node}] })
	for _, q := range w.procs {
		if k := q.known[p.id]; k != nil && !q.dead && !w.blocked[[2]string{p.id.Node, q.id.Node}] {
			w.after(w.between(10*time.Millisecond, 400*time.Millisecond), func() {
				q.do(func() {
					if k.state == Alive {
						k.state, k.heard = Dead, -time.Hour
						q.see()
					}
				})
			})
		}
	}
	for _, c := range slices.Clone(w.conns) {
		if c.joins(p) {
			w.cut(c)
		}
	}
	for _, c := range p.sortedConns() {
		c.cut()
	}
}

func (p *proc) pause() {
	p.w.note("PAUSE %s", p.id)
	p.w.settles = p.w.now + simSettle
	p.paused, p.since = true, p.w.now
}

func (p *proc) resume() {
	if !p.paused {
		return
	}
	p.w.note("RESUME %s", p.id)
	p.paused = false
	if p.w.now-p.since > lapse {
		p.w.settles = p.w.now + simSettle
		p.store.fence()
	}
	for _, k := range p.known {
		if k.state == Alive {
			k.heard = p.w.now // it was we who slept
		}
	}
	for len(p.waiting) > 0 && !p.paused && !p.dead {
		f := p.waiting[0]
		p.waiting = p.waiting[1:]
		f()
	}
	for _, e := range p.sortedEnds() {
		e.pump()
	}
}

// simSettle is more than it takes to notice, and to tell each other.
const simSettle = 3 * time.Second

// live returns the processes that run.
func (w *world) live() (all []*proc) {
	for _, p := range w.procs {
		if !p.dead {
			all = append(all, p)
		}
	}
	return all
}

// isGone reports whether a process has ended and its machine has not, so that
// dialling it is refused.
func (w *world) isGone(id PeerID) bool {
	p := w.procOf(id)
	return p == nil || p.dead && !p.crashed
}

func (w *world) procOf(id PeerID) *proc {
	for _, p := range w.procs {
		if p.id == id {
			return p
		}
	}
	return nil
}

// named returns the process of an incarnation.
func (w *world) named(incarnation string) *proc {
	return w.procs[slices.IndexFunc(w.procs, func(p *proc) bool { return utoa(p.id.Incarnation) == incarnation })]
}
