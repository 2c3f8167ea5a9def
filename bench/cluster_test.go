package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

func TestExactLatency(t *testing.T) {
	var times []time.Duration
	for i := 200; i > 0; i-- {
		times = append(times, time.Duration(i)*time.Millisecond)
	}
	want := Latency{P50: 100 * time.Millisecond, P99: 198 * time.Millisecond, P999: 200 * time.Millisecond, Max: 200 * time.Millisecond}
	if got := exactLatency(times); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got := exactLatency(nil); got != (Latency{}) {
		t.Errorf("of nothing: %+v", got)
	}
}

func TestClusterReport(t *testing.T) {
	r := &ClusterReport{Schema: ClusterSchema}
	r.times("kill", "routed", []time.Duration{time.Second, 3 * time.Second}, 2)
	r.times("kill", "seen", []time.Duration{time.Second}, noBar)
	r.value("copies", "a copy", 10, 599, "bytes", 600)
	r.value("two", "lost", 10, 1, "events", 0)
	r.note("a note of %d", 7)
	if len(r.Breaches) != 2 || r.Breaches[0].What != "kill: routed" || r.Breaches[0].Got != 3 || r.Breaches[1].What != "two: lost" {
		t.Errorf("breaches: %v", r.Breaches)
	}
	var table, text strings.Builder
	if err := r.publish(&text, true); !errors.Is(err, ErrBudget) {
		t.Errorf("published with %v, want ErrBudget", err)
	}
	var again ClusterReport
	if err := json.Unmarshal([]byte(text.String()), &again); err != nil || len(again.Figures) != 4 || again.Figures[0].Times.Max != 3*time.Second {
		t.Errorf("read back %+v: %v", again, err)
	}
	if err := r.writeTable(&table, paint{}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"p99 2,000 ms", "599 bytes", "Note: a note of 7", "OVER BUDGET two: lost"} {
		if !strings.Contains(table.String(), want) {
			t.Errorf("the table lacks %q:\n%s", want, table.String())
		}
	}
}

const somePage = `{"view":{"nodes":[{"name":"n1","state":"alive"},{"name":"n2","state":"suspect"},{"name":"n3","state":"dead"}]},
	"processes":[{"filled":true,"homes":3,"copies":5,"links":[{"alive":true,"connected":true},{"alive":false,"connected":false}]},
	{"filled":true,"homes":1,"copies":1,"links":[{"alive":true,"connected":true}]}]}`

func TestClusterPage(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(somePage)) }))
	defer srv.Close()
	n := &node{name: "n1", admin: newAdmin(netip.MustParseAddrPort(srv.Listener.Addr().String())), ended: make(chan struct{})}
	p, err := n.admin.cluster(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if p.serving() != 2 || p.homes() != 4 || p.copies() != 6 || !p.ready(1) || p.ready(2) {
		t.Errorf("serving %d, homes %d, copies %d, ready %v and %v", p.serving(), p.homes(), p.copies(), p.ready(1), p.ready(2))
	}
	if p.state("n3") != "dead" || p.state("n9") != "" || serves(p.state("n3")) || !serves(p.state("n2")) {
		t.Errorf("states: %q, %q", p.state("n3"), p.state("n9"))
	}
	if _, err := n.until(t.Context(), viewPoll, func(p *clusterPage) bool { return p.homes() == 4 }); err != nil {
		t.Error(err)
	}
	gave := errors.New("gave up")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(gave)
	if _, err := n.until(ctx, viewPoll, func(*clusterPage) bool { return false }); !errors.Is(err, gave) {
		t.Errorf("until said %v", err)
	}
	c := &nodes{list: []*node{n, n}}
	if _, err := c.homed(ctx, c.all(), 9, viewPoll); !errors.Is(err, gave) {
		t.Errorf("homed said %v", err)
	}
	if _, err := c.homed(t.Context(), c.all(), 8, viewPoll); err != nil {
		t.Error(err)
	}
}

func TestNodesExcept(t *testing.T) {
	c := &nodes{list: make([]*node, 4)}
	if got := c.except(1, 3); len(got) != 2 || got[0] != 0 || got[1] != 2 {
		t.Errorf("got %v", got)
	}
}

// A port that one process has chosen no other one does, until the first has ended.
func TestPortsAreReserved(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("there are no names that end with a process")
	}
	a, err := FreeAddr()
	if err != nil {
		t.Fatal(err)
	}
	if reserve(int(a.Port())) {
		t.Errorf("port %d is chosen twice", a.Port())
	}
	port := 1<<16 + os.Getpid() // of no other test that runs now
	other, err := net.Listen("unix", fmt.Sprintf("@rookery-port-%d", port))
	if err != nil {
		t.Fatal(err)
	}
	if reserve(port) {
		t.Error("the port of another process is chosen")
	}
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	if !reserve(port) {
		t.Fatal("a port that is free again is not chosen")
	}
	chosen.Lock()
	defer chosen.Unlock()
	last := len(chosen.names) - 1
	if err := chosen.names[last].Close(); err != nil { // for the next run of this test
		t.Error(err)
	}
	chosen.names = chosen.names[:last]
}

// Only of a node that nobody ends it is told that it has ended.
func TestNodesDie(t *testing.T) {
	deaths := make(chan error, 1)
	c := &nodes{dir: t.TempDir(), died: func(err error) { deaths <- err }}
	n := &node{name: "n1", argv: []string{"sh", "-c", "exit 3"}, admin: newAdmin(netip.AddrPort{})}
	c.list = []*node{n}
	if err := c.start(0); err != nil {
		t.Fatal(err)
	}
	if err := <-deaths; err.Error() != "n1 ended by itself: exit status 3" {
		t.Error(err)
	}
	if err := c.kill(0); err != nil { // and waited for
		t.Errorf("killing what has ended: %v", err)
	}
	n.argv = []string{"cat"} // ends with its input
	if err := c.start(0); err != nil {
		t.Fatal(err)
	}
	if err := c.stop(); err != nil {
		t.Error(err)
	}
	select {
	case err := <-deaths:
		t.Error(err)
	default: // stop has waited for whoever would tell
	}
}

// A server that does not start is an error with what it said, at once.
func TestNodesThatEnd(t *testing.T) {
	_, err := startNodes(t.Context(), clusterSetup{server: "false", count: 2})
	if err == nil || !strings.Contains(err.Error(), "ended without a word") {
		t.Errorf("got %v", err)
	}
	if _, err := startNodes(t.Context(), clusterSetup{server: "/nonexistent", count: 1}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

func TestAnnouncer(t *testing.T) {
	var answer string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(answer))
	}))
	defer srv.Close()
	a := newAnnouncer(netip.MustParseAddrPort(srv.Listener.Addr().String()))
	defer a.close()
	answer = `{"jsonrpc":"2.0","id":1000000,"result":{"structuredContent":{"notified":3}}}`
	if n, err := a.broadcast(t.Context(), 1); n != 3 || err != nil {
		t.Errorf("notified %d: %v", n, err)
	}
	if err := a.surely(t.Context()); err != nil || len(a.took) != 1 {
		t.Errorf("surely: %v, %v", err, a.took)
	}
	answer = `{"jsonrpc":"2.0","id":1000000,"result":{"isError":true,"content":[]}}`
	if err := a.next(t.Context()); err != nil || len(a.failed) != 1 || a.failed[0] != 2 || a.why == nil {
		t.Errorf("next: %v, failed %v, %v", err, a.failed, a.why)
	}
	if err := a.surely(t.Context()); err == nil {
		t.Error("a broadcast that always fails succeeded")
	}
}

func TestClusterCommandRefuses(t *testing.T) {
	cmd := ClusterCommand()
	cmd.SetArgs([]string{"nonsense"})
	cmd.SetOut(new(strings.Builder))
	cmd.SetErr(new(strings.Builder))
	if err := cmd.Execute(); err == nil || !strings.Contains(err.Error(), "nonsense") {
		t.Errorf("got %v", err)
	}
}
