package e2e

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// audience are clients of a cluster that follow the protocol of 2025-11-25: each
// has one session and holds a GET stream; when that ends it is taken up on
// another node with the session's id and the last event id; 503 is asked again
// after the time it names. What they hear is kept.
type audience struct {
	t       *testing.T
	c       *nest
	http    *http.Client // gives a node up that does not begin to answer
	patient *http.Client // waits as long as its context says
	members []*listener
	last    [publishersMax]int // number of each publisher's latest broadcast
	wg      sync.WaitGroup
	stop    context.CancelFunc

	resumes, unavailable, cut atomic.Int64

	mu     sync.Mutex
	faults []string // what may not happen; guarded by mu
}

// listener is one of them.
type listener struct {
	a       *audience
	number  int
	session string
	watch   bool // leaves a stream on which nothing comes, not even keep-alives
	rand    *rand.Rand
	last    string // id of the latest event
	at      atomic.Int32

	mu    sync.Mutex
	heard [publishersMax][]int // guarded by mu; numbers of broadcasts, as they came
	trace []string             // guarded by mu; what happened to it, for people
	open  bool                 // guarded by mu; a stream is open
	lost  time.Time            // guarded by mu; when the latest stream ended
	worst time.Duration        // guarded by mu; longest time without a stream
}

const (
	publishersMax = 4
	silenceMax    = 4 * time.Second // keep-alives come each second
	headerMax     = 5 * time.Second // for a node that is stopped
)

// newAudience opens n sessions, spread over the nodes, and a stream for each.
func (c *nest) newAudience(n int) *audience {
	c.t.Helper()
	transport := &http.Transport{DisableKeepAlives: true, ResponseHeaderTimeout: headerMax}
	ctx, stop := context.WithCancel(context.Background())
	a := &audience{
		t: c.t, c: c, stop: stop, http: &http.Client{Transport: transport},
		patient: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}},
	}
	c.t.Cleanup(func() {
		stop()
		a.wg.Wait()
	})
	begin := make(chan *listener)
	go func() {
		defer close(begin)
		for i := range n {
			l := &listener{a: a, number: i, watch: i%2 == 0, rand: rand.New(rand.NewPCG(1, uint64(i)))}
			l.at.Store(int32(i % len(c.members)))
			a.members = append(a.members, l)
			begin <- l
		}
	}()
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for l := range begin {
				if err := l.initialize(ctx); err != nil {
					a.fault("client %d: %v", l.number, err)
				}
			}
		})
	}
	wg.Wait()
	a.check()
	for _, l := range a.members {
		a.wg.Go(func() { l.listen(ctx) })
	}
	a.served()
	return a
}

// faultsMax is how many faults are told.
const faultsMax = 12

// fault notes something that may not happen.
func (a *audience) fault(format string, args ...any) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.faults) < faultsMax {
		a.faults = append(a.faults, fmt.Sprintf(format, args...))
	}
}

// check fails the test if there were faults since the last check.
func (a *audience) check() {
	a.t.Helper()
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.faults) > 0 {
		a.t.Errorf("clients:\n%s", strings.Join(a.faults, "\n"))
	}
	a.faults = nil
}

// served waits until each client has a stream.
func (a *audience) served() {
	a.t.Helper()
	a.c.await("streams for all clients", func() bool {
		a.check()
		for _, l := range a.members {
			l.mu.Lock()
			open := l.open
			l.mu.Unlock()
			if !open {
				return false
			}
		}
		return true
	})
}

// worst returns the longest time that a client had no stream.
func (a *audience) worst() (d time.Duration) {
	for _, l := range a.members {
		l.mu.Lock()
		d = max(d, l.worst)
		l.mu.Unlock()
	}
	return d
}

// request prepares a request of a session to a node.
func (a *audience) request(ctx context.Context, node *member, method, session, body string) *http.Request {
	var r io.Reader
	if body != "" {
		r = strings.NewReader(body)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://"+node.http+"/mcp", r)
	if err != nil {
		panic(err) // method and URL are ours
	}
	req.Header.Set("Accept", "application/json, text/event-stream")
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Mcp-Protocol-Version", "2025-11-25")
	if session != "" {
		req.Header.Set("Mcp-Session-Id", session)
	}
	return req
}

// post sends a message to a node and returns the whole answer. With a deadline
// it waits until then, however busy the machine is.
func (a *audience) post(ctx context.Context, node *member, session, body string) (status int, head http.Header, answer []byte, err error) {
	client := a.http
	if _, bounded := ctx.Deadline(); bounded {
		client = a.patient
	}
	res, err := client.Do(a.request(ctx, node, http.MethodPost, session, body))
	if err != nil {
		return 0, nil, nil, err
	}
	defer res.Body.Close()
	answer, err = io.ReadAll(res.Body)
	return res.StatusCode, res.Header, answer, err
}

const beginning = `{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25",` +
	`"capabilities":{"elicitation":{}},"clientInfo":{"name":"e2e","version":"1"}}}`

// initialize opens the session on the client's first node.
func (l *listener) initialize(ctx context.Context) error {
	node := l.a.c.members[l.at.Load()]
	status, head, body, err := l.a.post(ctx, node, "", beginning)
	if l.session = head.Get("Mcp-Session-Id"); err != nil || status != http.StatusOK || l.session == "" {
		return fmt.Errorf("initialize on %s: status %d, %w: %s", node.name, status, err, body)
	}
	status, _, body, err = l.a.post(ctx, node, l.session, `{"jsonrpc":"2.0","method":"notifications/initialized"}`)
	if err != nil || status != http.StatusAccepted {
		return fmt.Errorf("initialized on %s: status %d, %w: %s", node.name, status, err, body)
	}
	return nil
}

// listen holds a stream open until ctx ends.
func (l *listener) listen(ctx context.Context) {
	for ctx.Err() == nil {
		wait := l.stream(ctx, l.a.c.members[l.at.Load()])
		others := int32(len(l.a.c.members) - 1)
		l.at.Store((l.at.Load() + 1 + l.rand.Int32N(max(others, 1))) % (others + 1))
		select {
		case <-ctx.Done():
		case <-time.After(wait/2 + time.Duration(l.rand.Int64N(int64(wait)/2+1))):
		}
	}
}

// soon is when a client comes again that was told nothing about it.
const soon = 50 * time.Millisecond

// stream opens a stream on node and stays until it ends. It returns when to
// come again.
func (l *listener) stream(ctx context.Context, node *member) (again time.Duration) {
	ctx, leave := context.WithCancel(ctx)
	defer leave()
	req := l.a.request(ctx, node, http.MethodGet, l.session, "")
	if l.last != "" {
		req.Header.Set("Last-Event-Id", l.last)
	}
	res, err := l.a.http.Do(req)
	if err != nil {
		l.a.cut.Add(1) // refused, reset, or no answer: a node that is not there
		return soon
	}
	defer res.Body.Close()
	switch res.StatusCode {
	case http.StatusOK:
	case http.StatusServiceUnavailable:
		l.noteLocked(node.name + " 503")
		l.a.unavailable.Add(1)
		seconds, err := strconv.Atoi(res.Header.Get("Retry-After"))
		if err != nil || seconds < 1 {
			l.a.fault("client %d: 503 of %s with Retry-After %q", l.number, node.name, res.Header.Get("Retry-After"))
		}
		return time.Duration(seconds) * time.Second
	default:
		body, _ := io.ReadAll(res.Body) // for people
		if ctx.Err() == nil {
			l.a.fault("client %d: resume of %s on %s after %q: status %d %s", l.number, l.session, node.name, l.last, res.StatusCode, body)
		}
		<-ctx.Done()
		return 0
	}
	l.opened(true)
	defer l.opened(false)
	l.noteLocked(fmt.Sprintf("%s after %s", node.name, l.last))
	l.a.resumes.Add(1)
	return l.read(res.Body, leave)
}

// opened notes that a stream began or ended.
func (l *listener) opened(is bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open = is; !is {
		l.lost = time.Now()
		l.note("end")
	} else if !l.lost.IsZero() {
		l.worst = max(l.worst, time.Since(l.lost))
	}
}

// read takes events until the stream ends, and returns the time the server
// wants the client to wait.
func (l *listener) read(body io.Reader, leave func()) (again time.Duration) {
	again = soon
	silence := time.AfterFunc(silenceMax, func() {
		if l.watch {
			leave()
		}
	})
	defer silence.Stop()
	in := bufio.NewScanner(body)
	in.Buffer(nil, 1<<20)
	id, data := "", ""
	for in.Scan() {
		silence.Reset(silenceMax)
		field, value, _ := strings.Cut(in.Text(), ": ")
		switch field {
		case "id":
			id = value
		case "data":
			data = value
		case "retry":
			if ms, err := strconv.Atoi(value); err == nil {
				again = time.Duration(ms) * time.Millisecond
			}
		case "":
			if id != "" {
				l.last = id
			}
			l.hear(data)
			id, data = "", ""
		}
	}
	return again
}

// hear keeps what a message says.
func (l *listener) hear(data string) {
	_, text, ok := strings.Cut(data, `"data":"p`)
	if !ok {
		return
	}
	text, _, _ = strings.Cut(text, `"`)
	who, number, _ := strings.Cut(text, "/")
	p, err := strconv.Atoi(who)
	n, err2 := strconv.Atoi(number)
	if errors.Join(err, err2) != nil || p >= publishersMax {
		l.a.fault("client %d: heard %q", l.number, data)
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.heard[p] = append(l.heard[p], n)
	l.note(l.last + "=" + text)
}

// traceMax is how much of what happened to a client is told.
const traceMax = 2000

// note keeps what happened; mu is held.
func (l *listener) note(what string) {
	if l.trace = append(l.trace, time.Now().Format("05.000 ")+what); len(l.trace) > traceMax {
		l.trace = l.trace[1:]
	}
}

// told returns what of the trace concerns streams and the message text; mu is
// held.
func (l *listener) told(text string) string {
	var told []string
	for i, what := range l.trace {
		_, event, _ := strings.Cut(what, "=")
		near := event == "" || event == text
		for j := max(0, i-1); j <= min(i+1, len(l.trace)-1); j++ {
			near = near || strings.HasSuffix(l.trace[j], "="+text) || !strings.Contains(l.trace[j], "=")
		}
		if near {
			told = append(told, what)
		}
	}
	return strings.Join(told, "; ")
}

func (l *listener) noteLocked(what string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.note(what)
}

// call calls a tool in the client's session on a node.
func (l *listener) call(ctx context.Context, node *member, id int, tool, args string) (status int, answer []byte, err error) {
	status, _, answer, err = l.a.post(ctx, node, l.session,
		fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{"name":%q,"arguments":%s}}`, id, tool, args))
	if err == nil && status == http.StatusOK && !bytes.Contains(answer, []byte(`"result"`)) {
		err = fmt.Errorf("no result: %q", answer)
	}
	return status, answer, err
}
