package cluster

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rookery-server/rookery/batch"
)

// meshPatience is how long a test waits for what has to happen.
const meshPatience = 30 * time.Second

// meshEventually waits until ok.
func meshEventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(meshPatience); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not after %v", what, meshPatience)
		}
	}
}

// testEnd is an endpoint over a real link that collects what it receives.
type testEnd struct {
	mesh *testMesh
	peer Peer

	mu     sync.Mutex
	o      batch.Options
	link   *batch.Link
	got    [batch.Lanes][]string
	resets int
	causes []error
}

func (e *testEnd) NextFrame(dst []byte) []byte {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.link.NextFrame(dst)
}

func (e *testEnd) Written() {}

func (e *testEnd) Heartbeat(dst []byte) []byte {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.link.Heartbeat(dst)
}

func (e *testEnd) Receive(p []byte) (int, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.link.Receive(p, func(lane batch.Lane, msg []byte) error {
		e.got[lane] = append(e.got[lane], string(msg))
		return nil
	})
}

func (e *testEnd) Need(p []byte) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.link.Need(p)
}

func (e *testEnd) Hello() batch.Hello {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.link.Hello()
}

func (e *testEnd) Connect(r batch.Resume) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.link.Connect(r)
}

func (e *testEnd) Disconnect(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.causes = append(e.causes, err)
	e.link.Disconnect()
	if errors.Is(err, ErrForgotten) {
		e.link = batch.NewLink(e.o)
		e.resets++
	}
}

// send appends messages, waiting for room.
func (e *testEnd) send(t testing.TB, lane batch.Lane, msgs ...string) {
	t.Helper()
	for _, msg := range msgs {
		meshEventually(t, "room for a message", func() bool { return e.offer(t, lane, msg) == nil })
	}
}

// offer appends one message and returns nil or batch.ErrFull.
func (e *testEnd) offer(t testing.TB, lane batch.Lane, msg string) error {
	t.Helper()
	e.mu.Lock()
	_, err := e.link.Append(lane, []byte(msg))
	e.mu.Unlock()
	if err != nil && !errors.Is(err, batch.ErrFull) {
		t.Fatal(err)
	}
	e.mesh.Wake(e.peer)
	return err
}

func (e *testEnd) received(lane batch.Lane) []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.got[lane])
}

func (e *testEnd) stats() batch.Stats {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.link.Stats()
}

// testMesh is a mesh with what it tells its owner.
type testMesh struct {
	*Mesh
	self Peer

	mu       sync.Mutex
	ends     map[PeerID]*testEnd
	evidence map[PeerID][]Evidence
	log      bytes.Buffer
}

// Write takes the lines of the log.
func (m *testMesh) Write(p []byte) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.log.Write(p)
}

func (m *testMesh) logged(text string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return strings.Contains(m.log.String(), text)
}

func (m *testMesh) end(p Peer) *testEnd {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.ends[p.PeerID]
}

// noticed returns the evidence of p but for Heard, unless it is all there is.
func (m *testMesh) noticed(p Peer) []Evidence {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(m.evidence[p.PeerID]), func(e Evidence) bool { return e == Heard })
}

func (m *testMesh) saw(p Peer, e Evidence) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Contains(m.evidence[p.PeerID], e)
}

func (m *testMesh) link(p Peer) LinkStats {
	for _, l := range m.Stats().Links {
		if l.Peer.PeerID == p.PeerID {
			return l
		}
	}
	return LinkStats{}
}

// meshConfig is what tests change.
type meshConfig struct {
	MeshOptions
	link     batch.Options
	unix     bool
	listener net.Listener
	lazy     bool // the greater end leaves dialling to the other
	eager    bool // both dial at once
}

var testKeys = mustKeys(strings.Repeat("ab01", 16))

func mustKeys(text string) *Keys {
	k, err := ParseKeys([]byte(text))
	if err != nil {
		panic(err)
	}
	return k
}

func keysTLS(t testing.TB, k *Keys) *tls.Config {
	t.Helper()
	c, err := k.TLS()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// meshAt starts a mesh that listens. Its incarnation is fresh.
func meshAt(t testing.TB, node string, change func(*meshConfig)) *testMesh {
	t.Helper()
	c := meshConfig{MeshOptions: MeshOptions{Label: "test", TLS: keysTLS(t, testKeys), Heartbeat: 20 * time.Millisecond}}
	c.Self = Peer{PeerID: PeerID{Node: node, Incarnation: testIncarnation()}}
	if change != nil {
		change(&c)
	}
	m := &testMesh{ends: map[PeerID]*testEnd{}, evidence: map[PeerID][]Evidence{}}
	if c.listener == nil {
		c.listener = meshListen(t, c.unix)
	}
	if c.unix {
		c.Self.Local = c.listener.Addr().String()
	} else {
		c.Self.Addr = c.listener.Addr().String()
	}
	m.self = c.Self
	c.Logger = slog.New(slog.NewTextHandler(m, nil))
	c.Open = func(p Peer) Endpoint {
		o := c.link
		o.Local, o.Remote = c.Self.Incarnation, p.Incarnation
		e := &testEnd{mesh: m, peer: p, o: o, link: batch.NewLink(o)}
		m.mu.Lock()
		defer m.mu.Unlock()
		if old := m.ends[p.PeerID]; old != nil {
			e.got, e.resets = old.got, old.resets
		}
		m.ends[p.PeerID] = e
		return e
	}
	c.Evidence = func(p Peer, e Evidence) {
		m.mu.Lock()
		defer m.mu.Unlock()
		if s := m.evidence[p.PeerID]; e != Heard || len(s) == 0 || s[len(s)-1] != Heard {
			m.evidence[p.PeerID] = append(s, e)
		}
	}
	var err error
	if m.Mesh, err = NewMesh(c.MeshOptions); err != nil {
		t.Fatal(err)
	}
	switch {
	case c.lazy:
		m.yieldFirst, m.yieldAgain = time.Hour, time.Hour
	case c.eager:
		m.yieldFirst, m.yieldAgain = 0, 0
	}
	done := make(chan error, 1)
	go func() { done <- m.Serve(c.listener) }()
	t.Cleanup(func() {
		m.Close()
		if err := <-done; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return m
}

var (
	incarnations   uint64
	incarnationsMu sync.Mutex
)

func testIncarnation() uint64 {
	incarnationsMu.Lock()
	defer incarnationsMu.Unlock()
	incarnations++
	return incarnations
}

func meshListen(t testing.TB, unix bool) net.Listener {
	t.Helper()
	var l net.Listener
	var err error
	if unix {
		l, err = ListenLocal(filepath.Join(t.TempDir(), "links", "s"))
	} else {
		l, err = net.Listen("tcp", "127.0.0.1:0")
	}
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// introduceAll tells all meshes of all.
func introduceAll(meshes ...*testMesh) {
	var peers []Peer
	for _, m := range meshes {
		peers = append(peers, m.self)
	}
	for _, m := range meshes {
		m.SetPeers(peers)
	}
}

func linked(t testing.TB, a, b *testMesh) {
	t.Helper()
	meshEventually(t, "a link", func() bool { return a.link(b.self).Connected && b.link(a.self).Connected })
}

func numbered(prefix string, n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf("%s %d", prefix, i)
	}
	return list
}

// wantMessages waits for exactly these messages of b, in this order.
func wantMessages(t testing.TB, e *testEnd, lane batch.Lane, want []string) {
	t.Helper()
	meshEventually(t, "all messages", func() bool { return len(e.received(lane)) >= len(want) })
	if got := e.received(lane); !slices.Equal(got, want) {
		t.Fatalf("lane %s: %d messages, want %d; they differ", lane, len(got), len(want))
	}
}

func TestMeshCarriesMessagesBetweenAll(t *testing.T) {
	for _, unix := range []bool{false, true} {
		t.Run(map[bool]string{false: "tls", true: "unix"}[unix], func(t *testing.T) {
			var all []*testMesh
			for i := range 4 {
				all = append(all, meshAt(t, fmt.Sprint("n", i), func(c *meshConfig) { c.unix = unix }))
			}
			introduceAll(all...)
			const n = 500
			for _, a := range all {
				for _, b := range all {
					if a == b {
						continue
					}
					for lane := range batch.Lane(batch.Lanes) {
						a.end(b.self).send(t, lane, numbered(a.self.Node, n)...)
					}
				}
			}
			for _, a := range all {
				for _, b := range all {
					if a == b {
						continue
					}
					for lane := range batch.Lane(batch.Lanes) {
						wantMessages(t, b.end(a.self), lane, numbered(a.self.Node, n))
					}
					meshEventually(t, fmt.Sprintf("one connection from %s to %s, both ways", a.self, b.self), func() bool {
						l := a.link(b.self)
						return l.Connects == 1 && l.Lost == 0 && l.BytesIn > 0 && l.BytesOut > 0
					})
				}
			}
		})
	}
}

// A message longer than every buffer passes, and the buffers are small again.
func TestMeshCarriesLongMessages(t *testing.T) {
	a, b := meshAt(t, "a", nil), meshAt(t, "b", nil)
	introduceAll(a, b)
	long := strings.Repeat("long ", 1<<20)
	a.end(b.self).send(t, batch.Data, "short", long, "short")
	wantMessages(t, b.end(a.self), batch.Data, []string{"short", long, "short"})
	meshEventually(t, "acknowledgements", func() bool { return a.end(b.self).stats().Lane[batch.Data].Pending == 0 })
}

// An idle connection lives by its heartbeats alone.
func TestMeshHeartbeats(t *testing.T) {
	short := func(c *meshConfig) { c.SilenceTimeout = 2 * time.Second; c.Heartbeat = 10 * time.Millisecond }
	a, b := meshAt(t, "a", short), meshAt(t, "b", short)
	introduceAll(a, b)
	linked(t, a, b)
	before := a.link(b.self).BytesIn
	pure := b.end(a.self).stats().Pure
	meshEventually(t, "heartbeats", func() bool {
		return a.link(b.self).BytesIn > before && b.end(a.self).stats().Pure >= pure+50
	})
	if e := a.noticed(b.self); !slices.Equal(e, []Evidence{LinkUp}) {
		t.Errorf("noticed %v", e)
	}
	if !a.saw(b.self, Heard) || !b.saw(a.self, Heard) {
		t.Error("nobody was heard")
	}
}

// A process that ends is noticed, and that nobody listens any more, whichever of
// the two it is that dials.
func TestMeshNoticesTheEndOfAProcess(t *testing.T) {
	for _, name := range []string{"a", "z"} {
		t.Run(name, func(t *testing.T) {
			m, dying := meshAt(t, "m", nil), meshAt(t, name, nil)
			introduceAll(m, dying)
			linked(t, m, dying)
			dying.Close()
			meshEventually(t, "a refusal", func() bool { return m.saw(dying.self, Refused) })
			if e := m.noticed(dying.self); !slices.Equal(e[:3], []Evidence{LinkUp, LinkEOF, Refused}) {
				t.Errorf("noticed %v", e)
			}
		})
	}
}

func TestMeshRestartWithNewIncarnation(t *testing.T) {
	a := meshAt(t, "a", nil)
	old := meshAt(t, "b", nil)
	introduceAll(a, old)
	linked(t, a, old)
	addr := old.self.Addr
	old.Close()
	var l net.Listener
	meshEventually(t, "the address again", func() (ok bool) {
		var err error
		l, err = net.Listen("tcp", addr)
		return err == nil
	})
	b := meshAt(t, "b", func(c *meshConfig) { c.listener = l })
	meshEventually(t, "a sign of the successor", func() bool { return a.saw(old.self, Replaced) })
	introduceAll(a, b)
	linked(t, a, b)
	a.end(b.self).send(t, batch.Data, "hello")
	wantMessages(t, b.end(a.self), batch.Data, []string{"hello"})
	if s := a.link(old.self); s.Connects != 0 {
		t.Errorf("the predecessor still has a link: %+v", s)
	}
}

// A process that was given up and comes back finds that the link was forgotten:
// both ends begin anew and say so.
func TestMeshForgottenLink(t *testing.T) {
	for _, forgets := range []string{"the one who dials", "the other"} {
		t.Run(forgets, func(t *testing.T) {
			lazy := func(c *meshConfig) { c.lazy = true }
			a, b := meshAt(t, "a", lazy), meshAt(t, "b", lazy)
			introduceAll(a, b)
			a.end(b.self).send(t, batch.Data, "one")
			b.end(a.self).send(t, batch.Data, "one")
			wantMessages(t, a.end(b.self), batch.Data, []string{"one"})
			wantMessages(t, b.end(a.self), batch.Data, []string{"one"})
			one, other := a, b
			if forgets == "the other" {
				one, other = b, a
			}
			one.SetPeers(nil)
			meshEventually(t, "the end", func() bool { return other.saw(one.self, LinkEOF) })
			one.SetPeers([]Peer{a.self, b.self})
			meshEventually(t, "a new beginning", func() bool {
				e := other.end(one.self)
				e.mu.Lock()
				defer e.mu.Unlock()
				return e.resets > 0
			})
			linked(t, a, b)
			a.end(b.self).send(t, batch.Data, "two")
			b.end(a.self).send(t, batch.Data, "two")
			wantMessages(t, a.end(b.self), batch.Data, []string{"one", "two"})
			wantMessages(t, b.end(a.self), batch.Data, []string{"one", "two"})
		})
	}
}

// A process that is not a member here is told so, and its owner hears that it
// lives.
func TestMeshStranger(t *testing.T) {
	a, b := meshAt(t, "a", nil), meshAt(t, "b", nil)
	a.SetPeers([]Peer{b.self})
	meshEventually(t, "a refusal", func() bool { return a.Stats().Refused[batch.RefusedStranger] > 0 })
	if e := b.noticed(a.self); len(e) < 2 || e[0] != LinkUp || e[1] != LinkLost {
		t.Errorf("noticed %v", e)
	}
	b.SetPeers([]Peer{a.self})
	linked(t, a, b)
}

// Connections of both ends that cross each other end in one link.
func TestMeshSimultaneousDial(t *testing.T) {
	eager := func(c *meshConfig) { c.eager = true }
	a, b := meshAt(t, "a", eager), meshAt(t, "b", eager)
	introduceAll(a, b)
	var want []string
	for round := range 60 {
		linked(t, a, b)
		msgs := numbered(fmt.Sprint("round ", round), 20)
		want = append(want, msgs...)
		a.end(b.self).send(t, batch.Data, msgs...)
		b.end(a.self).send(t, batch.Data, msgs...)
		lost := [2]uint64{a.link(b.self).Lost, b.link(a.self).Lost}
		for _, mp := range []*meshPeer{(*a.peers.Load())[b.self.PeerID], (*b.peers.Load())[a.self.PeerID]} {
			mp.mu.Lock()
			if mp.conn != nil {
				mp.conn.since = time.Now().Add(-time.Hour) // it was a good one: both dial at once
				mp.conn.fail(errors.New("cut"))
			}
			mp.mu.Unlock()
		}
		meshEventually(t, "the cut", func() bool { return a.link(b.self).Lost > lost[0] && b.link(a.self).Lost > lost[1] })
	}
	wantMessages(t, b.end(a.self), batch.Data, want)
	wantMessages(t, a.end(b.self), batch.Data, want)
	if a.end(b.self).resets+b.end(a.self).resets > 0 {
		t.Error("a link was forgotten")
	}
}

func TestMeshClosesWhileItConnects(t *testing.T) {
	for range 20 {
		a, b := meshAt(t, "a", nil), meshAt(t, "b", nil)
		introduceAll(a, b)
		a.Close()
		b.Close()
		a.SetPeers([]Peer{b.self}) // too late, and harmless
		a.Wake(b.self)
	}
}

func TestMeshOptionsAreChecked(t *testing.T) {
	good := MeshOptions{Self: Peer{PeerID: PeerID{Node: "n", Incarnation: 1}}, Open: func(Peer) Endpoint { return nil }}
	if _, err := NewMesh(good); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*MeshOptions){
		"no Open":        func(o *MeshOptions) { o.Open = nil },
		"no name":        func(o *MeshOptions) { o.Self.Node = "" },
		"no incarnation": func(o *MeshOptions) { o.Self.Incarnation = 0 },
		"long label":     func(o *MeshOptions) { o.Label = strings.Repeat("x", 256) },
		"old TLS":        func(o *MeshOptions) { o.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert} },
		"one-sided TLS":  func(o *MeshOptions) { o.TLS = &tls.Config{MinVersion: tls.VersionTLS13} },
	} {
		o := good
		spoil(&o)
		if _, err := NewMesh(o); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
