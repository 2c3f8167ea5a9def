package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

func item(i int) string { return fmt.Sprintf("demo://item/%d", i) }

// A GET stream whose connection breaks is taken up again: what was missed comes
// first, in order and once, however often the client asks, and what follows
// comes after it.
func TestResumeGet(t *testing.T) {
	n := startNode(t)
	s := newSession(t, n.mcp())
	const missed = 20
	for i := range missed + 2 {
		s.subscribe(item(i))
	}
	first := s.resume("")
	if e := first.event(); e.id == "" || e.data != "" {
		t.Fatalf("the stream begins with %+v, not with an id", e)
	}
	s.touch(item(0))
	m, last := first.message()
	if m.Params.URI != item(0) || last == "" {
		t.Fatalf("%+v with id %q", m, last)
	}
	first.cut()
	for i := range missed {
		s.touch(item(1 + i))
	}

	var ids []string
	for try := range 2 { // the second connection takes the place of the first
		st := s.resume(last)
		var again []string
		for i := range missed {
			m, id := st.message()
			if m.Method != "notifications/resources/updated" || m.Params.URI != item(1+i) {
				t.Fatalf("missed %d: %+v", i, m)
			}
			again = append(again, id)
		}
		if try == 1 {
			if !slices.Equal(ids, again) {
				t.Errorf("ids %v, then %v", ids, again)
			}
			s.touch(item(missed + 1))
			if m, id := st.message(); m.Params.URI != item(missed+1) || slices.Contains(ids, id) {
				t.Errorf("after what was missed: %+v, id %q", m, id)
			}
			st.quiet()
		}
		ids = again
	}
	if len(slices.Compact(slices.Sorted(slices.Values(ids)))) != missed {
		t.Errorf("ids repeat: %v", ids)
	}
}

// What cannot be given in full is not given in part.
func TestResumeRefused(t *testing.T) {
	n := startNode(t)
	s := newSession(t, n.mcp())
	s.subscribe(item(0))
	st := s.resume("")
	s.touch(item(0))
	_, last := st.message()
	stream, _, _ := strings.Cut(last, "-")
	st.cut()
	for _, c := range []struct {
		id     string
		status int
	}{
		{stream + "-ffff", http.StatusNotFound}, // never was
		{"7777-1", http.StatusNotFound},
		{"nonsense", http.StatusBadRequest},
	} {
		if st, status := s.open(c.id); st != nil || status != c.status {
			t.Errorf("after %q: status %d, want %d", c.id, status, c.status)
		}
	}
	const kept = 256 // events of a session, by default
	for range kept + 44 {
		s.touch(item(0))
	}
	if st, status := s.open(last); st != nil || status != http.StatusNotFound {
		t.Errorf("after more events than are kept: status %d, want 404", status)
	}
	s.resume("") // the session itself goes on

	r, err := http.DefaultClient.Do(s.request(http.MethodDelete, nil))
	if err != nil {
		t.Fatal(err)
	}
	r.Body.Close()
	if st, status := s.open(last); st != nil || status != http.StatusNotFound {
		t.Errorf("of a session that has ended: status %d, want 404", status)
	}
}

// callTool begins a call whose response is a stream, on a connection of its own.
func (s *session) callTool(id int, name, token string) *sse {
	s.t.Helper()
	body := fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{"name":%q,"arguments":{},"_meta":{"progressToken":%q}}}`, id, name, token)
	st, status := openSSE(s.t, s.request(http.MethodPost, strings.NewReader(body)))
	if st == nil {
		s.t.Fatalf("%s: status %d, or no stream", name, status)
	}
	return st
}

// A call outlives the connection it came on: the rest of its messages and its
// result are fetched with the id of the last that arrived, while it runs and
// after it has ended.
func TestResumePost(t *testing.T) { onBoth(t, resumePost) }

func resumePost(t *testing.T, n *node) {
	s := newSession(t, n.mcp())
	call := s.callTool(1, "test_tool_with_progress", "p")
	var last string
	for last == "" {
		last = call.event().id
	}
	call.cut()
	for range 2 { // the second time the call is over
		st := s.resume(last)
		var progress []float64
		for {
			m, id := st.message()
			if id == "" {
				t.Errorf("no id: %+v", m)
			}
			if m.Method == "notifications/progress" {
				progress = append(progress, m.Params.Progress)
				continue
			}
			if string(m.ID) != "1" || !strings.Contains(string(m.Result), "executed successfully") {
				t.Errorf("the end: %+v", m)
			}
			break
		}
		if len(progress) < 2 || !slices.IsSorted(progress) || progress[len(progress)-1] != 100 {
			t.Errorf("progress %v", progress)
		}
		if _, err := st.read(); !errors.Is(err, io.EOF) {
			t.Errorf("the stream did not end with the result: %v", err)
		}
	}
}

// The server ends the stream of a call and the client comes back (SEP-1699).
func TestPolling(t *testing.T) { onBoth(t, polling) }

func polling(t *testing.T, n *node) {
	s := newSession(t, n.mcp())
	call := s.callTool(1, "test_reconnection", "p")
	var last, retry string
	for {
		e, err := call.read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if e.data != "" {
			t.Errorf("on the first stream: %s", e.data)
		}
		last, retry = max(last, e.id), max(retry, e.retry)
	}
	if last == "" || retry == "" {
		t.Fatalf("the stream ended without id (%q) or retry (%q)", last, retry)
	}
	if m, _ := s.resume(last).message(); string(m.ID) != "1" || m.Result == nil {
		t.Errorf("the result: %+v", m)
	}
}

// Calls side by side in one session keep their streams apart.
func TestManyPostStreams(t *testing.T) { onBoth(t, manyPostStreams) }

func manyPostStreams(t *testing.T, n *node) {
	s := newSession(t, n.mcp())
	const calls = 20
	var streams [calls]*sse
	for i := range calls {
		streams[i] = s.callTool(i, "test_tool_with_progress", fmt.Sprint("token ", i))
	}
	for i, st := range streams {
		for step := 0; ; step++ {
			m, _ := st.message()
			if m.Method == "" {
				if string(m.ID) != fmt.Sprint(i) || step != 3 {
					t.Errorf("call %d got the result of %s after %d messages", i, m.ID, step)
				}
				break
			}
			if m.Params.ProgressToken != fmt.Sprint("token ", i) || m.Params.Progress != float64(50*step) {
				t.Errorf("call %d, message %d: %+v", i, step, m.Params)
			}
		}
	}
}

// A session may have several GET streams. Each message goes to exactly one of
// them, and when that breaks another takes over.
func TestManyGetStreams(t *testing.T) {
	n := startNode(t)
	s := newSession(t, n.mcp())
	const streams = 5
	var open []*sse
	for range streams {
		open = append(open, s.resume(""))
	}
	for i := range streams {
		s.subscribe(item(i))
	}
	for i := range streams {
		latest := open[len(open)-1]
		s.touch(item(i))
		if m, _ := latest.message(); m.Params.URI != item(i) {
			t.Errorf("message %d: %+v", i, m)
		}
		latest.cut()
		open = open[:len(open)-1]
		left := float64(len(open))
		eventually(t, "end of the cut stream", func() bool { return n.metric(t, "rookery_connections", `state="stream"`) == left })
	}
}

// resumeReport is what resume.mjs prints.
type resumeReport struct {
	Mode, Polled string
	Seen         []string
	Opened       int
}

// The official TypeScript clients lose their stream to a broken connection and
// a call to a server that sends them away; they come back and miss nothing.
func TestTypeScriptClientsResume(t *testing.T) {
	requireNode(t)
	for _, mode := range []string{"v1", "v2-legacy"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			n, c := startNode(t), startConformance(t, "native")
			wire := newWire(t, n.http)
			other := newSession(t, n.mcp())
			control := newControl(t, map[string]func(string) error{
				"/cut":   func(string) error { wire.cut(); return nil },
				"/touch": other.tryTouch,
			})
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			defer cancel()
			out := nodeScript(ctx, t, "resume.mjs", mode, "http://"+wire.addr+"/mcp", control, c.mcp())
			var r resumeReport
			if err := json.Unmarshal(out, &r); err != nil {
				t.Fatalf("%v in %s", err, out)
			}
			want := []string{item(0), item(1), item(2), item(3), item(4)}
			if !slices.Equal(r.Seen, want) {
				t.Errorf("told of %v, want %v", r.Seen, want)
			}
			if r.Opened < 2 {
				t.Errorf("opened %d streams: it did not have to come back", r.Opened)
			}
			if !strings.Contains(r.Polled, "completed successfully") {
				t.Errorf("the call that polls: %q", r.Polled)
			}
		})
	}
}

// The official Go client, whose stream breaks.
func TestGoClientResumes(t *testing.T) {
	n := startNode(t)
	wire := newWire(t, n.http)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	updated := make(chan string, 16)
	c := mcp.NewClient(&mcp.Implementation{Name: "rookery-e2e", Version: "1.0.0"}, &mcp.ClientOptions{
		ResourceUpdatedHandler: func(_ context.Context, r *mcp.ResourceUpdatedNotificationRequest) { updated <- r.Params.URI },
	})
	watch := &watchStream{opened: make(chan struct{})}
	s, err := c.Connect(ctx, &mcp.StreamableClientTransport{Endpoint: "http://" + wire.addr + "/mcp", HTTPClient: &http.Client{Transport: watch}},
		&mcp.ClientSessionOptions{ProtocolVersion: "2025-11-25"})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	other := newSession(t, n.mcp())
	const all = 5
	for i := range all {
		if err := s.Subscribe(ctx, &mcp.SubscribeParams{URI: item(i)}); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case <-watch.opened:
	case <-ctx.Done():
		t.Fatal("the stream was not opened")
	}
	told := func(i int) {
		t.Helper()
		select {
		case uri := <-updated:
			if uri != item(i) {
				t.Errorf("told of %s, want %s", uri, item(i))
			}
		case <-ctx.Done():
			t.Fatalf("not told of %s", item(i))
		}
	}
	other.touch(item(0))
	told(0)
	wire.cut()
	for i := 1; i < all; i++ {
		other.touch(item(i))
	}
	for i := 1; i < all; i++ {
		told(i)
	}
	if got := n.metric(t, "rookery_mcp_streams_resumed_total"); got != 1 {
		t.Errorf("%v streams taken up again, want 1", got)
	}
}
