package cluster

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rookery-server/rookery/batch"
)

// refusedLink waits until both ends have counted a stranger, and neither has a
// link.
func refusedLink(t *testing.T, a, b *testMesh) {
	t.Helper()
	introduceAll(a, b)
	meshEventually(t, "both ends to know", func() bool { return a.Stats().Strangers > 0 && b.Stats().Strangers > 0 })
	for _, m := range []*testMesh{a, b} {
		for _, l := range m.Stats().Links {
			if l.Connects > 0 {
				t.Errorf("%s has a link: %+v", m.self, l)
			}
		}
		meshEventually(t, m.self.String()+" to say what to do", func() bool { return m.logged("all nodes need the same key") })
	}
}

func TestMeshWrongKey(t *testing.T) {
	other := mustKeys(strings.Repeat("cd02", 16))
	a := meshAt(t, "a", nil)
	b := meshAt(t, "b", func(c *meshConfig) { c.TLS = keysTLS(t, other) })
	refusedLink(t, a, b)
}

// While a key is replaced, nodes with either order of the two keys agree.
func TestMeshKeyRotation(t *testing.T) {
	old, fresh := strings.Repeat("ab01", 16), strings.Repeat("cd02", 16)
	steps := []string{old, old + "\n" + fresh, fresh + "\n" + old, fresh}
	for i := range len(steps) - 1 {
		a := meshAt(t, "a", func(c *meshConfig) { c.TLS = keysTLS(t, mustKeys(steps[i])) })
		b := meshAt(t, "b", func(c *meshConfig) { c.TLS = keysTLS(t, mustKeys(steps[i+1])) })
		introduceAll(a, b)
		linked(t, a, b)
	}
	a := meshAt(t, "a", func(c *meshConfig) { c.TLS = keysTLS(t, mustKeys(old)) })
	b := meshAt(t, "b", func(c *meshConfig) { c.TLS = keysTLS(t, mustKeys(steps[2])) })
	refusedLink(t, a, b)
}

// Without an identity there is no connection between nodes, either way.
func TestMeshWithoutIdentity(t *testing.T) {
	none := func(c *meshConfig) { c.TLS = nil }
	refusedLink(t, meshAt(t, "a", none), meshAt(t, "b", none))

	a, b := meshAt(t, "a", nil), meshAt(t, "b", none)
	introduceAll(a, b)
	meshEventually(t, "the one without to know", func() bool { return b.Stats().Strangers > 0 })
	meshEventually(t, "the other to see no link", func() bool { return a.saw(b.self, Failed) })
	if a.link(b.self).Connects+b.link(a.self).Connects > 0 {
		t.Error("there is a link")
	}
}

func TestMeshWrongLabel(t *testing.T) {
	a := meshAt(t, "a", nil)
	b := meshAt(t, "b", func(c *meshConfig) { c.Label = "other" })
	introduceAll(a, b)
	meshEventually(t, "both ends to know", func() bool {
		return a.Stats().Refused[batch.RefusedCluster] > 0 && b.Stats().Refused[batch.RefusedCluster] > 0
	})
	for _, m := range []*testMesh{a, b} {
		meshEventually(t, m.self.String()+" to say what is wrong", func() bool {
			return m.logged("give all nodes of this cluster the same label") && m.logged(`\"other\"`)
		})
	}
	// What is counted and logged may be that b has dialled, of which nothing follows.
	meshEventually(t, "a to notice something of b", func() bool { return len(a.noticed(b.self)) > 0 })
	if e := a.noticed(b.self); e[0] != Failed {
		t.Errorf("noticed %v", e)
	}
}

// A worker that the process at the address is not.
func TestMeshWrongWorker(t *testing.T) {
	a, b := meshAt(t, "a", nil), meshAt(t, "b", nil)
	wrong := b.self
	wrong.Worker = 7
	a.SetPeers([]Peer{wrong})
	meshEventually(t, "a refusal", func() bool { return a.saw(wrong, Refused) })
}

// An address at which another node is.
func TestMeshWrongTarget(t *testing.T) {
	a, b := meshAt(t, "a", nil), meshAt(t, "b", nil)
	wrong := b.self
	wrong.Node = "c"
	a.SetPeers([]Peer{wrong})
	b.SetPeers([]Peer{a.self})
	meshEventually(t, "a refusal", func() bool { return a.saw(wrong, Replaced) })
	meshEventually(t, "a count and a log of what is wrong", func() bool {
		return b.Stats().Refused[batch.RefusedTarget] > 0 && a.logged("same peer address")
	})
}

// An address that leads back to ourselves.
func TestMeshOwnAddress(t *testing.T) {
	a := meshAt(t, "a", nil)
	a.SetPeers([]Peer{a.self}) // our own entry is no peer
	if links := a.Stats().Links; len(links) != 0 {
		t.Errorf("links to itself: %+v", links)
	}
	a.SetPeers([]Peer{{PeerID: PeerID{Node: "b", Incarnation: 99}, Addr: a.self.Addr}})
	meshEventually(t, "a refusal", func() bool { return a.Stats().Refused[batch.RefusedSelf] > 0 })
	if !a.logged("leads back to this process") {
		t.Error("nothing says what is wrong")
	}
}

func TestMeshOtherLimits(t *testing.T) {
	a := meshAt(t, "a", nil)
	b := meshAt(t, "b", func(c *meshConfig) { c.link.MessageMax = 1 << 20 })
	introduceAll(a, b)
	meshEventually(t, "both ends to know", func() bool {
		return a.Stats().Refused[batch.RefusedLimits] > 0 && b.Stats().Refused[batch.RefusedLimits] > 0
	})
}

// A connection that a supervisor has accepted and passed on.
func TestMeshAdopts(t *testing.T) {
	l := meshListen(t, false)
	defer l.Close()
	a := meshAt(t, "a", func(c *meshConfig) { c.lazy = true })
	b := meshAt(t, "b", func(c *meshConfig) { c.lazy, c.Self.Worker = true, 3 })
	to := b.self
	to.Addr = l.Addr().String()
	a.SetPeers([]Peer{to})
	b.SetPeers([]Peer{a.self})
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	worker, err := ReadPreamble(c, meshPatience)
	if err != nil || worker != 3 {
		t.Fatalf("worker %d, %v", worker, err)
	}
	b.Adopt(c)
	linked(t, a, b)
	a.end(b.self).send(t, batch.Data, "hello")
	wantMessages(t, b.end(a.self), batch.Data, []string{"hello"})

	// The worker dies, and its supervisor says so.
	b.Close()
	c, err = l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ReadPreamble(c, meshPatience); err != nil {
		t.Fatal(err)
	}
	if err := RefuseWorker(c); err != nil {
		t.Fatal(err)
	}
	meshEventually(t, "a refusal", func() bool { return a.saw(to, Refused) })
	b.Adopt(c) // too late, and harmless
}

func TestPreamble(t *testing.T) {
	p := AppendPreamble(nil, 0xabcd)
	if len(p) != PreambleSize {
		t.Fatalf("%d bytes", len(p))
	}
	if worker, err := ParsePreamble(p); err != nil || worker != 0xabcd {
		t.Errorf("worker %x, %v", worker, err)
	}
	for i := range p {
		bad := append([]byte{}, p...)
		bad[i] ^= 0x40
		_, err := ParsePreamble(bad)
		if isWorker := i == 4 || i == 5; (err == nil) != isWorker || err != nil && !errors.Is(err, ErrPreamble) {
			t.Errorf("byte %d damaged: %v", i, err)
		}
	}
	for _, bad := range [][]byte{nil, p[:7], append(p, 0), []byte(gone)} {
		if _, err := ParsePreamble(bad); !errors.Is(err, ErrPreamble) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestListenLocalKeepsOthersOut(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "links")
	path := filepath.Join(dir, "0")
	for range 2 { // the second replaces what a process that was killed left
		l, err := ListenLocal(path)
		if err != nil {
			t.Fatal(err)
		}
		l.(*net.UnixListener).SetUnlinkOnClose(false)
		l.Close()
	}
	info, err := os.Stat(dir)
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := ListenLocal(path); err == nil || !strings.Contains(err.Error(), "chmod 0700") {
		t.Errorf("an open directory: %v", err)
	}
	if _, err := ListenLocal(filepath.Join(path, "x", "y")); err == nil {
		t.Error("a socket is no directory")
	}
}

// The kernel names the user of the other end. Over TCP it would not; there TLS
// does.
func TestPeerUID(t *testing.T) {
	l := meshListen(t, true)
	defer l.Close()
	c, err := net.Dial("unix", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	uid, err := peerUID(c.(*net.UnixConn))
	if err != nil || uid != os.Geteuid() {
		t.Errorf("user %d, %v", uid, err)
	}
	c.Close()
	if _, err := peerUID(c.(*net.UnixConn)); err == nil {
		t.Error("a closed connection has a user")
	}
}

func TestEvidenceOfErrors(t *testing.T) {
	for _, c := range []struct {
		err  error
		want Evidence
	}{
		{errDelisted, 0}, {ErrMeshClosed, 0}, {errReplaced, 0},
		{errSilent, Silent}, {errStalled, LinkLost}, {batch.ErrChecksum, LinkLost}, {ErrForgotten, LinkLost},
		{&net.OpError{Op: "read", Err: os.NewSyscallError("read", syscall.ECONNRESET)}, LinkEOF},
		{&net.OpError{Op: "write", Err: os.NewSyscallError("write", syscall.EPIPE)}, LinkEOF},
	} {
		if got := evidenceOfEnd(c.err); got != c.want {
			t.Errorf("%v: %v, want %v", c.err, got, c.want)
		}
	}
	if s := Evidence(77).String(); s != "evidence 77" || LinkUp.String() != "link up" {
		t.Errorf("%q, %q", s, LinkUp)
	}
}

func TestQuietLog(t *testing.T) {
	var q quiet
	if !q.may("a") || q.may("a") || !q.may("b") {
		t.Error("each reason once")
	}
	q.last["a"] = time.Now().Add(-2 * quietFor)
	if !q.may("a") {
		t.Error("a minute later again")
	}
}

// TestTLSErrorMeans: only what TLS itself says is about keys.
func TestTLSErrorMeans(t *testing.T) {
	for _, s := range []struct {
		err  error
		keys bool
	}{
		{&net.OpError{Op: "remote error", Err: tls.AlertError(42)}, true},
		{&net.OpError{Op: "local error", Err: tls.AlertError(42)}, true},
		{&tls.CertificateVerificationError{Err: errors.New("not ours")}, true},
		{tls.RecordHeaderError{Msg: "first record does not look like a TLS handshake"}, true},
		{&net.OpError{Op: "read", Err: net.ErrClosed}, false},
		{&net.OpError{Op: "write", Err: syscall.EPIPE}, false},
		{&net.OpError{Op: "read", Err: syscall.ETIMEDOUT}, false},
		{net.ErrClosed, false},
		{io.EOF, false},
		{os.ErrDeadlineExceeded, false},
	} {
		if got := errors.Is(tlsError(s.err), errAuth); got != s.keys {
			t.Errorf("%v is about keys: %v", s.err, got)
		}
	}
}
