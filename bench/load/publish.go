package load

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/rookery-server/rookery/bench"
)

// publisher publishes numbered events through a tool of the server, one after
// another, at one target after another.
type publisher struct {
	http    *http.Client
	targets []Target
	turn    sync.Mutex // held while an event is being published

	mu struct {
		sync.Mutex
		last   uint32   // number drawn
		acked  uint32   // the last that was acknowledged
		failed []uint32 // those that were not: heard or not
		began  map[uint32]int64
		took   *hdrhistogram.Histogram
	}
}

// publishTimeout bounds the call that publishes an event: servers may wait for
// copies to be made.
const publishTimeout = 30 * time.Second

func newPublisher(targets []Target, sources []netip.Addr) *publisher {
	dialer := &net.Dialer{}
	if len(sources) > 0 {
		dialer.LocalAddr = &net.TCPAddr{IP: sources[0].AsSlice()}
	}
	p := &publisher{targets: targets, http: &http.Client{Timeout: publishTimeout, Transport: &http.Transport{DialContext: dialer.DialContext}}}
	p.mu.began, p.mu.took = map[uint32]int64{}, newHistogram()
	return p
}

func (p *publisher) close() { p.http.CloseIdleConnections() }

// Publication is one event that was acknowledged.
type Publication struct {
	Number   uint32
	Notified int // clients that were told, as the server says
	Took     time.Duration
}

// ErrNoEvents is returned where the protocol has no events.
var ErrNoEvents = errors.New("load: events need one of the MCP protocols")

// Publish has the server send one more numbered event to every client, through
// tool broadcast (to sessions) or touch (to listeners), and returns when it has
// acknowledged that. An event that failed may be heard or not; Audit excuses it.
// Calls from several goroutines take turns.
func (f *Fleet) Publish(ctx context.Context) (Publication, error) {
	p := f.publish
	if p == nil {
		return Publication{}, ErrNoEvents
	}
	p.turn.Lock()
	defer p.turn.Unlock()
	p.mu.Lock()
	p.mu.last++
	n := p.mu.last
	p.mu.Unlock()
	e := Publication{Number: n}
	// Clients that come from now on may be told of it, or not.
	err := f.each(ctx, order{Op: opPublish, Number: n})
	if err == nil {
		began := time.Now()
		e.Notified, err = p.anywhere(ctx, int(n), f.announcement(n))
		e.Took = time.Since(began)
		p.mu.Lock()
		p.mu.began[n] = int64(began.Sub(f.started))
		p.mu.Unlock()
		err = errors.Join(err, f.each(ctx, order{Op: opPublished}))
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		p.mu.failed = append(p.mu.failed, n)
		return e, fmt.Errorf("load: event %d: %w", n, err)
	}
	p.mu.acked = n
	record(p.mu.took, int64(e.Took))
	return e, nil
}

// announcement is a call of a tool.
type announcement struct{ tool, argument, value string }

func (f *Fleet) announcement(n uint32) announcement {
	if f.o.Protocol == Stateless {
		return announcement{"touch", "uri", f.o.URI}
	}
	return announcement{"broadcast", "text", fmt.Sprint(eventMark(f.run), n)}
}

// anywhere calls a tool at the target whose turn it is, or at the next that
// listens: where nobody does, nothing was published.
func (p *publisher) anywhere(ctx context.Context, turn int, a announcement) (notified int, err error) {
	for i := range p.targets {
		notified, err = p.call(ctx, p.targets[(turn+i)%len(p.targets)], a)
		var refused *net.OpError
		if !errors.As(err, &refused) || refused.Op != "dial" {
			break
		}
	}
	return notified, err
}

// call calls a tool without a session and returns how many clients were told.
func (p *publisher) call(ctx context.Context, t Target, a announcement) (int, error) {
	return bench.ToolCall{URL: "http://" + t.Addr.String() + t.Path, Host: t.host(), Tool: a.tool, Argument: a.argument, Value: a.value}.Notified(ctx, p.http)
}

// Audit compares what each client heard with what was published and
// acknowledged. It waits until nothing is missing, but not longer than
// Options.Timeout: what is missing then is a finding, not an error. Listeners
// are not told again what they missed while they were away.
func (f *Fleet) Audit(ctx context.Context) (*Audit, error) {
	p := f.publish
	if p == nil {
		return nil, ErrNoEvents
	}
	p.mu.Lock()
	acked, failed, number := p.mu.acked, slices.Clone(p.mu.failed), p.mu.last
	a := &Audit{Published: int64(number) - int64(len(failed)), Failed: int64(len(failed)), Took: latencyOf(p.mu.took)}
	p.mu.Unlock()
	deadline := time.Now().Add(f.o.Timeout)
	for {
		answers, err := f.all(ctx, func(int) order { return order{Op: opAudit, Number: acked, Failed: failed} })
		if err != nil {
			return nil, err
		}
		a.Clients, a.Missing = 0, 0
		for _, part := range answers {
			if part.Audit != nil {
				a.Clients += part.Audit.Clients
				a.Missing += part.Audit.Missing
			}
		}
		if a.Missing == 0 || time.Now().After(deadline) {
			break
		}
		if err := f.Hold(ctx, poll); err != nil {
			return nil, err
		}
	}
	s, err := f.Fresh(ctx)
	if err != nil {
		return nil, err
	}
	a.Doubled, a.Filled = s.Checks.Doubled, s.Checks.Filled
	spread := newHistogram()
	f.mu.Lock()
	defer f.mu.Unlock()
	p.mu.Lock()
	for n, r := range f.mu.history.rounds {
		if began, ok := p.mu.began[n]; ok {
			record(spread, r.Last-began)
		}
	}
	p.mu.Unlock()
	a.Spread = latencyOf(spread)
	f.mu.history.audit = a
	return a, nil
}
