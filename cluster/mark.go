package cluster

import (
	"slices"

	"github.com/rookery-server/rookery/batch"
)

// mark is a point in what was sent on a link.
type mark struct {
	life       uint32
	data, bulk uint64
}

// mark returns the point behind everything that was appended.
func (l *Link) mark() mark {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.endRun()
	return mark{l.life, l.appended[batch.Data], l.appended[batch.Bulk]}
}

// flushed reports whether everything before m was given to the kernel, which
// sends it even if this process is killed, or is not worth waiting for.
func (l *Link) flushed(m mark) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return m.life != l.life || l.stalled || l.written[batch.Data] >= m.data && l.written[batch.Bulk] >= m.bulk
}

// connected reports whether frames can be sent now.
func (l *Link) connected() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.m.Connected()
}

// stall says that flushed was waited for in vain. Until the link moves nobody
// waits for it again: else a peer that reads nothing would set the pace of all
// publications here.
func (l *Link) stall() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stalled = true
}

// reached reports whether the peer has processed everything before m.
func (l *Link) reached(m mark) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if m.life != l.life { // what was sent is lost: a fill brings it
		return !slices.ContainsFunc(l.parts, func(p partition) bool { return p.state == partWanted || p.state == partFilling })
	}
	return l.m.Acked(batch.Data) >= m.data && l.m.Acked(batch.Bulk) >= m.bulk
}
