package cluster

import (
	"sync"
	"time"

	"github.com/rookery-server/rookery/batch"
)

// quietFor is how long a reason is not logged again.
const quietFor = time.Minute

// remedyIdentity stands in the log of both ends.
const remedyIdentity = "all nodes need the same key (--cluster-key), or certificates of the same authority; " +
	"look also for a foreign program on the peer port"

// quiet keeps a log readable when the same thing goes wrong ten times a second.
type quiet struct {
	mu   sync.Mutex
	last map[string]time.Time // guarded by mu; by reason, of which there are few
}

// may reports whether the reason has not been logged for a minute.
func (q *quiet) may(reason string) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := time.Now()
	if last, ok := q.last[reason]; ok && now.Sub(last) < quietFor {
		return false
	}
	if q.last == nil {
		q.last = map[string]time.Time{}
	}
	q.last[reason] = now
	return true
}

// warn logs at most once a minute for each reason, which is a constant.
func (m *Mesh) warn(reason, msg string, args ...any) {
	if m.quiet.may(reason) {
		m.o.Logger.Warn(msg, args...)
	}
}

// remedies say what to do about a refusal. Those without one pass by themselves.
var remedies = map[batch.RefusalCode]string{
	batch.RefusedVersion: "the two run versions too far apart: upgrade one release at a time",
	batch.RefusedCluster: "give all nodes of this cluster the same label, or correct the join list",
	batch.RefusedSelf:    "the advertised peer address leads back to this process: correct it",
	batch.RefusedTarget:  "after a restart this passes; if it stays, two nodes have the same name or advertise the same peer address",
	batch.RefusedLimits:  "give all nodes the same limit of message sizes",
}

// explain counts a refusal and logs it with its remedy. who is the other end.
func (m *Mesh) explain(who string, r *batch.Refusal) {
	m.count.refuse(r.Code)
	if remedy := remedies[r.Code]; remedy != "" {
		m.warn(remedy, "link refused", "peer", who, "reason", r.Text, "remedy", remedy)
		return
	}
	m.o.Logger.Debug("link refused", "peer", who, "reason", r.Text)
}
