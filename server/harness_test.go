package server

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// patience bounds every wait of a test; nothing in a passing test takes it.
const patience = 2 * time.Minute

// eachBackend runs f on both kinds of event loop.
func eachBackend(t *testing.T, f func(t *testing.T, o Options)) {
	for _, b := range []struct {
		name     string
		portable bool
	}{{"epoll", false}, {"portable", true}} {
		t.Run(b.name, func(t *testing.T) {
			var o Options
			o.Loop.Portable = b.portable
			f(t, o)
		})
	}
}

// logBuffer is a log that tests look into.
type logBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// stacks are cut out of the log that a failed test shows.
var stacks = regexp.MustCompile(`(?m) stack=.*$`)

// startServer starts a server with all listeners on free ports, after setup.
// It is closed with the test, which shows its log if it failed.
func startServer(t testing.TB, o Options, setup func(s *Server)) *Server {
	t.Helper()
	out := new(logBuffer)
	if o.Logger == nil {
		o.Logger = slog.New(slog.NewTextHandler(out, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	o.TCP, o.HTTP, o.Admin = "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"
	if o.Loop.Loops == 0 {
		o.Loop.Loops = 2
	}
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.Close()
		if t.Failed() && out.String() != "" {
			t.Logf("server log:\n%s", stacks.ReplaceAllString(out.String(), ""))
		}
	})
	if setup != nil {
		setup(s)
	}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	return s
}

// peer is a client that speaks bytes.
type peer struct {
	t  testing.TB
	c  net.Conn
	br *bufio.Reader
}

func dial(t testing.TB, addr net.Addr) *peer {
	t.Helper()
	c, err := net.DialTimeout(addr.Network(), addr.String(), patience)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return &peer{t, c, bufio.NewReader(c)}
}

func (p *peer) send(s string) {
	p.t.Helper()
	if _, err := io.WriteString(p.c, s); err != nil {
		p.t.Fatalf("send: %v", err)
	}
}

// line reads one line, without its newline.
func (p *peer) line() string {
	p.t.Helper()
	s, err := p.br.ReadString('\n')
	if err != nil {
		p.t.Fatalf("read after %q: %v", s, err)
	}
	return strings.TrimSuffix(s, "\n")
}

// ask sends one line and reads one.
func (p *peer) ask(s string) string {
	p.t.Helper()
	p.send(s + "\n")
	return p.line()
}

// rest reads until the server closes; a reset counts as that.
func (p *peer) rest() string {
	p.t.Helper()
	b, err := io.ReadAll(p.br)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		p.t.Fatalf("not closed; got %q", b)
	}
	return string(b)
}

// finish closes the writing side.
func (p *peer) finish() {
	p.t.Helper()
	if err := p.c.(*net.TCPConn).CloseWrite(); err != nil {
		p.t.Fatal(err)
	}
}

// eventually waits until f holds, which something else brings about.
func eventually(t testing.TB, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !f(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("timeout: %s", what)
		}
	}
}

// within runs a call that should end soon.
func within(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}
