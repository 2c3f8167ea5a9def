package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// A node that is drained gives everything away and goes on serving; nodes that
// are stopped one after another and started again lose nothing. Clients that
// follow the protocol see no error.
func TestClusterRolls(t *testing.T) {
	c := startNest(t, nodesOfCluster)
	a := c.newAudience(audienceOfFaults())
	n := c.members
	t.Run("drain", func(t *testing.T) {
		calls := a.callers(t, 8)
		b := a.publish(n[1], n[2])
		b.more(3)
		var moved struct {
			Before int `json:"sessions_before"`
			After  int `json:"sessions_after"`
		}
		out := n[1].cluster(t, "drain", "n1", "--json", "--rate", "500")
		if err := json.Unmarshal(out, &moved); err != nil || moved.Before == 0 || moved.After != 0 {
			t.Errorf("drain: %v, %s", err, out)
		}
		b.more(3)
		if r, ok := n[0].report(); !ok || r.Processes[0].Homes != 0 {
			t.Errorf("%d sessions are at home on the drained node, %v", r.Processes[0].Homes, ok)
		}
		a.served()
		b.verify(false)
		calls.verify(false)
		n[1].cluster(t, "drain", "n1", "--undo")
		c.settled()
	})
	t.Run("restart", func(t *testing.T) {
		calls := a.callers(t, 8)
		for i, m := range n {
			b := a.publish(n[(i+1)%len(n)], n[(i+2)%len(n)])
			b.more(2)
			m.signal(t)
			if code := m.exitCode(t, settlePatience); code != 0 {
				t.Errorf("%s: exit code %d", m.name, code)
			}
			c.start(m)
			c.settled()
			a.served()
			b.more(2)
			b.verify(false)
		}
		calls.verify(true)
	})
}

// busyShare is of how many calls one may be answered with 503 and Retry-After.
const busyShare = 50

// callers call tools on any node, of one session each, until verified.
type callers struct {
	t     *testing.T
	stop  context.CancelFunc
	wg    sync.WaitGroup
	calls atomic.Int64
	away  atomic.Int64 // connections refused: asked elsewhere
	cut   atomic.Int64 // connections that ended before an answer
	busy  atomic.Int64 // 503
}

func (a *audience) callers(t *testing.T, n int) *callers {
	ctx, stop := context.WithCancel(t.Context())
	c := &callers{t: t, stop: stop}
	t.Cleanup(func() {
		stop()
		c.wg.Wait()
	})
	for i := range n {
		l := a.members[i]
		c.wg.Go(func() {
			for id := 1000; ctx.Err() == nil; id++ {
				c.once(ctx, l, a.c.members[(i+id)%len(a.c.members)], id)
			}
		})
	}
	return c
}

// once calls echo on one node.
func (c *callers) once(ctx context.Context, l *listener, node *member, id int) {
	text := fmt.Sprint("echo ", id)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settlePatience)
	defer cancel()
	status, answer, err := l.call(ctx, node, id, "echo", fmt.Sprintf(`{"text":%q}`, text))
	c.calls.Add(1)
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		c.away.Add(1)
	case err != nil && status == 0:
		c.cut.Add(1)
		c.t.Logf("echo on %s: %v", node.name, err)
	case err != nil:
		c.t.Errorf("echo on %s: the answer is cut: %v", node.name, err)
	case status == http.StatusServiceUnavailable:
		c.busy.Add(1)
		time.Sleep(time.Second) // Retry-After says so
	case status != http.StatusOK || !strings.Contains(string(answer), text):
		c.t.Errorf("echo on %s: status %d, %s", node.name, status, answer)
	}
	time.Sleep(10 * time.Millisecond) // a client, not a load
}

// verify ends the callers. Calls may have failed to reach a node only if away.
func (c *callers) verify(away bool) {
	c.t.Helper()
	c.stop()
	c.wg.Wait()
	c.t.Logf("%d calls, %d did not reach a node, %d ended before an answer, %d were to come again", c.calls.Load(), c.away.Load(), c.cut.Load(), c.busy.Load())
	if !away && c.away.Load()+c.cut.Load() > 0 {
		c.t.Error("all nodes ran, and calls did not reach one")
	}
	// Between the last accept of a node that stops and the close of its listener
	// lie some microseconds, in which the kernel may accept one more.
	if c.cut.Load() > 1 {
		c.t.Error("nodes that stopped had taken calls, and did not answer")
	}
	// A call that meets its session on a journey is asked to come again.
	if c.busy.Load() > 2+c.calls.Load()/busyShare {
		c.t.Errorf("more than one call in %d was to come again", busyShare)
	}
}
