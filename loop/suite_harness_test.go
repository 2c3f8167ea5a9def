package loop_test

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rookery-server/rookery/loop"
)

// patience is how long a test waits for what must happen.
const patience = 15 * time.Second

// backends is the table that every test of behaviour runs through.
var backends = []struct {
	name     string
	portable bool
}{{"epoll", false}, {"portable", true}}

// each runs f on every backend there is on this system, side by side: most
// tests wait more than they work.
func each(t *testing.T, f func(t *testing.T, portable bool)) {
	t.Helper()
	for _, b := range backends {
		t.Run(b.name, func(t *testing.T) {
			if !b.portable && runtime.GOOS != "linux" {
				t.Skip("epoll is Linux's")
			}
			t.Parallel()
			f(t, b.portable)
		})
	}
}

// proto is a protocol made of functions; nil ones do nothing.
type proto struct {
	open   func(c loop.Conn)
	step   func(t *loop.Turn) loop.Verdict
	work   func(j *loop.Job)
	tick   func(c loop.Conn)
	drain  func(c loop.Conn)
	closed func(h loop.Handle, word uint64, r loop.Reason)
}

func (p *proto) Open(c loop.Conn) {
	if p.open != nil {
		p.open(c)
	}
}

func (p *proto) Step(t *loop.Turn) loop.Verdict { return p.step(t) }

func (p *proto) Work(j *loop.Job) { p.work(j) }

func (p *proto) Tick(c loop.Conn) {
	if p.tick != nil {
		p.tick(c)
	}
}

func (p *proto) Drain(c loop.Conn) {
	if p.drain != nil {
		p.drain(c)
	}
}

func (p *proto) Closed(h loop.Handle, word uint64, r loop.Reason) {
	if p.closed != nil {
		p.closed(h, word, r)
	}
}

// end is what Closed was told.
type end struct {
	h    loop.Handle
	word uint64
	r    loop.Reason
}

// ends returns a channel and a Closed method that fills it.
func ends(n int) (chan end, func(loop.Handle, uint64, loop.Reason)) {
	c := make(chan end, n)
	return c, func(h loop.Handle, word uint64, r loop.Reason) { c <- end{h, word, r} }
}

// cutLine splits the first line off t.In: the line without its newline, and its
// length with it; zero when there is none.
func cutLine(t *loop.Turn) (line []byte, n int) {
	i := bytes.IndexByte(t.In, '\n')
	if i < 0 {
		return nil, 0
	}
	return t.In[:i], i + 1
}

// echoLine answers each line on the loop with itself.
func echoLine(t *loop.Turn) loop.Verdict {
	_, n := cutLine(t)
	if n == 0 {
		return loop.More
	}
	t.Out = append(t.Out, t.In[:n]...)
	t.N = n
	return loop.Next
}

// workLine gives each line, with its newline, to a worker.
func workLine(t *loop.Turn) loop.Verdict {
	_, n := cutLine(t)
	if n == 0 {
		return loop.More
	}
	t.Record = append(t.Record, t.In[:n]...)
	t.N = n
	return loop.Work
}

// echoRecord is the worker that answers a record with itself.
func echoRecord(j *loop.Job) { j.Out = append(j.Out, j.Record...) }

// quiet is a logger for tests that provoke errors.
func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

// newGroup returns a started group that listens on a port of its own, and the
// address. It is closed when the test ends.
func newGroup(t testing.TB, portable bool, o loop.Options, p loop.Protocol) (*loop.Group, string) {
	t.Helper()
	return newGroupAt(t, portable, o, "127.0.0.1:0", p)
}

func newGroupAt(t testing.TB, portable bool, o loop.Options, addr string, p loop.Protocol) (*loop.Group, string) {
	t.Helper()
	o.Portable = portable
	if o.Logger == nil {
		o.Logger = quiet()
	}
	if o.Loops == 0 {
		o.Loops = testLoops
	}
	if o.TickEvery == 0 {
		o.TickEvery = 5 * time.Millisecond
	}
	g, err := loop.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Close)
	a, err := g.Listen(addr, p)
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Start(); err != nil {
		t.Fatal(err)
	}
	return g, a.String()
}

// client is the other side: blocking, and failing the test when the group does
// not keep it company for longer than patience.
type client struct {
	t testing.TB
	net.Conn
	in *bufio.Reader
}

func dial(t testing.TB, addr string) *client {
	t.Helper()
	network := "tcp"
	if strings.HasPrefix(addr, "/") {
		network = "unix"
	}
	c, err := net.DialTimeout(network, addr, patience)
	if err != nil {
		t.Fatal(err)
	}
	_ = c.SetDeadline(time.Now().Add(patience))
	t.Cleanup(func() { _ = c.Close() })
	return &client{t, c, bufio.NewReader(c)}
}

// dialSmall dials with small socket buffers, so that backpressure shows soon.
func dialSmall(t testing.TB, addr string) *client {
	t.Helper()
	d := net.Dialer{Timeout: patience, Control: func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) {
			_ = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4<<10)
			_ = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_SNDBUF, 4<<10)
		})
	}}
	c, err := d.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	_ = c.SetDeadline(time.Now().Add(patience))
	t.Cleanup(func() { _ = c.Close() })
	return &client{t, c, bufio.NewReader(c)}
}

func (c *client) send(s string) {
	c.t.Helper()
	if _, err := io.WriteString(c.Conn, s); err != nil {
		c.t.Fatalf("send: %v", err)
	}
}

// expect reads exactly what it wants to see.
func (c *client) expect(want string) {
	c.t.Helper()
	got := make([]byte, len(want))
	n, err := io.ReadFull(c.in, got)
	if err != nil || string(got) != want {
		c.t.Fatalf("got %.200q (%v), want %.200q", got[:n], err, want)
	}
}

// line reads one line without its newline.
func (c *client) line() string {
	c.t.Helper()
	s, err := c.in.ReadString('\n')
	if err != nil {
		c.t.Fatalf("line: %v after %.200q", err, s)
	}
	return s[:len(s)-1]
}

// rest reads to the end of the stream.
func (c *client) rest() string {
	c.t.Helper()
	b, err := io.ReadAll(c.in)
	if err != nil {
		c.t.Fatalf("rest: %v after %d bytes", err, len(b))
	}
	return string(b)
}

// expectGone reads until the connection ends, in whatever way.
func (c *client) expectGone() {
	c.t.Helper()
	if _, err := io.Copy(io.Discard, c.in); errors.Is(err, syscall.EAGAIN) || isTimeout(err) {
		c.t.Fatal("connection still open")
	}
}

func isTimeout(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}

// closeWrite sends FIN.
func (c *client) closeWrite() {
	c.t.Helper()
	if err := c.Conn.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		c.t.Fatal(err)
	}
}

// reset closes with RST.
func (c *client) reset() {
	c.t.Helper()
	if err := c.Conn.(*net.TCPConn).SetLinger(0); err != nil {
		c.t.Fatal(err)
	}
	_ = c.Close()
}

// recv takes a value that must come.
func recv[T any](t testing.TB, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatal("nothing came")
		panic("unreachable")
	}
}

// until waits for a condition that nobody signals, such as a counter.
func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); !ok(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// readFull is io.ReadFull on what the client receives.
func readFull(c *client, b []byte) (int, error) { return io.ReadFull(c.in, b) }

// gate holds handlers up until the test opens it, or is over: a failed test
// must not hang in Close.
type gate struct {
	c    chan struct{}
	over <-chan struct{}
}

func newGate(t testing.TB) *gate { return &gate{make(chan struct{}), t.Context().Done()} }

func (g *gate) wait() {
	select {
	case <-g.c:
	case <-g.over:
	}
}

// open lets everybody through from now on.
func (g *gate) open() { close(g.c) }

// pass lets one handler through.
func (g *gate) pass() {
	select {
	case g.c <- struct{}{}:
	case <-g.over:
	case <-time.After(patience):
		panic("nobody at the gate")
	}
}
