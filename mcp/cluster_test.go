package mcp

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"pgregory.net/rapid"
)

// fakeCluster is a few servers that tell each other everything when sync is
// called. What one of them noted since then is lost with it.
type fakeCluster struct {
	beds []*fakePeer
	err  error // of Publish and Notify in acked mode
}

// fakePeer is one of them, and its Replicas.
type fakePeer struct {
	*testbed
	c      *fakeCluster
	n      int
	events *fakeEvents

	mu     sync.Mutex
	deltas []func(at *fakePeer) // guarded by mu; for the others
	seq    uint64               // of publications
}

func newFakeCluster(n int) *fakeCluster {
	c := &fakeCluster{}
	for i := range n {
		p := &fakePeer{c: c, n: i + 1, events: newFakeEvents()}
		p.events.peer = uint64(i + 1)
		p.events.max = 1 << 20
		p.testbed = newTestbed(func(o *Options) { o.Events, o.Replicas = p.events, p })
		c.beds = append(c.beds, p)
	}
	return c
}

func (p *fakePeer) later(f func(at *fakePeer)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.deltas = append(p.deltas, f)
}

func (p *fakePeer) idOf(ref uint64) [16]byte {
	sess, _ := p.sessions.Load(ref)
	return sess.ID
}

// Noted implements Replicas.
func (p *fakePeer) Noted(ref uint64, stream, seq, body uint32) {
	id := p.idOf(ref)
	p.events.mu.Lock()
	o, msg := p.events.origin[body], []byte(p.events.bodies[body])
	p.events.mu.Unlock()
	p.later(func(at *fakePeer) { at.appendCopy(id, stream, seq, o, msg) })
}

// Subscribed implements Replicas.
func (p *fakePeer) Subscribed(ref uint64, uri string, on bool) {
	id := p.idOf(ref)
	p.later(func(at *fakePeer) {
		if ref, ok := at.sessions.Find(id); ok {
			at.SubscribeCopy(ref, uri, on)
		}
	})
}

// Publish implements Replicas.
func (p *fakePeer) Publish(_ context.Context, pub *Publication) (delivered int, err error) {
	wire := AppendPublication(nil, pub)
	o, again := p.originOf(pub)
	for _, at := range p.c.beds {
		delivered += at.spreadWire(wire, o, again, nil)
	}
	return delivered, p.c.err
}

// Notify implements Replicas.
func (p *fakePeer) Notify(_ context.Context, id [16]byte, pub *Publication) error {
	wire := AppendPublication(nil, pub)
	o, again := p.originOf(pub)
	for _, at := range p.c.beds {
		at.spreadWire(wire, o, again, &id)
	}
	return p.c.err
}

func (p *fakePeer) originOf(pub *Publication) (o Origin, again bool) {
	if o, again = pub.KeyOrigin(); again {
		return o, true
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seq++
	return Origin{Peer: uint64(100 + p.n), Seq: p.seq}, false
}

func (p *fakePeer) spreadWire(wire []byte, o Origin, again bool, only *[16]byte) int {
	pub, err := ParsePublication(wire)
	if err != nil {
		panic(err)
	}
	sp := p.Spread(&pub, o)
	sp.Again = again
	if only != nil {
		ref, ok := p.sessions.Find(*only)
		if !ok {
			return 0
		}
		sp.Only(ref)
	}
	for !sp.Step(2) {
	}
	return sp.Delivered()
}

// appendCopy puts an event where its number belongs in the log of a copy.
func (p *fakePeer) appendCopy(id [16]byte, stream, seq uint32, o Origin, msg []byte) {
	ref, ok := p.sessions.Find(id)
	if !ok {
		return
	}
	p.WithDelivery(ref, func() {
		sess, _ := p.sessions.Load(ref)
		if sess.Home == 0 {
			return
		}
		log, _ := p.events.Draw(sess.Log)
		p.sessions.Update(ref, func(now *Session) { now.Log = log })
		body := uint32(0)
		if stream != 0 {
			body = p.events.KeepAs(o, msg)
		}
		p.events.mu.Lock()
		defer p.events.mu.Unlock()
		l := p.events.logs[log]
		l.last = seq
		if body != 0 {
			l.events = append(l.events, fakeEvent{stream, seq, body})
		}
	})
}

// sync brings what was noted to the other servers.
func (c *fakeCluster) sync() {
	for _, p := range c.beds {
		p.mu.Lock()
		deltas := p.deltas
		p.deltas = nil
		p.mu.Unlock()
		for _, f := range deltas {
			for _, at := range c.beds {
				if at != p {
					f(at)
				}
			}
		}
	}
}

// snapshot is what travels of a session.
type snapshot struct {
	sess Session
	uris []string
	log  *fakeLog
	msgs []string
	from []Origin
}

func (p *fakePeer) snap(sess Session, uris []string) snapshot {
	s := snapshot{sess: sess, uris: uris, log: new(fakeLog)}
	p.events.mu.Lock()
	defer p.events.mu.Unlock()
	if l := p.events.logs[sess.Log]; l != nil {
		*s.log = *l
		s.log.events = slices.Clone(l.events)
		for _, ev := range l.events {
			s.msgs = append(s.msgs, p.events.bodies[ev.body])
			s.from = append(s.from, p.events.origin[ev.body])
		}
	}
	return s
}

// copyTo makes p's copy of a session what s says, home being elsewhere.
func (p *fakePeer) install(s snapshot, home int) uint64 {
	ref, ok := p.sessions.Find(s.sess.ID)
	if !ok {
		sess := s.sess
		sess.Stream, sess.Topics, sess.Log, sess.Flags, sess.Home = 0, 0, 0, 0, uint32(home)
		ref = p.sessions.adopt(sess)
	}
	p.Demote(ref, uint32(home), s.sess.Epoch)
	p.ImportSubscriptions(ref, s.uris)
	p.WithDelivery(ref, func() {
		old, _ := p.sessions.Load(ref)
		p.events.Drop(old.Log)
		log, _ := p.events.Draw(0)
		for i := range s.log.events {
			s.log.events[i].body = p.events.KeepAs(s.from[i], []byte(s.msgs[i]))
		}
		p.events.mu.Lock()
		p.events.logs[log] = s.log
		p.events.mu.Unlock()
		p.sessions.Update(ref, func(now *Session) {
			now.Log, now.Gets, now.State, now.LogLevel = log, s.sess.Gets, s.sess.State, s.sess.LogLevel
		})
	})
	return ref
}

// TestMovesLoseNothing moves a session between three servers by all the ways
// there are, while it is notified and its client, which knows nothing of it,
// breaks off and comes back. The client must see every message that was
// confirmed once, in order.
func TestMovesLoseNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := newFakeCluster(3)
		m := &mover{c: c, home: c.beds[0]}
		m.header, m.ref = m.home.newSession(t, 1, "2025-11-25")
		m.id = m.home.idOf(m.ref)
		m.st = 10
		for _, p := range c.beds[1:] {
			m.fill(p)
		}
		m.connect(t)
		t.Repeat(map[string]func(*rapid.T){
			"notify":      m.notify,
			"break off":   m.breakOff,
			"hand over":   m.handOver,
			"lose home":   m.loseHome,
			"leave":       m.leave,
			"":            func(t *rapid.T) { m.read(t) },
			"come back":   m.connect,
			"second life": func(t *rapid.T) { m.breakOff(t); m.loseHome(t); m.notify(t); m.loseHome(t) },
		})
		if !m.open {
			m.connect(t)
		}
		m.read(t)
		if m.seen != m.sent {
			t.Fatalf("saw %d of %d", m.seen, m.sent)
		}
	})
}

// mover is the session of TestMovesLoseNothing and its client.
type mover struct {
	c      *fakeCluster
	home   *fakePeer
	ref    uint64
	id     [16]byte
	header string
	epoch  uint32

	st         StreamID
	open       bool
	last       string // event id
	sent, seen int
}

func (m *mover) fill(p *fakePeer) {
	m.home.Export(m.ref, func(sess Session, uris []string) {
		s := m.home.snap(sess, uris)
		p.install(s, m.home.n)
	})
}

func (m *mover) notify(t *rapid.T) {
	m.sent++
	if err := rapid.SampledFrom(m.c.beds).Draw(t, "by").notifyID(m.id, m.sent); err != nil {
		t.Fatal(err)
	}
	m.c.sync()
}

func (p *fakePeer) notifyID(id [16]byte, n int) error {
	ref, ok := p.sessions.Find(id)
	if !ok {
		return errors.New("no copy")
	}
	return p.Server.Notify(ref, "notifications/test", map[string]int{"n": n})
}

func (m *mover) breakOff(*rapid.T) {
	if m.open {
		m.home.host.End(m.st)
		m.home.disconnect(m.st)
		m.open = false
	}
}

func (m *mover) connect(t *rapid.T) {
	m.breakOff(t)
	m.st++
	m.home.getAfter(m.st, m.header, m.last)
	m.open = true
	if rapid.Bool().Draw(t, "the copies hear of the stream") {
		m.record()
	}
	m.read(t)
}

// record is what a cluster does with changes of records.
func (m *mover) record() {
	sess, _ := m.home.sessions.Load(m.ref)
	for _, p := range m.c.beds {
		if ref, ok := p.sessions.Find(m.id); ok && p != m.home {
			p.sessions.Update(ref, func(now *Session) { now.Gets, now.State = sess.Gets, sess.State })
		}
	}
}

// read looks at what came over the connection.
func (m *mover) read(t *rapid.T) {
	out := m.home.host.take(m.st)
	if id := lastID(out); id != "" {
		m.last = id
	}
	for _, match := range nMember.FindAllStringSubmatch(out, -1) {
		m.seen++
		if match[1] != fmt.Sprint(m.seen) {
			t.Fatalf("event %s where %d was due in %q", match[1], m.seen, out)
		}
	}
}

func (m *mover) other(t *rapid.T) *fakePeer {
	others := slices.DeleteFunc(slices.Clone(m.c.beds), func(p *fakePeer) bool { return p == m.home })
	return rapid.SampledFrom(others).Draw(t, "to")
}

// handOver moves the session with its open connection.
func (m *mover) handOver(t *rapid.T) {
	m.read(t)
	to := m.other(t)
	var s snapshot
	m.epoch++
	err := m.home.HandOver(m.ref, uint32(to.n), m.epoch, func(sess Session, uris []string) { s = m.home.snap(sess, uris) })
	if err != nil {
		t.Fatal(err)
	}
	if m.open {
		m.home.disconnect(m.st) // it goes on elsewhere
	}
	ref := to.install(s, m.home.n)
	if s.sess.Stream != 0 {
		m.st++ // what names it there
		word, ok := to.AttachStream(ref, m.st, s.sess.Flags)
		if !ok {
			t.Fatal("not attached")
		}
		to.testbed.mu.Lock()
		to.words[m.st] = word
		to.testbed.mu.Unlock()
	}
	m.arrive(t, to, ref, true)
}

// loseHome lets another server take the session over that knows what was noted
// and nothing else.
func (m *mover) loseHome(t *rapid.T) {
	m.read(t)
	lost, to := m.home, m.other(t)
	ref, _ := to.sessions.Find(m.id)
	m.open = false
	m.epoch++
	m.arrive(t, to, ref, false)
	lost.Demote(m.ref0(lost), uint32(to.n), m.epoch) // it returns, and learns
}

func (m *mover) ref0(p *fakePeer) uint64 {
	ref, _ := p.sessions.Find(m.id)
	return ref
}

// leave moves the session and sends its client after it.
func (m *mover) leave(t *rapid.T) {
	m.read(t)
	from, to := m.home, m.other(t)
	m.record() // the copy is complete
	m.epoch++
	if !from.Demote(m.ref, uint32(to.n), m.epoch) {
		t.Fatal("not demoted")
	}
	m.open = false
	ref := m.ref0(to)
	m.arrive(t, to, ref, true)
}

func (m *mover) arrive(t *rapid.T, to *fakePeer, ref uint64, clean bool) {
	if !to.Promote(ref, m.epoch, clean) {
		t.Fatal("not promoted")
	}
	m.home, m.ref = to, ref
	for _, p := range m.c.beds {
		p.deltas = nil // what moves has it, or it is lost
	}
	for _, p := range m.c.beds {
		if p != to {
			m.fill(p)
		}
	}
}
