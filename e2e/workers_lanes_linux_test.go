package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
)

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
