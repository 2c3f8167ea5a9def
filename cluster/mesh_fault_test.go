package cluster

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rookery-server/rookery/batch"
	"github.com/rookery-server/rookery/internal/faultnet"
)

// proxied returns two meshes of which the first reaches the second through a
// proxy, and the second does not dial.
func proxied(t *testing.T, change func(*meshConfig)) (a, b *testMesh, p *faultnet.Proxy) {
	t.Helper()
	set := func(c *meshConfig) {
		c.lazy = true
		if change != nil {
			change(c)
		}
	}
	a, b = meshAt(t, "a", set), meshAt(t, "b", set)
	to := b.self
	network, via, target := "tcp", "127.0.0.1:0", to.Addr
	if to.Local != "" {
		network, via, target = "unix", filepath.Join(t.TempDir(), "p"), to.Local
	}
	p, err := faultnet.New(network, via, target)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	if to.Local != "" {
		to.Local = p.Addr()
	} else {
		to.Addr = p.Addr()
	}
	a.SetPeers([]Peer{to})
	b.SetPeers([]Peer{a.self})
	linked(t, a, b)
	return a, b, p
}

// traffic sends n numbered messages both ways while disturb runs again and
// again, and wants each of them once and in order.
func traffic(t *testing.T, a, b *testMesh, n int, disturb func()) {
	t.Helper()
	want := numbered("message number", n)
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			case <-time.After(5 * time.Millisecond):
				disturb()
			}
		}
	}()
	for i := range want {
		a.end(b.self).send(t, batch.Data, want[i])
		b.end(a.self).send(t, batch.Data, want[i])
		if i%100 == 0 { // give the disturbance its time
			meshEventually(t, "progress", func() bool { return len(b.end(a.self).received(batch.Data)) >= i-200 })
		}
	}
	close(stop)
	<-done
	wantMessages(t, b.end(a.self), batch.Data, want)
	wantMessages(t, a.end(b.self), batch.Data, want)
}

func TestMeshResumesAfterCuts(t *testing.T) {
	for _, unix := range []bool{false, true} {
		a, b, p := proxied(t, func(c *meshConfig) { c.unix = unix })
		cuts := 0
		traffic(t, a, b, 3000, func() {
			// The pause before the next connection grows with each.
			if l := a.link(b.self); l.Connected && l.Connects == uint64(cuts+1) && cuts < 6 {
				cuts++
				p.Cut()
			}
		})
		if l := a.link(b.self); l.Connects < 2 || l.Forgotten > 0 {
			t.Errorf("the cuts did nothing, or too much: %+v", l)
		}
	}
}

// Damaged bytes end the connection; what they damaged is sent again. Over TLS
// its authentication finds them, over a plain socket the checksum of the frame.
func TestMeshHealsBitFlips(t *testing.T) {
	for _, unix := range []bool{false, true} {
		a, b, p := proxied(t, func(c *meshConfig) { c.unix = unix })
		p.Flip(faultnet.ToTarget, 20_000)
		p.Flip(faultnet.ToClient, 20_000)
		want := numbered("message number", 3000)
		for _, msg := range want {
			a.end(b.self).send(t, batch.Bulk, msg)
			b.end(a.self).send(t, batch.Bulk, msg)
		}
		meshEventually(t, "damage", func() bool {
			a.end(b.self).send(t, batch.Control, strings.Repeat("x", 100))
			return a.link(b.self).Connects > 2
		})
		p.Flip(faultnet.ToTarget, 0)
		p.Flip(faultnet.ToClient, 0)
		wantMessages(t, b.end(a.self), batch.Bulk, want)
		wantMessages(t, a.end(b.self), batch.Bulk, want)
		found := b.end(a.self).stats().Checksums + a.end(b.self).stats().Checksums
		if unix && found == 0 {
			t.Error("no checksum found the damage")
		}
		if a.saw(b.self, LinkEOF) && !a.saw(b.self, LinkLost) && !b.saw(a.self, LinkLost) {
			t.Errorf("damage was taken for the end of a process: %v", a.noticed(b.self))
		}
	}
}

// A peer that reads nothing: the connection is given up, the producer is told
// that the lane is full, and nothing is lost or doubled when it reads again.
func TestMeshPeerThatReadsNothing(t *testing.T) {
	const limit = 1 << 20
	a, b, p := proxied(t, func(c *meshConfig) {
		c.WriteTimeout = 300 * time.Millisecond
		c.SilenceTimeout = time.Hour
		c.link.Cap[batch.Data] = limit
		c.link.Window[batch.Data] = 64 << 20 // no credit stands between the writer and the socket
		c.link.Cap[batch.Bulk] = 64 << 20
		c.link.Window[batch.Bulk] = 64 << 20
		c.link.Features = batch.NoFeatures
	})
	p.Blackhole(faultnet.ToTarget, true)
	e := a.end(b.self)
	var want, bulk []string
	text := strings.Repeat("stuffing ", 1000)
	for i := range 3000 { // more than sockets hold
		bulk = append(bulk, text)
		if err := e.offer(t, batch.Bulk, bulk[i]); err != nil {
			t.Fatal(err)
		}
	}
	for full := false; !full; {
		msg := text + numbered("", len(want)+1)[len(want)]
		full = errors.Is(e.offer(t, batch.Data, msg), batch.ErrFull)
		if !full {
			want = append(want, msg)
		}
	}
	if _, held := e.stats().Lane[batch.Data].Pending, e.stats().Lane[batch.Data].PendingBytes; held > limit {
		t.Errorf("%d bytes are held, more than %d", held, limit)
	}
	meshEventually(t, "the end of the connection", func() bool { return a.saw(b.self, LinkLost) })
	if text := a.link(b.self).LastError; !strings.Contains(text, "reads nothing") && !strings.Contains(text, "timeout") {
		t.Errorf("the end was %q", text)
	}
	p.Blackhole(faultnet.ToTarget, false)
	wantMessages(t, b.end(a.self), batch.Data, want)
	wantMessages(t, b.end(a.self), batch.Bulk, bulk)
	if n := b.end(a.self).stats().Lane[batch.Data].Received; n != uint64(len(want)) {
		t.Errorf("%d messages processed, %d sent", n, len(want))
	}
	meshEventually(t, "acknowledgements", func() bool { return e.stats().Lane[batch.Data].Pending == 0 })
}

// A path that is silent in one direction is given up by the end that hears
// nothing, and made anew when it carries again.
func TestMeshSilentPath(t *testing.T) {
	for _, d := range []faultnet.Direction{faultnet.ToTarget, faultnet.ToClient} {
		a, b, p := proxied(t, func(c *meshConfig) {
			c.SilenceTimeout = 300 * time.Millisecond
			c.HandshakeTimeout = 300 * time.Millisecond
		})
		deaf, other := b, a
		if d == faultnet.ToClient {
			deaf, other = a, b
		}
		p.Blackhole(d, true)
		meshEventually(t, "silence", func() bool { return deaf.saw(other.self, Silent) })
		a.end(b.self).send(t, batch.Data, "later")
		b.end(a.self).send(t, batch.Data, "later")
		p.Blackhole(d, false)
		wantMessages(t, b.end(a.self), batch.Data, []string{"later"})
		wantMessages(t, a.end(b.self), batch.Data, []string{"later"})
	}
}

func TestMeshDelayedPath(t *testing.T) {
	a, b, p := proxied(t, nil)
	p.Delay(faultnet.ToTarget, 20*time.Millisecond)
	p.Delay(faultnet.ToClient, 20*time.Millisecond)
	traffic(t, a, b, 300, func() {})
	if l := a.link(b.self); l.Connects != 1 {
		t.Errorf("the link broke: %+v", l)
	}
}

// dialMesh opens a connection to m with the preamble sent.
func dialMesh(t *testing.T, m *testMesh, preamble []byte) net.Conn {
	t.Helper()
	network, addr := "tcp", m.self.Addr
	if m.self.Local != "" {
		network, addr = "unix", m.self.Local
	}
	c, err := net.Dial(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(meshPatience)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write(preamble); err != nil {
		t.Fatal(err)
	}
	return c
}

// wantClosed reads until the other end closes, and returns what came.
func wantClosed(t *testing.T, c net.Conn) []byte {
	t.Helper()
	p, err := io.ReadAll(c)
	if err != nil && !ended(err) && !certificateRefused(err) {
		t.Errorf("the other end did not close: %v", err)
	}
	return p
}

// Whoever sends nothing is let go after HandshakeTimeout, however far it got.
func TestMeshPeerThatSendsNothing(t *testing.T) {
	for name, preamble := range map[string][]byte{"from the start": nil, "in the preamble": []byte("RKY"), "after it": AppendPreamble(nil, 0)} {
		t.Run(name, func(t *testing.T) {
			m := meshAt(t, "m", func(c *meshConfig) { c.HandshakeTimeout = 50 * time.Millisecond })
			wantClosed(t, dialMesh(t, m, preamble))
			meshEventually(t, "a count", func() bool { return m.Stats().Timeouts == 1 })
		})
	}
}

func TestMeshPeerThatSendsGarbage(t *testing.T) {
	garbage := slices.Repeat([]byte("GET / HTTP/1.1\r\n"), 100)
	m, local := meshAt(t, "m", nil), meshAt(t, "l", func(c *meshConfig) { c.unix = true })
	wantClosed(t, dialMesh(t, m, garbage))
	meshEventually(t, "a bad preamble", func() bool { return m.Stats().Malformed == 1 })
	wantClosed(t, dialMesh(t, m, append(AppendPreamble(nil, 0), garbage...)))
	meshEventually(t, "a peer without TLS", func() bool { return m.Stats().Strangers == 1 })
	wantClosed(t, dialMesh(t, local, append(AppendPreamble(nil, 0), garbage...)))
	meshEventually(t, "no Hello", func() bool { return local.Stats().Malformed == 1 })

	c := tls.Client(dialMesh(t, m, AppendPreamble(nil, 0)), keysTLS(t, testKeys))
	if _, err := c.Write(garbage); err != nil {
		t.Fatal(err)
	}
	wantClosed(t, c)
	meshEventually(t, "no Hello under TLS", func() bool { return m.Stats().Malformed == 2 })
	if !m.logged("does not speak the peer protocol") || !m.logged("key") {
		t.Error("nothing says what happened")
	}
}

// Garbage after a good handshake ends that connection only.
func TestMeshPeerThatTurnsToGarbage(t *testing.T) {
	m := meshAt(t, "m", func(c *meshConfig) { c.lazy = true })
	fake := Peer{PeerID: PeerID{Node: "a", Incarnation: testIncarnation()}}
	m.SetPeers([]Peer{fake})
	for round := uint64(1); round <= 3; round++ {
		c := tls.Client(dialMesh(t, m, AppendPreamble(nil, 0)), keysTLS(t, testKeys))
		o := batch.Options{Local: fake.Incarnation, Remote: m.self.Incarnation}
		h := batch.NewLink(o).Hello()
		h.Cluster, h.Node, h.TargetNode = "test", "a", "m"
		p, err := batch.AppendHello(nil, &h)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Write(append(p, slices.Repeat([]byte{0x5a}, 4096)...)); err != nil {
			t.Fatal(err)
		}
		wantClosed(t, c)
		meshEventually(t, "the end", func() bool { return m.link(fake).Lost == round })
	}
	if m.saw(fake, LinkEOF) {
		t.Error("garbage was taken for the end of a process")
	}
}

// Silent connections by the hundred do not keep a peer out.
func TestMeshFloodOfConnections(t *testing.T) {
	a := meshAt(t, "a", func(c *meshConfig) { c.HandshakeTimeout = meshPatience })
	for range pendingMax + 50 {
		dialMesh(t, a, nil)
	}
	b := meshAt(t, "b", func(c *meshConfig) { c.eager = true })
	meshEventually(t, "the flood", func() bool { return a.Stats().Shed >= 50 })
	a.SetPeers([]Peer{{PeerID: b.self.PeerID, Addr: "127.0.0.1:1"}})
	b.SetPeers([]Peer{a.self})
	linked(t, b, a)
}
