package load

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"testing"
	"time"
)

func mcpOptions(p Protocol, targets ...Target) Options {
	return Options{Protocol: p, Targets: targets, Clients: 10, Pool: 4}
}

// Both eras: calls, notifications and events arrive and are verified.
func TestMCP(t *testing.T) {
	for _, p := range []Protocol{Sessions, Stateless} {
		t.Run(string(p), func(t *testing.T) {
			s := &mcpServer{}
			o := mcpOptions(p, s.serve(t))
			o.Burst, o.Notify, o.Processes = 2, 0.2, 2
			f, ctx := begin(t, o)
			for range 5 {
				if e, err := f.Publish(ctx); err != nil || e.Notified != 1 {
					t.Fatal(e, err)
				}
			}
			st := callUntil(t, f, 1000, 300)
			if c := &st.Total; c.Failures() > 0 || c.Replies != c.Sent || c.Notes == 0 || int(c.Notes) != s.notes || c.Connects != 10 || st.Connected != 10 {
				t.Errorf("%+v, %d notifications arrived", c, s.notes)
			}
			a, err := f.Audit(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if a.Published != 5 || a.Failed != 0 || a.Clients != 10 || a.Missing != 0 || a.Doubled != 0 || a.Took.Count != 5 || a.Spread.Count != 5 {
				t.Errorf("%+v", a)
			}
			if st := f.Status(); st.Checks.Heard != 50 || st.Checks.Violations() > 0 {
				t.Errorf("%+v", st.Checks)
			}
			if r := f.Result(); r.Failed() || r.Events == nil {
				t.Errorf("%+v", r)
			}
		})
	}
}

func TestJSONRPCHasNoEvents(t *testing.T) {
	f, ctx := begin(t, lineOptions((&lineServer{}).serve(t)))
	if _, err := f.Publish(ctx); !errors.Is(err, ErrNoEvents) {
		t.Error(err)
	}
	if _, err := f.Audit(ctx); !errors.Is(err, ErrNoEvents) {
		t.Error(err)
	}
}

// Events that are missing, doubled or out of order are counted as that.
func TestEventsAreAudited(t *testing.T) {
	for _, test := range []struct {
		name   string
		p      Protocol
		events func(n int) []int
		want   func(a *Audit, c *Checks) bool
	}{
		{"one is missing", Sessions, func(n int) []int {
			if n == 2 {
				return nil
			}
			return []int{n}
		}, func(a *Audit, c *Checks) bool { return a.Missing == 10 && c.Gaps == 10 }},
		{"the last is missing", Sessions, func(n int) []int { return []int{n}[:min(4-n, 1)] },
			func(a *Audit, c *Checks) bool { return a.Missing == 10 && c.Gaps == 0 }},
		{"doubled", Sessions, func(n int) []int { return []int{n, n} },
			func(a *Audit, _ *Checks) bool { return a.Doubled == 40 && a.Missing == 0 }},
		{"out of order", Sessions, func(n int) []int { return [][]int{nil, {}, {2, 1}, {}, {4, 3}}[n] },
			func(a *Audit, c *Checks) bool { return a.Filled == 20 && a.Missing == 0 && c.Gaps == 20 }},
		{"a listener's is missing", Stateless, func(n int) []int { return []int{n}[:min(4-n, 1)] },
			func(a *Audit, _ *Checks) bool { return a.Missing == 10 }},
		{"a listener's is doubled", Stateless, func(n int) []int { return []int{n, n} },
			func(a *Audit, c *Checks) bool { return a.Doubled == 40 && c.Heard == 40 }},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := &mcpServer{events: test.events}
			o := mcpOptions(test.p, s.serve(t))
			o.Timeout = time.Second // for which the audit waits
			f, ctx := begin(t, o)
			for range 4 {
				if _, err := f.Publish(ctx); err != nil {
					t.Fatal(err)
				}
			}
			if test.name == "doubled" || test.name == "a listener's is doubled" {
				until(t, f, "doubles", func(s Status) bool { return s.Checks.Doubled == 40 })
			}
			a, err := f.Audit(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if st := f.Status(); !test.want(a, &st.Checks) {
				t.Errorf("%+v %+v", a, st.Checks)
			}
			if !f.Result().Failed() {
				t.Error("the result is good")
			}
		})
	}
}

// What was not acknowledged may be heard or not.
func TestFailedEventsAreExcused(t *testing.T) {
	s := &mcpServer{}
	o := mcpOptions(Sessions, s.serve(t))
	f, ctx := begin(t, o)
	if _, err := f.Publish(ctx); err != nil {
		t.Fatal(err)
	}
	good := f.publish.targets
	f.publish.targets = []Target{{Addr: netip.MustParseAddrPort("127.0.0.1:1"), Path: "/mcp"}}
	if _, err := f.Publish(ctx); err == nil {
		t.Fatal("an event was published where nobody listens")
	}
	f.publish.targets = good
	if _, err := f.Publish(ctx); err != nil {
		t.Fatal(err)
	}
	a, err := f.Audit(ctx)
	if err != nil || a.Published != 2 || a.Failed != 1 || a.Missing != 0 {
		t.Errorf("%+v, %v", a, err)
	}
}

// An event is published where somebody listens.
func TestPublishGoesElsewhere(t *testing.T) {
	s := &mcpServer{}
	f, ctx := begin(t, mcpOptions(Sessions, s.serve(t)))
	f.publish.targets = append(f.publish.targets, Target{Addr: netip.MustParseAddrPort("127.0.0.1:1"), Path: "/mcp"})
	for range 4 {
		if _, err := f.Publish(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if a, err := f.Audit(ctx); err != nil || a.Published != 4 || a.Missing != 0 {
		t.Errorf("%+v, %v", a, err)
	}
}

// A stream that ends is taken up where it was: session, last event, the pause
// that the server asked for.
func TestStreamsResume(t *testing.T) {
	s := &mcpServer{retry: 300}
	o := mcpOptions(Sessions, s.serve(t))
	o.RetryMin = time.Millisecond
	f, ctx := begin(t, o)
	if _, err := f.Publish(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Audit(ctx); err != nil {
		t.Fatal(err)
	}
	phase, err := f.Phase(ctx, "cut")
	if err != nil {
		t.Fatal(err)
	}
	s.cut()
	st := until(t, f, "losses", func(s Status) bool { return s.Total.Back == 10 })
	p, err := phase.End(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if st.Total.Resumed < 10 || st.Total.Gone != 0 || p.Outages.Length.P50 < 290*time.Millisecond {
		t.Errorf("%+v, %+v", st.Total, p.Outages)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.made != 10 || len(s.resumed) != 20 || slices.ContainsFunc(s.resumed[10:], func(id string) bool { return id != "e1" }) {
		t.Errorf("%d sessions, streams resumed %q", s.made, s.resumed)
	}
}

// A session that the server has forgotten is counted, and begun anew.
func TestLostSessions(t *testing.T) {
	s := &mcpServer{}
	f, ctx := begin(t, mcpOptions(Sessions, s.serve(t)))
	s.mu.Lock()
	clear(s.sessions)
	s.mu.Unlock()
	st := callUntil(t, f, 500, 50)
	if st.Total.Gone != 10 || st.Total.Statuses < 10 || st.Total.Replies == 0 {
		t.Errorf("%+v", st.Total)
	}
	until(t, f, "sessions begun anew", func(s Status) bool { return s.Connected == 10 })
	s.mu.Lock()
	clear(s.sessions)
	s.mu.Unlock()
	s.cut() // found out by the stream this time
	until(t, f, "sessions", func(s Status) bool { return s.Total.Gone == 20 && s.Connected == 10 })
	if err := f.Recovered(ctx); err != nil {
		t.Error(err)
	}
}

// Answers of MCP calls that are not as they should be.
func TestWrongMCPAnswersAreCounted(t *testing.T) {
	for _, test := range []struct {
		name string
		call func(n int, w http.ResponseWriter, id string) bool
		want func(c *Counts) bool
	}{
		{"status", func(_ int, w http.ResponseWriter, _ string) bool { http.Error(w, "no", 500); return true },
			func(c *Counts) bool { return c.Statuses == c.Sent }},
		{"text", func(_ int, w http.ResponseWriter, id string) bool {
			fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"result":{"content":[{"type":"text","text":"no"}]}}`, id)
			return true
		}, func(c *Counts) bool { return c.Wrong == c.Sent }},
		{"id", func(_ int, w http.ResponseWriter, id string) bool {
			fmt.Fprintf(w, `{"jsonrpc":"2.0","id":1%s,"result":{"content":[]}}`, id)
			return true
		}, func(c *Counts) bool { return c.Wrong == c.Sent }},
		{"tool error", func(_ int, w http.ResponseWriter, id string) bool {
			fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"result":{"isError":true,"content":[]}}`, id)
			return true
		}, func(c *Counts) bool { return c.Faults == c.Sent }},
		{"reset", func(_ int, w http.ResponseWriter, _ string) bool {
			c, _, _ := http.NewResponseController(w).Hijack()
			c.Close()
			return true
		}, func(c *Counts) bool { return c.Resets == c.Sent }},
		{"not HTTP", func(_ int, w http.ResponseWriter, _ string) bool {
			c, _, _ := http.NewResponseController(w).Hijack()
			fmt.Fprint(c, "hello\r\n\r\n")
			c.Close()
			return true
		}, func(c *Counts) bool { return c.Wrong == c.Sent }},
		{"two responses", func(_ int, w http.ResponseWriter, _ string) bool {
			c, _, _ := http.NewResponseController(w).Hijack()
			fmt.Fprint(c, "HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\n")
			c.Close()
			return true
		}, func(c *Counts) bool { return c.Statuses == c.Sent }},
		{"busy", func(n int, w http.ResponseWriter, _ string) bool {
			if n%2 == 0 {
				return false
			}
			w.Header().Set("Retry-After", "0")
			w.WriteHeader(503)
			return true
		}, func(c *Counts) bool { return c.Replies == c.Sent && c.Retried > 0 }},
		{"closed after each", func(_ int, w http.ResponseWriter, _ string) bool {
			w.Header().Set("Connection", "close")
			return false
		}, func(c *Counts) bool { return c.Replies == c.Sent }},
		{"as an event", func(_ int, w http.ResponseWriter, id string) bool {
			w.Header().Set("Content-Type", "text/event-stream")
			fmt.Fprintf(w, "event: message\ndata: {\"jsonrpc\":\"2.0\",\"id\":%s,\"result\":{\"content\":[]}}\n\n", id)
			return true
		}, func(c *Counts) bool { return c.Wrong == c.Sent }},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := &mcpServer{call: test.call}
			f, _ := begin(t, mcpOptions(Sessions, s.serve(t)))
			st := callUntil(t, f, 300, 30)
			if !test.want(&st.Total) || st.Total.Lost > 0 {
				t.Errorf("%+v", st.Total)
			}
		})
	}
}

// A call that nobody answers gives its connection up.
func TestSilentCallsTimeOut(t *testing.T) {
	s := &mcpServer{}
	s.call = func(_ int, w http.ResponseWriter, _ string) bool {
		c, _, _ := http.NewResponseController(w).Hijack()
		_, _ = c.Read(make([]byte, 1)) // until the client has had enough
		c.Close()
		return true
	}
	o := mcpOptions(Sessions, s.serve(t))
	o.Pool, o.Timeout = 2, 200*time.Millisecond
	f, _ := begin(t, o)
	st := callUntil(t, f, 100, 6)
	if st.Total.Timeouts != st.Total.Sent || st.Connected != 10 {
		t.Errorf("%+v", st)
	}
}

// With several targets, clients and their calls are spread, and go elsewhere
// when one does not listen.
func TestTargetsTakeTurns(t *testing.T) {
	for _, spread := range []bool{false, true} {
		a, b := &mcpServer{}, &mcpServer{}
		o := mcpOptions(Stateless, a.serve(t), b.serve(t))
		o.Spread, o.RetryMin = spread, time.Millisecond
		f, ctx := begin(t, o)
		st := callUntil(t, f, 500, 100)
		a.mu.Lock()
		if share := float64(a.calls) / float64(st.Total.Sent); len(a.streams) != 5 || share < 0.25 || share > 0.75 {
			t.Errorf("spread %v: %d streams and %.2f of the calls at the first of two targets", spread, len(a.streams), share)
		}
		a.mu.Unlock()
		a.http.Close()
		a.cut()
		until(t, f, "losses", func(s Status) bool { return s.Total.Lost == 5 })
		if err := f.Recovered(ctx); err != nil {
			t.Fatal(err)
		}
		lost := f.Status().Total.Resets
		st = callUntil(t, f, 500, st.Total.Replies+100)
		if st.Total.Resets > lost+int64(o.Pool) || st.Connected != 10 {
			t.Errorf("spread %v: %+v", spread, st)
		}
	}
}

// Tools other than echo, and servers without streams.
func TestOtherTools(t *testing.T) {
	s := &mcpServer{attach: func(w http.ResponseWriter, _ *http.Request) bool {
		http.Error(w, "no streams here", http.StatusMethodNotAllowed)
		return true
	}}
	s.call = func(n int, w http.ResponseWriter, id string) bool {
		fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"result":{"content":[{"type":"text","text":"%d"}]}}`, id, n)
		return true
	}
	o := mcpOptions(Sessions, s.serve(t))
	o.NoStream, o.Tool, o.Args = true, "search", json.RawMessage(`{"q":"tea"}`)
	f, _ := begin(t, o)
	if st := callUntil(t, f, 300, 30); st.Total.Replies != st.Total.Sent {
		t.Errorf("%+v", st.Total)
	}
}

// TestNoSessions: a server of 2025-11-25 may keep no sessions, with streams and
// without.
func TestNoSessions(t *testing.T) {
	for _, streams := range []bool{true, false} {
		s := &mcpServer{stateless: true}
		o := mcpOptions(Sessions, s.serve(t))
		o.NoStream = !streams
		f, _ := begin(t, o)
		if st := callUntil(t, f, 1000, 100); st.Total.Failures() > 0 || st.Connected != 10 {
			t.Errorf("streams %v: %+v", streams, st.Total)
		}
	}
}
