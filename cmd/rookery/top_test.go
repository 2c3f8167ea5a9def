package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rookery-server/rookery/cluster"
)

var update = flag.Bool("update", false, "write the golden files anew")

// fakeNode answers as a node that has run for some seconds under even load.
type fakeNode struct {
	name string
	srv  *httptest.Server

	mu      sync.Mutex
	view    *cluster.View // guarded by mu; nil: in no cluster
	seconds int           // guarded by mu: since it began
	broken  bool          // guarded by mu: answers 500
	version string        // guarded by mu
}

func newFakeNode(t *testing.T, name string) *fakeNode {
	n := &fakeNode{name: name, seconds: 100, version: "v0.4.0"}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /cluster", func(w http.ResponseWriter, _ *http.Request) {
		n.mu.Lock()
		defer n.mu.Unlock()
		r := cluster.Report{View: n.view}
		if n.view != nil {
			r.Node = n.name
		}
		_ = json.NewEncoder(w).Encode(&r)
	})
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) {
		n.mu.Lock()
		defer n.mu.Unlock()
		if n.broken {
			http.Error(w, "out of order", http.StatusInternalServerError)
			return
		}
		_, _ = io.WriteString(w, n.page())
	})
	n.srv = httptest.NewServer(mux)
	t.Cleanup(n.srv.Close)
	return n
}

func (n *fakeNode) addr() string { return n.srv.Listener.Addr().String() }

// page is called with mu held. 25,000 clients, 10,000 calls a second.
func (n *fakeNode) page() string {
	s := n.seconds
	var b strings.Builder
	fmt.Fprintf(&b, "rookery_build_info{version=\"%s\",go=\"go1.26\",backend=\"epoll\"} 1\n", n.version)
	fmt.Fprintf(&b, "rookery_uptime_seconds %d\n", s)
	fmt.Fprintf(&b, "rookery_connections{protocol=\"jsonrpc\",state=\"open\"} 5000\n")
	fmt.Fprintf(&b, "rookery_connections{protocol=\"http\",state=\"open\"} 0\n")
	fmt.Fprintf(&b, "rookery_connections{protocol=\"http\",state=\"stream\"} 20000\n")
	fmt.Fprintf(&b, "rookery_sessions 75000\n")
	fmt.Fprintf(&b, "rookery_messages_received_total{protocol=\"http\"} %d\n", 10000*s)
	fmt.Fprintf(&b, "rookery_messages_sent_total{kind=\"reply\"} %d\nrookery_messages_sent_total{kind=\"push\"} %d\n", 10000*s, 2500*s)
	fmt.Fprintf(&b, "rookery_requests_shed_total{cause=\"deadline\"} %d\n", s/10)
	fakeHistogram(&b, "rookery_handler_seconds", "kind=\"mcp\",on=\"loop\",", []string{"0.0001", "0.00025", "0.001", "+Inf"}, []int{4000 * s, 9000 * s, 9990 * s, 10000 * s})
	fakeHistogram(&b, "rookery_queue_wait_seconds", "", []string{"0.0001", "0.001", "+Inf"}, []int{1000 * s, 1000 * s, 1000 * s})
	fakeHistogram(&b, "go_gc_pause_seconds", "", []string{"0.0001", "0.001", "+Inf"}, []int{s / 2, s, s})
	fmt.Fprintf(&b, "process_resident_memory_bytes 26214400\nprocess_cpu_seconds_total %g\n", 0.42*float64(s))
	if n.view != nil {
		fmt.Fprintf(&b, "rookery_cluster_sessions{role=\"home\"} 25000\nrookery_cluster_sessions{role=\"copy\"} 50000\n")
		fmt.Fprintf(&b, "rookery_cluster_links{state=\"connected\"} 2\nrookery_cluster_links{state=\"broken\"} 1\n")
		fmt.Fprintf(&b, "rookery_cluster_unacknowledged_bytes{lane=\"data\"} 2048\nrookery_cluster_filled 1\n")
		fakeHistogram(&b, "rookery_cluster_replication_lag_seconds", "", []string{"0.001", "0.01", "+Inf"}, []int{0, 10 * s, 10 * s})
	}
	return b.String()
}

func fakeHistogram(w io.Writer, name, labels string, le []string, n []int) {
	for i := range le {
		fmt.Fprintf(w, "%s_bucket{%sle=%q} %d\n", name, labels, le[i], n[i])
	}
}

// fakeCluster returns nodes of which each sees all, in those states.
func fakeCluster(t *testing.T, states ...cluster.NodeState) []*fakeNode {
	var nodes []*fakeNode
	v := &cluster.View{Version: 1}
	for i, state := range states {
		n := newFakeNode(t, fmt.Sprintf("n%d", i+1))
		nodes = append(nodes, n)
		v.Nodes = append(v.Nodes, cluster.Node{Name: n.name, Admin: n.addr(), Gossip: "127.0.0.1:1", State: state, Workers: []cluster.WorkerInfo{{State: cluster.Alive}}})
	}
	for _, n := range nodes {
		n.view = v
	}
	return nodes
}

// fakeClock is a clock that goes by hand, with the nodes'.
type fakeClock struct {
	mu    sync.Mutex
	at    time.Time // guarded by mu
	nodes []*fakeNode
}

func newFakeClock(nodes ...*fakeNode) *fakeClock {
	return &fakeClock{at: time.Date(2026, 1, 2, 15, 4, 5, 0, time.Local), nodes: nodes}
}

func (c *fakeClock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *fakeClock) pass(seconds int) {
	c.mu.Lock()
	c.at = c.at.Add(time.Duration(seconds) * time.Second)
	c.mu.Unlock()
	for _, n := range c.nodes {
		n.mu.Lock()
		n.seconds += seconds
		n.mu.Unlock()
	}
}

// patient is a watch whose nodes may take their time: the machine may be busy.
func patient(c *fakeClock, addrs ...string) *watch {
	w := newWatch(addrs, time.Minute)
	w.now = c.now
	return w
}

var loopback = regexp.MustCompile(`127\.0\.0\.1:\d+`)

// golden compares text with a file; addresses differ from run to run.
func golden(t *testing.T, name, text string) {
	t.Helper()
	text = loopback.ReplaceAllString(text, "ADDRESS")
	path := filepath.Join("testdata", "top", name)
	if *update {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if text != string(want) {
		t.Errorf("%s: got\n%s\nwant\n%s", name, text, want)
	}
}

func TestTopScreens(t *testing.T) {
	nodes := fakeCluster(t, cluster.Alive, cluster.Suspect, cluster.Dead, cluster.Left)
	for i := range nodes[0].view.Nodes[:2] {
		nodes[0].view.Nodes[i].Workers = []cluster.WorkerInfo{{Worker: 0, State: cluster.Alive}, {Worker: 1, State: cluster.Alive}}
	}
	nodes[0].view.Nodes[1].State, nodes[0].view.Nodes[1].Draining = cluster.Alive, true
	nodes[2].srv.Close()
	nodes[3].srv.Close()
	clock := newFakeClock(nodes...)
	w := patient(clock, nodes[0].addr())
	w.look(t.Context())
	page := w.page()
	golden(t, "first.txt", strings.Join((&printer{width: 80}).lines(&page), "\n")+"\n")
	clock.pass(2)
	w.look(t.Context())
	page = w.page()
	for name, o := range map[string]printer{"narrow.txt": {width: 80}, "wide.txt": {width: 240}, "tiny.txt": {width: 20}, "color.txt": {width: 120, color: true}} {
		lines := o.lines(&page)
		golden(t, name, strings.Join(lines, "\n")+"\n")
		for _, line := range lines {
			if n := len([]rune(regexp.MustCompile(`\x1b\[\d+m`).ReplaceAllString(line, ""))); n > o.width {
				t.Errorf("%s: a line of %d characters: %q", name, n, line)
			}
		}
	}
	golden(t, "lines.txt", strings.Join(plainLines(&page), "\n")+"\n")
	text, err := json.MarshalIndent(&page, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	zone := regexp.MustCompile(`"taken": ".*"`) // the golden page was made elsewhere
	golden(t, "page.json", zone.ReplaceAllString(string(text), `"taken": "TIME"`)+"\n")
}

// A node in no cluster is shown without what only clusters have.
func TestTopOfOneNode(t *testing.T) {
	n := newFakeNode(t, "n1")
	clock := newFakeClock(n)
	w := patient(clock, n.addr())
	w.look(t.Context())
	clock.pass(1)
	w.look(t.Context())
	page := w.page()
	page.Nodes[0].Node = "127.0.0.1:7690" // as wide on each run
	golden(t, "alone.txt", strings.Join((&printer{width: 120}).lines(&page), "\n")+"\n")
}

// states returns what a watch thinks of its nodes.
func states(w *watch) string {
	var list []string
	for _, t := range w.targets {
		list = append(list, t.title()+" "+t.state)
	}
	return loopback.ReplaceAllString(strings.Join(list, ", "), "ADDRESS")
}

func TestTopFollowsNodes(t *testing.T) {
	nodes := fakeCluster(t, cluster.Alive, cluster.Alive, cluster.Alive)
	clock := newFakeClock(nodes...)
	expect := func(w *watch, want string) {
		t.Helper()
		clock.pass(1)
		w.look(t.Context())
		if got := states(w); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}

	// Two addresses of one node, and one of nobody.
	gone := httptest.NewServer(nil)
	gone.Close()
	w := patient(clock, nodes[1].addr(), nodes[1].addr(), gone.Listener.Addr().String())
	expect(w, "ADDRESS down, n1 alive, n2 alive, n3 alive")

	// One goes out of order and comes back; its counters have begun anew.
	nodes[2].mu.Lock()
	nodes[2].broken = true
	nodes[2].mu.Unlock()
	expect(w, "ADDRESS down, n1 alive, n2 alive, n3 down")
	nodes[2].mu.Lock()
	nodes[2].broken, nodes[2].seconds = false, 3
	nodes[2].mu.Unlock()
	expect(w, "ADDRESS down, n1 alive, n2 alive, n3 alive")
	if p := w.page(); p.Nodes[3].Received.known() || !p.Nodes[2].Received.known() {
		t.Errorf("rates of a node that was away: %+v", p.Nodes[3])
	}

	// It comes back at another address, and under its old one another answers.
	moved := newFakeNode(t, "n3")
	moved.view = fakeViewWith(nodes[0].view, "n3", moved.addr())
	for _, n := range nodes[:2] {
		n.mu.Lock()
		n.view = moved.view
		n.mu.Unlock()
	}
	nodes[2].srv.Close()
	expect(w, "ADDRESS down, n1 alive, n2 alive, n3 alive")
	clock.nodes = append(clock.nodes, moved)

	// It ends, and nobody names it any more.
	moved.srv.Close()
	rest := *moved.view
	rest.Nodes = rest.Nodes[:2]
	for _, n := range nodes[:2] {
		n.mu.Lock()
		n.view = &rest
		n.mu.Unlock()
	}
	expect(w, "ADDRESS down, n1 alive, n2 alive")

	// All are gone: what is known stays.
	nodes[0].srv.Close()
	nodes[1].srv.Close()
	expect(w, "ADDRESS down, n1 down, n2 down")
}

// fakeViewWith returns a copy of v in which a node has another admin address.
func fakeViewWith(v *cluster.View, name, admin string) *cluster.View {
	c := *v
	c.Nodes = append([]cluster.Node(nil), v.Nodes...)
	for i := range c.Nodes {
		if c.Nodes[i].Name == name {
			c.Nodes[i].Admin = admin
		}
	}
	return &c
}

// What a node announces may lead to another one, or to nothing; and nodes may
// differ.
func TestTopDoubts(t *testing.T) {
	nodes := fakeCluster(t, cluster.Alive, cluster.Alive, cluster.Alive)
	view := fakeViewWith(nodes[0].view, "n2", nodes[0].addr())
	view = fakeViewWith(view, "n3", "")
	nodes[0].view = view
	w := patient(newFakeClock(nodes...), nodes[0].addr())
	w.look(t.Context())
	p := w.page()
	if got := states(w); got != "n1 alive, n2 down, n3 down" || p.ViewsDiffer {
		t.Errorf("%s; %+v", got, p)
	}
	if !strings.Contains(p.Nodes[1].Error, `"n1" answers at`) || !strings.Contains(p.Nodes[2].Error, "no admin listener") {
		t.Errorf("%q, %q", p.Nodes[1].Error, p.Nodes[2].Error)
	}

	split := fakeCluster(t, cluster.Alive, cluster.Alive)
	other := fakeViewWith(split[0].view, "", "")
	other.Nodes[0].State = cluster.Dead
	split[1].view = other
	split[1].version = "v\x1b[2J"
	w = patient(newFakeClock(split...), split[0].addr())
	w.look(t.Context())
	p = w.page()
	text := strings.Join((&printer{width: 100}).lines(&p), "\n")
	if !p.ViewsDiffer || !strings.Contains(text, "Nodes differ about who is alive") {
		t.Errorf("a split is not shown:\n%s", text)
	}
	if strings.Contains(text, "\x1b") || !strings.Contains(text, "v?[2J") {
		t.Errorf("a node steers the terminal: %q", text)
	}
}

// Without a terminal each look is a line for a node, or one of JSON, until the
// context ends.
func TestTopStreams(t *testing.T) {
	nodes := fakeCluster(t, cluster.Alive, cluster.Alive)
	for _, asJSON := range []bool{false, true} {
		v := topView{every: time.Millisecond, json: asJSON}
		ctx, stop := context.WithCancel(t.Context())
		r, out := io.Pipe()
		done := make(chan error, 1)
		go func() {
			done <- v.loop(ctx, newWatch([]string{nodes[0].addr()}, time.Minute), nil, out, v.showLines)
			out.Close()
		}()
		want := 7 // lines: two looks and more
		buf := make([]byte, 64<<10)
		for lines := 0; lines < want; {
			n, err := r.Read(buf)
			if err != nil {
				t.Fatal(err)
			}
			for line := range bytes.Lines(buf[:n]) {
				lines++
				if asJSON && !json.Valid(line) {
					t.Errorf("no JSON: %s", line)
				}
			}
		}
		stop()
		_, _ = io.Copy(io.Discard, r) // until it has ended
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// An output that takes nothing ends it.
func TestTopEndsWithItsOutput(t *testing.T) {
	n := newFakeNode(t, "n1")
	r, out := io.Pipe()
	broken := errors.New("broken")
	r.CloseWithError(broken)
	v := topView{every: time.Minute}
	if err := v.loop(t.Context(), newWatch([]string{n.addr()}, time.Minute), nil, out, v.showLines); !errors.Is(err, broken) {
		t.Error(err)
	}
}

func TestTopOnce(t *testing.T) {
	nodes := fakeCluster(t, cluster.Alive, cluster.Alive)
	var stdout, stderr bytes.Buffer
	args := []string{"top", "--once", "--every", "100ms", "--timeout", "1m", "--admin", nodes[0].addr()}
	if code := run(args, &stdout, &stderr, nil); code != exitOK || !strings.Contains(stdout.String(), "2 nodes") {
		t.Errorf("exit code %d: %s%s", code, stdout.String(), stderr.String())
	}
	stdout.Reset()
	if code := run(append(args, "--json"), &stdout, &stderr, nil); code != exitOK || !json.Valid(stdout.Bytes()) {
		t.Errorf("exit code %d: %s%s", code, stdout.String(), stderr.String())
	}
	for _, n := range nodes {
		n.srv.Close()
	}
	stdout.Reset()
	if code := run(args, &stdout, &stderr, nil); code != exitFailed || !strings.Contains(stdout.String(), "down") || !strings.Contains(stderr.String(), "no node answers") {
		t.Errorf("exit code %d: %s%s", code, stdout.String(), stderr.String())
	}
}
