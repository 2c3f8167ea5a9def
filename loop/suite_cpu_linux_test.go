package loop_test

import (
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rookery-server/rookery/loop"
)

// crowd is how many awkward clients a loop must bear without noticing.
const crowd = 1000

// cpu returns the processor time this process has used.
func cpu(t testing.TB) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// used measures the process over windows in which nothing happens, until one
// is quiet enough, and returns the least: collections of garbage from the
// test's own preparation may fall into some.
func used(t testing.TB, windows int, enough time.Duration) time.Duration {
	t.Helper()
	least := quietWindow
	for range windows {
		before := cpu(t)
		time.Sleep(quietWindow) // the measurement itself
		if least = min(least, cpu(t)-before); least < enough {
			break
		}
	}
	return least
}

const quietWindow = 500 * time.Millisecond

// A quietGroup is a group with default ticks, and what it uses when it
// is idle: the clocks of the loops and the runtime's own.
type quietGroup struct {
	*loop.Group
	addr string
	idle time.Duration
}

func newQuietGroup(t *testing.T, o loop.Options, p loop.Protocol) *quietGroup {
	t.Helper()
	g, addr := newGroup(t, false, o, p)
	if g.Stats().Backend != "epoll" {
		t.Skip("no such promise for ", g.Stats().Backend)
	}
	return &quietGroup{g, addr, used(t, 2, 0)}
}

// expectQuiet checks that what is there now uses less than 5 % of a core on
// top of what the idle group did: a single client that wakes a loop again and
// again takes all of a core, and on a busy machine the same few wake-ups of the
// clocks cost four times as much in one window as in another.
func (g *quietGroup) expectQuiet(t testing.TB) {
	t.Helper()
	const allowed = quietWindow / 20
	now := used(t, 10, g.idle+allowed)
	percent := func(d time.Duration) float64 { return 100 * d.Seconds() / quietWindow.Seconds() }
	t.Logf("processor time: %.2f %% of a core, idle %.2f %%", percent(now), percent(g.idle))
	if now >= g.idle+allowed {
		t.Errorf("used %v of %v, idle %v", now, quietWindow, g.idle)
	}
}

// dialCrowd opens n connections and sends s on each.
func dialCrowd(t *testing.T, addr, s string, n int) []*client {
	t.Helper()
	clients := make([]*client, n)
	var all sync.WaitGroup
	for part := range 8 {
		all.Go(func() {
			for i := part; i < n; i += 8 {
				clients[i] = dial(t, addr)
				clients[i].send(s)
			}
		})
	}
	all.Wait()
	return clients
}

// TestHalfClosedCrowd: 1,000 peers that have finished sending and wait for
// their answers cost nothing, and get them.
func TestHalfClosedCrowd(t *testing.T) {
	gate := newGate(t)
	g := newQuietGroup(t, loop.Options{Workers: 1}, &proto{step: workLine, work: func(j *loop.Job) {
		gate.wait()
		echoRecord(j)
	}})
	clients := dialCrowd(t, g.addr, "x\n", crowd)
	until(t, "all have sent", func() bool { return g.Stats().Records == crowd })
	for _, c := range clients {
		c.closeWrite()
	}
	g.expectQuiet(t)
	if n := g.Stats().Open; n != crowd {
		t.Errorf("%d open, want %d", n, crowd)
	}
	gate.open()
	for _, c := range clients {
		if got := c.rest(); got != "x\n" {
			t.Fatalf("got %q", got)
		}
	}
}

// TestResetWhilePausedCrowd: 1,000 peers that reset while their reading is
// paused are closed at once and cost nothing.
func TestResetWhilePausedCrowd(t *testing.T) {
	gate := newGate(t)
	o := loop.Options{Workers: 1, QueueMax: 64}
	g := newQuietGroup(t, o, &proto{step: workLine, work: func(j *loop.Job) { gate.wait() }})
	clients := dialCrowd(t, g.addr, strings.Repeat("0123456789abcde\n", 100), crowd)
	until(t, "all are paused", func() bool { return g.Stats().Pauses[loop.PauseQueue] >= crowd })
	g.expectQuiet(t)
	for _, c := range clients {
		c.reset()
	}
	until(t, "all are closed", func() bool { return g.Stats().Open == 0 })
	if n := g.Stats().Closed[loop.ReasonPeerReset]; n != crowd {
		t.Errorf("%d closed as reset, want %d", n, crowd)
	}
	g.expectQuiet(t)
	gate.open()
}

// TestHeldCrowd: 1,000 streams, half of them full behind the stream, cost
// nothing.
func TestHeldCrowd(t *testing.T) {
	g := newQuietGroup(t, loop.Options{HoldMax: 1 << 10}, &proto{step: holdLine})
	clients := dialCrowd(t, g.addr, "hold\n", crowd)
	for i, c := range clients {
		c.expect("held\n")
		if i%2 == 0 {
			c.send(strings.Repeat("behind\n", 1000))
		}
	}
	until(t, "half are paused", func() bool { return g.Stats().Pauses[loop.PauseHold] == crowd/2 })
	g.expectQuiet(t)
	if n := g.Stats().Held; n != crowd {
		t.Errorf("%d held, want %d", n, crowd)
	}
}

// TestAcceptPausedIsQuiet: peers that wait to be accepted cost nothing.
func TestAcceptPausedIsQuiet(t *testing.T) {
	g := newQuietGroup(t, loop.Options{ConnsMax: 10}, &proto{step: echoLine})
	dialCrowd(t, g.addr, "x\n", 100)
	until(t, "accepting pauses", func() bool { return g.Stats().AcceptOff > 0 })
	g.expectQuiet(t)
}
