package cluster

import (
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rookery-server/rookery/batch"
)

// MeshStats is a copy of a mesh's counters.
type MeshStats struct {
	Links []LinkStats // sorted by PeerID

	Accepted  uint64 // connections
	Shed      uint64 // of those, ended because too many were in their handshake
	Strangers uint64 // connections, either way, on which somebody had not the right key, certificate or user
	Timeouts  uint64 // accepted connections that said nothing in time
	Malformed uint64 // accepted connections that did not speak the protocol
	Aborted   uint64 // accepted connections that went away, or were for another worker
	// Refused counts handshakes, either way, by reason.
	Refused map[batch.RefusalCode]uint64
}

// LinkStats is what a mesh knows of the link to one process.
type LinkStats struct {
	Peer      Peer
	Connected bool
	Dialled   bool      // the connection was made by us
	Since     time.Time // when it was made
	Connects  uint64    // connections made
	Dials     uint64    // attempts, those that failed included
	Failures  uint64    // attempts that failed
	Lost      uint64    // connections that ended, whatever the reason
	Forgotten uint64    // times the two ends did not remember the same link and began anew
	// Bytes of connections, without what TLS adds.
	BytesIn, BytesOut uint64
	LastError         string // why the last connection ended or was not made
}

type meshCounters struct {
	accepted, shed, strangers, timeouts, malformed, aborted atomic.Uint64

	mu      sync.Mutex
	refused map[batch.RefusalCode]uint64 // guarded by mu; grows with the reasons there are
}

// refusedMax bounds how many reasons are told apart: those of later versions
// come from the other end.
const refusedMax = 64

func (c *meshCounters) refuse(code batch.RefusalCode) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.refused == nil {
		c.refused = map[batch.RefusalCode]uint64{}
	}
	if _, ok := c.refused[code]; ok || len(c.refused) < refusedMax {
		c.refused[code]++
	}
}

type linkCounters struct {
	connects, dials, failures, losses, forgotten, bytesIn, bytesOut atomic.Uint64

	last atomic.Pointer[string]
}

func (c *linkCounters) failed(err error) {
	c.failures.Add(1)
	text := err.Error()
	c.last.Store(&text)
}

// lost counts the end of a connection.
func (c *linkCounters) lost(err error) {
	c.losses.Add(1)
	if errors.Is(err, ErrForgotten) {
		c.forgotten.Add(1)
	}
	text := err.Error()
	c.last.Store(&text)
}

// Stats returns the counters.
func (m *Mesh) Stats() MeshStats {
	s := MeshStats{
		Accepted: m.count.accepted.Load(), Shed: m.count.shed.Load(), Strangers: m.count.strangers.Load(),
		Timeouts: m.count.timeouts.Load(), Malformed: m.count.malformed.Load(), Aborted: m.count.aborted.Load(),
		Refused: map[batch.RefusalCode]uint64{},
	}
	m.count.mu.Lock()
	for code, n := range m.count.refused {
		s.Refused[code] = n
	}
	m.count.mu.Unlock()
	for _, mp := range *m.peers.Load() {
		s.Links = append(s.Links, mp.stats())
	}
	slices.SortFunc(s.Links, func(a, b LinkStats) int { return a.Peer.Compare(b.Peer.PeerID) })
	return s
}

func (mp *meshPeer) stats() LinkStats {
	c := &mp.count
	s := LinkStats{
		Connects: c.connects.Load(), Dials: c.dials.Load(), Failures: c.failures.Load(), Lost: c.losses.Load(),
		Forgotten: c.forgotten.Load(), BytesIn: c.bytesIn.Load(), BytesOut: c.bytesOut.Load(),
	}
	if last := c.last.Load(); last != nil {
		s.LastError = *last
	}
	mp.mu.Lock()
	defer mp.mu.Unlock()
	s.Peer = mp.peer
	if mp.conn != nil {
		s.Connected, s.Dialled, s.Since = true, mp.conn.dialled, mp.conn.since
	}
	return s
}
