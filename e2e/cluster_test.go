package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// Four processes are one server: everything works everywhere, whatever node a
// client speaks to.
func TestCluster(t *testing.T) {
	c := startNest(t, nodesOfCluster)
	t.Run("status", c.status)
	t.Run("broadcast", c.broadcast)
	t.Run("touch", c.touch)
	t.Run("answer elsewhere", c.answerElsewhere)
	t.Run("any node", c.anyNode)
}

// status: each node says the same of the cluster.
func (c *nest) status(t *testing.T) {
	for _, m := range c.members {
		var rows []struct {
			Node, State, Error string
			Links              int
			Wanted             int `json:"links_wanted"`
			Filled             bool
		}
		out := m.cluster(t, "status", "--json")
		if err := json.Unmarshal(out, &rows); err != nil {
			t.Fatalf("%v in %s", err, out)
		}
		if len(rows) != len(c.members) {
			t.Errorf("%s shows %d nodes, want %d: %s", m.name, len(rows), len(c.members), out)
		}
		for i, r := range rows {
			if want := fmt.Sprint("n", i+1); r.Node != want || r.State != "alive" || r.Links != 3 || r.Wanted != 3 || !r.Filled || r.Error != "" {
				t.Errorf("%s shows %+v, want %s alive with 3 links, filled", m.name, r, want)
			}
		}
	}
}

// broadcast: every session hears every broadcast of every node once and in
// order, sessions on TCP and the caller's own included.
func (c *nest) broadcast(t *testing.T) {
	c.t = t
	a := c.newAudience(16)
	var lines []*client
	for _, m := range c.members {
		lines = append(lines, dialMCP(t, m.tcp))
	}
	b := a.publish(c.members...)
	b.more(10)
	b.verify(false)

	caller := a.members[0]
	status, answer, err := caller.call(t.Context(), c.members[2], 7, "broadcast", `{"text":"p0/1000"}`)
	// The publishers have no stream: the message is kept for them.
	if want := fmt.Sprintf(`"notified":%d`, len(a.members)+len(lines)); err != nil || status != http.StatusOK || !bytes.Contains(answer, []byte(want)) {
		t.Errorf("broadcast: status %d, %v, %s, want %s", status, err, answer, want)
	}
	for i, l := range a.members {
		eventually(t, fmt.Sprintf("broadcast at client %d", i), func() bool {
			l.mu.Lock()
			defer l.mu.Unlock()
			return slices.Contains(l.heard[0], 1000)
		})
	}
	for _, line := range lines {
		b.heardOn(line)
	}
}

// heardOn reads a TCP session's messages up to the test's last broadcast.
func (b *broadcasts) heardOn(c *client) {
	b.t.Helper()
	var heard [publishersMax][]int
	total := 0
	for _, p := range b.all {
		total += len(p.acked)
	}
	for range total {
		var p, n int
		line := c.line()
		_, text, _ := strings.Cut(line, `"data":"`)
		if _, err := fmt.Sscanf(text, "p%d/%d", &p, &n); err != nil {
			b.t.Fatalf("%v: %s", err, line)
		}
		heard[p] = append(heard[p], n)
	}
	for _, p := range b.all {
		if _, err := p.judge(heard[p.number]); err != nil {
			b.t.Errorf("TCP, publisher %d: %v", p.number, err)
		}
	}
	if line := c.line(); !strings.Contains(line, `"data":"p0/1000"`) {
		b.t.Errorf("then comes %s", line)
	}
}

// dialMCP opens a session of 2025-11-25 on a TCP listener.
func dialMCP(t *testing.T, addr string) *client {
	t.Helper()
	c := dial(t, addr)
	c.send(`{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"e2e","version":"1"}}}` + "\n")
	if line := c.line(); !strings.Contains(line, `"result"`) {
		t.Fatalf("initialize: %s", line)
	}
	c.send(`{"jsonrpc":"2.0","method":"notifications/initialized"}` + "\n")
	return c
}

// touch: who subscribes on one node is told what happens on another.
func (c *nest) touch(t *testing.T) {
	var streams []*sse
	for _, m := range c.members {
		s := newSession(t, m.mcp())
		s.subscribe(item(1))
		streams = append(streams, s.resume(""))
	}
	for range c.members {
		newSession(t, c.members[3].mcp()).touch(item(1))
		newSession(t, c.members[3].mcp()).touch(item(2)) // nobody asked for it
	}
	for i, st := range streams {
		for range c.members {
			if m, _ := st.message(); m.Method != "notifications/resources/updated" || m.Params.URI != item(1) {
				t.Errorf("stream on %s: %+v", c.members[i].name, m)
			}
		}
		st.quiet()
	}
}

// answerElsewhere: a handler waits on one node for what the client's user says,
// and the answer arrives on another.
func (c *nest) answerElsewhere(t *testing.T) {
	c.t = t
	a := c.newAudience(1)
	l := a.members[0]
	for i, at := range c.members {
		id := 100 + i
		req := a.request(t.Context(), at, http.MethodPost, l.session, fmt.Sprintf(
			`{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{"name":"confirm","arguments":{"text":"Leave?"}}}`, id))
		st, status := openSSE(t, req)
		if st == nil {
			t.Fatalf("confirm on %s: status %d", at.name, status)
		}
		var question struct {
			ID     json.RawMessage
			Method string
		}
		for question.Method == "" {
			if data := st.event().data; data != "" && json.Unmarshal([]byte(data), &question) != nil {
				t.Fatalf("confirm on %s: %s", at.name, data)
			}
		}
		to := c.members[(i+1)%len(c.members)]
		code, _, body, err := a.post(t.Context(), to, l.session, fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"result":{"action":"accept","content":{"sure":true}}}`, question.ID))
		if err != nil || code != http.StatusAccepted {
			t.Errorf("answer on %s: status %d, %v, %s", to.name, code, err, body)
		}
		if data := st.event().data; !strings.Contains(data, `"sure":true`) || !strings.Contains(data, fmt.Sprintf(`"id":%d`, id)) {
			t.Errorf("confirm on %s, answered on %s: %s", at.name, to.name, data)
		}
	}
}

// anyNode: requests for one session on all nodes; its end is known everywhere.
func (c *nest) anyNode(t *testing.T) {
	c.t = t
	a := c.newAudience(0)
	l := &listener{a: a}
	if err := l.initialize(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i, m := range c.members {
		status, answer, err := l.call(t.Context(), m, i, "echo", fmt.Sprintf(`{"text":"from %s"}`, m.name))
		if err != nil || status != http.StatusOK || !bytes.Contains(answer, []byte("from "+m.name)) {
			t.Errorf("echo on %s: status %d, %v, %s", m.name, status, err, answer)
		}
	}
	res, err := a.http.Do(a.request(t.Context(), c.members[3], http.MethodDelete, l.session, ""))
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode/100 != 2 {
		t.Errorf("DELETE: status %d", res.StatusCode)
	}
	for _, m := range c.members {
		m.gone(t, l)
	}
}

// gone waits until a node answers 404 for a session, as one that has ended.
func (m *member) gone(t *testing.T, l *listener) {
	t.Helper()
	eventually(t, "404 of "+m.name+" for a session that has ended", func() bool {
		status, _, err := l.call(t.Context(), m, 1, "echo", `{"text":"x"}`)
		return err == nil && status == http.StatusNotFound
	})
}
