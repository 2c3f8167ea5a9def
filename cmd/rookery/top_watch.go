package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/rookery-server/rookery/bench/wire"
	"github.com/rookery-server/rookery/cluster"
)

// watch looks at nodes through their admin listeners, again and again. It is
// for one goroutine.
type watch struct {
	timeout time.Duration // of each question
	targets []*target
	now     func() time.Time
	taken   time.Time // of the last look
	differs bool      // nodes do not agree on who is alive
}

// target is a node to be asked, and what it said.
type target struct {
	addr  string
	given bool   // by the user: it is never forgotten
	name  string // "": not known yet
	asked bool   // in this look

	err       error
	report    *cluster.Report
	last, was *scrape // of this look and of the one before; nil: no answer
	minute    []collected

	state   string
	workers int
}

// scrape is the page of metrics of a node at a moment.
type scrape struct {
	at time.Time
	samples
}

// collected are the pauses of the garbage collector, counted at a moment.
type collected struct {
	at time.Time
	gc histogram
}

// gcWindow is how far the figures of the collector reach back: in one second
// there is mostly nothing to see.
const gcWindow = time.Minute

func newWatch(addrs []string, timeout time.Duration) *watch {
	w := &watch{timeout: timeout, now: time.Now}
	for _, addr := range addrs {
		w.targets = append(w.targets, &target{addr: addr, given: true})
	}
	return w
}

// look asks all nodes, and those whom they name.
func (w *watch) look(ctx context.Context) {
	w.taken = w.now()
	for _, t := range w.targets {
		t.asked = false
	}
	for again := true; again; again = w.learn() {
		var wg sync.WaitGroup
		for _, t := range w.targets {
			if !t.asked {
				t.asked = true
				wg.Go(func() { w.ask(ctx, t) })
			}
		}
		wg.Wait()
		w.recognise()
	}
	w.judge()
	slices.SortStableFunc(w.targets, func(a, b *target) int { return cmp.Compare(a.title(), b.title()) })
}

// title is the name under which a node is shown.
func (t *target) title() string { return cmp.Or(t.name, t.addr) }

// ask brings a target up to date.
func (w *watch) ask(ctx context.Context, t *target) {
	t.was, t.last, t.report = t.last, nil, nil
	if t.addr == "" {
		t.err = errors.New("no admin listener")
		return
	}
	report := &cluster.Report{}
	page, err := w.get(ctx, t.addr, "/cluster")
	if err == nil {
		err = json.Unmarshal(page, report)
	}
	if err == nil && t.name != "" && report.Node != "" && report.Node != t.name {
		err = fmt.Errorf("%q answers at %s; give %s an --admin that is reached from here", report.Node, t.addr, t.name)
	}
	if err == nil {
		page, err = w.get(ctx, t.addr, "/metrics")
	}
	at := w.now()
	var parsed samples
	if err == nil {
		var m wire.Metrics
		m, err = wire.ParseMetrics(string(page))
		parsed = samples(m)
	}
	if t.err = err; err != nil {
		return
	}
	t.report, t.last = report, &scrape{at, parsed}
	t.collect()
}

// collect keeps the collector's pauses of the last minute; those of a process
// before this one are of no use.
func (t *target) collect() {
	gc := t.last.histogram("go_gc_pause_seconds")
	if n := len(t.minute); n > 0 && gc.since(t.minute[n-1].gc).le == nil {
		t.minute = t.minute[:0]
	}
	t.minute = append(t.minute, collected{t.last.at, gc})
	keep := 0
	for keep+1 < len(t.minute) && t.last.at.Sub(t.minute[keep+1].at) >= gcWindow {
		keep++
	}
	t.minute = slices.Delete(t.minute, 0, keep)
}

// recognise names the nodes that have answered. Two addresses may lead to one.
func (w *watch) recognise() {
	seen := map[string]bool{}
	w.targets = slices.DeleteFunc(w.targets, func(t *target) bool {
		if t.report != nil && t.report.Node != "" {
			t.name = t.report.Node
		}
		twice := t.name != "" && seen[t.name]
		seen[t.name] = true
		return twice
	})
}

// learn adds the nodes that others name, and reports whether there were new
// ones. A node that nobody names any more is forgotten.
func (w *watch) learn() (news bool) {
	named := map[string]bool{}
	heard := false
	for _, view := range w.views() {
		heard = true
		for i := range view.Nodes {
			n := &view.Nodes[i]
			named[n.Name] = true
			news = w.note(n) || news
		}
	}
	if heard {
		w.targets = slices.DeleteFunc(w.targets, func(t *target) bool { return !t.given && !named[t.name] })
	}
	return news
}

// note adds a node unless it is known, and reports whether it is to be asked
// now.
func (w *watch) note(n *cluster.Node) bool {
	for _, t := range w.targets {
		switch {
		case t.name == n.Name && !t.given && n.Admin != "" && t.addr != n.Admin && t.err != nil:
			t.addr, t.asked = n.Admin, false // it moved
			return true
		case t.name == n.Name:
			return false
		case t.name == "" && t.addr == n.Admin:
			t.name = n.Name // it does not answer
			return false
		}
	}
	w.targets = append(w.targets, &target{addr: n.Admin, name: n.Name})
	return true
}

// views returns what the nodes that answered see, in the order of their names.
func (w *watch) views() (list []*cluster.View) {
	for _, t := range w.targets {
		if t.report != nil && t.report.View != nil {
			list = append(list, t.report.View)
		}
	}
	return list
}

// judge says in what state each node is: "down" if it does not answer, else
// what the first of those who answer sees.
func (w *watch) judge() {
	views := w.views()
	w.differs = false
	for _, t := range w.targets {
		t.state, t.workers = stateAlone, 1
		var seen *cluster.Node
		for _, v := range views {
			n := v.Node(t.name)
			switch {
			case seen == nil:
				seen = n
			case n != nil && n.State.Serves() != seen.State.Serves():
				w.differs = true
			}
		}
		if seen != nil {
			t.workers = max(len(seen.Workers), 1)
			if seen.Gossip != "" { // else it forwards between its own workers only
				t.state = seen.Status()
			}
		}
		switch {
		case t.err == nil:
		case t.state == stateLeft:
			t.err = nil // nobody expects an answer
		case seen != nil:
			t.err = fmt.Errorf("%s: %w", t.state, t.err)
			t.state = stateDown
		default:
			t.state = stateDown
		}
	}
}

// States of nodes beside those that views have: of one that does not answer,
// whatever others think of it, and of one that is in no cluster.
const (
	stateDown  = "down"
	stateAlone = "alone"
)

var stateLeft = cluster.Left.String()

// get returns a page of a node, within the timeout.
func (w *watch) get(ctx context.Context, addr, path string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, w.timeout)
	defer cancel()
	body, err := fetch(ctx, http.MethodGet, addr, path)
	var silent *url.Error
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return nil, fmt.Errorf("no answer within %v", w.timeout)
	case errors.As(err, &silent):
		return nil, silent.Err
	case err != nil:
		return nil, fmt.Errorf("GET %s: %w", path, err)
	}
	return body, nil
}
