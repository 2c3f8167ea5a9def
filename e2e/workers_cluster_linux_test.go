package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// crewReport is what the tests of nodes with workers read of GET /cluster.
type crewReport struct {
	View struct {
		Nodes []struct {
			Name, State string
			Draining    bool
			Workers     []struct{ Worker int }
		}
	}
	Processes []struct {
		Self struct {
			Node   string
			Worker int
		}
		Filled bool
		Homes  int
		Links  []struct{ Alive, Connected bool }
		Stats  map[string]uint64
	}
}

func crewOf(t *testing.T, admin string) (r crewReport) {
	t.Helper()
	status, body, err := fetch("http://" + admin + "/cluster")
	if err != nil || status != http.StatusOK {
		t.Fatalf("/cluster: status %d, %v, %s", status, err, body)
	}
	if err := json.Unmarshal(body, &r); err != nil {
		t.Fatalf("%v in %s", err, body)
	}
	return r
}

// linked reports whether each of so many processes has a link to all others.
func (r *crewReport) linked(own, all int) bool {
	if len(r.Processes) != own {
		return false
	}
	for _, p := range r.Processes {
		links := 0
		for _, l := range p.Links {
			if l.Alive && l.Connected {
				links++
			}
		}
		if links != all-1 {
			return false
		}
	}
	return true
}

// home returns the worker at which all sessions of a node are at home, of which
// there is at least one; ok is false if there is no such worker.
func (r *crewReport) home() (worker int, ok bool) {
	found := 0
	for _, p := range r.Processes {
		if p.Homes > 0 {
			worker = p.Self.Worker
			found++
		}
	}
	return worker, found == 1
}

// Two workers are one server, even without a cluster: every kind of request may
// land at the worker that does not have the session.
func TestWrongWorker(t *testing.T) {
	n := startWorkers(t, 2)
	eventually(t, "links between the workers", func() bool { r := crewOf(t, n.admin); return r.linked(2, 2) })
	l := newLanes(t, n, 2, 12)
	l.begin(0)
	crossed := l.forwarded()
	cross := func(what string, f func()) {
		t.Helper()
		f()
		now := l.forwarded()
		if now <= crossed {
			t.Errorf("%s: not forwarded", what)
		}
		crossed = now
	}
	cross("notification", func() {
		if status, _, body := l.post(1, `{"jsonrpc":"2.0","method":"notifications/initialized"}`); status != http.StatusAccepted {
			t.Errorf("initialized: status %d, %s", status, body)
		}
	})
	cross("POST", func() {
		if body := l.call(1, "tools/call", `{"name":"echo","arguments":{"text":"across"}}`); !strings.Contains(body, "across") {
			t.Errorf("echo: %s", body)
		}
	})
	cross("subscription", func() { l.call(1, "resources/subscribe", `{"uri":"demo://item/1"}`) })
	for _, at := range []int{0, 1} {
		cross("answer to a question", func() { l.confirm(at, 1) })
	}
	cross("cancellation", l.cancel)

	// A session comes home to its stream.
	var st *sse
	cross("GET", func() { st = l.stream(1, "", "") })
	l.athome(1)
	cross("publication", func() { l.call(0, "tools/call", `{"name":"touch","arguments":{"uri":"demo://item/1"}}`) })
	m, last := st.message()
	if m.Params.URI != item(1) {
		t.Errorf("heard %+v", m)
	}
	st.cut()
	l.call(1, "tools/call", `{"name":"touch","arguments":{"uri":"demo://item/1"}}`)
	cross("resume", func() { st = l.stream(0, "", last) })
	if m, _ := st.message(); m.Params.URI != item(1) {
		t.Errorf("resumed, heard %+v", m)
	}
	st.quiet()
	l.athome(0)
	cross("DELETE", func() {
		if status, _, body := l.do(1, l.request(http.MethodDelete, "")); status/100 != 2 {
			t.Errorf("DELETE: status %d, %s", status, body)
		}
	})
	for worker := range 2 {
		l.ended(worker)
	}
}

// Without another node the sessions of a worker that crashes are gone, wherever
// they began, and clients are told so; the log has said it.
func TestWorkerKilledAlone(t *testing.T) {
	n := startWorkers(t, 2)
	eventually(t, "links between the workers", func() bool { r := crewOf(t, n.admin); return r.linked(2, 2) })
	l := newLanes(t, n, 2, 10)
	var ids []string
	for _, at := range []int{0, 1, 0} {
		l.begin(at)
		ids = append(ids, l.id)
	}
	l.stream(1, "", "") // the last one goes there
	eventually(t, "move of a session", func() bool {
		r := crewOf(t, n.admin)
		return r.Processes[0].Homes == 1 && r.Processes[1].Homes == 2
	})
	pid := n.workers(t)[1]
	kill(t, pid, syscall.SIGKILL)
	for i, id := range ids {
		if l.id = id; i == 0 {
			l.call(0, "ping", "{}")
		} else {
			l.ended(0)
		}
	}
	n.whole(t, 2, pid)
	if said := strings.Count(n.log.String(), "sessions have no copies"); said != 1 {
		t.Errorf("the log says %d times that there are no copies", said)
	}
}

// startCrews starts nodes of two workers each and waits until all is linked.
func startCrews(t *testing.T, nodes int) *nest {
	t.Helper()
	c := newNest(t)
	ports := freePorts(t, 5*nodes)
	at := func(i int) string { return fmt.Sprintf("127.0.0.1:%d", ports[i]) }
	for i := range nodes {
		c.add(&member{
			name: fmt.Sprint("n", i+1), tcp: at(5 * i), http: at(5*i + 1), admin: at(5*i + 2), gossip: at(5*i + 3), listen: at(5*i + 4),
			command: func(args []string) *exec.Cmd { return exec.Command(binary, args...) },
		}, "--workers", "2")
	}
	for _, m := range c.members {
		c.start(m)
	}
	c.crewed()
	return c
}

// crewed waits until all processes of the nodes that run are linked, with all
// copied.
func (c *nest) crewed(of ...*member) {
	c.t.Helper()
	if len(of) == 0 {
		of = c.members
	}
	c.await("processes that are all linked", func() bool {
		for _, m := range of {
			r := crewOf(c.t, m.admin)
			alive := 0
			for _, n := range r.View.Nodes {
				if n.State == "alive" && len(n.Workers) == 2 {
					alive++
				}
			}
			if alive != len(of) || !r.linked(2, 2*len(of)) {
				return false
			}
			for _, p := range r.Processes {
				if !p.Filled && len(of) > 1 {
					return false
				}
			}
		}
		return true
	})
}

// Two nodes of two workers each are one cluster of two members: a worker that
// crashes is a home lost, and its sessions live on; a node that is killed leaves
// all to the other one; drains and keys are the node's.
func TestCrews(t *testing.T) {
	c := startCrews(t, 2)
	n := c.members
	c.secret(n[0])
	c.workerLost(n[0], n[1])
	a := c.newAudience(100)
	c.workerLostUnderLoad(a)
	c.crewDrained(a)
	c.nodeLost(a)
	b := a.publish(n[1])
	b.more(1)
	n[0].signal(t)
	if code := n[0].exitCode(t, settlePatience); code != 0 {
		t.Errorf("exit code %d", code)
	}
	eventually(t, "node that has left", func() bool { return crewOf(t, n[1].admin).View.Nodes[0].State == "left" })
	a.served()
	b.more(1)
	b.verify(true)
}

// workerLostUnderLoad: nothing that was acknowledged is lost with a worker, and
// its clients are served by others.
func (c *nest) workerLostUnderLoad(a *audience) {
	t, n := c.t, c.members
	b := a.publish(n[0], n[1])
	b.more(3)
	pid := n[0].workers(t)[1]
	kill(t, pid, syscall.SIGKILL)
	n[0].whole(t, 2, pid)
	c.crewed()
	a.served()
	b.more(3)
	b.verify(true)
	if r := crewOf(t, n[1].admin); r.Processes[0].Stats["takeovers"]+r.Processes[1].Stats["takeovers"] == 0 {
		t.Error("nobody took over what the worker had")
	}
}

// crewDrained: a node gives its sessions away, and takes some again.
func (c *nest) crewDrained(a *audience) {
	t, n := c.t, c.members
	b := a.publish(n[1])
	b.more(1)
	n[1].cluster(t, "drain", "n1", "--rate", "1000")
	for _, p := range crewOf(t, n[0].admin).Processes {
		if p.Homes != 0 {
			t.Errorf("%d sessions are at home at worker %d of a drained node", p.Homes, p.Self.Worker)
		}
	}
	if r := crewOf(t, n[1].admin); !r.View.Nodes[0].Draining || r.View.Nodes[1].Draining {
		t.Errorf("view %+v", r.View)
	}
	b.more(1) // it holds copies until it leaves
	n[1].cluster(t, "drain", "n1", "--undo")
	c.crewed()
	n[1].cluster(t, "rebalance")
	b.more(1)
	b.verify(false)
}

// nodeLost: the second node is killed, and comes back. While it is away every
// session is served by the first one; what is published then is acknowledged
// when there are two again.
func (c *nest) nodeLost(a *audience) {
	t, n := c.t, c.members
	b := a.publish(n[0])
	b.more(2)
	pids := n[1].workers(t)
	n[1].kill(t)
	for _, pid := range pids {
		eventually(t, "end of a worker", func() bool { return syscall.Kill(pid, 0) != nil || zombie(pid) })
	}
	c.crewed(n[0])
	a.served()
	for i, l := range a.members {
		eventually(t, "answer", func() bool {
			status, answer, err := l.call(t.Context(), n[0], 1000+i, "echo", `{"text":"x"}`)
			if status == http.StatusServiceUnavailable {
				return false // the session is on its way to the worker that has its stream
			}
			if err != nil || status != http.StatusOK {
				t.Errorf("client %d: status %d, %v, %s", i, status, err, answer)
			}
			return true
		})
	}
	c.start(n[1])
	c.crewed()
	b.more(2)
	b.verify(true)
}

func zombie(pid int) bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && bytes.Contains(text, []byte(") Z "))
}

// secret: the key of the cluster stands neither on the command line of a worker
// nor in its environment.
func (c *nest) secret(m *member) {
	t := c.t
	key, err := os.ReadFile(c.key)
	if err != nil {
		t.Fatal(err)
	}
	for _, pid := range m.workers(t) {
		for _, name := range []string{"cmdline", "environ"} {
			text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, name))
			if err != nil {
				t.Fatal(err)
			}
			if bytes.Contains(text, bytes.TrimSpace(key)) {
				t.Errorf("the key stands in %s", name)
			}
		}
	}
}

// workerLost: a client of a worker that is killed takes its session up on the
// same node, where another process serves it then.
func (c *nest) workerLost(at, other *member) {
	t := c.t
	s := newSession(t, at.mcp())
	s.subscribe(item(1))
	st := s.resume("")
	first := st.event()
	other.touched(t, 1)
	if m, id := st.message(); m.Params.URI == item(1) {
		first.id = id
	} else {
		t.Errorf("heard %+v", m)
	}
	var home int
	eventually(t, "home on the stream's node", func() (ok bool) {
		r := crewOf(t, at.admin)
		home, ok = r.home()
		return ok
	})
	pid := at.workers(t)[home]
	kill(t, pid, syscall.SIGKILL)
	other.touched(t, 1) // while nobody serves it
	st = s.resume(first.id)
	if m, _ := st.message(); m.Params.URI != item(1) {
		t.Errorf("resumed, heard %+v", m)
	}
	other.touched(t, 1)
	if m, _ := st.message(); m.Params.URI != item(1) {
		t.Errorf("then heard %+v", m)
	}
	st.quiet()
	at.whole(t, 2, pid)
	c.crewed()
}

// touched changes a resource by way of a node.
func (m *member) touched(t *testing.T, i int) {
	t.Helper()
	s := newSession(t, m.mcp())
	s.touch(item(i))
	res, err := http.DefaultClient.Do(s.request(http.MethodDelete, nil))
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
}
