package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
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

// lanes are connections to the HTTP listener of a node of which is known which
// worker has them.
type lanes struct {
	t    *testing.T
	n    *node
	at   [][]net.Conn
	id   string // of the session
	last int    // id of the latest request
}

// newLanes opens so many connections to each worker of n, to whose HTTP listener
// nobody else connects meanwhile.
func newLanes(t *testing.T, n *node, workers, each int) *lanes {
	t.Helper()
	l := &lanes{t: t, n: n, at: make([][]net.Conn, workers)}
	open := func() (of []int) {
		for i := range workers {
			of = append(of, int(n.metric(t, "rookery_worker_process_connections", fmt.Sprintf(`worker="%d"`, i))))
		}
		return of
	}
	short := func(at []net.Conn) bool { return len(at) < each }
	for before := open(); slices.ContainsFunc(l.at, short); {
		c := dial(t, n.http).Conn
		now := before
		eventually(t, "worker that takes a connection", func() bool { now = open(); return !slices.Equal(now, before) })
		for i := range now {
			if now[i] > before[i] {
				l.at[i] = append(l.at[i], c)
			}
		}
		before = now
	}
	return l
}

// client uses one of the connections to a worker.
func (l *lanes) client(worker int) *http.Transport {
	l.t.Helper()
	if len(l.at[worker]) == 0 {
		l.t.Fatalf("no more connections to worker %d", worker)
	}
	c := l.at[worker][0]
	l.at[worker] = l.at[worker][1:]
	return &http.Transport{
		DisableKeepAlives: true,
		DialContext:       func(context.Context, string, string) (net.Conn, error) { return c, nil },
	}
}

// request prepares a request of the session.
func (l *lanes) request(method, body string) *http.Request {
	s := session{t: l.t, url: l.n.mcp(), id: l.id}
	return s.request(method, strings.NewReader(body))
}

// post sends a message to a worker and returns the response.
func (l *lanes) post(worker int, message string) (int, http.Header, string) {
	l.t.Helper()
	return l.do(worker, l.request(http.MethodPost, message))
}

func (l *lanes) do(worker int, req *http.Request) (int, http.Header, string) {
	l.t.Helper()
	res, err := l.client(worker).RoundTrip(req)
	if err != nil {
		l.t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		l.t.Fatal(err)
	}
	return res.StatusCode, res.Header, string(body)
}

// call sends a request that has to go well.
func (l *lanes) call(worker int, method, params string) string {
	l.t.Helper()
	l.last++
	status, _, body := l.post(worker, fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":%q,"params":%s}`, l.last, method, params))
	if status != http.StatusOK || !strings.Contains(body, `"result"`) {
		l.t.Errorf("%s at worker %d: status %d, %s", method, worker, status, body)
	}
	return body
}

// stream opens a stream at a worker: by GET, or as the response to a message.
func (l *lanes) stream(worker int, message, after string) *sse {
	l.t.Helper()
	method := http.MethodPost
	if message == "" {
		method = http.MethodGet
	}
	req := l.request(method, message)
	if after != "" {
		req.Header.Set("Last-Event-ID", after)
	}
	st, status := openOn(l.t, l.client(worker), req)
	if st == nil {
		l.t.Fatalf("%s at worker %d: status %d", method, worker, status)
	}
	return st
}

// begin opens a session at a worker.
func (l *lanes) begin(worker int) {
	l.t.Helper()
	l.id = ""
	status, head, body := l.post(worker, `{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25",`+
		`"capabilities":{"elicitation":{}},"clientInfo":{"name":"e2e","version":"1"}}}`)
	if l.id = head.Get("Mcp-Session-Id"); status != http.StatusOK || l.id == "" {
		l.t.Fatalf("initialize: status %d, %s", status, body)
	}
}

// forwarded returns how many requests were sent from one worker to another.
func (l *lanes) forwarded() int {
	l.t.Helper()
	return int(l.n.metric(l.t, "rookery_cluster_requests_forwarded_total"))
}

// athome waits until the session is at home at a worker.
func (l *lanes) athome(worker int) {
	l.t.Helper()
	eventually(l.t, fmt.Sprintf("home at worker %d", worker), func() bool {
		r := crewOf(l.t, l.n.admin)
		at, ok := r.home()
		return ok && at == worker
	})
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

// ended waits until a worker answers that the session is gone.
func (l *lanes) ended(worker int) {
	l.t.Helper()
	c := l.client(worker)
	c.DisableKeepAlives = false
	defer c.CloseIdleConnections()
	eventually(l.t, fmt.Sprintf("404 of worker %d for a session that has ended", worker), func() bool {
		res, err := c.RoundTrip(l.request(http.MethodPost, `{"jsonrpc":"2.0","id":99,"method":"ping"}`))
		if err != nil {
			l.t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, res.Body) // for the next one to use the connection
		res.Body.Close()
		return res.StatusCode == http.StatusNotFound
	})
}

// confirm has a tool called at one worker, whose question is answered at another.
func (l *lanes) confirm(worker, answer int) {
	l.t.Helper()
	st, question := l.ask(worker)
	status, _, body := l.post(answer, fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"result":{"action":"accept","content":{"sure":true}}}`, question))
	if status != http.StatusAccepted {
		l.t.Errorf("answer at worker %d: status %d, %s", answer, status, body)
	}
	if data := st.event().data; !strings.Contains(data, `"sure":true`) {
		l.t.Errorf("asked at worker %d, answered at %d: %s", worker, answer, data)
	}
}

// ask calls a tool that asks, and returns the response and the question's id.
func (l *lanes) ask(worker int) (*sse, json.RawMessage) {
	l.t.Helper()
	l.last++
	st := l.stream(worker, fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{"name":"confirm","arguments":{"text":"Leave?"}}}`, l.last), "")
	question, _ := st.message()
	if question.Method != "elicitation/create" {
		l.t.Fatalf("asked %+v", question)
	}
	return st, question.ID
}

// cancel cancels at one worker a call that came in at the other.
func (l *lanes) cancel() {
	l.t.Helper()
	st, _ := l.ask(0)
	status, _, body := l.post(1, fmt.Sprintf(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":%d}}`, l.last))
	if status != http.StatusAccepted {
		l.t.Errorf("cancellation: status %d, %s", status, body)
	}
	for {
		e, err := st.read()
		if err != nil {
			break // the response is over
		}
		if strings.Contains(e.data, `"result"`) {
			l.t.Errorf("a cancelled call returned %s", e.data)
		}
	}
	eventually(l.t, "end of the cancelled call", func() bool { return l.n.metric(l.t, "rookery_calls_in_flight") == 0 })
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
		status, answer, err := l.call(t.Context(), n[0], 1000+i, "echo", `{"text":"x"}`)
		if err != nil || status != http.StatusOK {
			t.Errorf("client %d: status %d, %v, %s", i, status, err, answer)
		}
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
