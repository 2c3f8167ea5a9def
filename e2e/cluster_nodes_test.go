package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// settlePatience is how long a cluster may take to reach a state on its own.
// No test depends on the time; it only ends one that waits in vain.
const settlePatience = 30 * time.Second

// member is a node of a cluster: a process that can be started again with the
// same name and addresses.
type member struct {
	*node // the latest process

	name                             string
	tcp, http, admin, gossip, listen string   // addresses
	args                             []string // of serve, after the addresses
	command                          func(args []string) *exec.Cmd
}

// nest is a cluster of processes on this machine.
type nest struct {
	t       *testing.T
	members []*member
	key     string // file
}

// nodesOfCluster is what most tests run.
const nodesOfCluster = 4

// startNest starts n nodes on loopback, each with more arguments of serve, and
// waits until they have met and all is copied.
func startNest(t *testing.T, n int, more ...string) *nest {
	t.Helper()
	c := newNest(t)
	ports := freePorts(t, 5*n)
	at := func(i int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(ports[i])) }
	for i := range n {
		c.add(&member{
			name: "n" + strconv.Itoa(i+1), tcp: at(5 * i), http: at(5*i + 1), admin: at(5*i + 2), gossip: at(5*i + 3), listen: at(5*i + 4),
			command: func(args []string) *exec.Cmd { return exec.Command(binary, args...) },
		}, more...)
	}
	for _, m := range c.members {
		c.start(m)
	}
	c.settled()
	return c
}

func newNest(t *testing.T) *nest {
	t.Helper()
	c := &nest{t: t, key: newKey(t)}
	t.Cleanup(func() {
		for _, m := range c.members {
			if m.node != nil && strings.Contains(m.log.String(), "DATA RACE") {
				t.Errorf("node %s: the race detector found something:\n%s", m.name, m.log.String())
			}
		}
	})
	return c
}

// newKey makes a key file with the command that is there for it.
func newKey(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "cluster.key")
	if out, err := exec.Command(binary, "cluster", "keygen", path).CombinedOutput(); err != nil {
		t.Fatalf("keygen: %v\n%s", err, out)
	}
	return path
}

// add makes m part of the cluster: it will join by way of those before it.
func (c *nest) add(m *member, more ...string) {
	m.args = append([]string{
		"serve", "--node", m.name, "--tcp", m.tcp, "--http", m.http, "--admin", m.admin, "--gossip", m.gossip, "--peer", m.listen,
		"--cluster-key", c.key, "--keep-alive", "1s", "--events", "4096", "--event-bytes", "1MiB",
		"--ack-timeout", "20s", // a machine that starves the nodes is no failure of theirs
	}, more...)
	c.members = append(c.members, m)
}

// start starts m, for the first time or again.
func (c *nest) start(m *member) {
	c.t.Helper()
	var join []string
	for _, other := range c.members {
		if other != m {
			join = append(join, other.gossip)
		}
	}
	m.node = startCommand(c.t, m.command(append(m.args[:len(m.args):len(m.args)], "--join", strings.Join(join, ","))), "admin")
}

// kill ends a process as a crash does and waits until it is gone.
func (m *member) kill(t *testing.T) {
	t.Helper()
	m.send(t, syscall.SIGKILL)
	<-m.ended
}

// send sends a signal to the process.
func (m *member) send(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := m.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// clusterReport is what the tests read of GET /cluster.
type clusterReport struct {
	Node string
	View struct {
		Nodes []struct {
			Name, State string
			Draining    bool
		}
	}
	Processes []struct {
		Filled        bool
		Homes, Copies int
		Links         []linkReport
		Stats         map[string]uint64
	}
}

type linkReport struct {
	Alive, Connected bool
	Unacked          int `json:"unacked_bytes"`
}

// fetch asks an admin listener.
func fetch(url string) (status int, body []byte, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, nil, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer res.Body.Close()
	body, err = io.ReadAll(res.Body)
	return res.StatusCode, body, err
}

// report asks a node; ok is false when it does not answer.
func (m *member) report() (r clusterReport, ok bool) {
	status, body, err := fetch("http://" + m.admin + "/cluster")
	return r, err == nil && status == 200 && json.Unmarshal(body, &r) == nil && len(r.Processes) > 0
}

// stat returns one of the counters of a node.
func (m *member) stat(t *testing.T, name string) uint64 {
	t.Helper()
	r, ok := m.report()
	if !ok {
		t.Fatalf("node %s does not answer", m.name)
	}
	n, ok := r.Processes[0].Stats[name]
	if !ok {
		t.Fatalf("node %s has no counter %q", m.name, name)
	}
	return n
}

// sees reports whether m sees exactly the nodes of want serve, is linked with
// them, and has every session copied.
func (m *member) sees(want int) bool {
	r, ok := m.report()
	if !ok || len(r.Processes) != 1 {
		return false
	}
	serving, alive, linked := 0, 0, 0
	for _, n := range r.View.Nodes {
		if n.State == "alive" {
			serving++
		}
	}
	for _, l := range r.Processes[0].Links {
		if l.Alive {
			alive++
		}
		if l.Alive && l.Connected {
			linked++
		}
	}
	return serving == want && alive == want-1 && linked == want-1 && (want == 1 || r.Processes[0].Filled)
}

// settled waits until the nodes that run see each other, and all is copied.
func (c *nest) settled(of ...*member) {
	c.t.Helper()
	begun := time.Now()
	defer func() { c.t.Logf("settled after %v", time.Since(begun).Round(10*time.Millisecond)) }()
	if len(of) == 0 {
		of = c.members
	}
	c.await("nodes that all see each other", func() bool {
		for _, m := range of {
			if !m.sees(len(of)) {
				return false
			}
		}
		return true
	})
}

// await is eventually with the patience of clusters; it says how far they are.
func (c *nest) await(what string, reached func() bool) {
	c.t.Helper()
	for deadline := time.Now().Add(settlePatience); !reached(); time.Sleep(25 * time.Millisecond) {
		if !time.Now().After(deadline) {
			continue
		}
		for _, m := range c.members {
			_, body, err := fetch("http://" + m.admin + "/cluster")
			c.t.Logf("%s: %v %s", m.name, err, body)
		}
		c.t.Fatalf("no %s within %v", what, settlePatience)
	}
}

// command runs `rookery cluster ARGS` against m and returns what it prints.
func (m *member) cluster(t *testing.T, args ...string) []byte {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), binary, append([]string{"cluster", "--admin", m.admin}, args...)...)
	cmd.Env = cleanEnv()
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("cluster %v: %v\n%s%s", args, err, out, errs.Bytes())
	}
	return out
}

// freePorts returns ports on which nobody listens, below those the kernel gives
// to connections: a node that is started again finds its own still free.
func freePorts(t *testing.T, n int) (ports []int) {
	t.Helper()
	for range 100 * n {
		port := 12_000 + rand.IntN(20_000)
		if slices.Contains(ports, port) {
			continue
		}
		addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
		l, err := net.Listen("tcp", addr)
		if err != nil {
			continue
		}
		l.Close()
		p, err := net.ListenPacket("udp", addr)
		if err != nil {
			continue
		}
		p.Close()
		if ports = append(ports, port); len(ports) == n {
			return ports
		}
	}
	t.Fatal("no free ports")
	return nil
}

// logs waits for a record of a node that contains all of parts.
func (m *member) logs(t *testing.T, parts ...string) {
	t.Helper()
	eventually(t, fmt.Sprintf("record with %q in the log of %s", parts, m.name), func() bool {
		for line := range strings.Lines(m.log.String()) {
			if containsAll(line, parts) {
				return true
			}
		}
		return false
	})
}

// inRaceBuild reports whether the nodes run under the race detector, which
// makes them several times slower: there are fewer clients then.
func inRaceBuild() bool { return os.Getenv(raceEnv) != "" }
