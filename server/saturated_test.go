package server

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rookery-server/rookery/cluster"
	"github.com/rookery-server/rookery/internal/faultnet"
	"github.com/rookery-server/rookery/loop"
	"github.com/rookery-server/rookery/mcp"
)

// fixedView is the membership of nodes that are alive whatever their links show.
type fixedView struct {
	view    *cluster.View
	updates chan struct{}
}

func (f fixedView) View() *cluster.View                       { return f.view }
func (f fixedView) Updates() <-chan struct{}                  { return f.updates }
func (f fixedView) Evidence(cluster.PeerID, cluster.Evidence) {}
func (f fixedView) SetDraining(bool) error                    { return nil }
func (f fixedView) Joined() bool                              { return true }

// startPair starts two nodes of which the first reaches the second through a
// proxy, and which never give each other up. They hold back for a client what
// it does not read for lack of a processor, instead of closing it as slow.
func startPair(t *testing.T, acked bool, timeout time.Duration) ([]*Server, *faultnet.Proxy) {
	t.Helper()
	keys, err := cluster.ParseKeys([]byte(cluster.NewKey()))
	if err != nil {
		t.Fatal(err)
	}
	var listeners [2]net.Listener
	for i := range listeners {
		if listeners[i], err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
	}
	proxy, err := faultnet.New("tcp", "127.0.0.1:0", listeners[1].Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(proxy.Close)
	node := func(i int, addr string) cluster.Node {
		n := uint64(i + 1)
		return cluster.Node{Name: fmt.Sprint("n", n), Incarnation: n, Addr: addr, State: cluster.Alive, Workers: []cluster.WorkerInfo{{Incarnation: n, State: cluster.Alive}}}
	}
	nodes := []cluster.Node{node(0, listeners[0].Addr().String()), node(1, proxy.Addr())}
	var servers []*Server
	for i, l := range listeners {
		servers = append(servers, startServer(t, Options{
			Workers: 4,
			Loop:    loop.Options{OutMax: 1 << 30},
			Events:  EventLimits{Count: 1 << 15},
			Cluster: &ClusterOptions{
				Node: nodes[i].Name, Incarnation: nodes[i].Incarnation, Keys: keys, Listeners: []net.Listener{l},
				Membership: fixedView{&cluster.View{Version: 1, Self: nodes[i].Name, Nodes: nodes}, make(chan struct{}, 1)},
				Acked:      acked, AckTimeout: timeout,
			},
		}, broadcastTool(t)))
	}
	eventually(t, "the nodes have met", func() bool {
		for _, s := range servers {
			st := s.Cluster().Status()
			if !st.Filled || len(st.Links) != 1 || !st.Links[0].Connected {
				return false
			}
		}
		return true
	})
	return servers, proxy
}

// broadcastTool registers what the demo app has.
func broadcastTool(t *testing.T) func(s *Server) {
	return func(s *Server) {
		err := s.MCP().AddTool(mcp.Tool{Name: "broadcast", Handle: func(ctx context.Context, c *mcp.Call) (*mcp.ToolResult, error) {
			var args struct{ Text string }
			if err := json.Unmarshal(c.Arguments(), &args); err != nil {
				return nil, err
			}
			if _, err := s.MCP().Broadcast(ctx, "", mcp.LevelInfo, "", args.Text); err != nil {
				return nil, err
			}
			return mcp.Text("told"), nil
		}})
		if err != nil {
			t.Error(err)
		}
	}
}

// listener is a client that writes down what it hears of each publisher.
type listener struct {
	done  chan struct{}
	heard map[string][]int // by publisher
	ends  int
	last  string // id of the latest event
	err   error
}

var heardText = regexp.MustCompile(`"data":"(\w+) (\d+)`)

// hear takes one message.
func (l *listener) hear(line string) {
	m := heardText.FindStringSubmatch(line)
	if m == nil {
		return
	}
	n, err := strconv.Atoi(m[2])
	if err != nil {
		l.err = err
	}
	if l.heard[m[1]] = append(l.heard[m[1]], n); m[1] == "end" {
		l.ends++
	}
}

// read reads lines until the end of both nodes' has come. An event counts when
// it is complete.
func (l *listener) read(r io.Reader) error {
	in := bufio.NewScanner(r)
	in.Buffer(nil, 1<<20)
	var id, data string
	for l.ends < 2 && in.Scan() {
		switch line := in.Text(); {
		case strings.HasPrefix(line, "{"):
			l.hear(line)
		case strings.HasPrefix(line, "id: "):
			id = line
		case strings.HasPrefix(line, "data: "):
			data = line
		case line == "" && id != "":
			l.last = strings.TrimPrefix(id, "id: ")
			l.hear(data)
			id, data = "", ""
		}
	}
	return in.Err()
}

// errRefused says that a stream was not opened; asking again does not help.
var errRefused = errors.New("stream refused")

// stream opens a session's stream, or takes it up again, and reads it until it
// ends.
func (l *listener) stream(addr net.Addr, session string, ready func()) error {
	c, err := net.DialTimeout(addr.Network(), addr.String(), patience)
	if err != nil {
		return err
	}
	defer c.Close()
	request := getStream + session + "\r\n"
	if l.last != "" {
		request += "Last-Event-ID: " + l.last + "\r\n"
	}
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	if _, err := io.WriteString(c, request+"\r\n"); err != nil {
		return err
	}
	r, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return err
	}
	defer func() {
		c.Close() // first: else the body waits for its end
		r.Body.Close()
	}()
	if r.StatusCode != http.StatusOK {
		b, err := io.ReadAll(r.Body)
		return fmt.Errorf("%w: taken up after %q: %s %q (%w)", errRefused, l.last, r.Status, b, err)
	}
	ready()
	return l.read(r.Body)
}

// listeners opens sessions on a node, over HTTP and over TCP.
func listeners(t *testing.T, s *Server) (all []*listener) {
	t.Helper()
	start := func(f func(l *listener)) {
		l := &listener{done: make(chan struct{}), heard: map[string][]int{}}
		go func() {
			defer close(l.done)
			f(l)
		}()
		all = append(all, l)
	}
	for range 3 {
		id := dial(t, s.HTTPAddr()).begin()
		ready := make(chan struct{})
		var once sync.Once
		start(func(l *listener) {
			// A node that had no processor for a while ends its streams.
			for end := time.Now().Add(patience); l.ends < 2 && !errors.Is(l.err, errRefused) && time.Now().Before(end); {
				l.err = l.stream(s.HTTPAddr(), id, func() { once.Do(func() { close(ready) }) })
			}
		})
		select {
		case <-ready:
		case <-all[len(all)-1].done:
			t.Fatalf("no stream: %v", all[len(all)-1].err)
		}
	}
	for range 2 {
		p := dial(t, s.TCPAddr())
		p.ask(initialize)
		p.send(`{"jsonrpc":"2.0","method":"notifications/initialized"}` + "\n")
		p.ask(`{"jsonrpc":"2.0","id":2,"method":"ping"}`)
		start(func(l *listener) { l.err = l.read(p.br) })
	}
	return all
}

// publishers are those who publish until they are stopped.
type publishers struct {
	t  *testing.T
	wg sync.WaitGroup

	mu     sync.Mutex
	acked  map[string][]int // guarded by mu; what was acknowledged, by publisher
	failed []error          // guarded by mu
	took   time.Duration    // guarded by mu; the longest call
}

// run has a publisher call until the time is over.
func (p *publishers) run(name string, end time.Time, call func(n int) error) {
	p.wg.Go(func() {
		for n := 0; n == 0 || time.Now().Before(end); n++ {
			begun := time.Now()
			err := call(n)
			p.mu.Lock()
			p.took = max(p.took, time.Since(begun))
			if err != nil {
				p.failed = append(p.failed, err)
			} else {
				p.acked[name] = append(p.acked[name], n)
			}
			p.mu.Unlock()
		}
	})
}

// direct publishes from goroutines of each node's process. prefix makes names
// of theirs.
func (p *publishers) direct(prefix string, servers []*Server, each int, end time.Time, pad string) {
	for i, s := range servers {
		for g := range each {
			name := fmt.Sprintf("%s%d_%d", prefix, i, g)
			p.run(name, end, func(n int) error {
				_, err := s.MCP().Broadcast(within(p.t), "", mcp.LevelInfo, "", fmt.Sprint(name, " ", n, pad))
				return err
			})
		}
	}
}

// clients publishes by calls of the tool, each on the node that is not its
// session's home.
func (p *publishers) clients(servers []*Server, each int, end time.Time) {
	for i, s := range servers {
		for g := range each {
			id := dial(p.t, s.HTTPAddr()).begin()
			c := dial(p.t, servers[1-i].HTTPAddr())
			name := fmt.Sprintf("c%d_%d", i, g)
			p.run(name, end, func(n int) error {
				body := fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{"name":"broadcast","arguments":{"text":"%s %d"}}}`, n, name, n)
				if _, err := c.c.Write([]byte(post(body, id))); err != nil {
					return err
				}
				r, err := readResponse(c.br)
				if err == nil && !strings.Contains(r, "told") {
					err = errors.New(r)
				}
				return err
			})
		}
	}
}

// finish ends what listeners wait for and wants what they heard of each
// publisher in order, each text at most once and each acknowledged one.
func (p *publishers) finish(servers []*Server, all []*listener) (heard int) {
	p.t.Helper()
	for _, s := range servers {
		// What is not held in time comes all the same, and is waited for below.
		if _, err := s.MCP().Broadcast(within(p.t), "", mcp.LevelInfo, "", "end 0"); err != nil && !errors.Is(err, mcp.ErrNotHeld) {
			p.t.Errorf("the end: %v", err)
		}
	}
	for i, l := range all {
		<-l.done
		if l.ends != 2 {
			if errors.Is(l.err, errRefused) && lapsed(servers) {
				p.t.Logf("listener %d: %v, after a node had no processor for a while", i, l.err)
				continue
			}
			p.t.Errorf("listener %d ended early: %v", i, l.err)
			continue
		}
		for name, want := range p.acked {
			got := l.heard[name]
			heard += len(got)
			next := 0
			for j, n := range got {
				if j > 0 && n <= got[j-1] {
					p.t.Errorf("listener %d: %d of %s comes after %d", i, n, name, got[j-1])
				}
				if next < len(want) && want[next] == n {
					next++
				}
			}
			if next < len(want) {
				p.t.Errorf("listener %d lacks %d of %s", i, want[next], name)
			}
		}
	}
	quiet(p.t, servers)
	return heard
}

// lapsed reports whether a node has ended its streams because it did not run
// for a while: with long texts its logs hold less than a client misses then.
func lapsed(servers []*Server) bool {
	return slices.ContainsFunc(servers, func(s *Server) bool { return s.Cluster().Status().Stats.Lapses > 0 })
}

// quiet waits until nothing is on its way between nodes.
func quiet(t *testing.T, servers []*Server) {
	t.Helper()
	nothingLeft(t, servers)
	eventually(t, "the links are quiet", func() bool {
		for _, s := range servers {
			st := s.Cluster().Status()
			if st.Pending != 0 || st.Routes != 0 || !st.Filled {
				return false
			}
			for _, l := range st.Links {
				if l.Unacked != 0 || !l.Connected {
					return false
				}
			}
		}
		return true
	})
}

// TestSaturated: two nodes publish to each other as fast as they can, from
// goroutines and by calls that cross on the links; with long texts what is on
// its way is more than the links' credit.
func TestSaturated(t *testing.T) {
	for _, tt := range []struct {
		acked bool
		pad   int
	}{{false, 0}, {true, 0}, {false, 200 << 10}, {true, 200 << 10}} {
		t.Run(fmt.Sprintf("acked %v, %d bytes", tt.acked, tt.pad), func(t *testing.T) {
			servers, _ := startPair(t, tt.acked, patience/2)
			var all []*listener
			for _, s := range servers {
				all = append(all, listeners(t, s)...)
			}
			p := &publishers{t: t, acked: map[string][]int{}}
			end := time.Now().Add(time.Second)
			p.clients(servers, 6, end)
			each := 8
			if tt.pad > 0 {
				if each = 64; raceEnabled {
					each = 24 // still more than the credit, which is 4 MiB
				}
			}
			p.direct("p", servers, each, end, strings.Repeat(" ", tt.pad))
			p.wg.Wait()
			for _, err := range p.failed {
				t.Error(err)
			}
			heard := p.finish(servers, all)
			t.Logf("heard %d texts; the longest call took %v", heard, p.took)
		})
	}
}

// TestSaturatedSlowPeer: one node reads nothing, late, or both in turn. Calls
// end in time, with an error that says what is known, and afterwards all is
// well.
func TestSaturatedSlowPeer(t *testing.T) {
	t.Parallel() // it mostly waits
	const timeout = time.Second
	for _, acked := range []bool{false, true} {
		t.Run(fmt.Sprint("acked ", acked), func(t *testing.T) {
			servers, proxy := startPair(t, acked, timeout)
			all := listeners(t, servers[0])
			for d := range faultnet.ToClient + 1 {
				proxy.Delay(d, 20*time.Millisecond)
			}
			p := &publishers{t: t, acked: map[string][]int{}}
			p.direct("late", servers, 4, time.Now().Add(timeout/4), "")
			p.wg.Wait()
			proxy.Blackhole(faultnet.ToTarget, true)
			p.direct("stuck", servers[:1], 24, time.Now().Add(3*timeout), strings.Repeat(" ", 100<<10))
			p.wg.Wait()
			if p.took > patience/2 {
				t.Errorf("a call took %v", p.took)
			}
			var notHeld, congested int
			for _, err := range p.failed {
				switch {
				case errors.Is(err, mcp.ErrNotHeld):
					notHeld++
				case errors.Is(err, cluster.ErrCongested):
					congested++
				default:
					t.Error(err)
				}
			}
			if acked && notHeld == 0 || notHeld+congested == 0 {
				t.Errorf("%d not held, %d congested", notHeld, congested)
			}
			proxy.Blackhole(faultnet.ToTarget, false)
			for d := range faultnet.ToClient + 1 {
				proxy.Delay(d, 0)
			}
			quiet(t, servers)
			heard := p.finish(servers, all)
			t.Logf("heard %d texts; %d not held, %d congested; the longest call took %v", heard, notHeld, congested, p.took)
		})
	}
}

// readResponse reads the body of a response, whose length is known.
func readResponse(br *bufio.Reader) (string, error) {
	r, err := http.ReadResponse(br, &http.Request{Method: http.MethodPost})
	if err != nil {
		return "", err
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	return string(b), err
}
