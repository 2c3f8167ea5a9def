package server

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/rookery-server/rookery/cluster"
	"github.com/rookery-server/rookery/session"
	"github.com/rookery-server/rookery/shard"
)

// startCluster starts n nodes over loopback and waits until they have met.
func startCluster(t *testing.T, n int, o Options, setup func(*Server)) []*Server {
	t.Helper()
	keys, err := cluster.ParseKeys([]byte(cluster.NewKey()))
	if err != nil {
		t.Fatal(err)
	}
	var servers []*Server
	var join []string
	for i := range n {
		o := o
		o.Cluster = &ClusterOptions{
			Node: fmt.Sprint("n", i+1), Gossip: "127.0.0.1:0", Peer: "127.0.0.1:0", Keys: keys, Join: join, Acked: o.Cluster != nil && o.Cluster.Acked,
		}
		s := startServer(t, o, setup)
		if i == 0 {
			join = []string{s.GossipAddr()}
		}
		servers = append(servers, s)
	}
	eventually(t, "all see all, and all is copied", func() bool {
		for _, s := range servers {
			st := s.Cluster().Status()
			connected := 0
			for _, l := range st.Links {
				if l.Connected {
					connected++
				}
			}
			if len(st.View.Nodes) != n || connected != n-1 || n > 1 && !st.Filled {
				return false
			}
		}
		return true
	})
	return servers
}

// TestClusterServes: any node serves any session; a session goes where its
// client opens a stream; what is published anywhere arrives; a node that stops
// loses nothing.
func TestClusterServes(t *testing.T) {
	o := quickTicks(Options{Cluster: &ClusterOptions{Acked: true}})
	servers := startCluster(t, 3, o, fleetTools(t, nil))
	a := dial(t, servers[0].HTTPAddr())
	id := a.begin()
	a.send(post(`{"jsonrpc":"2.0","id":2,"method":"resources/subscribe","params":{"uri":"a:b"}}`, id))
	a.response("POST")
	for i, s := range servers {
		p := dial(t, s.HTTPAddr())
		p.send(post(call(10+i, "worker"), id))
		if r := p.response("POST"); !strings.Contains(r.body, fmt.Sprintf(`\"n\":%d`, 10+i)) {
			t.Errorf("node %d: %s %s", i+1, r.Status, r.body)
		}
	}
	p := dial(t, servers[1].HTTPAddr())
	p.send(getStream + id + "\r\n\r\n")
	p.until("id: ")
	eventually(t, "the session comes home to its stream", func() bool { return servers[1].Cluster().Core().Stats().Arrived == 1 })
	if _, err := servers[2].MCP().ResourceUpdatedKey(within(t), "", "a:b"); err != nil {
		t.Error(err)
	}
	event := strings.TrimPrefix(p.until("id: "), "id: ")
	p.until("notifications/resources/updated")

	// The node goes in the ordinary way: the client comes back to another one.
	ended := make(chan error, 1)
	go func() { ended <- servers[1].Shutdown(within(t)) }()
	if got := p.rest(); !strings.Contains(got, "retry: ") {
		t.Errorf("goodbye: %q", got)
	}
	// How many it is kept for is not known while sessions move; that it is, is.
	publish := func(n int) {
		t.Helper()
		if _, err := servers[0].MCP().PublishKey(within(t), fmt.Sprint("key ", n), "a:b", "notifications/n", map[string]int{"n": n}); err != nil {
			t.Errorf("publication %d: %v", n, err)
		}
	}
	publish(1)
	q := dial(t, servers[2].HTTPAddr())
	q.send(getStream + id + "\r\nLast-Event-ID: " + event + "\r\n\r\n")
	publish(2)
	if err := <-ended; err != nil {
		t.Error(err)
	}
	publish(3)
	for n := range 3 {
		if got := q.until("notifications/n"); !strings.Contains(got, fmt.Sprintf(`"n":%d`, n+1)) {
			t.Errorf("got %s, want number %d", got, n+1)
		}
	}
}

// TestClusterSurvives: the home is closed without a word, with a stream open.
func TestClusterSurvives(t *testing.T) {
	o := quickTicks(Options{Cluster: &ClusterOptions{Acked: true}})
	servers := startCluster(t, 3, o, fleetTools(t, nil))
	p := dial(t, servers[0].HTTPAddr())
	id := p.begin()
	p.send(post(`{"jsonrpc":"2.0","id":2,"method":"resources/subscribe","params":{"uri":"a:b"}}`, id))
	p.response("POST")
	p.send(getStream + id + "\r\n\r\n")
	event := strings.TrimPrefix(p.until("id: "), "id: ")
	if _, err := servers[1].MCP().ResourceUpdatedKey(within(t), "", "a:b"); err != nil {
		t.Fatal(err)
	}
	servers[0].Close()
	q := dial(t, servers[1].HTTPAddr())
	q.send(getStream + id + "\r\nLast-Event-ID: " + event + "\r\n\r\n")
	q.until("notifications/resources/updated")
	eventually(t, "the dead node is known to be", func() bool { return !servers[2].Cluster().Status().View.Node("n1").State.Serves() })
	if _, err := servers[2].MCP().ResourceUpdatedKey(within(t), "", "a:b"); err != nil {
		t.Error(err)
	}
	q.until("notifications/resources/updated")
	r := dial(t, servers[2].HTTPAddr())
	r.send(post(call(3, "worker"), id))
	if res := r.response("POST"); !strings.Contains(res.body, `\"n\":3`) {
		t.Errorf("%s %s", res.Status, res.body)
	}
}

// TestClusterAdmin: what operators see and order.
func TestClusterAdmin(t *testing.T) {
	servers := startCluster(t, 2, Options{}, fleetTools(t, nil))
	id := dial(t, servers[0].HTTPAddr()).begin()
	base := "http://" + servers[0].AdminAddr().String()
	get := func(method, path string) (int, string) {
		t.Helper()
		req, err := http.NewRequestWithContext(within(t), method, base+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, string(b)
	}
	report := func() (r cluster.Report) {
		t.Helper()
		code, body := get("GET", "/cluster")
		if err := json.Unmarshal([]byte(body), &r); err != nil || code != 200 {
			t.Fatalf("%d %v: %s", code, err, body)
		}
		return r
	}
	if r := report(); r.Node != "n1" || len(r.View.Nodes) != 2 || r.Homes() != 1 || r.View.Node("n1").Admin != servers[0].AdminAddr().String() {
		t.Errorf("report %+v", r)
	}
	for _, tt := range []struct {
		path string
		code int
	}{{"/cluster/drain?rate=0", 400}, {"/cluster/drain?rate=x", 400}, {"/cluster/rebalance", 200}, {"/cluster/drain?rate=100", 200}} {
		if code, body := get("POST", tt.path); code != tt.code {
			t.Errorf("%s: %d %s", tt.path, code, body)
		}
	}
	eventually(t, "drained", func() bool { r := report(); return r.Homes() == 0 && r.View.Node("n1").Status() == "draining" })
	ready := func(want int) {
		t.Helper()
		if code, _ := get("GET", "/readyz"); code != want {
			t.Errorf("/readyz of the admin listener: %d, want %d", code, want)
		}
		p := dial(t, servers[0].HTTPAddr())
		p.send("GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n")
		if r := p.response("GET"); r.StatusCode != want {
			t.Errorf("/readyz beside MCP: %s, want %d", r.Status, want)
		}
	}
	ready(503)
	if code, _ := get("POST", "/cluster/drain?undo=1"); code != 200 || report().View.Node("n1").Status() != "alive" {
		t.Errorf("undo: %d", code)
	}
	ready(200)
	p := dial(t, servers[0].HTTPAddr())
	p.send(post(call(3, "worker"), id))
	if r := p.response("POST"); !strings.Contains(r.body, `\"n\":3`) {
		t.Errorf("%s %s", r.Status, r.body)
	}
	_, metrics := get("GET", "/metrics")
	for _, want := range []string{
		`rookery_cluster_nodes{state="alive"} 2`, `rookery_cluster_links{state="connected"} 1`,
		`rookery_cluster_sessions{role="home"} 0`, `rookery_cluster_requests_forwarded_total 1`,
		`rookery_cluster_sessions_moved_total{direction="out"} 1`, `rookery_cluster_link_sent_wire_bytes_total{lane="data"}`,
		`rookery_cluster_replication_lag_seconds_count 0`,
	} {
		if !strings.Contains(metrics, want) {
			t.Errorf("metrics lack %s", want)
		}
	}
	for line := range strings.Lines(metrics) {
		if strings.HasPrefix(line, "# HELP rookery_cluster") && len(strings.Fields(line)) < 4 {
			t.Errorf("no help: %s", line)
		}
	}
	alone := startServer(t, Options{}, nil)
	base = "http://" + alone.AdminAddr().String()
	if r := report(); r.View != nil || r.Processes != nil {
		t.Errorf("alone: %+v", r)
	}
	if code, _ := get("POST", "/cluster/drain"); code != 409 {
		t.Errorf("alone: %d", code)
	}
}

// TestClusterAlone: a node that others have yet to find knows its own sessions
// and refuses no other for good.
func TestClusterAlone(t *testing.T) {
	t.Parallel() // it mostly waits
	keys, err := cluster.ParseKeys([]byte(cluster.NewKey()))
	if err != nil {
		t.Fatal(err)
	}
	const unknown = "Mcp-Session-Id: 00000000000000000000000000000001"
	for _, tt := range []struct {
		join   []string
		status int
	}{{nil, 404}, {[]string{"127.0.0.1:1"}, 503}} {
		s := startServer(t, Options{Cluster: &ClusterOptions{Node: "n1", Gossip: "127.0.0.1:0", Peer: "127.0.0.1:0", Keys: keys, Join: tt.join}}, testTools(t, nil))
		p := dial(t, s.HTTPAddr())
		eventually(t, "it knows whether it is the first", func() bool { return s.node.joined() == (tt.join == nil) })
		for range 2 {
			p.send(post(call(1, "worker"), unknown))
			if r := p.response("POST"); r.StatusCode != tt.status {
				t.Errorf("join %q: %s %s", tt.join, r.Status, r.body)
			}
		}
		p.send(post(call(2, "worker"), p.begin()))
		if r := p.response("POST"); r.StatusCode != 200 {
			t.Errorf("own session: %s", r.Status)
		}
		if err := s.Shutdown(within(t)); err != nil {
			t.Error(err)
		}
	}
}

// TestClusterOptions: what is refused, and what follows from what.
func TestClusterOptions(t *testing.T) {
	keys, err := cluster.ParseKeys([]byte(cluster.NewKey()))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		o    ClusterOptions
		want string
	}{
		{ClusterOptions{Gossip: "127.0.0.1:0", Peer: "127.0.0.1:0", Keys: keys}, "Node is required"},
		{ClusterOptions{Node: "n"}, "Gossip, Peer and Keys are required"},
		{ClusterOptions{Node: "n", Gossip: "127.0.0.1:0", Peer: "127.0.0.1:0", Keys: keys, DrainRate: -1}, "must not be negative"},
	} {
		if _, err := New(Options{Cluster: &tt.o}); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v, want %q", err, tt.want)
		}
	}
	valid := ClusterOptions{Node: "n", Gossip: "127.0.0.1:0", Peer: "127.0.0.1:0", Keys: keys}
	for bytes, refused := range map[int]bool{8 << 20: false, 8<<20 + 1: true} {
		o := Options{Cluster: &valid, Events: EventLimits{Bytes: bytes}}
		if err := o.fill(); (err != nil) != refused {
			t.Errorf("%d bytes of events: %v", bytes, err)
		}
	}
	for _, o := range []ClusterOptions{
		{Node: "n", Gossip: "127.0.0.1:0", Peer: "no address", Keys: keys}, {Node: "n", Gossip: "no address", Peer: "127.0.0.1:0", Keys: keys},
		{Node: "a name", Gossip: "127.0.0.1:0", Peer: "127.0.0.1:0", Keys: keys},
	} {
		s, err := New(Options{Cluster: &o})
		if err == nil {
			err = s.Start() // closes it when it fails
		}
		if err == nil {
			t.Errorf("%+v: started", o)
			s.Close()
		}
	}
	s, err := New(Options{Cluster: &ClusterOptions{Node: "n", Gossip: "127.0.0.1:0", Peer: "127.0.0.1:0", Keys: keys}})
	if err != nil {
		t.Fatal(err)
	}
	if string(s.opts.StateKey) != string(keys.State()) || s.GossipAddr() != "" || s.Cluster().Status().View != nil {
		t.Error("before the start")
	}
	s.Close() // never started
}

// TestDrawnIDs: ids say who drew them and where their partition is.
func TestDrawnIDs(t *testing.T) {
	worker := func(n uint16) cluster.WorkerInfo {
		return cluster.WorkerInfo{Worker: n, Incarnation: uint64(n) + 1, State: cluster.Alive}
	}
	view := &cluster.View{Self: "b", Nodes: []cluster.Node{
		{Name: "a", State: cluster.Alive, Workers: []cluster.WorkerInfo{worker(10)}},
		{Name: "b", State: cluster.Alive, Workers: []cluster.WorkerInfo{worker(0), worker(1), worker(2)}},
		{Name: "c", State: cluster.Dead, Workers: []cluster.WorkerInfo{worker(20)}},
		{Name: "d", State: cluster.Alive, Workers: []cluster.WorkerInfo{worker(30)}},
	}}
	d := &idDrawer{self: cluster.PeerID{Node: "b", Worker: 1, Incarnation: 2}, view: func() *cluster.View { return view }}
	nodes := []uint64{shard.NameHash("a"), shard.NameHash("b"), shard.NameHash("d")}
	workers := []uint64{shard.NameHash("b/0"), shard.NameHash("b/1"), shard.NameHash("b/2")}
	seen := map[session.ID]bool{}
	for range 500 {
		id := d.draw()
		part := shard.PartitionOf(shard.Key(id))
		if tag := shard.Tag("b"); id[0] != byte(tag>>8) || id[1] != byte(tag) {
			t.Fatalf("tag of %v", id)
		}
		if shard.Rank(nil, part, nodes)[0] != 1 || shard.Rank(nil, part, workers)[0] != 1 {
			t.Fatalf("%v is not ours", id)
		}
		seen[id] = true
	}
	if len(seen) != 500 {
		t.Error("ids repeat")
	}
	for _, v := range []*cluster.View{nil, {Self: "b"}} {
		view = v
		if a, b := d.draw(), d.draw(); a == b {
			t.Error("ids repeat without a view")
		}
	}
}
