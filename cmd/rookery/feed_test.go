package main

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"testing"

	"github.com/rookery-server/rookery/cluster"
)

// TestFeed: what a worker's links show reaches the supervisor in order, with
// what was merely heard said once; views reach the worker and are acknowledged.
func TestFeed(t *testing.T) {
	f := newFeed("n1", slog.New(slog.DiscardHandler))
	peer := func(node string) cluster.PeerID { return cluster.PeerID{Node: node, Worker: 258, Incarnation: 1 << 60} }
	f.Evidence(peer("n1"), cluster.Refused) // its supervisor knows better
	for _, e := range []cluster.Evidence{cluster.LinkUp, cluster.Heard, cluster.Heard, cluster.LinkEOF, cluster.Heard} {
		f.Evidence(peer("n2"), e)
		f.Evidence(peer("n3"), cluster.Heard)
	}
	v := cluster.NewLone("n1", 5).View()
	f.receive(frameKeys, nil)
	f.receive(frameView, appendViewFrame(nil, false, v))
	f.receive(frameView, []byte{1, 'x'}) // nobody sends that
	f.receive(frameView, nil)
	<-f.first
	if f.View().Node("n1").Incarnation != 5 || f.Joined() {
		t.Errorf("view %+v, joined %v", f.View(), f.Joined())
	}
	if keys, err := f.clusterKeys(); keys != nil || err != nil {
		t.Errorf("keys %v, %v", keys, err)
	}
	if err := f.SetDraining(true); err != nil {
		t.Error(err)
	}
	f.end()
	if err := f.SetDraining(false); err != nil { // only this process ends
		t.Error(err)
	}
	var mu sync.Mutex
	var kinds []byte
	var said []sighting
	full := true
	done := make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		defer close(done)
		f.run(ctx, func(kind byte, payload []byte) error {
			mu.Lock()
			defer mu.Unlock()
			if full {
				full = false
				return errors.New("full")
			}
			kinds = append(kinds, kind)
			if kind == frameDraining && !slices.Equal(payload, []byte{1}) {
				t.Errorf("draining %v", payload)
			}
			if kind == frameEvidence {
				if err := eachSighting(payload, func(s sighting) { said = append(said, s) }); err != nil {
					t.Error(err)
				}
				cancel()
			}
			return nil
		})
	}()
	<-done
	if !slices.Equal(kinds, []byte{frameSeen, frameDraining, frameEvidence}) {
		t.Errorf("frames %v", kinds)
	}
	want := []sighting{
		{peer("n2"), cluster.LinkUp}, {peer("n3"), cluster.Heard}, {peer("n2"), cluster.Heard},
		{peer("n2"), cluster.LinkEOF}, {peer("n2"), cluster.Heard},
	}
	if !slices.Equal(said, want) {
		t.Errorf("said %v, want %v", said, want)
	}
	if err := eachSighting([]byte("short"), nil); !errors.Is(err, errFrame) {
		t.Errorf("cut short: %v", err)
	}
}

// TestFeedIsBounded: for a supervisor that does not read the oldest goes.
func TestFeedIsBounded(t *testing.T) {
	f := newFeed("n1", slog.New(slog.DiscardHandler))
	for i := range pendingMax + 10 {
		f.Evidence(cluster.PeerID{Node: "n2", Incarnation: uint64(i)}, cluster.LinkEOF)
	}
	if len(f.pending) != pendingMax || f.pending[0].of.Incarnation != 10 {
		t.Errorf("%d are kept, the first of %d", len(f.pending), f.pending[0].of.Incarnation)
	}
}
