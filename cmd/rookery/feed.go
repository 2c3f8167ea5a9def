package main

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rookery-server/rookery/cluster"
)

// feed is the membership of a worker: the views of its supervisor, who hears in
// turn what the worker's links show. Methods are safe for concurrent use, and
// none of Membership's blocks.
type feed struct {
	node string
	log  *slog.Logger

	view    atomic.Pointer[cluster.View]
	joined  atomic.Bool
	updates chan struct{} // cap 1
	first   chan struct{} // closed with the first view
	keys    []byte        // text of a key file; written before first is closed

	urgent chan struct{} // cap 1; there is something to send
	heard  chan struct{} // cap 1; likewise, but it can wait

	mu       sync.Mutex
	pending  []sighting // guarded by mu, like all below
	seen     bool       // the latest view is to be acknowledged
	draining *bool      // to be announced
	ending   bool
	lost     bool // some of pending had to go
}

var _ cluster.Membership = (*feed)(nil)

const (
	// heardEvery is how long the supervisor may wait to hear that a process was
	// heard. The detector doubts one after 300 ms.
	heardEvery = 50 * time.Millisecond
	// pendingMax bounds what is kept for a supervisor that does not read. It will
	// not judge by old news, so the oldest goes.
	pendingMax = 4096
)

func newFeed(node string, log *slog.Logger) *feed {
	return &feed{
		node: node, log: log,
		updates: make(chan struct{}, 1), first: make(chan struct{}), urgent: make(chan struct{}, 1), heard: make(chan struct{}, 1),
	}
}

// receive takes a frame of the supervisor. Calls do not overlap.
func (f *feed) receive(kind byte, payload []byte) {
	switch kind {
	case frameKeys:
		f.keys = append([]byte(nil), payload...)
	case frameView:
		joined, v, err := parseViewFrame(payload)
		if err != nil {
			f.log.Error("view of the cluster", "error", err) // supervisor and worker are of one build
		} else {
			f.take(joined, v)
		}
		f.mu.Lock()
		f.seen = true
		f.mu.Unlock()
		poke(f.urgent)
	}
}

func (f *feed) take(joined bool, v *cluster.View) {
	f.joined.Store(joined)
	if f.view.Swap(v) == nil {
		close(f.first)
	}
	poke(f.updates)
}

// View implements cluster.Membership.
func (f *feed) View() *cluster.View { return f.view.Load() }

// Updates implements cluster.Membership.
func (f *feed) Updates() <-chan struct{} { return f.updates }

// Joined implements cluster.Membership.
func (f *feed) Joined() bool { return f.joined.Load() }

// Evidence implements cluster.Membership. The supervisor itself knows which of
// its workers live.
func (f *feed) Evidence(of cluster.PeerID, what cluster.Evidence) {
	if of.Node == f.node {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if what == cluster.Heard && f.told(of) == cluster.Heard {
		return
	}
	if len(f.pending) >= pendingMax {
		f.pending, f.lost = append(f.pending[:0], f.pending[1:]...), true
	}
	f.pending = append(f.pending, sighting{of, what})
	if what == cluster.Heard {
		poke(f.heard)
	} else {
		poke(f.urgent)
	}
}

// told returns what will be said last of a process, 0 for nothing.
func (f *feed) told(of cluster.PeerID) cluster.Evidence {
	for i := len(f.pending) - 1; i >= 0; i-- {
		if f.pending[i].of == of {
			return f.pending[i].what
		}
	}
	return 0
}

// SetDraining implements cluster.Membership. A process that ends gives its own
// sessions away; whether the node does is for the supervisor to say.
func (f *feed) SetDraining(on bool) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.ending {
		f.draining = &on
		poke(f.urgent)
	}
	return nil
}

// end says that this process ends.
func (f *feed) end() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ending = true
}

// run sends until ctx ends. send does not block; what it does not take is sent
// again. That a process was heard is said at once and then at most every
// heardEvery: the silence of others is counted from when the supervisor heard it.
func (f *feed) run(ctx context.Context, send func(kind byte, payload []byte) error) {
	again := time.NewTimer(0)
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-f.urgent:
			f.flush(send)
			continue
		case <-f.heard:
		}
		select {
		case <-ctx.Done():
			return
		case <-f.urgent:
		case <-again.C:
		}
		f.flush(send)
		again.Reset(heardEvery)
	}
}

// flush sends what there is to say.
func (f *feed) flush(send func(kind byte, payload []byte) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	ok := true
	if f.seen {
		ok = send(frameSeen, nil) == nil
		f.seen = !ok
	}
	if ok && f.draining != nil {
		on := byte(0)
		if *f.draining {
			on = 1
		}
		if ok = send(frameDraining, []byte{on}) == nil; ok {
			f.draining = nil
		}
	}
	if ok && len(f.pending) > 0 {
		var b []byte
		for i := range f.pending {
			b = appendSighting(b, &f.pending[i])
		}
		if ok = send(frameEvidence, b) == nil; ok {
			f.pending = f.pending[:0]
		}
	}
	if !ok {
		poke(f.heard) // in a moment
	} else if f.lost {
		f.lost = false
		f.log.Warn("the supervisor did not run for some time; what links showed meanwhile was dropped")
	}
}

// clusterKeys returns the keys, nil for a node in no cluster, once first is
// closed.
func (f *feed) clusterKeys() (*cluster.Keys, error) {
	if len(f.keys) == 0 {
		return nil, nil
	}
	keys, err := cluster.ParseKeys(f.keys)
	if err != nil {
		return nil, fmt.Errorf("keys of the supervisor: %w", err)
	}
	return keys, nil
}

// poke leaves a value in a channel of capacity 1.
func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
