package cluster

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Lone is the Membership of a node that is in no cluster but has several
// processes: the view has these and nobody else. All methods may be called from
// any goroutine; none blocks.
type Lone struct {
	view    atomic.Pointer[View]
	updates chan struct{} // cap 1
	mu      sync.Mutex    // of who makes a new view
}

var _ Membership = (*Lone)(nil)

// NewLone returns the membership of a node without processes.
func NewLone(node string, incarnation uint64) *Lone {
	l := &Lone{updates: make(chan struct{}, 1)}
	l.view.Store(&View{Version: 1, Self: node, Nodes: []Node{{Name: node, Incarnation: incarnation, State: Alive, Since: time.Now().Round(0)}}})
	return l
}

// SetWorkers replaces the processes of the node, by number. The list is copied;
// State is not read.
func (l *Lone) SetWorkers(workers []WorkerInfo) error {
	workers = slices.Clone(workers)
	for i := range workers {
		workers[i].State = Alive
	}
	l.change(func(n *Node) { n.Workers = workers })
	return nil
}

// SetDraining implements Membership.
func (l *Lone) SetDraining(on bool) error {
	l.change(func(n *Node) { n.Draining = on })
	return nil
}

func (l *Lone) change(f func(*Node)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	v := *l.view.Load()
	v.Version++
	v.Nodes = slices.Clone(v.Nodes)
	f(&v.Nodes[0])
	l.view.Store(&v)
	poke(l.updates)
}

// View implements Membership. It is never nil.
func (l *Lone) View() *View { return l.view.Load() }

// Updates implements Membership.
func (l *Lone) Updates() <-chan struct{} { return l.updates }

// Evidence implements Membership: the processes are known otherwise.
func (l *Lone) Evidence(PeerID, Evidence) {}

// Joined implements Membership: there is nobody to look for.
func (l *Lone) Joined() bool { return true }
