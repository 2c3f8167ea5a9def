package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync/atomic"
	"time"

	"github.com/rookery-server/rookery/cluster"
)

// ClusterOptions make a server one of several with the same sessions: any of
// them serves any session, and a session survives the server that has it.
type ClusterOptions struct {
	// Name of the cluster; servers of another one are refused. Default: "rookery".
	Name string
	// Node is the name of this node, unique in the cluster: letters, digits,
	// '.', '_' or '-'. Required.
	Node string
	// Gossip and Peer are the addresses on which this node hears of others and
	// takes links from them ("host:port", port 0 for any free one). Required
	// unless Membership is set.
	Gossip, Peer string
	// Advertise is the host under which others reach both. Default: that of
	// Gossip or, where that is unspecified, a private address of the machine.
	Advertise string
	// Join says where to look for other nodes: see [cluster.MembersOptions].
	Join []string
	// Keys are what all nodes share: gossip is encrypted with them, links are
	// authenticated by them unless TLS is set, and Options.StateKey is derived
	// from them unless it is set. Required unless Membership is set.
	Keys *cluster.Keys
	// TLS is the identity of this node on links, from [cluster.CertFiles] for
	// instance.
	TLS *tls.Config

	// Replicas is on how many nodes a session is, its home included; negative:
	// all. Default: 3.
	Replicas int
	// Acked makes publications return when copies hold what they put into event
	// logs, or fail after AckTimeout (default: 5 s). Otherwise copies follow.
	Acked      bool
	AckTimeout time.Duration
	// DrainRate is how many sessions a second Shutdown moves to other nodes.
	// Default: 10,000.
	DrainRate int

	// The following are for one of several processes of a node. Membership is
	// what the node knows of the cluster; Worker, Incarnation and Local are of
	// this process, as Membership announces them. Links come by way of
	// Listeners, which the server closes, or of Server.Cluster.
	Membership  cluster.Membership
	Worker      uint16
	Incarnation uint64
	Local       string
	Listeners   []net.Listener
}

const (
	clusterName      = "rookery"
	drainRate        = 10_000
	drainPart        = 2 // the part of the time to shut down that sessions may take to move
	drainMax         = 30 * time.Second
	replicationAgain = 5 * time.Second // for sessions that were busy at first, or came back
)

func (o *ClusterOptions) fill() error {
	if o.Name == "" {
		o.Name = clusterName
	}
	setInt(&o.DrainRate, drainRate)
	if o.Incarnation == 0 {
		o.Incarnation = cluster.NewIncarnation()
	}
	var errs []error
	if o.Node == "" {
		errs = append(errs, errors.New("server: Cluster.Node is required"))
	}
	if o.Membership == nil && (o.Gossip == "" || o.Peer == "" || o.Keys == nil) {
		errs = append(errs, errors.New("server: Cluster.Gossip, Peer and Keys are required"))
	}
	if o.DrainRate < 0 || o.AckTimeout < 0 {
		errs = append(errs, errors.New("server: Cluster.DrainRate and AckTimeout must not be negative"))
	}
	return errors.Join(errs...)
}

// clusterNode is the part of a server that other nodes see.
type clusterNode struct {
	s       *Server
	o       *ClusterOptions
	self    cluster.Peer
	engine  *cluster.Engine
	members *lateMembers
	own     *cluster.Members // nil before start, and in one of several processes
	ids     *idDrawer
}

// newClusterNode makes what runs after start. Its core may be called at once.
func newClusterNode(s *Server, store cluster.Store) (*clusterNode, error) {
	o := s.opts.Cluster
	n := &clusterNode{s: s, o: o, members: newLateMembers()}
	n.self = cluster.Peer{PeerID: cluster.PeerID{Node: o.Node, Worker: o.Worker, Incarnation: o.Incarnation}, Addr: o.Peer, Local: o.Local}
	n.ids = &idDrawer{self: n.self.PeerID, view: n.members.View}
	identity := o.TLS
	if identity == nil && o.Keys != nil {
		var err error
		if identity, err = o.Keys.TLS(); err != nil {
			return nil, err
		}
	}
	var err error
	n.engine, err = cluster.NewEngine(cluster.EngineOptions{
		Self: n.self, Label: o.Name, Members: n.members, Store: store, TLS: identity,
		Replicas: o.Replicas, Acked: o.Acked, AckTimeout: o.AckTimeout, Logger: s.log,
		Fence: func() { s.mcp.Fence() },
	})
	if err != nil {
		return nil, err
	}
	n.engine.Core().ObserveAcks(func(d time.Duration) { s.cluster.count.acked(d) })
	return n, nil
}

// start joins the cluster. admin is the address of the admin listener, "" if
// there is none.
func (n *clusterNode) start(admin string) error {
	if n.o.Membership != nil {
		n.members.set(n.o.Membership)
		n.engine.Start(n.o.Listeners...)
		return nil
	}
	l, err := net.Listen("tcp", n.o.Peer)
	if err != nil {
		return fmt.Errorf("server: listen for peers on %s: %w", n.o.Peer, err)
	}
	n.own, err = cluster.NewMembers(cluster.MembersOptions{
		Node: n.o.Node, Incarnation: n.o.Incarnation, Gossip: n.o.Gossip, Advertise: n.o.Advertise,
		Peer: l.Addr().String(), Admin: admin, Join: n.o.Join, Label: n.o.Name, Keys: n.o.Keys.Gossip(), Logger: n.s.log,
	})
	if err == nil {
		err = n.own.Start()
	}
	if err != nil {
		return errors.Join(err, l.Close())
	}
	n.members.set(n.own)
	n.engine.Start(l)
	n.s.log.Info("in a cluster", slog.String("name", n.o.Name), slog.String("node", n.o.Node),
		slog.String("gossip", n.own.GossipAddr()), slog.Any("peer", l.Addr()))
	return nil
}

// joined reports whether this process has found the cluster, or was not told to
// look for one. Before, it cannot say that a session does not exist.
func (n *clusterNode) joined() bool { return n.members.Joined() }

// drain moves sessions to other nodes, if there are any, for a part of the time
// that ctx leaves.
func (n *clusterNode) drain(ctx context.Context, most time.Duration) {
	if !n.others() {
		return
	}
	if end, ok := ctx.Deadline(); ok {
		most = min(most, time.Until(end)/drainPart)
	}
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	if err := n.engine.Drain(ctx, float64(n.o.DrainRate)); err != nil {
		n.s.log.Info("not all sessions could be moved before the end; their copies take over", slog.Any("error", err))
	}
}

// others reports whether there is another node that takes sessions.
func (n *clusterNode) others() bool {
	v := n.members.View()
	if v == nil {
		return false
	}
	for i := range v.Nodes {
		if v.Nodes[i].Name != n.self.Node && v.Nodes[i].Accepts() {
			return true
		}
	}
	return false
}

// partMax is how long a process that ends waits until the last answers for
// other nodes have arrived there.
const partMax = 2 * time.Second

// part has other processes take their requests elsewhere, and returns when those
// that have been taken are answered.
func (n *clusterNode) part(ctx context.Context) {
	n.engine.Core().StopServing()
	if n.s.cluster.foreign.wait(ctx) != nil {
		return // their handlers are cancelled
	}
	ctx, cancel := context.WithTimeout(ctx, partMax)
	defer cancel()
	if err := n.engine.Flush(ctx); err != nil {
		n.s.log.Info("not all nodes have taken the last answers", slog.Any("error", err))
	}
}

// leave says goodbye to the other nodes.
func (n *clusterNode) leave(ctx context.Context) {
	n.drain(ctx, replicationAgain)
	n.part(ctx)
	if n.own == nil {
		return
	}
	if err := n.own.Leave(ctx); err != nil {
		n.s.log.Warn("other nodes were not told that this one leaves", slog.Any("error", err))
	}
}

// close ends links and gossip.
func (n *clusterNode) close() {
	n.engine.Close()
	if n.own == nil {
		return
	}
	if err := n.own.Close(); err != nil {
		n.s.log.Warn("gossip", slog.Any("error", err))
	}
}

// lateMembers is a Membership that begins with the server: before, there is
// nobody else.
type lateMembers struct {
	m    atomic.Pointer[cluster.Membership]
	none chan struct{}
}

var _ cluster.Membership = (*lateMembers)(nil)

func newLateMembers() *lateMembers { return &lateMembers{none: make(chan struct{})} }

func (l *lateMembers) set(m cluster.Membership) { l.m.Store(&m) }

// View implements cluster.Membership.
func (l *lateMembers) View() *cluster.View {
	if m := l.m.Load(); m != nil {
		return (*m).View()
	}
	return nil
}

// Updates implements cluster.Membership.
func (l *lateMembers) Updates() <-chan struct{} {
	if m := l.m.Load(); m != nil {
		return (*m).Updates()
	}
	return l.none
}

// Evidence implements cluster.Membership.
func (l *lateMembers) Evidence(of cluster.PeerID, e cluster.Evidence) {
	if m := l.m.Load(); m != nil {
		(*m).Evidence(of, e)
	}
}

// SetDraining implements cluster.Membership.
func (l *lateMembers) SetDraining(on bool) error {
	if m := l.m.Load(); m != nil {
		return (*m).SetDraining(on)
	}
	return nil
}

// Joined implements cluster.Membership.
func (l *lateMembers) Joined() bool {
	m := l.m.Load()
	return m != nil && (*m).Joined()
}

// Cluster returns the server's part in its cluster, nil if it is alone.
func (s *Server) Cluster() *cluster.Engine {
	if s.node == nil {
		return nil
	}
	return s.node.engine
}

// GossipAddr returns the address under which other nodes find this one, "" if
// it is alone, not started, or one of several processes of its node.
func (s *Server) GossipAddr() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.node == nil || s.node.own == nil {
		return ""
	}
	return s.node.own.GossipAddr()
}
