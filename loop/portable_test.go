package loop

import (
	"bytes"
	"io"
	"log/slog"
	"net"
	"testing"
	"time"
)

// stream is a protocol for tests of the portable backend's inside.
type stream struct {
	step   func(*Turn) Verdict
	closed chan Reason
}

func (stream) Open(Conn)                             {}
func (s stream) Step(t *Turn) Verdict                { return s.step(t) }
func (stream) Work(*Job)                             {}
func (stream) Tick(Conn)                             {}
func (stream) Drain(Conn)                            {}
func (s stream) Closed(_ Handle, _ uint64, r Reason) { s.closed <- r }

// pipe returns the client's side of an in-memory connection served by p.
func pipe(t *testing.T, p Protocol) net.Conn {
	t.Helper()
	o := Options{Portable: true, Logger: slog.New(slog.DiscardHandler)}
	g, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Close)
	client, served := net.Pipe()
	t.Cleanup(func() { _ = client.Close() })
	_ = client.SetDeadline(time.Now().Add(10 * time.Second))
	g.impl.(*portable).admit(served, p)
	return client
}

// TestPortableWithoutDescriptor: a connection that has no descriptor to write
// to at once, and no half to close, is served by the sender alone.
func TestPortableWithoutDescriptor(t *testing.T) {
	p := stream{closed: make(chan Reason, 1), step: func(t *Turn) Verdict {
		t.N, t.Reason = len(t.In), ReasonDone
		t.Out = append(t.Out, bytes.Repeat(t.In, 100_000)...)
		return End
	}}
	c := pipe(t, p)
	if _, err := c.Write([]byte("ab")); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(c)
	if err != nil || !bytes.Equal(got, bytes.Repeat([]byte("ab"), 100_000)) {
		t.Errorf("got %d bytes, %v", len(got), err)
	}
	if r := <-p.closed; r != ReasonDone {
		t.Errorf("closed for %v", r)
	}
}

// TestPortableBrokenProtocol: a protocol that claims to have consumed what is
// not there, or nothing at all, loses the connection instead of hanging it.
func TestPortableBrokenProtocol(t *testing.T) {
	for _, c := range []struct {
		v Verdict
		n int
	}{{Next, 0}, {Work, 0}, {Next, 3}, {More, 3}, {Next, -1}, {Abort + 1, 1}} {
		p := stream{closed: make(chan Reason, 1), step: func(t *Turn) Verdict {
			t.N = c.n
			return c.v
		}}
		k := pipe(t, p)
		if _, err := k.Write([]byte("ab")); err != nil {
			t.Fatal(err)
		}
		if r := <-p.closed; r != ReasonPanic {
			t.Errorf("verdict %d, N %d: closed for %v", c.v, c.n, r)
		}
	}
}
