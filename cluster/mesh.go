package cluster

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rookery-server/rookery/batch"
)

// Endpoint is one end of the protocol towards one other process, with its lock:
// what a mesh moves bytes for. *Link implements it. Methods are those of
// batch.Link, may be called from any goroutine, and do not block beyond short
// locks. The mesh calls Hello and Connect only while no connection is attached,
// and Disconnect once after each Connect that succeeded, when nothing of the
// connection runs any more.
type Endpoint interface {
	NextFrame(dst []byte) []byte         // appends at most one frame that has something to say
	Heartbeat(dst []byte) []byte         // appends a frame even if there is nothing to say
	Written()                            // all frames that NextFrame gave were written to the connection
	Receive(p []byte) (n int, err error) // takes whole frames from p, which stays the caller's
	Need(p []byte) int                   // bytes of the frame that p starts with
	Hello() batch.Hello                  // versions, limits, incarnations and how far the link got
	Connect(r batch.Resume) error        // a connection begins; r is what the other end said
	Disconnect(err error)                // it has ended because of err
}

// MeshOptions says who the mesh is and how it behaves. Zero durations stand for
// their defaults.
type MeshOptions struct {
	Self  Peer
	Label string // name of the cluster; the other end has to have the same

	// TLS authenticates and encrypts connections between nodes: Keys.TLS or
	// CertFiles.TLS. Without it, only processes of this node are spoken to, over
	// unix sockets.
	TLS *tls.Config

	Logger *slog.Logger // default: nothing is logged

	// Heartbeat is how long a connection stays without bytes from us. Default
	// 100 ms; a gap is at most half as long again.
	Heartbeat time.Duration
	// WriteTimeout is how long a peer may take to accept 256 KiB before its
	// connection is given up. Default 5 s.
	WriteTimeout time.Duration
	// HandshakeTimeout bounds everything before the first frame, dialling
	// included. Default 2 s.
	HandshakeTimeout time.Duration
	// SilenceTimeout is how long nothing may come before a connection is given
	// up and made anew. Default 3 s. Whether the silent process lives is not
	// judged here.
	SilenceTimeout time.Duration

	// Open returns the endpoint for a process. SetPeers calls it, once for each
	// process each time it appears; for one that was gone and comes back with
	// the same incarnation it may be the endpoint of before. Required.
	Open func(p Peer) Endpoint
	// Evidence hears what is noticed about a process, in order for each. It is
	// called from goroutines of the mesh, for different processes at the same
	// time, and must not block nor call SetPeers or Close. Optional.
	Evidence func(p Peer, e Evidence)
}

func (o MeshOptions) withDefaults() MeshOptions {
	o.Heartbeat = cmp.Or(o.Heartbeat, 100*time.Millisecond)
	o.WriteTimeout = cmp.Or(o.WriteTimeout, 5*time.Second)
	o.HandshakeTimeout = cmp.Or(o.HandshakeTimeout, 2*time.Second)
	o.SilenceTimeout = cmp.Or(o.SilenceTimeout, 3*time.Second)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Evidence == nil {
		o.Evidence = func(Peer, Evidence) {}
	}
	return o
}

func (o *MeshOptions) check() error {
	switch {
	case o.Open == nil:
		return errors.New("cluster: a mesh needs Open")
	case o.Self.Node == "" || o.Self.Incarnation == 0:
		return errors.New("cluster: a mesh needs to know who it is")
	case len(o.Self.Node) > nameMax || len(o.Label) > nameMax:
		return fmt.Errorf("cluster: names of nodes and clusters have at most %d bytes", nameMax)
	case o.TLS != nil && (o.TLS.MinVersion < tls.VersionTLS13 || o.TLS.ClientAuth == tls.NoClientCert):
		return errors.New("cluster: links need TLS 1.3 with certificates on both ends")
	}
	return nil
}

// nameMax bounds names in a Hello, in bytes.
const nameMax = 255

// ErrMeshClosed is why links end when their mesh is closed.
var ErrMeshClosed = errors.New("cluster: the mesh is closed")

// Mesh keeps one connection to each other process of the cluster.
//
// Of two processes the one whose PeerID is smaller dials. The other one dials
// too when that did not happen in time or when a connection has ended, because
// it wants to know whether anybody still listens; if both get through at once,
// the connection of the smaller one is kept. A connection that ends is made anew
// after a pause that grows from 10 ms to 1 s, for as long as SetPeers names the
// process.
//
// # Who is let in
//
// Between nodes there is TLS 1.3 with both ends authenticated, always. Processes
// of one node speak over unix sockets, in the clear, and each asks the kernel
// whether the other end belongs to the same user. Then both say in a Hello who
// they are and whom they mean. Everybody else is refused, counted, and logged at
// most once a minute for each reason.
//
// # Bounds
//
// A peer costs a goroutine, a connection two more, a read buffer that grows from
// 8 KiB to 256 KiB (or one longer frame) and shrinks when idle, and a write
// buffer of as much that it has only while it writes. What is not acknowledged
// waits in the endpoint, which is bounded. At most 128 accepted connections may
// be in their handshake; one more ends the oldest of them.
//
// # Why package net, and always TLS
//
// Measured once over loopback with 64 KiB writes, both ends in one process, on
// two cores shared with other work, so that CPU, of both ends together, says
// more than MB/s (ranges of three runs):
//
//	                    MB/s       CPU ns/B   CPU µs a 128 B round trip
//	net                 530-1200   0.5-0.8    20-26
//	netpoll Connection  700-820    0.8-1.0    42-44
//	net + TLS           140-260    1.8-2.4    26-30
//	netpoll + TLS       190-420    1.5-1.9    46-51
//	net, unix socket    1200-2700  0.3        11-17
//
// So TLS costs some 1.4 ns a byte. A link that carries a million messages of
// 128 B in a second sends about 30 MB: 4 % of a core, which is not worth a mode
// in which anybody on the network may write sessions. Peers are few, so what
// netpoll saves, goroutines and buffers of idle connections, does not count
// here; its hand-over between poller and reader costs twice the CPU for each
// small frame, and a link at rest, or one that waits for acknowledgements, is
// made of small frames. Sockets of the same machine are spared TLS: the kernel
// vouches for the other end.
type Mesh struct {
	o     MeshOptions
	tag   string // Self, for logs
	quiet quiet
	count meshCounters

	yieldFirst, yieldAgain time.Duration // the constants, or what a test says

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	wg     sync.WaitGroup // every goroutine of the mesh

	// peers is replaced, never changed, so that Wake takes no lock.
	peers atomic.Pointer[map[PeerID]*meshPeer]

	mu        sync.Mutex
	closed    bool                  // guarded by mu
	listeners map[net.Listener]bool // guarded by mu
	pending   []net.Conn            // guarded by mu; accepted, in their handshake, oldest first
}

// NewMesh returns a mesh without peers. It has no goroutine yet.
func NewMesh(o MeshOptions) (*Mesh, error) {
	o = o.withDefaults()
	if err := o.check(); err != nil {
		return nil, err
	}
	m := &Mesh{
		o: o, tag: o.Self.String(), listeners: map[net.Listener]bool{},
		yieldFirst: yieldFirst, yieldAgain: yieldAgain,
	}
	m.ctx, m.cancel = context.WithCancel(context.Background())
	m.peers.Store(&map[PeerID]*meshPeer{})
	return m, nil
}

// SetPeers says which processes there are; this one may be among them. Links to
// new ones begin, links to those not named any more end. It does not wait for
// either. If an address has changed, the next dial goes there.
func (m *Mesh) SetPeers(peers []Peer) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return
	}
	old := *m.peers.Load()
	next := make(map[PeerID]*meshPeer, len(peers))
	for _, p := range peers {
		if p.PeerID == m.o.Self.PeerID {
			continue
		}
		mp := old[p.PeerID]
		if mp == nil {
			mp = newMeshPeer(m, p)
			m.wg.Go(mp.run)
		}
		mp.setAddress(p)
		next[p.PeerID] = mp
	}
	m.peers.Store(&next)
	for id, mp := range old {
		if next[id] == nil {
			mp.end(errDelisted)
		}
	}
}

// Wake says that the endpoint of p may have a frame to write. It is cheap, never
// blocks, and may be called from any goroutine under any lock. A process that is
// not among the peers, or not connected, is no error: connecting looks for frames.
func (m *Mesh) Wake(p Peer) {
	if mp := (*m.peers.Load())[p.PeerID]; mp != nil {
		mp.wake()
	}
}

// Unread reports whether bytes of a peer, or the end of its connection, have
// arrived that its endpoint has not been given. It does not block.
func (m *Mesh) Unread(p Peer) bool {
	mp := (*m.peers.Load())[p.PeerID]
	if mp == nil {
		return false
	}
	mp.mu.Lock()
	c := mp.conn
	mp.mu.Unlock()
	return c != nil && c.unread()
}

// Close ends all links and accepting, and waits until no goroutine of the mesh
// is left. Listeners given to Serve are closed.
func (m *Mesh) Close() {
	m.cancel()
	m.mu.Lock()
	m.closed = true
	peers := maps.Clone(*m.peers.Load())
	m.peers.Store(&map[PeerID]*meshPeer{})
	for l := range m.listeners {
		l.Close()
	}
	for _, c := range m.pending {
		c.Close()
	}
	m.mu.Unlock()
	for _, mp := range peers {
		mp.end(ErrMeshClosed)
	}
	m.wg.Wait()
}
