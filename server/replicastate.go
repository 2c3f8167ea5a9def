package server

import (
	"github.com/rookery-server/rookery/cluster"
	"github.com/rookery-server/rookery/mcp"
	"github.com/rookery-server/rookery/session"
)

// bound reports whether a session has no copies: see mcp.Session.Bound.
func bound(r *session.Record) bool {
	s := toSession(r)
	return s.Bound()
}

// Count implements cluster.Store.
func (t replicas) Count() (homes, copies int) {
	n := t.table().Count()
	return n[cluster.RoleHome], n[cluster.RoleCopy]
}

// classBound is the class of the sessions that Range leaves out.
const classBound = int(cluster.RolePointer) + 1

// classOf sorts sessions by what this process has of them: a cluster.Role, or
// classBound.
func classOf(home uint32, kind uint8) int {
	if s := (mcp.Session{Flags: kind}); s.Bound() {
		return classBound
	}
	return int(cluster.RoleOf(home))
}

// described returns what the cluster knows of a record.
func described(r *session.Record) cluster.Session {
	return cluster.Session{ID: r.ID, Epoch: r.Epoch, Home: r.Home, State: packState(r)}
}

// packState packs what of a session's protocol state travels: all but what
// belongs to streams and to this process's tables.
//
//	bits 0 to 15   Gets
//	bits 16 to 31  Caps
//	bits 32 to 39  Protocol
//	bits 40 to 47  LogLevel
//	bits 48 to 55  Kind, as mcp.Session.Kind
//	bits 56 to 63  State
func packState(r *session.Record) uint64 {
	s := toSession(r)
	return uint64(r.Gets) | uint64(r.Caps)<<16 | uint64(r.Protocol)<<32 | uint64(r.LogLevel)<<40 |
		uint64(s.Kind())<<48 | uint64(r.State)<<56
}

// unpackState is the inverse of packState. What a peer of another version sends
// is mcp's to understand: nothing here trusts it.
func unpackState(r *session.Record, state uint64) {
	r.Gets, r.Caps = uint16(state), uint16(state>>16)
	r.Protocol, r.LogLevel, r.State = uint8(state>>32), uint8(state>>40), uint8(state>>56)
	s := toSession(r)
	s.SetKind(uint8(state >> 48))
	r.Kind = s.Flags
}

// digest is FNV-1a with 64 bits: it finds mistakes, not attacks.
type digest struct{ sum uint64 }

func newDigest() digest { return digest{14695981039346656037} }

func (d *digest) bytes(p []byte) {
	for _, b := range p {
		d.sum = (d.sum ^ uint64(b)) * 1099511628211
	}
}

func (d *digest) word(v uint64) {
	for range 8 {
		d.sum = (d.sum ^ v&0xff) * 1099511628211
		v >>= 8
	}
}
