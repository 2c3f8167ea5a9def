package cluster

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// WorkersMax is how many processes a node can announce: what gossip leaves room
// for.
const WorkersMax = 40

const (
	metaVersion = 1
	metaMax     = 512 // memberlist.MetaMaxSize
	metaAddrMax = 64

	metaDraining = 1 << 0
	metaLeaving  = 1 << 1
)

// The fixed part, two addresses with their lengths and the workers.
const _ = uint(metaMax - (2 + 8 + 2*(1+metaAddrMax) + 1 + WorkersMax*9))

// nodeMeta is what a node announces of itself in gossip.
//
//	version 1 | flags 1 | incarnation 8 | peer addr 1+n | admin addr 1+n | count 1 | count × (worker 1, incarnation 8)
//
// All integers are big-endian. What follows is for later versions and ignored.
type nodeMeta struct {
	incarnation uint64
	draining    bool
	leaving     bool // memberlist's delegate does not tell a leave from a death
	peer        string
	admin       string
	workers     []WorkerInfo // by number; State and Local are not announced
}

// check reports what append could not encode.
func (m *nodeMeta) check() error {
	for _, addr := range []string{m.peer, m.admin} {
		if len(addr) > metaAddrMax {
			return fmt.Errorf("cluster: address %q is longer than %d bytes", addr, metaAddrMax)
		}
	}
	if len(m.workers) > WorkersMax {
		return fmt.Errorf("cluster: %d workers, at most %d fit", len(m.workers), WorkersMax)
	}
	for i, w := range m.workers {
		if w.Worker > 255 {
			return fmt.Errorf("cluster: worker %d, the highest number is 255", w.Worker)
		}
		if w.Incarnation == 0 {
			return fmt.Errorf("cluster: worker %d has no incarnation", w.Worker)
		}
		if i > 0 && m.workers[i-1].Worker >= w.Worker {
			return fmt.Errorf("cluster: worker %d is out of order", w.Worker)
		}
	}
	return nil
}

// append encodes m. REQUIRES: check found nothing.
func (m *nodeMeta) append(dst []byte) []byte {
	var flags byte
	if m.draining {
		flags |= metaDraining
	}
	if m.leaving {
		flags |= metaLeaving
	}
	dst = append(dst, metaVersion, flags)
	dst = binary.BigEndian.AppendUint64(dst, m.incarnation)
	for _, addr := range []string{m.peer, m.admin} {
		dst = append(dst, byte(len(addr)))
		dst = append(dst, addr...)
	}
	dst = append(dst, byte(len(m.workers)))
	for _, w := range m.workers {
		dst = append(dst, byte(w.Worker))
		dst = binary.BigEndian.AppendUint64(dst, w.Incarnation)
	}
	return dst
}

var errMeta = errors.New("cluster: what a node announces is cut short or damaged")

// parseMeta decodes what append wrote, and keeps nothing of p.
func parseMeta(p []byte) (m nodeMeta, err error) {
	if len(p) < 10 {
		return m, errMeta
	}
	if p[0] != metaVersion {
		return m, fmt.Errorf("cluster: a node announces itself in version %d, known is %d", p[0], metaVersion)
	}
	m.draining, m.leaving = p[1]&metaDraining != 0, p[1]&metaLeaving != 0
	m.incarnation = binary.BigEndian.Uint64(p[2:])
	r := reader{left: p[10:]}
	m.peer, m.admin = r.short(), r.short()
	m.workers = make([]WorkerInfo, r.uint8())
	for i := range m.workers {
		if at := r.take(9); at != nil {
			m.workers[i] = WorkerInfo{Worker: uint16(at[0]), Incarnation: binary.BigEndian.Uint64(at[1:])}
		}
	}
	if r.bad || m.check() != nil {
		return m, errMeta
	}
	return m, nil
}
