package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/rookery-server/rookery/cluster"
	"github.com/rookery-server/rookery/internal/fleet"
)

// crew makes one member of the cluster out of a supervisor and its workers: the
// supervisor gossips, tells the workers who is there, hears from them what their
// links show, and passes on connections of other nodes. A node in no cluster
// has a crew too: its workers forward requests to each other.
type crew struct {
	log     *slog.Logger
	members crewMembers
	gossip  *cluster.Members // nil: in no cluster
	keys    []byte           // text of a key file
	peers   net.Listener     // nil likewise
	sup     *fleet.Supervisor

	changes chan struct{} // cap 1; processes have changed, or one has read its view
	quit    chan struct{}
	tasks   sync.WaitGroup
	alone   sync.Once // said that there are no copies

	mu   sync.Mutex
	told map[uint64]*told // guarded by mu; by incarnation
}

// crewMembers is a membership whose processes are known to us.
type crewMembers interface {
	cluster.Membership
	SetWorkers(workers []cluster.WorkerInfo) error
}

// told is what a process has been told.
type told struct {
	keys    bool
	version uint64 // of the last view; 0: none
	joined  bool
	waiting bool // it has not read that yet
}

// newCrew binds what other nodes speak to. Nothing runs before start.
func newCrew(ctx context.Context, c *config, b *bound, log *slog.Logger) (*crew, error) {
	w := &crew{log: log, changes: make(chan struct{}, 1), quit: make(chan struct{}), told: map[uint64]*told{}}
	o, err := c.clusterOptions(ctx, log)
	if err != nil {
		return nil, err
	}
	if o == nil {
		w.members = cluster.NewLone(c.node, cluster.NewIncarnation())
		return w, nil
	}
	if w.peers, err = net.Listen("tcp", o.Peer); err != nil {
		return nil, fmt.Errorf("--peer: %w", err)
	}
	admin := ""
	if b.admin != nil {
		admin = b.admin.Addr().String()
	}
	w.keys = o.Keys.Text()
	w.gossip, err = cluster.NewMembers(cluster.MembersOptions{
		Node: o.Node, Gossip: o.Gossip, Advertise: o.Advertise, Peer: w.peers.Addr().String(), Admin: admin,
		Join: o.Join, Label: o.Name, Keys: o.Keys.Gossip(), Workers: []cluster.WorkerInfo{}, Logger: log,
	})
	if err == nil {
		err = w.gossip.Start()
	}
	if err != nil {
		return nil, errors.Join(err, w.peers.Close())
	}
	w.members = w.gossip
	log.Info("in a cluster", "name", o.Name, "node", o.Node, "gossip", w.gossip.GossipAddr(), "peer", w.peers.Addr().String())
	return w, nil
}

// start begins to serve the workers of sup, whose callbacks are receive and
// changed.
func (w *crew) start(sup *fleet.Supervisor) {
	w.sup = sup
	w.tasks.Go(w.run)
	if w.peers != nil {
		w.tasks.Go(func() { cluster.Deal(w.peers, w.pass, w.log) })
	}
	w.changed()
}

// close ends everything; the workers have ended.
func (w *crew) close() {
	close(w.quit)
	if w.peers != nil {
		_ = w.peers.Close() // ends Deal
	}
	w.tasks.Wait()
	if w.gossip != nil {
		if err := w.gossip.Close(); err != nil {
			w.log.Warn("gossip", "error", err)
		}
	}
}

// changed notes that there may be something to tell.
func (w *crew) changed() { poke(w.changes) }

// run tells the cluster of the workers and the workers of the cluster.
func (w *crew) run() {
	var announced []cluster.WorkerInfo
	for {
		select {
		case <-w.quit:
			return
		case <-w.changes:
		case <-w.members.Updates():
		}
		all := w.sup.Processes()
		ready := w.infos(all)
		if !slices.Equal(ready, announced) {
			if err := w.members.SetWorkers(ready); err != nil {
				w.log.Error("the workers cannot be announced", "error", err)
			}
			announced = ready
		}
		if len(all) > 0 && len(ready) == len(all) {
			w.lonely()
		}
		w.tell(all)
	}
}

// infos returns the processes that serve.
func (w *crew) infos(all []fleet.Process) (ready []cluster.WorkerInfo) {
	for _, p := range all {
		if p.Ready {
			ready = append(ready, cluster.WorkerInfo{Worker: uint16(p.Worker), Incarnation: p.Incarnation, Local: localSocket(w.sup.Dir(), p.Worker)})
		}
	}
	return ready
}

// lonely says once what a node without others cannot do.
func (w *crew) lonely() {
	v := w.members.View()
	if !w.members.Joined() || slices.ContainsFunc(v.Nodes, func(n cluster.Node) bool { return n.Name != v.Self && n.State.Serves() }) {
		return
	}
	w.alone.Do(func() {
		w.log.Info("there is no other node, so sessions have no copies: those of a worker process that crashes end with it")
	})
}

// tell sends the latest view to those of the processes that have read the one
// before; the others get what is the latest when they have.
func (w *crew) tell(all []fleet.Process) {
	joined, v := w.members.Joined(), w.members.View()
	var frame []byte
	w.mu.Lock()
	defer w.mu.Unlock()
	before := w.told
	w.told = map[uint64]*told{}
	for _, p := range all {
		t := before[p.Incarnation]
		if t == nil {
			t = &told{}
		}
		w.told[p.Incarnation] = t
		if t.waiting || t.version == v.Version && t.joined == joined {
			continue
		}
		if frame == nil {
			frame = appendViewFrame(nil, joined, v)
		}
		if err := w.send(p, t, frame); err != nil && !errors.Is(err, fleet.ErrClosed) {
			w.log.Error("a worker is not told about the cluster", "worker", p.Worker, "error", err)
			continue
		}
		t.version, t.joined, t.waiting = v.Version, joined, true
	}
}

func (w *crew) send(p fleet.Process, t *told, frame []byte) error {
	if !t.keys {
		if err := w.sup.Send(p, frameKeys, w.keys); err != nil {
			return err
		}
		t.keys = true
	}
	return w.sup.Send(p, frameView, frame)
}

// receive takes a frame of a worker.
func (w *crew) receive(p fleet.Process, kind byte, payload []byte) {
	switch kind {
	case frameSeen:
		w.mu.Lock()
		if t := w.told[p.Incarnation]; t != nil {
			t.waiting = false
		}
		w.mu.Unlock()
		w.changed()
	case frameEvidence:
		if err := eachSighting(payload, func(s sighting) { w.members.Evidence(s.of, s.what) }); err != nil {
			w.log.Error("a worker's links", "worker", p.Worker, "error", err)
		}
	case frameDraining:
		if err := w.members.SetDraining(len(payload) == 1 && payload[0] == 1); err != nil {
			w.log.Error("draining cannot be announced", "error", err)
		}
	}
}

// pass gives a connection of another node to a worker.
func (w *crew) pass(worker uint16, c net.Conn) error {
	serves := func(p fleet.Process) bool { return p.Worker == int(worker) && p.Ready }
	if !slices.ContainsFunc(w.sup.Processes(), serves) {
		return cluster.ErrNoWorker // one that starts is none that anybody knows
	}
	raw, ok := c.(syscall.Conn)
	if !ok {
		return errors.ErrUnsupported
	}
	err := w.sup.Pass(int(worker), fleet.TagPeer, raw)
	if errors.Is(err, fleet.ErrClosed) {
		return cluster.ErrNoWorker
	}
	return err
}

// leaveTimeout bounds saying goodbye to the cluster.
const leaveTimeout = time.Second

// drain ends the node: other nodes send it nothing new, the workers give their
// sessions away and finish, and the node leaves.
func (w *crew) drain(ctx context.Context) error {
	if err := w.members.SetDraining(true); err != nil {
		w.log.Warn("draining cannot be announced", "error", err)
	}
	err := w.sup.Drain(ctx)
	if w.gossip == nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveTimeout)
	defer cancel()
	if err := w.gossip.Leave(ctx); err != nil {
		w.log.Warn("other nodes were not told that this one leaves", "error", err)
	}
	return err
}
