package cluster

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rookery-server/rookery/batch"
)

// Membership is where an Engine learns who is in the cluster and reports what it
// notices. *Members is one for a node of one process; a worker has one that its
// supervisor feeds.
type Membership interface {
	// View returns the latest view; nil before there is one.
	View() *View
	// Updates has one element when there is a newer view than was last read.
	Updates() <-chan struct{}
	// Evidence takes what links show of a process. It does not block.
	Evidence(of PeerID, e Evidence)
	// SetDraining announces that this node takes no more sessions, or does again.
	SetDraining(on bool) error
	// Joined reports whether another node was reached, or there is none to look
	// for. Before, nobody here can say that a session does not exist. Updates
	// has an element when it becomes true, too.
	Joined() bool
}

var (
	_ Membership = (*Members)(nil)
	_ Endpoint   = (*Link)(nil)
)

// EngineOptions configures an Engine. Self, Members and Store are required.
type EngineOptions struct {
	Self    Peer
	Label   string // name of the cluster
	Members Membership
	Store   Store
	TLS     *tls.Config // of links between nodes; nil: there are none

	Replicas    int
	Acked       bool
	AckTimeout  time.Duration
	HoldTimeout time.Duration
	Link        batch.Options
	Logger      *slog.Logger

	// Fence is called when this process finds that it did not run for so long
	// that others may have taken its sessions over: it is to end their streams,
	// before anything is written to them. See Lapsed. Optional.
	Fence func()
}

// lapse is the shortest silence for which others declare a process dead.
const lapse = 700 * time.Millisecond

// Engine is one process's part in a cluster: Core and Mesh with the goroutine that
// drives them. It neither joins nor leaves: that is the Membership's.
type Engine struct {
	o    EngineOptions
	core *Core
	mesh *Mesh

	attention chan struct{}
	quit      chan struct{}
	wg        sync.WaitGroup
	start     time.Time
	beat      atomic.Int64 // when the process ran last, since start

	// Used by run only.
	looked *View  // the latest view; nil once the core goes by it
	peers  []Peer // of the mesh
}

// NewEngine returns an engine that does nothing until Start. Hooks may be called
// before.
func NewEngine(o EngineOptions) (*Engine, error) {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	e := &Engine{o: o, attention: make(chan struct{}, 1), quit: make(chan struct{}), start: time.Now()}
	e.core = NewCore(CoreOptions{
		Self: o.Self, Store: o.Store, Replicas: o.Replicas, Acked: o.Acked, AckTimeout: o.AckTimeout, HoldTimeout: o.HoldTimeout,
		Now: func() time.Duration { return time.Since(e.start) }, Attention: e.attend,
		Wake: func(p Peer) { e.mesh.Wake(p) }, Unread: func(p Peer) bool { return e.mesh.Unread(p) }, Link: o.Link, Logger: o.Logger,
	})
	var err error
	e.mesh, err = NewMesh(MeshOptions{
		Self: o.Self, Label: o.Label, TLS: o.TLS, Logger: o.Logger,
		Open:     func(p Peer) Endpoint { return e.core.Open(p) },
		Evidence: func(p Peer, what Evidence) { o.Members.Evidence(p.PeerID, what) },
	})
	if err != nil {
		return nil, err
	}
	return e, nil
}

// Core returns what server calls of the cluster.
func (e *Engine) Core() *Core { return e.core }

// Mesh returns the connections to other peers.
func (e *Engine) Mesh() *Mesh { return e.mesh }

// Start begins to take part. listeners are the peer listener, and the unix
// socket of a worker; Close closes them.
func (e *Engine) Start(listeners ...net.Listener) {
	for _, l := range listeners {
		e.wg.Go(func() {
			if err := e.mesh.Serve(l); err != nil && !errors.Is(err, ErrMeshClosed) {
				e.o.Logger.Error("peer listener ended", slog.Any("error", err))
			}
		})
	}
	e.beat.Store(int64(time.Since(e.start)))
	e.wg.Go(e.run)
	e.wg.Go(e.pulse)
}

// Lapsed reports that this process has not run for so long that its sessions may
// be at home elsewhere: what it has for their clients must wait for Fence.
func (e *Engine) Lapsed() bool {
	beat := e.beat.Load()
	return beat != 0 && time.Since(e.start)-time.Duration(beat) > lapse
}

// pulse notes that the process runs.
func (e *Engine) pulse() {
	tick := time.NewTicker(lapse / 7)
	defer tick.Stop()
	for {
		select {
		case <-e.quit:
			return
		case <-tick.C:
		}
		if e.Lapsed() {
			e.core.count.lapses.Add(1)
			e.o.Logger.Warn("this process did not run for too long: streams of its sessions end, their clients take them up again",
				slog.Duration("stopped", time.Since(e.start)-time.Duration(e.beat.Load())))
			if e.o.Fence != nil {
				e.o.Fence()
			}
		}
		e.beat.Store(int64(time.Since(e.start)))
	}
}

// Close ends the links and waits for everything of the engine.
func (e *Engine) Close() {
	close(e.quit)
	e.mesh.Close()
	e.wg.Wait()
}

func (e *Engine) attend() {
	select {
	case e.attention <- struct{}{}:
	default: // run will look
	}
}

// run drives the core.
func (e *Engine) run() {
	tick := time.NewTicker(stepEvery)
	defer tick.Stop()
	e.look()
	for {
		select {
		case <-e.quit:
			return
		case <-e.o.Members.Updates():
			e.look()
		case <-e.attention:
		case <-tick.C:
		}
		for e.core.Step() {
			select {
			case <-e.quit:
				return
			case <-e.o.Members.Updates():
				e.look()
			default:
			}
		}
		e.delist()
	}
}

// look takes the latest view.
func (e *Engine) look() {
	v := e.o.Members.View()
	if v == nil {
		return
	}
	e.looked = v
	for _, p := range v.Targets(nil) { // the dead too: a split ends when somebody dials
		e.peers = slices.DeleteFunc(e.peers, func(old Peer) bool { return old.PeerID == p.PeerID })
		e.peers = append(e.peers, p)
	}
	e.mesh.SetPeers(e.peers)
	e.core.SetView(v)
}

// delist ends the links to those who are not in the latest view, once the core
// goes by it: until then it may want to read what they have said.
func (e *Engine) delist() {
	if e.looked == nil || e.core.applied < e.looked.Version {
		return
	}
	e.peers = e.looked.Targets(nil)
	e.mesh.SetPeers(e.peers)
	e.looked = nil
}

// Drain has the cluster place nothing new on this node, and moves the sessions
// of this process away, at most rate a second: see Core.Drain.
func (e *Engine) Drain(ctx context.Context, rate float64) error {
	if err := e.o.Members.SetDraining(true); err != nil {
		return err
	}
	return e.core.Drain(ctx, rate)
}

// Status is the cluster as one process sees it: what GET /cluster returns.
type Status struct {
	Self     PeerID       `json:"self"`
	Label    string       `json:"cluster"`
	Replicas int          `json:"replicas"`
	Acked    bool         `json:"acked"`
	View     *View        `json:"view"`
	Links    []LinkStatus `json:"links"`
	Filled   bool         `json:"filled"` // every partition has a complete copy on another node
	Homes    int          `json:"homes"`  // sessions at home here
	Copies   int          `json:"copies"` // sessions at home elsewhere
	Routes   int          `json:"routes"` // requests and streams whose session is elsewhere
	Pending  int          `json:"pending_publications"`
	Stats    Stats        `json:"stats"`
}

// LinkStatus is one link.
type LinkStatus struct {
	Peer      PeerID      `json:"peer"`
	Alive     bool        `json:"alive"`
	Connected bool        `json:"connected"`
	Since     time.Time   `json:"since"`
	LastError string      `json:"last_error,omitempty"`
	Unacked   int         `json:"unacked_bytes"`
	Filling   int         `json:"filling_partitions"`
	Traffic   batch.Stats `json:"traffic"`
}

// Status returns what the process sees now. What it costs does not depend on how
// many sessions there are.
func (e *Engine) Status() Status {
	c := e.core
	st := Status{
		Self: e.o.Self.PeerID, Label: e.o.Label, Replicas: c.o.Replicas, Acked: c.o.Acked,
		View: e.o.Members.View(), Stats: c.Stats(), Filled: true,
	}
	st.Homes, st.Copies = c.o.Store.Count()
	c.mu.Lock()
	st.Routes, st.Pending = len(c.routes.byNum), len(c.pubs.open)
	links := slices.Clone(c.links)
	c.mu.Unlock()
	conns := map[PeerID]LinkStats{}
	for _, l := range e.mesh.Stats().Links {
		conns[l.Peer.PeerID] = l
	}
	for _, l := range links {
		one := l.status()
		conn := conns[l.peer.PeerID]
		one.Connected, one.Since, one.LastError = conn.Connected, conn.Since, conn.LastError
		st.Filled = st.Filled && (!one.Alive || one.Filling == 0)
		st.Links = append(st.Links, one)
	}
	return st
}

func (l *Link) status() LinkStatus {
	l.mu.Lock()
	defer l.mu.Unlock()
	st := LinkStatus{Peer: l.peer.PeerID, Alive: l.alive.Load(), Traffic: l.m.Stats()}
	for lane := range batch.Lane(batch.Lanes) {
		_, bytes := l.m.Pending(lane)
		st.Unacked += bytes
	}
	for i := range l.parts {
		if s := l.parts[i].state; s == partWanted || s == partFilling {
			st.Filling++
		}
	}
	return st
}
