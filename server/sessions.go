package server

import (
	"math/rand/v2"
	"time"

	"github.com/rookery-server/rookery/mcp"
	"github.com/rookery-server/rookery/session"
)

// sessions lets mcp keep its sessions in a table that knows nothing of MCP, and
// tells the cluster what becomes of those at home here.
type sessions struct {
	table   *session.Table
	cluster *clustering // nil: alone
	lookups *lookups    // nil: nobody wants to know
}

var _ mcp.Sessions = sessions{}

// Create implements mcp.Sessions.
func (t sessions) Create(s mcp.Session) (id [16]byte, ref uint64, err error) {
	i, r, err := t.table.Create(toRecord(&s))
	if err == nil && t.cluster != nil && !s.Bound() {
		t.cluster.core.Opened(uint64(r))
	}
	return i, uint64(r), err
}

// Find implements mcp.Sessions.
func (t sessions) Find(id [16]byte) (ref uint64, ok bool) {
	r, ok := t.lookups.find(t.table, id)
	return uint64(r), ok
}

// lookupSample is how many lookups there are for each that is timed: reading
// the clock twice costs more than most lookups.
const lookupSample = 64

// lookupBounds are the upper bounds of buckets of lookups, in ns: narrow where
// lookups are, because a quantile is told as the bound above it.
var lookupBounds = []time.Duration{
	20, 30, 40, 50, 60, 80, 100, 150, 200, 250, 300, 400, 500, 600, 700, 800, 900, 1000, 1100, 1200,
	1300, 1400, 1500, 1700, 2000, 3000, 5000, 1e4, 2e4, 5e4, 1e5, 1e6, 1e7,
}

// lookups times looking sessions up by their ids.
type lookups struct {
	took *histogram
	// clock is what reading the clock costs at that moment, which is in took as
	// well: one reading for each.
	clock *histogram
}

// lookupClock is where the clock of lookups begins. Time since then is the
// monotonic clock alone, at half the cost of time.Now.
var lookupClock = time.Now()

// find looks a session up and times that now and then.
func (l *lookups) find(table *session.Table, id session.ID) (session.Ref, bool) {
	if l == nil || rand.Uint32()%lookupSample != 0 {
		return table.Find(id)
	}
	from := time.Since(lookupClock)
	ref, ok := table.Find(id)
	to := time.Since(lookupClock)
	again := time.Since(lookupClock)
	l.took.observe(to - from)
	l.clock.observe(again - to)
	return ref, ok
}

// Load implements mcp.Sessions.
func (t sessions) Load(ref uint64) (mcp.Session, bool) {
	r, ok := t.table.Load(session.Ref(ref))
	return toSession(&r), ok
}

// Update implements mcp.Sessions.
func (t sessions) Update(ref uint64, f func(*mcp.Session)) bool {
	if t.cluster != nil {
		return t.updateTold(ref, f)
	}
	return t.table.Update(session.Ref(ref), func(r *session.Record) {
		s := toSession(r)
		f(&s)
		*r = toRecord(&s)
	})
}

// updateTold is Update in a cluster.
func (t sessions) updateTold(ref uint64, f func(*mcp.Session)) bool {
	tell := false
	ok := t.table.Update(session.Ref(ref), func(r *session.Record) {
		before := packState(r)
		s := toSession(r)
		f(&s)
		*r = toRecord(&s)
		tell = r.Home == 0 && !s.Bound() && packState(r) != before
	})
	if ok && tell {
		t.cluster.recordChanged(ref)
	}
	return ok
}

// Touch implements mcp.Sessions.
func (t sessions) Touch(ref uint64) { t.table.Touch(session.Ref(ref)) }

// Delete implements mcp.Sessions.
func (t sessions) Delete(ref uint64) (mcp.Session, bool) {
	r, ok := t.table.Delete(session.Ref(ref))
	if ok {
		t.ended(ref, &r)
	}
	return toSession(&r), ok
}

// ended tells the cluster that the table has let go of a session.
func (t sessions) ended(ref uint64, last *session.Record) {
	if t.cluster != nil && last.Home == 0 && !bound(last) {
		t.cluster.core.Ended(ref, last.ID)
	}
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
