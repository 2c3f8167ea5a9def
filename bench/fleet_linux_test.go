package bench

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"
)

// serveFake runs f in this process and returns where clients of kind go.
func serveFake(t *testing.T, f *fake, kind Kind) Target {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if kind.lines() {
		go func() { _ = f.serveLines(l) }()
		t.Cleanup(func() { _ = l.Close() })
	} else {
		s := &http.Server{Handler: f.mcp()}
		go func() { _ = s.Serve(l) }()
		t.Cleanup(func() { _ = s.Close() })
	}
	return Target{Addr: netip.MustParseAddrPort(l.Addr().String()), Path: "/mcp", Raw: f.raw}
}

func testFleet(t *testing.T, target Target) (*fleet, context.Context) {
	t.Helper()
	f, err := newFleet(target)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
	t.Cleanup(func() {
		f.close()
		cancel()
	})
	return f, ctx
}

// TestFleetLife opens clients of each kind in two steps, lets them speak at
// once, listens to them being idle, and closes them.
func TestFleetLife(t *testing.T) {
	for _, test := range []struct {
		name string
		kind Kind
		fake *fake
	}{
		{"tcp", TCP, &fake{}},
		{"raw tcp", TCP, &fake{raw: true}},
		{"session", Session, &fake{}},
		{"stream", Stream, &fake{}},
		{"listen", Listen, &fake{}},
	} {
		t.Run(test.name, func(t *testing.T) {
			server := test.fake
			f, ctx := testFleet(t, serveFake(t, server, test.kind))
			for _, count := range []int{30, 300} {
				if _, err := f.open(ctx, test.kind, count, ignore); err != nil {
					t.Fatal(err)
				}
				if got := len(f.idle[test.kind]); got != count {
					t.Fatalf("%d clients, want %d", got, count)
				}
			}
			if got := server.clients.Load(); got != 300 {
				t.Errorf("the server has %d clients, want 300", got)
			}
			r, err := f.burst(ctx, test.kind)
			if err != nil || r.Clients != 300 || r.Latency.P50 <= 0 {
				t.Errorf("burst: %+v, %v", r, err)
			}
			if !test.kind.lines() {
				if err := f.rest(ctx, func() bool { return f.heard > 300 }); err != nil {
					t.Errorf("waiting for comments: %v", err)
				}
			}
			f.shut(test.kind)
			eventually(t, "the server has no clients", func() bool { return server.clients.Load() == 0 })
			if err := f.intact(); err != nil {
				t.Error(err)
			}
			if _, err := f.open(ctx, test.kind, 10, ignore); err != nil {
				t.Errorf("opening again: %v", err)
			}
		})
	}
}

func TestFleetLoad(t *testing.T) {
	for _, test := range []struct {
		name  string
		order LoadOrder
		fake  *fake
	}{
		{"echo", LoadOrder{Kind: TCP, Method: "echo"}, &fake{}},
		{"worker echo", LoadOrder{Kind: TCP, Method: "echo.worker"}, &fake{}},
		{"raw echo", LoadOrder{Kind: TCP, Method: "echo.worker"}, &fake{raw: true}},
		{"tools", LoadOrder{Kind: Caller}, &fake{}},
		{"tools on a schedule", LoadOrder{Kind: Caller, Rate: 500}, &fake{}},
		{"echo on a schedule", LoadOrder{Kind: TCP, Method: "echo", Rate: 500}, &fake{}},
	} {
		t.Run(test.name, func(t *testing.T) {
			f, ctx := testFleet(t, serveFake(t, test.fake, test.order.Kind))
			if _, err := f.open(ctx, test.order.Kind, 20, ignore); err != nil {
				t.Fatal(err)
			}
			o := test.order
			o.Warmup, o.Measure, o.PID = 20*time.Millisecond, 150*time.Millisecond, os.Getpid()
			for range 2 { // a second load finds the connections idle again
				r, err := f.load(ctx, o)
				if err != nil {
					t.Fatal(err)
				}
				if r.Requests < 10 || r.CPUPerRequest() <= 0 || r.Latency.P99 < r.Latency.P50 || r.Latency.P50 <= 0 {
					t.Errorf("%+v", r)
				}
				// A slow machine may stay behind the schedule, none may pass it
				// by more than what was late.
				if most := o.Rate*r.Took.Seconds() + float64(r.Late) + 20; o.Rate > 0 && float64(r.Requests) > most {
					t.Errorf("%d requests, the schedule has %.0f", r.Requests, most)
				}
			}
		})
	}
}

// TestFleetFails meets servers that misbehave, and wants an error that says
// how, in time.
func TestFleetFails(t *testing.T) {
	for _, test := range []struct {
		name string
		kind Kind
		fake *fake
		want string
	}{
		{"mute tcp", TCP, &fake{mute: true}, "only 0 of 3 tcp clients"},
		{"mute stream", Stream, &fake{mute: true}, "only 0 of 3 mcp-stream clients"},
		{"wrong echo", TCP, &fake{wrong: true}, `does not echo "hello`},
		{"wrong initialize", Session, &fake{wrong: true}, "names no protocolVersion"},
		{"raw, unexpected", Session, &fake{raw: true}, "names no protocolVersion"},
		{"no session", Stream, &fake{noSession: true}, "keeps no sessions"},
		{"no keep-alive", Stream, &fake{oneShot: true}, "ended a connection before its answer"},
		{"a stream that ends", Stream, &fake{brief: true}, "no open event stream"},
		{"a listen that ends", Listen, &fake{brief: true}, "no open event stream"},
		{"no such path", SSE, &fake{}, "HTTP status 404"},
	} {
		t.Run(test.name, func(t *testing.T) {
			target := serveFake(t, test.fake, test.kind)
			if test.kind == SSE {
				target.Path = "/nothing"
			}
			target.Raw = false
			f, ctx := testFleet(t, target)
			if test.fake.mute {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, 200*time.Millisecond)
				defer cancel()
			}
			_, err := f.open(ctx, test.kind, 3, ignore)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one that says %q", err, test.want)
			}
		})
	}
}

func TestFleetNobodyListens(t *testing.T) {
	addr, err := FreeAddr()
	if err != nil {
		t.Fatal(err)
	}
	f, ctx := testFleet(t, Target{Addr: addr})
	if _, err := f.open(ctx, TCP, 1, ignore); err == nil || !strings.Contains(err.Error(), "is the server running") {
		t.Errorf("error %v without a remedy", err)
	}
	if _, err := f.load(ctx, LoadOrder{Kind: TCP, Method: "echo"}); err == nil || !strings.Contains(err.Error(), "no tcp clients") {
		t.Errorf("load without clients: %v", err)
	}
}

// TestFleetLosesClients finds out that the server closed what was idle.
func TestFleetLosesClients(t *testing.T) {
	server := &fake{oneShot: true}
	f, ctx := testFleet(t, serveFake(t, server, TCP))
	if _, err := f.open(ctx, TCP, 5, ignore); err != nil && !strings.Contains(err.Error(), "closed") {
		t.Fatal(err)
	}
	if err := f.rest(ctx, func() bool { return f.lost == 5 }); err != nil {
		t.Fatal(err)
	}
	if err := f.intact(); err == nil || !strings.Contains(err.Error(), "closed 5 idle connections") {
		t.Errorf("error %v", err)
	}
}

func TestFleetRefusesIPv6(t *testing.T) {
	if _, err := newFleet(Target{Addr: netip.MustParseAddrPort("[::1]:80")}); err == nil {
		t.Error("no error for an address that cannot be measured")
	}
}

// keeper of what it hears until the server closes.
type collector struct {
	heard int
	ended error
}

func (h *collector) connected(k *conn) error {
	k.send(make([]byte, sendSize/2))
	k.send(make([]byte, sendSize/2))
	return nil
}

func (h *collector) received(_ *conn, in []byte) (int, error) {
	h.heard += len(in)
	return len(in), nil
}

func (h *collector) closed(_ *conn, why error) error {
	h.ended = why
	return nil
}

const sendSize = 16 << 20

// TestConnKeepsWhatTheKernelRefuses sends more than socket buffers hold to a
// server that echoes it all and closes: nothing is lost on either way.
func TestConnKeepsWhatTheKernelRefuses(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer func() { _ = c.Close() }()
		_, _ = io.CopyN(c, c, sendSize)
	}()
	f, ctx := testFleet(t, Target{Addr: netip.MustParseAddrPort(l.Addr().String())})
	h := &collector{}
	k, err := f.client.open(h)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.rest(ctx, func() bool { return h.ended != nil }); err != nil {
		t.Fatal(err)
	}
	if h.heard != sendSize || !errors.Is(h.ended, io.EOF) || f.holds(k) {
		t.Errorf("heard %d of %d bytes, then %v", h.heard, sendSize, h.ended)
	}
}

// TestScheduleDoesNotSpin: a client that waits for the next due time sleeps.
func TestScheduleDoesNotSpin(t *testing.T) {
	f, ctx := testFleet(t, serveFake(t, &fake{}, TCP))
	if _, err := f.open(ctx, TCP, 5, ignore); err != nil {
		t.Fatal(err)
	}
	// The server is in this process, too: its CPU time is that of both.
	o := LoadOrder{Kind: TCP, Method: "echo", Rate: 2000, Measure: 300 * time.Millisecond, PID: os.Getpid()}
	r, err := f.load(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	if share := r.CPU.Seconds() / r.Took.Seconds(); share > 0.8 {
		t.Errorf("%.0f %% of a processor for %.0f requests a second", 100*share, r.PerSecond())
	}
}
