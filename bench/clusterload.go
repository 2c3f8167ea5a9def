package bench

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"time"
)

// announcePrefix stands in front of the number in a broadcast text.
const announcePrefix = "bench event "

// announcer publishes numbered broadcasts at one node, one after another.
type announcer struct {
	at   netip.AddrPort
	http *http.Client
	last uint64 // number drawn

	failed []uint64        // numbers of calls that did not succeed: heard or not
	why    error           // of the first of them
	took   []time.Duration // of those that succeeded
}

func newAnnouncer(at netip.AddrPort) *announcer {
	return &announcer{at: at, http: &http.Client{Timeout: adminTimeout, Transport: &http.Transport{MaxIdleConnsPerHost: 256}}}
}

// call calls a tool of the demo app without a session.
func (a *announcer) call(ctx context.Context, tool, argument, value string) (notified int, err error) {
	return ToolCall{URL: "http://" + a.at.String() + "/mcp", Tool: tool, Argument: argument, Value: value}.Notified(ctx, a.http)
}

// broadcast publishes event n. The clients of this package know it by its text.
func (a *announcer) broadcast(ctx context.Context, n uint64) (notified int, err error) {
	return a.call(ctx, "broadcast", "text", announcePrefix+strconv.FormatUint(n, 10))
}

// next publishes the next event and keeps how that went.
func (a *announcer) next(ctx context.Context) error {
	a.last++
	start := time.Now()
	_, err := a.broadcast(ctx, a.last)
	switch {
	case ctx.Err() != nil:
		a.failed = append(a.failed, a.last)
		return context.Cause(ctx)
	case err != nil:
		a.failed = append(a.failed, a.last)
		if a.why == nil {
			a.why = err
		}
	default:
		a.took = append(a.took, time.Since(start))
	}
	return nil
}

// announcePatience bounds the tries of an event that must be acknowledged.
const announcePatience = 20

// surely publishes events until one is acknowledged.
func (a *announcer) surely(ctx context.Context) error {
	for range announcePatience {
		if err := a.next(ctx); err != nil {
			return err
		}
		if n := len(a.failed); n == 0 || a.failed[n-1] != a.last {
			return nil
		}
	}
	return fmt.Errorf("bench: no broadcast succeeds: %w", a.why)
}

// run publishes rate events a second in the background until the returned
// function is called, which waits for the call under way.
func (a *announcer) run(ctx context.Context, rate float64) (stop func() error) {
	quit := make(chan struct{})
	var wg sync.WaitGroup
	var failed error
	wg.Go(func() {
		tick := time.NewTicker(time.Duration(float64(time.Second) / rate))
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
			case <-quit:
				return
			case <-ctx.Done():
				return
			}
			if failed = a.next(ctx); failed != nil {
				return
			}
		}
	})
	return func() error {
		close(quit)
		wg.Wait()
		return failed
	}
}

func (a *announcer) close() { a.http.CloseIdleConnections() }
