package mcp

import (
	"regexp"
	"runtime"
	"strconv"
	"sync"
	"testing"
)

// batchHost writes in batches. As the real one it has everybody wait who wants a
// connection of which the batch has something: who waits with the batch in hand
// waits for ever.
type batchHost struct {
	*fakeHost
	mu      sync.Mutex
	locks   map[StreamID]*sync.Mutex // guarded by mu
	batched int                      // guarded by mu
}

func (h *batchHost) lock(st StreamID) *sync.Mutex {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.locks[st] == nil {
		h.locks[st] = new(sync.Mutex)
	}
	return h.locks[st]
}

func (h *batchHost) Send(to StreamID, p []byte) error {
	l := h.lock(to)
	l.Lock()
	defer l.Unlock()
	return h.fakeHost.Send(to, p)
}

func (h *batchHost) End(to StreamID) {
	l := h.lock(to)
	l.Lock()
	defer l.Unlock()
	h.fakeHost.End(to)
}

func (h *batchHost) Batch() Batch { return &fakeBatch{h: h} }

type fakeBatch struct {
	h    *batchHost
	list []staged
}

type staged struct {
	to StreamID
	p  string
}

func (b *fakeBatch) Send(to StreamID, p []byte) error {
	if !b.h.lock(to).TryLock() {
		b.Flush()
		return b.h.Send(to, p)
	}
	b.list = append(b.list, staged{to, string(p)})
	runtime.Gosched() // let others run into it
	return nil
}

func (b *fakeBatch) Flush() {
	for _, w := range b.list {
		_ = b.h.fakeHost.Send(w.to, []byte(w.p)) // as the real one: nobody hears of it
		b.h.lock(w.to).Unlock()
	}
	b.h.mu.Lock()
	defer b.h.mu.Unlock()
	b.h.batched += len(b.list)
	b.list = nil
}

func (b *fakeBatch) Close() { b.Flush() }

// Publications to sessions and to listen streams, walks that overtake each other,
// and who writes to one client beside them, all through batches: nothing waits
// for ever, and each client hears everything once and in the order of its ids.
func TestBatches(t *testing.T) {
	const clients, rounds = 80, 25
	b := newFakeCluster(1).beds[0]
	h := &batchHost{fakeHost: b.host, locks: map[StreamID]*sync.Mutex{}}
	b.o.Host = h
	addFixtures(t, b.Server)
	var refs []uint64
	for i := range clients {
		header, ref := b.newSession(t, StreamID(1000+i), "2025-11-25")
		b.get(t, StreamID(2000+i), header)
		b.host.take(StreamID(2000 + i))
		refs = append(refs, ref)
		b.ask(t, StreamID(3000+i), post(listenBody(5, "demo://x"), listenHead))
		b.host.take(StreamID(3000 + i))
	}
	walk := func(p *Publication) {
		var waiting []*Spread
		for round := range rounds {
			sp := b.Spread(p, Origin{})
			sp.Later = true
			for !sp.Step(30) {
				continue
			}
			if waiting = append(waiting, sp); round%3 != 0 {
				for _, sp := range waiting {
					for done := false; !done; _, done = sp.Commit(20) {
						continue
					}
				}
				waiting = nil
			}
		}
		for _, sp := range waiting {
			sp.Commit(clients)
		}
	}
	var all sync.WaitGroup
	for range 2 {
		all.Go(func() { walk(&Publication{Audience: ToSessions, Method: "notifications/a"}) })
	}
	all.Go(func() { walk(&Publication{Audience: ToSubscribers, Topic: "demo://x", Method: "notifications/l"}) })
	all.Go(func() {
		for range rounds {
			for _, ref := range refs {
				n := newNotice([]byte(`{"jsonrpc":"2.0","method":"notifications/b"}`))
				_ = b.sendToSession(ref, n)
				n.release(b.o.Events)
			}
			b.listChanged(toolList)
		}
	})
	all.Wait()
	if h.batched < clients*rounds {
		t.Errorf("%d writes in batches", h.batched)
	}
	for i := range clients {
		checkHeard(t, b.host.take(StreamID(2000+i)), 3*rounds+rounds)
	}
}

var numberLine = regexp.MustCompile(`(?m)^id: [0-9a-f]+-([0-9a-f]+)$`)

// checkHeard wants count events with ascending numbers.
func checkHeard(t *testing.T, out string, count int) {
	t.Helper()
	var last uint64
	ids := numberLine.FindAllStringSubmatch(out, -1)
	for _, id := range ids {
		seq, err := strconv.ParseUint(id[1], 16, 32)
		if err != nil || seq <= last {
			t.Fatalf("event %s after %x", id[1], last)
		}
		last = seq
	}
	if len(ids) != count {
		t.Errorf("%d events, want %d", len(ids), count)
	}
}
