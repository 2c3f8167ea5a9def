package server

import (
	"github.com/rookery-server/rookery/loop"
	"github.com/rookery-server/rookery/mcp"
)

// host writes to connections for mcp. A StreamID is the connection's handle;
// its top bit is clear because there are at most loopsMax loops. Those of
// remoteLoop are connections of other peers.
type host struct{ s *Server }

var (
	_ mcp.Host    = host{}
	_ mcp.Batcher = host{}
)

// Send implements mcp.Host.
func (h host) Send(to mcp.StreamID, p []byte) error {
	h.s.metrics.pushed.Inc()
	if isRemote(to) {
		return h.s.cluster.send(to, p)
	}
	return h.s.group.Conn(loop.Handle(to)).Write(p)
}

// End implements mcp.Host.
func (h host) End(to mcp.StreamID) {
	if isRemote(to) {
		h.s.cluster.end(to)
		return
	}
	h.s.group.Conn(loop.Handle(to)).End(loop.ReasonDone)
}

// Batch implements mcp.Batcher.
func (h host) Batch() mcp.Batch { return &hostBatch{h, h.s.group.Batch()} }

// hostBatch is host for many writes at a time. Connections of other peers get
// theirs at once.
type hostBatch struct {
	host host
	loop.Batch
}

// Send implements mcp.Batch.
func (b *hostBatch) Send(to mcp.StreamID, p []byte) error {
	if isRemote(to) {
		b.Flush()
		return b.host.Send(to, p)
	}
	b.host.s.metrics.pushed.Inc()
	return b.Write(loop.Handle(to), p)
}
