package mcp

import (
	"context"
	"strings"
	"testing"

	"github.com/rookery-server/rookery/codec"
)

// TestCopied: initialize is answered when its session would survive, on a worker
// that does not count as busy meanwhile; too many that wait are refused.
func TestCopied(t *testing.T) {
	entered, survives := make(chan uint64), make(chan struct{})
	b := newTestbed(func(o *Options) {
		o.Events = newFakeEvents()
		o.Copied = func(_ context.Context, ref uint64) { entered <- ref; <-survives }
	})
	const initialize = `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{}}}`
	for name, begin := range map[string]func(w *fakeWorker) string{
		"HTTP": func(w *fakeWorker) string {
			x, _ := exchange(w.st, post(initialize))
			if b.Plan(x) != OnWorker {
				t.Error("it would block the loop")
			}
			x.Worker = w
			b.ServeHTTP(x)
			return string(x.Out)
		},
		"TCP": func(w *fakeWorker) string {
			x := &RPC{Stream: w.st, Msg: []byte(resumable), Worker: w}
			_ = codec.ParseEnvelope(x.Msg, nil, &x.Env)
			if !b.Fetches(x.Env.MethodName(x.Msg), paramsOf(x.Msg, &x.Env)) {
				t.Error("it would block the loop")
			}
			b.ServeRPC(x)
			return string(x.Out)
		},
	} {
		w := &fakeWorker{h: b.host, st: 2}
		answer := make(chan string)
		go func() { answer <- begin(w) }()
		ref := <-entered
		if w.mu.Lock(); w.left != 1 {
			t.Errorf("%s: a worker waits that counts", name)
		}
		w.mu.Unlock()
		if _, ok := b.sessions.Load(ref); !ok {
			t.Errorf("%s: no session %d", name, ref)
		}
		survives <- struct{}{}
		if out := <-answer; !strings.Contains(out, `"protocolVersion"`) || w.left != 0 {
			t.Errorf("%s: %s", name, out)
		}
		before := len(b.sessions.m)
		if out := begin(&fakeWorker{h: b.host, st: 3, full: true}); !strings.Contains(out, "too many sessions") || len(b.sessions.m) != before {
			t.Errorf("%s: %d sessions, then %d: %s", name, before, len(b.sessions.m), out)
		}
	}
	x, _ := exchange(4, post(initialize)) // without a worker nobody can wait
	b.ServeHTTP(x)
	if !strings.HasPrefix(string(x.Out), "HTTP/1.1 200") {
		t.Errorf("%s", x.Out)
	}
}
