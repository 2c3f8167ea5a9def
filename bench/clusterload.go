package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"github.com/rookery-server/rookery/bench/wire"
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
	body := rpcCall(firstHTTPID, "tools/call", `{`+statelessMeta+`,"name":"`+tool+`","arguments":{"`+argument+`":"`+value+`"}}`)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+a.at.String()+"/mcp", bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	for name, value := range map[string]string{
		"Content-Type": "application/json", "Accept": "application/json, text/event-stream",
		"MCP-Protocol-Version": revisionStateless, "Mcp-Method": "tools/call", "Mcp-Name": tool,
	} {
		req.Header.Set(name, value)
	}
	res, err := a.http.Do(req)
	if err != nil {
		return 0, err
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(res.Body, wire.BodyMax))
	if err != nil {
		return 0, err
	}
	r := wire.Response{Status: res.StatusCode, Body: text, Events: res.Header.Get("Content-Type") == "text/event-stream"}
	message, err := r.Message()
	if err != nil {
		return 0, err
	}
	reply, err := wire.ParseReply(message, firstHTTPID)
	if err != nil {
		return 0, err
	}
	var result struct {
		IsError bool `json:"isError"`
		Said    struct {
			Notified int `json:"notified"`
		} `json:"structuredContent"`
	}
	if err := json.Unmarshal(reply.Result, &result); err != nil || result.IsError {
		return 0, fmt.Errorf("%s failed: %q", tool, wire.Clip(message))
	}
	return result.Said.Notified, nil
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
