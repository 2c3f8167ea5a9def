package e2e

import (
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
)

// A node is killed while clients begin sessions on it: each that was told its
// session's id is served by the others.
func TestClusterBegins(t *testing.T) {
	c := startNest(t, nodesOfCluster)
	victim, left := c.members[0], c.members[1:]
	a := &audience{t: t, c: c, http: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}}
	var begun atomic.Int32
	var mu sync.Mutex
	var ids []*listener
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for {
				l := &listener{a: a, rand: rand.New(rand.NewPCG(1, 1))}
				if status, head, _, err := a.post(t.Context(), victim, "", beginning); err == nil && status == http.StatusOK {
					l.session = head.Get("Mcp-Session-Id")
				}
				if l.session == "" {
					return // it is gone
				}
				mu.Lock()
				ids = append(ids, l)
				mu.Unlock()
				begun.Add(1)
			}
		})
	}
	eventually(t, "sessions that begin", func() bool { return begun.Load() >= 200 })
	victim.send(t, syscall.SIGKILL)
	wg.Wait()
	c.settled(left...)
	for i, l := range ids {
		status, answer, err := l.call(t.Context(), left[i%len(left)], i, "echo", `{"text":"x"}`)
		if err != nil || status != http.StatusOK {
			t.Errorf("session %d of %d, %s: status %d, %v, %s", i, len(ids), l.session, status, err, answer)
		}
	}
}
