package server

import (
	"github.com/rookery-server/rookery/mcp"
	"github.com/rookery-server/rookery/session"
)

// sessions lets mcp keep its sessions in a table that knows nothing of MCP.
type sessions struct{ table *session.Table }

var _ mcp.Sessions = sessions{}

// Create implements mcp.Sessions.
func (t sessions) Create(s mcp.Session) (id [16]byte, ref uint64, err error) {
	i, r, err := t.table.Create(toRecord(&s))
	return i, uint64(r), err
}

// Find implements mcp.Sessions.
func (t sessions) Find(id [16]byte) (ref uint64, ok bool) {
	r, ok := t.table.Find(id)
	return uint64(r), ok
}

// Load implements mcp.Sessions.
func (t sessions) Load(ref uint64) (mcp.Session, bool) {
	r, ok := t.table.Load(session.Ref(ref))
	return toSession(&r), ok
}

// Update implements mcp.Sessions.
func (t sessions) Update(ref uint64, f func(*mcp.Session)) bool {
	return t.table.Update(session.Ref(ref), func(r *session.Record) {
		s := toSession(r)
		f(&s)
		*r = toRecord(&s)
	})
}

// Touch implements mcp.Sessions.
func (t sessions) Touch(ref uint64) { t.table.Touch(session.Ref(ref)) }

// Delete implements mcp.Sessions.
func (t sessions) Delete(ref uint64) (mcp.Session, bool) {
	r, ok := t.table.Delete(session.Ref(ref))
	return toSession(&r), ok
}

// Range implements mcp.Sessions.
func (t sessions) Range(f func(ref uint64, s mcp.Session) bool) {
	t.table.Range(func(ref session.Ref, r session.Record) bool { return f(uint64(ref), toSession(&r)) })
}

func toRecord(s *mcp.Session) session.Record {
	return session.Record{
		ID: s.ID, Stream: uint64(s.Stream), LastUsed: s.LastUsed, Client: s.Client, Topics: s.Topics,
		Caps: uint16(s.Caps), Protocol: uint8(s.Protocol), State: uint8(s.State), LogLevel: uint8(s.LogLevel), Kind: s.Flags, Gets: s.Gets, Log: s.Log,
		Home: s.Home, Epoch: s.Epoch,
	}
}

func toSession(r *session.Record) mcp.Session {
	return mcp.Session{
		ID: r.ID, Stream: mcp.StreamID(r.Stream), LastUsed: r.LastUsed, Client: r.Client, Topics: r.Topics,
		Caps: mcp.Capabilities(r.Caps), Protocol: mcp.Revision(r.Protocol), State: mcp.State(r.State),
		LogLevel: mcp.Level(r.LogLevel), Flags: r.Kind, Gets: r.Gets, Log: r.Log,
		Home: r.Home, Epoch: r.Epoch,
	}
}
