package cluster

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rookery-server/rookery/batch"
)

// run plays the whole history of a seed.
func (w *world) run() error {
	w.configure()
	w.note("%+v", w.cfg)
	w.begin()
	w.runUntil(300 * time.Millisecond)
	for range w.cfg.clients {
		w.addClient()
	}
	w.runUntil(time.Second)
	for _, c := range w.clients {
		for i := range 3 {
			if topic := fmt.Sprintf("t%d", i); c.id != "" && w.chance(30) && !c.posting {
				c.post("sub "+c.id+" "+topic, func() { c.settled[topic], c.topics[topic] = true, true })
			}
		}
	}
	w.runUntil(1500 * time.Millisecond)
	w.publishing()
	w.acting()
	w.runUntil(2 * time.Second)
	for _, f := range w.cfg.faults {
		if w.err == nil {
			simFaults[f](w)
		}
	}
	w.calm()
	w.check()
	return w.err
}

// begin starts a cluster whose members know each other.
func (w *world) begin() {
	for i := range w.cfg.nodes {
		node := fmt.Sprintf("n%d", i+1)
		w.hosts = append(w.hosts, node)
		for worker := range w.cfg.workers {
			w.start(node, uint16(worker))
		}
	}
	for _, p := range w.procs {
		for _, q := range w.procs {
			if p != q {
				p.meet(q)
			}
		}
		p.see()
	}
}

func (w *world) publishing() {
	if w.quiet {
		return
	}
	if live := w.live(); len(live) > 0 {
		w.publish(live[w.rng.IntN(len(live))])
	}
	w.after(w.between(w.cfg.publishEvery/2, w.cfg.publishEvery*2), w.publishing)
}

func (w *world) acting() {
	if w.quiet {
		return
	}
	w.clients[w.rng.IntN(len(w.clients))].act()
	w.after(w.between(10*time.Millisecond, 60*time.Millisecond), w.acting)
}

// draining has everybody hear, some time, that a node drains or not.
func (w *world) draining(node string, on bool) {
	w.note("DRAIN %s %v", node, on)
	for _, q := range w.live() {
		w.after(w.between(time.Millisecond, 200*time.Millisecond), func() {
			q.do(func() {
				q.draining[node] = on
				q.see()
			})
		})
	}
}

// calm ends all faults and gives the cluster time.
func (w *world) calm() {
	w.heal()
	for _, f := range w.later {
		f()
	}
	w.runUntil(w.now + 2*time.Second)
	w.quiet, w.rests, w.ends = true, w.now+simSettle, w.now+20*time.Second
	w.note("QUIET")
	w.runUntil(w.ends)
	for n := 0; n < 100 && w.speaking(); n++ {
		w.runUntil(w.now + 10*time.Millisecond)
	}
}

// speaking reports whether a digest is on its way.
func (w *world) speaking() bool {
	for _, p := range w.live() {
		for _, e := range p.sortedEnds() {
			for lane := range batch.Lanes {
				if n, _ := e.link.m.Pending(batch.Lane(lane)); n > 0 {
					return true
				}
			}
		}
	}
	return false
}

func (w *world) heal() {
	for _, p := range w.live() {
		p.resume()
		if p.slow {
			p.slowDown(false)
		}
	}
	for _, a := range w.hosts {
		for _, b := range w.hosts {
			if w.blocked[[2]string{a, b}] {
				w.block(a, b, false)
			}
		}
	}
	for _, c := range w.clients {
		c.side = ""
	}
}

var simFaultNames = []string{"kill", "kill two", "crash", "split 3|1", "split 2|2", "one way", "pause", "long pause", "join", "slow", "cut", "move", "drain"}

// simFaults are faults by name, also one that only -simfaults asks for.
var simFaults = map[string]func(*world){
	"kill": func(w *world) {
		w.killSome(1, false)
		w.recover(4 * time.Second)
		w.restart()
	},
	"kill two": func(w *world) {
		w.killSome(2, false)
		w.recover(4 * time.Second)
		w.restart()
	},
	"crash": func(w *world) {
		w.killSome(1, true)
		w.recover(4 * time.Second)
		w.restart()
	},
	"split 3|1": func(w *world) { w.split(1) },
	"split 2|2": func(w *world) { w.split(2) },
	"kill and split": func(w *world) {
		// Before the loss is noticed: both sides take the same sessions over.
		w.after(w.between(time.Millisecond, 100*time.Millisecond), func() { w.killSome(1, false) })
		w.split(1 + w.rng.IntN(2))
		w.restart()
	},
	"one way": func(w *world) {
		a, b := w.any().id.Node, w.any().id.Node
		if a != b {
			w.block(a, b, true)
		}
		w.recover(w.between(time.Second, 4*time.Second))
		w.heal()
		w.recover(3 * time.Second)
	},
	"pause": func(w *world) {
		p := w.any()
		p.pause()
		w.recover(w.between(100*time.Millisecond, 600*time.Millisecond))
		p.resume()
	},
	"long pause": func(w *world) {
		p := w.any()
		p.pause()
		w.recover(w.between(2*time.Second, 5*time.Second))
		p.resume()
		w.recover(3 * time.Second)
	},
	"drain": func(w *world) {
		p := w.any()
		w.draining(p.id.Node, true)
		w.recover(w.between(0, 300*time.Millisecond) + 1)
		done := p.core.startMove(200, true)
		w.recover(3 * time.Second)
		if !p.dead && len(done) == 0 && p.homes() > 0 && p.id.Worker == 0 {
			w.note("%s still has %d sessions", p.id, p.homes())
		}
		if w.chance(50) {
			w.draining(p.id.Node, false)
			w.recover(time.Second)
		}
		w.later = append(w.later, func() { w.draining(p.id.Node, false) })
	},
	"join": func(w *world) {
		w.hosts = append(w.hosts, fmt.Sprintf("n%d", len(w.hosts)+1))
		w.startNode(w.hosts[len(w.hosts)-1])
		w.recover(2 * time.Second)
	},
	"slow": func(w *world) {
		p := w.any()
		p.slowDown(true)
		w.recover(2 * time.Second)
		p.slowDown(false)
	},
	"cut": func(w *world) {
		for range 1 + w.rng.IntN(6) {
			if len(w.conns) > 0 {
				w.cut(w.conns[w.rng.IntN(len(w.conns))])
			}
			w.recover(w.between(0, 300*time.Millisecond) + 1)
		}
	},
	"move": func(w *world) {
		for range 20 {
			w.clients[w.rng.IntN(len(w.clients))].hangUp()
			w.recover(w.between(0, 30*time.Millisecond) + 1)
		}
	},
}

// any returns a process that runs.
func (w *world) any() *proc {
	live := w.live()
	return live[w.rng.IntN(len(live))]
}

// killSome ends n processes at once, on so few nodes that another one has a copy
// of each session: what was killed with all its copies nobody can bring back.
func (w *world) killSome(n int, machine bool) {
	left := min(w.cfg.replicas, w.holders()) - 1
	hit := map[string]bool{}
	for range n {
		p := w.any()
		if !hit[p.id.Node] && len(hit) == left {
			continue
		}
		hit[p.id.Node] = true
		w.kill(p, machine)
	}
}

// holders returns how many nodes hold copies: those that drain do not, unless only
// one is left that does not.
func (w *world) holders() (n int) {
	drain := map[string]bool{}
	for _, p := range w.live() {
		for node, on := range p.draining {
			drain[node] = drain[node] || on
		}
	}
	for _, node := range w.hosts {
		if !drain[node] && slices.ContainsFunc(w.live(), func(p *proc) bool { return p.id.Node == node }) {
			n++
		}
	}
	if n < 2 {
		return w.nodes()
	}
	return n
}

// nodes returns how many nodes have a process that runs.
func (w *world) nodes() int {
	all := map[string]bool{}
	for _, p := range w.live() {
		all[p.id.Node] = true
	}
	return len(all)
}

func (w *world) recover(d time.Duration) { w.runUntil(w.now + d) }

// restart starts processes in the places of dead ones.
func (w *world) restart() {
	for _, node := range w.hosts {
		alive := false
		for _, p := range w.live() {
			alive = alive || p.id.Node == node
		}
		if !alive && w.chance(70) {
			w.startNode(node)
		}
	}
	w.recover(2 * time.Second)
}

func (w *world) startNode(node string) {
	for worker := range w.cfg.workers {
		p := w.start(node, uint16(worker))
		w.note("START %s %x", p.id, p.id.Incarnation>>52)
	}
}

// split cuts n nodes off from the others, and clients from one of the sides.
func (w *world) split(n int) {
	w.rng.Shuffle(len(w.hosts), func(i, j int) { w.hosts[i], w.hosts[j] = w.hosts[j], w.hosts[i] })
	left, right := w.hosts[:n], w.hosts[n:]
	sides := [2]string{strings.Join(left, " "), strings.Join(right, " ")}
	w.note("SPLIT %s | %s", sides[0], sides[1])
	for _, a := range left {
		for _, b := range right {
			w.block(a, b, true)
			w.block(b, a, true)
		}
	}
	if w.chance(50) {
		for _, c := range w.clients {
			c.side = sides[w.rng.IntN(2)]
		}
	}
	w.recover(w.between(time.Second, 5*time.Second))
	w.heal()
	w.recover(w.between(time.Second, 4*time.Second))
}

// configure draws what kind of cluster it is and what happens to it.
func (w *world) configure() {
	w.cfg = simConfig{
		nodes: 4, workers: 1, clients: 4 + w.rng.IntN(8), replicas: 3, acked: true,
		delay:        w.between(50*time.Microsecond, 3*time.Millisecond),
		publishEvery: w.between(5*time.Millisecond, 60*time.Millisecond),
	}
	switch w.rng.IntN(8) {
	case 0:
		w.cfg.acked = false
	case 1:
		w.cfg.nodes, w.cfg.workers = 3, 2
	case 2:
		w.cfg.nodes = 5
	}
	if n := cmp.Or(w.workers, *simWorkers); n > 0 {
		w.cfg.workers = n
	}
	names := slices.DeleteFunc(slices.Clone(simFaultNames), func(name string) bool {
		return slices.Contains(strings.Split(*simWithout, ","), name)
	})
	for range 1 + w.rng.IntN(3) {
		w.cfg.faults = append(w.cfg.faults, names[w.rng.IntN(len(names))])
	}
	if faults := cmp.Or(w.faults, *simFault); faults != "" {
		w.cfg.faults = strings.Split(faults, ",")
	}
}
