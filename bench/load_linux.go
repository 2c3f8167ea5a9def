package bench

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/rookery-server/rookery/memprof"
)

// lateAfter is the delay from which a request of a schedule counts as late.
const lateAfter = time.Millisecond

// load drives lanes, each with at most one request under way.
type load struct {
	fleet    *fleet
	order    LoadOrder
	tag      string
	verify   verifier
	template template
	lanes    []*lane
	free     []*lane
	start    time.Time
	stopping bool

	// interval is the time between two requests of the schedule; the next
	// is due at nextDue after start. 0: a closed loop.
	interval time.Duration
	nextDue  time.Duration

	// What was measured since the warm-up.
	histogram *hdrhistogram.Histogram
	requests  int64
	late      int64
}

// lane is one connection under load.
type lane struct {
	load    *load
	conn    *conn
	caller  *caller // nil: a TCP connection
	request []byte  // with the digits of id at request[at:]
	at      int
	id      int
	first   int
	due     time.Duration // after load.start
}

// load runs order over the clients that are open. Their connections are idle
// again afterwards.
func (f *fleet) load(ctx context.Context, order LoadOrder) (LoadResult, error) {
	l := &load{fleet: f, order: order, histogram: newHistogram()}
	if order.Rate > 0 {
		l.interval = time.Duration(float64(time.Second) / order.Rate)
	}
	if err := l.makeLanes(); err != nil {
		return LoadResult{}, err
	}
	l.start = time.Now()
	if err := l.until(ctx, order.Warmup); err != nil {
		return LoadResult{}, err
	}
	r, err := l.measure(ctx)
	if err != nil {
		return r, err
	}
	l.stopping = true // from here on, answers are awaited and nothing is sent
	drained := func() (time.Duration, bool, error) { return tick, len(l.free) == len(l.lanes), nil }
	if err := f.run(ctx, drained); err != nil {
		return r, fmt.Errorf("bench: %d requests were not answered: %w", len(l.lanes)-len(l.free), err)
	}
	for _, k := range l.lanes {
		if k.caller == nil {
			k.conn.h = idle{}
		}
	}
	return r, f.intact()
}

func (l *load) makeLanes() error {
	f := l.fleet
	if l.order.Kind == Caller {
		l.tag, l.verify = "a text of some length, as a tool would get", verifyTool
		for _, c := range f.callers {
			body := toolCall(firstHTTPID, "", l.tag)
			l.add(c.conn, c, f.target.post(body, ofSession(c.conn.session)), firstHTTPID)
		}
	} else {
		bare := len(echoCall(firstLineID, l.order.Method, "")) + 1
		if bare > messageSize {
			return fmt.Errorf("bench: method %q does not fit a line of %d bytes", l.order.Method, messageSize)
		}
		l.tag, l.verify = strings.Repeat("x", messageSize-bare), f.target.echoVerifier()
		for _, k := range f.idle[l.order.Kind] {
			l.add(k, nil, append(echoCall(firstLineID, l.order.Method, l.tag), '\n'), firstLineID)
		}
	}
	if len(l.lanes) == 0 {
		return fmt.Errorf("bench: no %s clients are open to load the server with", l.order.Kind)
	}
	l.free = append(l.free, l.lanes...)
	return nil
}

func (l *load) add(c *conn, via *caller, request []byte, first int) {
	k := &lane{load: l, conn: c, caller: via, request: request, id: first, first: first}
	const mark = `"id":`
	k.at = bytes.LastIndex(request, []byte(mark)) + len(mark)
	if via == nil {
		c.h = k
	}
	l.lanes = append(l.lanes, k)
}

// until serves the load until elapsed after its start.
func (l *load) until(ctx context.Context, elapsed time.Duration) error {
	return l.fleet.run(ctx, func() (time.Duration, bool, error) {
		now := time.Since(l.start)
		if now >= elapsed {
			return 0, true, nil
		}
		l.issue(now)
		wait := elapsed - now
		if l.interval > 0 {
			wait = min(wait, l.nextDue-now)
		}
		return wait, false, nil
	})
}

// measure takes the window in which requests and processor time are counted.
func (l *load) measure(ctx context.Context) (LoadResult, error) {
	l.histogram.Reset()
	l.requests, l.late = 0, 0
	before, err := memprof.CPUTime(l.order.PID)
	if err != nil {
		return LoadResult{}, err
	}
	start := time.Now()
	if err := l.until(ctx, time.Since(l.start)+l.order.Measure); err != nil {
		return LoadResult{}, err
	}
	took := time.Since(start)
	after, err := memprof.CPUTime(l.order.PID)
	r := LoadResult{Requests: l.requests, Took: took, CPU: after - before, Late: l.late, Latency: latencyOf(l.histogram)}
	if err == nil && r.Requests == 0 {
		err = fmt.Errorf("bench: no request was answered in %v", took)
	}
	return r, err
}

// issue sends what is due at now over free lanes.
func (l *load) issue(now time.Duration) {
	for n := len(l.free); n > 0 && !l.stopping; n = len(l.free) {
		due := now
		if l.interval > 0 {
			if due = l.nextDue; due > now {
				return
			}
			l.nextDue += l.interval
			if now-due > lateAfter {
				l.late++
			}
		}
		k := l.free[n-1]
		l.free = l.free[:n-1]
		k.send(due)
	}
}

func (k *lane) send(due time.Duration) {
	k.due = due
	if k.id++; k.id == 10*k.first {
		k.id = k.first
	}
	strconv.AppendInt(k.request[k.at:k.at], int64(k.id), 10)
	if k.caller != nil {
		k.caller.call(k.request, k.answered)
	} else {
		k.conn.send(k.request)
	}
}

// heard takes the reply to the request under way and sends the next.
func (k *lane) heard(message []byte) error {
	l := k.load
	if err := l.template.check(message, k.id, l.tag, l.verify); err != nil {
		return err
	}
	now := time.Since(l.start)
	if err := l.histogram.RecordValue(int64(min(now-k.due, latencyMax))); err != nil {
		return err
	}
	l.requests++
	l.free = append(l.free, k)
	l.issue(now)
	return nil
}

func (k *lane) answered(c *caller) error {
	message, err := c.response.Message()
	if err != nil {
		return err
	}
	return k.heard(message)
}

func (k *lane) connected(*conn) error { return nil }

func (k *lane) received(_ *conn, in []byte) (int, error) {
	line, ok, err := firstLine(in)
	if err != nil || !ok {
		return 0, err
	}
	return len(line) + 1, k.heard(line)
}

func (k *lane) closed(_ *conn, why error) error {
	return fmt.Errorf("bench: the server ended a connection under load: %w", why)
}
