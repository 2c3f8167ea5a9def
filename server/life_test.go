package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/rookery-server/rookery/loop"
	"github.com/rookery-server/rookery/mcp"
)

func TestOptions(t *testing.T) {
	tests := []struct {
		name string
		set  func(o *Options)
		want string
	}{
		{"zero value", func(*Options) {}, ""},
		{"negative workers", func(o *Options) { o.Workers = -1 }, "Workers must be positive"},
		{"negative tasks", func(o *Options) { o.Tasks.Running = -1 }, "Tasks.Running must be positive"},
		{"short key", func(o *Options) { o.StateKey = make([]byte, 31) }, "at least 32 bytes"},
		{"icon without source", func(o *Options) { o.Icons = []mcp.Icon{{}} }, "an icon needs Src"},
		{"message too large", func(o *Options) { o.MessageMax = 1<<30 + 1 }, "must not exceed 1 GiB"},
		{"negative drain", func(o *Options) { o.DrainTimeout = -1 }, "must not be negative"},
		{"too many loops", func(o *Options) { o.Loop.Loops = 129 }, "Loop.Loops must not exceed 127"},
		{"impossible loop option", func(o *Options) { o.Loop.OutHigh, o.Loop.OutLow = 1, 2 }, "OutLow must be below OutHigh"},
		{"two at once", func(o *Options) { o.Workers, o.AsksMax = -1, -1 }, "AsksMax"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var o Options
			tt.set(&o)
			s, err := New(o)
			if err == nil {
				s.Close()
			}
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func TestStartFails(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for _, tt := range []struct {
		name string
		o    Options
	}{
		{"tcp", Options{TCP: "not an address"}},
		{"http", Options{TCP: "127.0.0.1:0", HTTP: "not an address"}},
		{"admin", Options{TCP: "127.0.0.1:0", Admin: taken.Addr().String()}},
		{"admin without port", Options{Admin: "localhost"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, err := New(tt.o)
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Start(); err == nil || !strings.Contains(err.Error(), tt.name[:3]) {
				t.Errorf("got %v", err)
			}
			if err := s.Start(); !errors.Is(err, ErrClosed) {
				t.Errorf("second Start: %v", err)
			}
			s.Close()
		})
	}
}

func TestLife(t *testing.T) {
	t.Parallel() // it mostly waits
	eachBackend(t, func(t *testing.T, o Options) {
		t.Parallel()
		s := startServer(t, o, testMethods)
		if err := s.Start(); !errors.Is(err, ErrStarted) {
			t.Errorf("second Start: %v", err)
		}
		if got := dial(t, s.TCPAddr()).ask(marker); got != marked {
			t.Errorf("after the second Start: %s", got)
		}
		done := make(chan error)
		for range 3 {
			go func() { done <- s.Shutdown(within(t)) }()
		}
		for range 3 {
			if err := <-done; err != nil {
				t.Errorf("Shutdown: %v", err)
			}
		}
		s.Close()
		if err := s.Start(); !errors.Is(err, ErrClosed) {
			t.Errorf("Start after the end: %v", err)
		}
		if _, err := s.Broadcast("x", nil); err != nil {
			t.Errorf("Broadcast after the end: %v", err)
		}
		if _, err := net.DialTimeout("tcp", s.TCPAddr().String(), time.Second); err == nil {
			t.Error("still accepts")
		}
	})
}

func TestRun(t *testing.T) {
	s, err := New(Options{TCP: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if s.TCPAddr() != nil || s.HTTPAddr() != nil || s.AdminAddr() != nil {
		t.Error("addresses before Start")
	}
	testMethods(s)
	ctx, cancel := context.WithCancel(within(t))
	done := make(chan error)
	go func() { done <- s.Run(ctx) }()
	eventually(t, "listens", func() bool { return s.TCPAddr() != nil })
	if got := dial(t, s.TCPAddr()).ask(marker); got != marked {
		t.Errorf("got %s", got)
	}
	if s.HTTPAddr() != nil || s.AdminAddr() != nil {
		t.Error("listeners that nobody asked for")
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Run: %v", err)
	}
	if err := s.Run(ctx); !errors.Is(err, ErrClosed) {
		t.Errorf("second Run: %v", err)
	}
}

func TestRunEndsWithClose(t *testing.T) {
	s, err := New(Options{TCP: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() { done <- s.Run(context.Background()) }()
	eventually(t, "listens", func() bool { return s.TCPAddr() != nil && s.ready() })
	s.Close()
	if err := <-done; !errors.Is(err, ErrClosed) {
		t.Errorf("Run: %v", err)
	}
}

// TestDrain: what is in flight finishes, streams get their goodbye, readiness
// fails meanwhile and nothing new is taken.
func TestDrain(t *testing.T) {
	t.Parallel() // it mostly waits
	eachBackend(t, func(t *testing.T, o Options) {
		t.Parallel()
		block := make(chan struct{})
		s := startServer(t, o, func(s *Server) {
			testTools(t, block)(s)
			s.HandleRaw("block", func(*Call) error { <-block; return nil })
		})
		idle := dial(t, s.TCPAddr())
		web := dial(t, s.HTTPAddr())
		session := web.begin()
		stream := openStream(t, s, session)
		line := dial(t, s.TCPAddr())
		line.send(`{"jsonrpc":"2.0","id":1,"method":"block"}` + "\n")
		web.send(post(call(2, "block"), session))
		eventually(t, "both run", func() bool { return s.Stats().InFlight == 2 })

		done := make(chan error)
		go func() { done <- s.Shutdown(within(t)) }()
		if got := idle.rest(); got != "" {
			t.Errorf("idle client: %q", got)
		}
		if got := stream.rest(); !strings.HasSuffix(got, "0\r\n\r\n") {
			t.Errorf("the stream ends with %q", got[max(0, len(got)-40):])
		}
		r, err := http.Get("http://" + s.AdminAddr().String() + "/readyz")
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(r.Body)
		r.Body.Close()
		http.DefaultClient.CloseIdleConnections()
		if r.StatusCode != 503 || string(body) != "draining\n" {
			t.Errorf("readyz: %s %s", r.Status, body)
		}
		close(block)
		if got := line.rest(); got != `{"jsonrpc":"2.0","id":1,"result":null}`+"\n" {
			t.Errorf("call in flight: %q", got)
		}
		if r := web.response("POST"); !strings.Contains(r.body, "unblocked") {
			t.Errorf("HTTP call in flight: %s", r.body)
		}
		if err := <-done; err != nil {
			t.Errorf("Shutdown: %v", err)
		}
	})
}

// TestDrainDeadline: handlers that do not finish see their context end.
func TestDrainDeadline(t *testing.T) {
	eachBackend(t, func(t *testing.T, o Options) {
		s := startServer(t, o, waitingMethods)
		p := dial(t, s.TCPAddr())
		p.send(`{"jsonrpc":"2.0","id":1,"method":"block"}` + "\n")
		p.line()
		ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
		defer cancel()
		if err := s.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Shutdown: %v", err)
		}
		p.rest()
	})
}

func TestCloseCutsShutdownShort(t *testing.T) {
	s := startServer(t, Options{}, waitingMethods)
	p := dial(t, s.TCPAddr())
	p.send(`{"jsonrpc":"2.0","id":1,"method":"block"}` + "\n")
	p.line()
	done := make(chan error)
	go func() { done <- s.Shutdown(context.Background()) }()
	eventually(t, "draining", func() bool { return !s.ready() })
	s.Close()
	if err := <-done; err != nil && !errors.Is(err, loop.ErrStopped) {
		t.Errorf("Shutdown: %v", err)
	}
}

// TestSeveralServers: servers in one process share nothing.
func TestSeveralServers(t *testing.T) {
	var all []*Server
	for i := range 3 {
		var o Options
		o.Loop.Portable = i == 2
		s := startServer(t, o, func(s *Server) {
			s.HandleRaw("which", func(c *Call) error { return c.Reply(i) }, Inline())
		})
		all = append(all, s)
	}
	for i, s := range all {
		if got, want := dial(t, s.TCPAddr()).ask(`{"jsonrpc":"2.0","id":1,"method":"which"}`), fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"result":%d}`, i); got != want {
			t.Errorf("server %d: %s", i, got)
		}
	}
	all[0].Close()
	for _, s := range all[1:] {
		if got := dial(t, s.TCPAddr()).ask(`{"jsonrpc":"2.0","id":1,"method":"which"}`); !strings.Contains(got, "result") {
			t.Errorf("after another has closed: %s", got)
		}
		if n := s.Stats().Loop.Accepted; n != 2 {
			t.Errorf("counts %d connections, want its own 2", n)
		}
	}
}

func TestUnixSocket(t *testing.T) {
	eachBackend(t, func(t *testing.T, o Options) {
		o.TCP = "unix:" + t.TempDir() + "/s"
		s, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		testMethods(s)
		if err := s.Start(); err != nil {
			t.Fatal(err)
		}
		if got := dial(t, s.TCPAddr()).ask(marker); got != marked {
			t.Errorf("got %s", got)
		}
	})
}
