package faultnet

import (
	"bytes"
	"errors"
	"io"
	"math/bits"
	"net"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what has to happen; none waits that long.
const patience = 20 * time.Second

// start returns a proxy and the two ends of a connection through it.
func start(t *testing.T, network string) (p *Proxy, client, server net.Conn) {
	t.Helper()
	listen, via := "127.0.0.1:0", "127.0.0.1:0"
	if network == "unix" {
		dir := t.TempDir()
		listen, via = filepath.Join(dir, "t"), filepath.Join(dir, "p")
	}
	ln, err := net.Listen(network, listen)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	if p, err = New(network, via, ln.Addr().String()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	if client, err = net.Dial(network, p.Addr()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	if server, err = ln.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	for _, c := range []net.Conn{client, server} {
		if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
	}
	return p, client, server
}

func send(t *testing.T, from, to net.Conn, msg string) {
	t.Helper()
	if _, err := io.WriteString(from, msg); err != nil {
		t.Fatal(err)
	}
	receive(t, to, msg)
}

func receive(t *testing.T, from net.Conn, msg string) {
	t.Helper()
	p := make([]byte, len(msg))
	if _, err := io.ReadFull(from, p); err != nil || string(p) != msg {
		t.Fatalf("got %q: %v", p, err)
	}
}

func TestPassesBytesAndEndsOfFile(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		t.Run(network, func(t *testing.T) {
			_, client, server := start(t, network)
			send(t, client, server, "there")
			send(t, server, client, "and back")
			if err := client.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
				t.Fatal(err)
			}
			if n, err := server.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
				t.Fatalf("read %d bytes, %v; want the end of file", n, err)
			}
			send(t, server, client, "half open")
		})
	}
}

func TestCutResetsBothEnds(t *testing.T) {
	p, client, server := start(t, "tcp")
	send(t, client, server, "x")
	p.Cut()
	for _, c := range []net.Conn{client, server} {
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("read: %v, want a reset", err)
		}
	}
}

func TestDownRefusesAndUpServesTheSameAddress(t *testing.T) {
	p, client, _ := start(t, "tcp")
	p.Down()
	if _, err := client.Read(make([]byte, 1)); err == nil {
		t.Error("the connection lives on")
	}
	if c, err := net.Dial("tcp", p.Addr()); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Fatalf("dialled %v, %v; want a refusal", c, err)
	}
	if err := p.Up(); err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("tcp", p.Addr())
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
}

// A hole holds back one direction and lets everything through in the end.
func TestBlackholeHoldsOneDirection(t *testing.T) {
	p, client, server := start(t, "tcp")
	p.Blackhole(ToTarget, true)
	if _, err := io.WriteString(client, "held"); err != nil {
		t.Fatal(err)
	}
	send(t, server, client, "the other way is open")
	if err := server.SetReadDeadline(time.Now().Add(20 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if n, err := server.Read(make([]byte, 8)); n > 0 {
		t.Fatalf("%d bytes came through a hole (%v)", n, err)
	}
	if err := server.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	p.Blackhole(ToTarget, false)
	receive(t, server, "held")
}

// Who writes into a hole is blocked: the proxy is no bottomless buffer.
func TestBlackholePushesBack(t *testing.T) {
	p, client, _ := start(t, "tcp")
	p.Blackhole(ToTarget, true)
	if err := client.SetWriteDeadline(time.Now().Add(200 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	n, err := client.Write(make([]byte, 64<<20))
	if err == nil {
		t.Fatalf("%d bytes went into a hole", n)
	}
}

func TestDelay(t *testing.T) {
	p, client, server := start(t, "tcp")
	const by = 50 * time.Millisecond
	p.Delay(ToClient, by)
	begun := time.Now()
	send(t, server, client, "late")
	if took := time.Since(begun); took < by {
		t.Errorf("took %v, less than %v", took, by)
	}
}

func TestFlip(t *testing.T) {
	p, client, server := start(t, "tcp")
	const size = 64 << 10
	p.Flip(ToTarget, 1000)
	if _, err := client.Write(make([]byte, size)); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, size)
	if _, err := io.ReadFull(server, got); err != nil {
		t.Fatal(err)
	}
	var wrong uint64
	for _, b := range got {
		wrong += uint64(bits.OnesCount8(b))
	}
	if wrong != p.Flips() || wrong < size/4000 || wrong > size/250 {
		t.Errorf("%d bits are wrong, %d said", wrong, p.Flips())
	}
	p.Flip(ToTarget, 0)
	send(t, client, server, string(bytes.Repeat([]byte("sound"), 1000)))
}
