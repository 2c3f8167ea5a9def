package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// HAProxy and nginx, with what `rookery cluster balancer` prints and nothing
// else, in front of four nodes.
func TestBalancers(t *testing.T) {
	for _, kind := range []string{"haproxy", "nginx"} {
		t.Run(kind, func(t *testing.T) {
			b := startBalancer(t, kind)
			all := b.watch(2)
			b.sticks(all)
			b.large(all[0])
			b.kill(all)
			b.nest.start(b.nest.members[victim])
			b.nest.settled()
			b.drain(all)
		})
	}
}

const (
	victim  = 0 // is killed
	drained = 1 // is drained
)

// balancer is a running HAProxy or nginx.
type balancer struct {
	t       *testing.T
	nest    *nest
	kind    string
	addr    string
	config  string // path
	tags    map[*member]string
	touched int // items, one after another
	cmd     *exec.Cmd
	log     lockedBuffer
	ended   chan struct{}
}

// requireBalancer returns the path of a program. It skips where there is none,
// but not in CI.
func requireBalancer(t *testing.T, kind string) string {
	t.Helper()
	for _, name := range []string{kind, "/usr/sbin/" + kind} { // Debian keeps it from users' PATH
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	missing := kind + " is not installed: apt-get install " + map[string]string{"haproxy": "haproxy", "nginx": "nginx-light"}[kind]
	if os.Getenv("CI") != "" {
		t.Fatal(missing)
	}
	t.Skip(missing)
	return ""
}

func startBalancer(t *testing.T, kind string) *balancer {
	t.Helper()
	program := requireBalancer(t, kind)
	dir := t.TempDir()
	b := &balancer{
		t: t, nest: startNest(t, nodesOfCluster), kind: kind, config: filepath.Join(dir, kind+".conf"),
		addr: net.JoinHostPort("127.0.0.1", strconv.Itoa(freePorts(t, 1)[0])), ended: make(chan struct{}),
	}
	b.configure(t, b.nest.members...)
	switch kind {
	case "haproxy":
		b.cmd = exec.Command(program, "-db", "-f", b.config)
	case "nginx":
		b.cmd = exec.Command(program, "-p", dir, "-e", "stderr", "-c", b.config, "-g",
			"daemon off; error_log stderr notice; pid "+filepath.Join(dir, "nginx.pid")+";")
	}
	b.cmd.Stdout, b.cmd.Stderr = &b.log, &b.log
	b.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := b.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { // ends with the process
		_ = b.cmd.Wait() // it is killed in the end
		close(b.ended)
	}()
	t.Cleanup(func() {
		_ = syscall.Kill(-b.cmd.Process.Pid, syscall.SIGKILL) // workers too
		<-b.ended
		if t.Failed() {
			t.Logf("log of %s:\n%s", kind, b.log.String())
		}
	})
	// It serves once it has found the nodes.
	eventually(t, "answer through "+kind, func() bool {
		status, _, err := fetch("http://" + b.addr + "/readyz")
		select {
		case <-b.ended:
			t.Fatalf("%s ended", kind)
		default:
		}
		return err == nil && status == http.StatusOK
	})
	return b
}

// configure writes the configuration for some of the nodes.
func (b *balancer) configure(t *testing.T, nodes ...*member) {
	t.Helper()
	args := []string{"cluster", "balancer", b.kind, "--listen", b.addr}
	for _, m := range nodes {
		args = append(args, m.name+"="+m.http)
	}
	out, err := exec.Command(binary, args...).Output()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(b.config, out, 0o644); err != nil {
		t.Fatal(err)
	}
}

// reload has nginx read its configuration again, and waits until its former
// workers accept nothing more. They close idle connections then, also one on
// which a request is on its way: the client, who may not repeat it, gets new
// connections first.
func (b *balancer) reload(t *testing.T) {
	t.Helper()
	former := strings.Count(b.log.String(), "start worker process ")
	if former == 0 {
		t.Fatal("nginx does not say which workers it has started")
	}
	if err := b.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	eventually(t, "end of the former workers of nginx", func() bool {
		return strings.Count(b.log.String(), "gracefully shutting down") >= former
	})
	http.DefaultClient.CloseIdleConnections()
}

func (b *balancer) url() string { return "http://" + b.addr + "/mcp" }

// watcher is a client of the balancer with an open stream.
type watcher struct {
	*session
	on    *member // that made the session
	st    *sse
	last  string // id of the latest event
	retry string // of the stream, in ms
	away  bool   // the stream is on another node than on, any of them
}

// watch opens sessions on each node, and their streams through the balancer.
func (b *balancer) watch(each int) (all []*watcher) {
	b.t.Helper()
	b.tags = map[*member]string{}
	for _, m := range b.nest.members {
		for range each {
			w := &watcher{session: newSession(b.t, m.mcp()), on: m}
			b.tags[m] = w.id[:4]
			w.url = b.url()
			for i := range 16 {
				w.subscribe(item(i))
			}
			w.resume()
			all = append(all, w)
		}
	}
	return all
}

// resume opens the stream, again and again as long as nobody can say whether
// the session lives: a client that follows the protocol.
func (w *watcher) resume() {
	w.t.Helper()
	eventually(w.t, "stream", func() bool {
		st, status := w.open(w.last)
		if st == nil && status != http.StatusServiceUnavailable && status != http.StatusBadGateway {
			w.t.Fatalf("GET after %q: status %d", w.last, status)
		}
		w.st = st
		return st != nil
	})
	if w.last == "" {
		w.last = w.st.event().id
	}
}

// hears requires the touches of these items, in this order, and no other.
func (w *watcher) hears(from, to int) {
	w.t.Helper()
	for i := from; i < to; i++ {
		e, err := w.st.read()
		if err != nil && w.away && !errors.Is(err, os.ErrDeadlineExceeded) {
			w.resume() // that one is drained
			i--
			continue
		}
		if err != nil {
			w.t.Fatalf("client of %s waits for %s: %v", w.on.name, item(i), err)
		}
		if e.data == "" {
			i--
			continue
		}
		if !strings.Contains(e.data, `"notifications/resources/updated"`) || !strings.Contains(e.data, `"`+item(i)+`"`) {
			w.t.Fatalf("client of %s: got %s, want %s", w.on.name, e.data, item(i))
		}
		w.last = e.id
	}
}

// cutOff waits until the stream ends; nothing may come before that.
func (w *watcher) cutOff() {
	w.t.Helper()
	for {
		e, err := w.st.read()
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			w.t.Fatalf("client of %s: the stream is still open", w.on.name)
		case err != nil:
			if ms, err := strconv.Atoi(w.retry); err == nil {
				time.Sleep(time.Duration(ms) * time.Millisecond) // the node asks for it
			}
			return
		case e.retry != "":
			w.retry = e.retry
		case e.data != "":
			w.t.Fatalf("client of %s: got %s", w.on.name, e.data)
		}
	}
}

// patient gives all streams time for a step.
func patient(all []*watcher) {
	for _, w := range all {
		_ = w.st.conn.SetReadDeadline(time.Now().Add(settlePatience)) // one that is closed is found out
	}
}

// touch changes the next items, in the session of w.
func (b *balancer) touch(w *watcher, n int) {
	w.t.Helper()
	for range n {
		w.touch(item(b.touched))
		b.touched++
	}
}

// forwarded returns how many requests nodes have sent on to others.
func (b *balancer) forwarded(t *testing.T, of ...*member) (n uint64) {
	t.Helper()
	for _, m := range of {
		n += m.stat(t, "forwarded")
	}
	return n
}

// sticks: requests reach the node that has their session, on old connections
// and new ones, streams too; those without a session are spread; and what is
// written to a stream comes at once.
func (b *balancer) sticks(all []*watcher) {
	t := b.t
	t.Helper()
	patient(all)
	for _, w := range all {
		for range 3 {
			http.DefaultClient.CloseIdleConnections()
			w.call("tools/list", `{}`)
			w.call("tools/list", `{}`)
		}
	}
	used := map[string]int{}
	for range 4 * len(all) {
		s := newSession(t, b.url())
		s.call("tools/list", `{}`)
		used[s.id[:4]]++
	}
	for m, tag := range b.tags {
		if used[tag] == 0 {
			t.Errorf("no session was begun on %s: %v", m.name, used)
		}
	}
	for i := range 4 {
		b.touch(all[i], 1)
		for _, w := range all {
			w.hears(i, i+1)
		}
	}
	if n := b.forwarded(t, b.nest.members...); n != 0 {
		t.Errorf("%d requests did not reach the node of their session", n)
	}
	for _, m := range b.nest.members {
		if r, ok := m.report(); !ok || r.Processes[0].Homes < 3 {
			t.Errorf("%s has %d sessions, %v", m.name, r.Processes[0].Homes, ok)
		}
	}
}

// large: what the nodes take the balancer lets through.
func (b *balancer) large(w *watcher) {
	t := b.t
	t.Helper()
	text := strings.Repeat("x", 4<<20)
	var got struct{ Content []struct{ Text string } }
	if err := json.Unmarshal(w.call("tools/call", fmt.Sprintf(`{"name":"echo","arguments":{"text":%q}}`, text)), &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Content) != 1 || got.Content[0].Text != text {
		t.Error("the text came back changed")
	}
}

// kill: clients of a node that is killed come back through the balancer and
// get exactly what they missed; the others notice nothing.
func (b *balancer) kill(all []*watcher) {
	t := b.t
	t.Helper()
	m := b.nest.members[victim]
	from := b.touched
	m.kill(t)
	b.touch(all[len(all)-1], 3)
	patient(all)
	for _, w := range all {
		if w.on == m {
			w.cutOff()
			w.resume()
			w.away = true
		}
		w.hears(from, b.touched)
	}
	from = b.touched
	b.touch(all[0], 1) // whose own session was taken over
	for _, w := range all {
		w.hears(from, b.touched)
	}
}

// drain: a node that is drained keeps nobody and gets nobody, until it is to
// take sessions again.
func (b *balancer) drain(all []*watcher) {
	t := b.t
	t.Helper()
	m := b.nest.members[drained]
	if b.kind == "nginx" { // which asks nobody
		rest := append([]*member{b.nest.members[0]}, b.nest.members[2:]...)
		b.configure(t, rest...)
		b.reload(t)
	}
	patient(all)
	from := b.touched
	m.cluster(t, "drain", m.name)
	b.touch(all[len(all)-1], 2)
	for _, w := range all {
		if w.on == m {
			w.cutOff()
			w.resume()
		}
		w.hears(from, b.touched)
	}
	b.getsNothing(m, all)

	m.cluster(t, "drain", m.name, "--undo")
	if b.kind == "nginx" {
		b.configure(t, b.nest.members...)
		b.reload(t)
	}
	before := m.fromClients(t)
	eventually(t, "request at the node that takes sessions again", func() bool {
		for _, w := range all {
			w.call("tools/list", `{}`)
		}
		return m.fromClients(t) > before
	})
	for _, w := range all {
		w.st.quiet()
	}
}

// fromClients returns how many requests came to a node by itself, not by way of
// another node.
func (m *member) fromClients(t *testing.T) float64 {
	t.Helper()
	return m.metric(t, "rookery_mcp_requests_total") + m.metric(t, "rookery_cluster_requests_forwarded_total") -
		m.metric(t, "rookery_cluster_requests_served_total")
}

// getsNothing waits until the balancer has noticed that a node is drained, and
// requires that it then sends nothing there, however often it is asked.
func (b *balancer) getsNothing(m *member, all []*watcher) {
	t := b.t
	t.Helper()
	ask := func() {
		for _, w := range all {
			w.call("tools/list", `{}`)
		}
		for range len(all) {
			if s := newSession(t, b.url()); s.id[:4] == b.tags[m] {
				s.call("tools/list", `{}`)
			}
		}
	}
	requests := func() float64 { return m.fromClients(t) }
	eventually(t, "turning away from a node that is drained", func() bool {
		before := requests()
		ask()
		return requests() == before
	})
	before := requests()
	for range 4 {
		http.DefaultClient.CloseIdleConnections()
		ask()
	}
	if after := requests(); after != before {
		t.Errorf("%s is drained and got %v requests", m.name, after-before)
	}
}
