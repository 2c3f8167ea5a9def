package bench

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

func TestParseGauges(t *testing.T) {
	text := []byte("# TYPE x gauge\nx 1\nx{state=\"a\"} 2.5\ny 3e2\n")
	got, err := parseGauges(text, []string{"y", `x{state="a"}`})
	if err != nil || got[0] != 300 || got[1] != 2.5 {
		t.Errorf("%v, %v", got, err)
	}
	for _, test := range []struct{ text, want string }{{"x 1\n", "1 of [x y]"}, {"x one\ny 1\n", "is no gauge"}} {
		if _, err := parseGauges([]byte(test.text), []string{"x", "y"}); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%q: error %v, want %q", test.text, err, test.want)
		}
	}
}

func TestState(t *testing.T) {
	for _, test := range []struct {
		name        string
		o           MemOptions
		kind        Kind
		most        int
		count, runs int
	}{
		{"waiting", MemOptions{}, Waiting, 19000, 5000, 3},
		{"events", MemOptions{Runs: 2}, OwnEvents, 19000, 15000, 2},
		{"quick", MemOptions{Quick: true, Runs: 5}, SharedEvents, 19000, 15000, 1},
		{"few descriptors", MemOptions{}, SharedEvents, 3000, 3000, 3},
		{"fewer clients", MemOptions{Counts: []int{10, 20}}, Waiting, 19000, 20, 3},
		{"more clients", MemOptions{Counts: []int{18000}}, Waiting, 19000, 5000, 3},
	} {
		if s := test.o.state(test.kind, test.most); s.last() != test.count || s.runs != test.runs || s.kind != test.kind {
			t.Errorf("%s: %+v, want %d clients, %d runs", test.name, s, test.count, test.runs)
		}
	}
}

// TestMemCommandStates measures states alone, with small counts.
func TestMemCommandStates(t *testing.T) {
	needLinux(t)
	out, err := run(t, append(smallMem, "--kinds", "waiting,events-shared,events-own", "--json", "--svg", t.TempDir()+"/x.svg")...)
	if err != nil {
		t.Fatal(err)
	}
	var r MemReport
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	w := r.Waiting
	if len(r.Rows) != 0 || w == nil || w.Clients != 60 || w.Workers.Median != 1 || w.Handlers.Median != 60 || w.Goroutines.Median != 9 ||
		w.Before.Median <= 0 || w.Waiting.Median <= 0 || w.After.Median <= 0 || w.Seconds.Median <= 0 || w.Latency.P99 <= 0 {
		t.Errorf("%+v", w)
	}
	if len(r.Events) != 2 || r.Events[0].Kind != SharedEvents || r.Events[1].Kind != OwnEvents {
		t.Fatalf("%+v", r.Events)
	}
	for _, e := range r.Events {
		if want := float64(60 * eventsEach); e.Clients != 60 || e.Each != eventsEach || e.Size != eventSize || e.Kept.Median != want ||
			e.Store.Median != 200*want || e.Bodies.Median != 16 || e.Before.Median <= 0 || e.After.Median <= 0 || e.Seconds.Median <= 0 {
			t.Errorf("%+v", e)
		}
	}
	if len(r.Notes) != 4 { // no baselines, three with fewer clients
		t.Errorf("notes %q", r.Notes)
	}
}

func TestMemCommandStatesRefuse(t *testing.T) {
	needLinux(t)
	for _, test := range []struct{ kind, arg, want string }{
		{"waiting", "--serve-arg=--impatient", "before an answer"},
		{"waiting", "--serve-arg=--forgetful", "0 of"},
		{"events-own", "--serve-arg=--forgetful", "no component"},
		{"events-shared", "--serve-arg=--one-shot", "before its answer"},
		{"events-shared", "--serve-arg=--exit", "will not start"},
	} {
		_, err := run(t, append(smallMem, "--quick", "--kinds", test.kind, test.arg)...)
		if err == nil || errors.Is(err, ErrBudget) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s %s: error %v, want one that says %q", test.kind, test.arg, err, test.want)
		}
	}
}
