package load

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

func lineOptions(target Target) Options {
	return Options{Protocol: JSONRPC, Targets: []Target{target}, Clients: 10}
}

func TestCallsAreVerified(t *testing.T) {
	s := &lineServer{}
	o := lineOptions(s.serve(t))
	o.Size, _ = ParseSize("1*1,8-100*5,200000*0.02")
	o.Burst, o.Notify, o.Idle, o.Poisson, o.Processes = 3, 0.2, 0.5, true, 2
	f, ctx := begin(t, o)
	phase, err := f.Phase(ctx, "calls")
	if err != nil {
		t.Fatal(err)
	}
	st := callUntil(t, f, 2000, 1000)
	p, err := phase.End(ctx)
	if err != nil {
		t.Fatal(err)
	}
	c := &st.Total
	if c.Failures() > 0 || st.Checks.Violations() > 0 || c.Replies != c.Sent || c.Replies == 0 || c.Notes == 0 || st.Checks.Ordered == 0 {
		t.Errorf("%+v %+v", c, st.Checks)
	}
	s.mu.Lock()
	if int64(s.notes) != c.Notes || len(s.conns) != o.Clients {
		t.Errorf("%d notifications arrived, %d were sent; %d connections", s.notes, c.Notes, len(s.conns))
	}
	s.mu.Unlock()
	if p.Counts.Sent != c.Sent || p.Counts.Replies != c.Replies || p.Counts.Notes != c.Notes || p.Counts.Connects != 0 {
		t.Errorf("phase %+v\ntotal %+v", p.Counts, c)
	}
	if p.Corrected.Count != c.Replies || p.Uncorrected.Count != c.Replies || p.Corrected.Max < p.Uncorrected.P50 || p.PerSecond <= 0 {
		t.Errorf("%+v\n%+v", p.Corrected, p.Uncorrected)
	}
	if _, err := phase.End(ctx); err == nil {
		t.Error("a phase ended twice")
	}
	r := f.Result()
	if r.Failed() || len(r.Phases) != 1 || len(r.Ramps) != 1 || r.Ramps[0].Opened != 10 || r.Ramps[0].Handshake.Count != 10 || r.Generator.Processes != 2 || r.Generator.CPU == 0 || r.Generator.Memory == 0 {
		t.Errorf("%+v", r)
	}
	var out strings.Builder
	r.WriteText(&out)
	for _, want := range []string{"10 clients, jsonrpc, 1 targets, 2 load processes", "calls, ", "from due", "0 failed calls"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in\n%s", want, out.String())
		}
	}
}

// What a server does wrong is found, and counted as what it is.
func TestWrongAnswersAreCounted(t *testing.T) {
	pair := func() func(n int, c *lineCall) (string, bool) { // answers two calls in the wrong order
		var mu sync.Mutex
		held := ""
		return func(_ int, c *lineCall) (string, bool) {
			mu.Lock()
			defer mu.Unlock()
			if held == "" {
				held = c.right()
				return "", true
			}
			both := c.right() + held
			held = ""
			return both, true
		}
	}
	for _, test := range []struct {
		name   string
		burst  int
		answer func(n int, c *lineCall) (string, bool)
		want   func(c *Counts, k *Checks) bool
	}{
		{"another text", 1, func(_ int, c *lineCall) (string, bool) {
			return fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"result":["no"]}`+"\n", c.ID), true
		}, func(c *Counts, _ *Checks) bool { return c.Wrong == c.Sent }},
		{"one letter", 1, func(_ int, c *lineCall) (string, bool) {
			return strings.Replace(c.right(), `"]`, `!"]`, 1), true
		}, func(c *Counts, _ *Checks) bool { return c.Wrong == c.Sent }},
		{"an error", 1, func(_ int, c *lineCall) (string, bool) {
			return fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"error":{"code":-32000,"message":"busy"}}`+"\n", c.ID), true
		}, func(c *Counts, _ *Checks) bool { return c.Faults == c.Sent }},
		{"another form", 1, func(_ int, c *lineCall) (string, bool) {
			return fmt.Sprintf(`{ "result": %s, "id": %s, "jsonrpc": "2.0" }`+"\n", c.Params, c.ID), true
		}, func(c *Counts, _ *Checks) bool { return c.Replies == c.Sent }},
		{"two answers", 1, func(_ int, c *lineCall) (string, bool) { return c.right() + c.right(), true },
			func(c *Counts, k *Checks) bool { return c.Replies == c.Sent && k.Unasked >= c.Sent-1 }},
		{"a request of its own", 1, func(_ int, c *lineCall) (string, bool) {
			return `{"jsonrpc":"2.0","id":1,"method":"ping"}` + "\n" + c.right(), true
		}, func(c *Counts, k *Checks) bool { return c.Replies == c.Sent && k.Unrelated == c.Sent }},
		{"no JSON", 1, func(int, *lineCall) (string, bool) { return "hello\n", true },
			func(c *Counts, _ *Checks) bool { return c.Wrong > 0 && c.Lost == c.Wrong && c.Replies == 0 }},
		{"the end", 1, func(int, *lineCall) (string, bool) { return "", false },
			func(c *Counts, _ *Checks) bool { return c.Resets == c.Sent && c.Lost == c.Sent }},
		{"half an answer", 1, func(_ int, c *lineCall) (string, bool) { return c.right()[:9], false },
			func(c *Counts, _ *Checks) bool { return c.Resets == c.Sent && c.Lost == c.Sent }},
		{"the wrong order", 2, pair(), func(c *Counts, k *Checks) bool {
			return c.Replies == c.Sent && k.OutOfOrder == c.Sent/2 && k.Ordered == c.Sent/2
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := &lineServer{answer: test.answer}
			o := lineOptions(s.serve(t))
			o.Clients, o.Burst, o.RetryMin = 2, test.burst, time.Millisecond
			if test.burst > 1 {
				o.Clients = 1
			}
			f, ctx := begin(t, o)
			st := callUntil(t, f, 200, 20)
			if !test.want(&st.Total, &st.Checks) {
				t.Errorf("%+v %+v", st.Total, st.Checks)
			}
			if err := f.Recovered(ctx); err != nil {
				t.Error(err)
			}
		})
	}
}

// A server that never answers: the calls time out, the connection is given up,
// and the time without an answer is in the histogram.
func TestSilenceTimesOut(t *testing.T) {
	s := &lineServer{answer: func(int, *lineCall) (string, bool) { return "", true }}
	o := lineOptions(s.serve(t))
	o.Clients, o.Timeout, o.DropAfter = 1, 200*time.Millisecond, 50*time.Millisecond
	f, ctx := begin(t, o)
	phase, err := f.Phase(ctx, "silence")
	if err != nil {
		t.Fatal(err)
	}
	st := callUntil(t, f, 100, 3)
	p, err := phase.End(ctx)
	if err != nil {
		t.Fatal(err)
	}
	c := &st.Total
	if c.Timeouts != c.Sent || c.Closed != c.Sent || c.Dropped == 0 || c.Lost > 0 {
		t.Errorf("%+v", c)
	}
	if p.Corrected.Count != c.Timeouts || p.Uncorrected.P50 < o.Timeout {
		t.Errorf("%d in the histogram, p50 %v", p.Corrected.Count, p.Uncorrected.P50)
	}
}

// Clients whose connections are cut come back by themselves, and say how long
// they were away.
func TestClientsComeBack(t *testing.T) {
	s := &lineServer{}
	o := lineOptions(s.serve(t))
	f, ctx := begin(t, o)
	phase, err := f.Phase(ctx, "cut")
	if err != nil {
		t.Fatal(err)
	}
	s.cut()
	until(t, f, "losses", func(s Status) bool { return s.Total.Lost == 10 })
	if err := f.Recovered(ctx); err != nil {
		t.Fatal(err)
	}
	p, err := phase.End(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if a := p.Outages; a.Lost != 10 || a.Back != 10 || a.Length.Count != 10 || a.FirstLostS < p.FromS || a.LastBackS < a.FirstLostS || a.LastBackS > p.ToS {
		t.Errorf("%+v", a)
	}
	if err := f.Reconnect(ctx, 1, 10*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	st := until(t, f, "a wave", func(s Status) bool { return s.Total.Closed == 10 && s.Connected == 10 })
	if st.Total.Lost != 10 || st.Total.Back != 10 || st.Total.Connects != 30 || st.Away != 0 {
		t.Errorf("%+v", st)
	}
}

// Coordinated omission: with few clients a server that stalls is asked little
// while it does. From the due time the stall is seen by every call that was due.
func TestStallsShowInCorrectedLatency(t *testing.T) {
	const stall, slow = 100 * time.Millisecond, 50 * time.Millisecond
	var gate sync.Mutex // held while the server stalls
	s := &lineServer{answer: func(_ int, c *lineCall) (string, bool) {
		gate.Lock()
		defer gate.Unlock()
		return c.right(), true
	}}
	o := lineOptions(s.serve(t))
	o.Clients = 2
	f, ctx := begin(t, o)
	phase, err := f.Phase(ctx, "stalls")
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Rate(ctx, 1000); err != nil {
		t.Fatal(err)
	}
	for range 5 {
		gate.Lock()
		time.Sleep(stall)
		gate.Unlock()
		if err := f.Hold(ctx, stall); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Drain(ctx); err != nil {
		t.Fatal(err)
	}
	p, err := phase.End(ctx)
	if err != nil {
		t.Fatal(err)
	}
	above := func(l Latency) (n int64) {
		bars, err := l.Bars()
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range bars {
			if b.To > slow {
				n += b.Count
			}
		}
		return n
	}
	// A stall of 100 ms holds up 2 calls that were sent, and about 50 that were
	// due for more than 50 ms.
	sent, due := above(p.Uncorrected), above(p.Corrected)
	if due < 100 || due < 5*sent {
		t.Errorf("%d calls took over %v from when they were due, %d from when they were sent", due, slow, sent)
	}
	if p.Counts.Late == 0 || p.Corrected.P90 < p.Uncorrected.P90 {
		t.Errorf("late %d, p90 %v from due, %v from sent", p.Counts.Late, p.Corrected.P90, p.Uncorrected.P90)
	}
}
