package cluster

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// Memberlist's own goroutines end after Close by themselves: those that probe
// when their probe's time is over, those that delay a first tick at the latest
// after the 10 s between two exchanges of states.
func TestMain(m *testing.M) {
	if spec := os.Getenv(processEnv); spec != "" {
		run := func() error { return runProcess(spec) }
		if spec == "burn" {
			run = burn
		}
		if err := run(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

var testKey = bytes.Repeat([]byte{7}, 32)

// record keeps what is logged.
type record struct {
	mu   sync.Mutex
	text strings.Builder
}

func (r *record) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.Write(p)
}

func (r *record) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.String()
}

// member starts a node on loopback; change may set other options.
func member(t *testing.T, name string, join []string, change func(*MembersOptions)) *Members {
	t.Helper()
	log := &record{}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("log of %s:\n%s", name, log)
		}
	})
	o := MembersOptions{
		Node: name, Gossip: "127.0.0.1:0", Peer: "127.0.0.1:7700", Admin: ":7690", Join: join,
		Label: "test", Keys: [][]byte{testKey}, Logger: slog.New(slog.NewTextHandler(log, nil)),
	}
	if change != nil {
		change(&o)
	}
	m, err := NewMembers(o)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Errorf("closing %s: %v", name, err)
		}
	})
	return m
}

// four starts n1 to n4; n2 to n4 join n1.
func four(t *testing.T) []*Members {
	t.Helper()
	all := []*Members{member(t, "n1", nil, nil)}
	for i := 2; i <= 4; i++ {
		all = append(all, member(t, fmt.Sprintf("n%d", i), []string{all[0].GossipAddr()}, nil))
	}
	for _, m := range all {
		await(t, m, "four alive nodes", func(v *View) bool { return count(v, Alive) == 4 })
	}
	return all
}

func count(v *View, s NodeState) (n int) {
	for i := range v.Nodes {
		if v.Nodes[i].State == s {
			n++
		}
	}
	return n
}

// await waits until a node's view is as it should be. Views come through
// Updates only, so it also shows that none is missed.
func await(t *testing.T, m *Members, what string, ok func(*View) bool) *View {
	t.Helper()
	deadline := time.NewTimer(30 * time.Second)
	defer deadline.Stop()
	for {
		if v := m.View(); ok(v) {
			return v
		}
		select {
		case <-m.Updates():
		case <-deadline.C:
			t.Fatalf("%s never saw %s; it sees %s", m.o.Node, what, AppendView(nil, m.View()))
		}
	}
}

func awaitState(t *testing.T, m *Members, node string, s NodeState) *View {
	t.Helper()
	return await(t, m, node+" "+s.String(), func(v *View) bool { n := v.Node(node); return n != nil && n.State == s })
}

// The figure of the design: one second. On a machine with other work to do
// nothing is asserted but that it happens.
func TestMembersAgreeOnJoinAndLeave(t *testing.T) {
	begin := time.Now()
	all := four(t)
	t.Logf("four nodes agreed %v after the first began to start", time.Since(begin).Round(time.Millisecond))

	begin = time.Now()
	n5 := member(t, "n5", []string{all[1].GossipAddr()}, nil)
	for _, m := range append(all, n5) {
		await(t, m, "five alive nodes", func(v *View) bool { return count(v, Alive) == 5 })
	}
	t.Logf("a join was agreed on after %v", time.Since(begin).Round(time.Millisecond))
	if !n5.Stats().Joined || n5.Stats().Joins == 0 {
		t.Errorf("%+v", n5.Stats())
	}

	begin = time.Now()
	if err := n5.Leave(context.Background()); err != nil {
		t.Fatal(err)
	}
	for _, m := range append(all, n5) {
		awaitState(t, m, "n5", Left)
	}
	t.Logf("a leave was agreed on after %v", time.Since(begin).Round(time.Millisecond))
	if err := n5.Leave(context.Background()); err == nil {
		t.Error("it left twice")
	}
	if got := all[0].Stats().Deaths; got != 0 {
		t.Errorf("a leave counted as %d deaths", got)
	}
}

func TestMembersAnnounceWhatTheyAre(t *testing.T) {
	a := member(t, "a", nil, nil)
	b := member(t, "b", []string{a.GossipAddr()}, func(o *MembersOptions) {
		o.Incarnation, o.Peer, o.Workers = 77, "0.0.0.0:7711", []WorkerInfo{}
	})
	v := awaitState(t, a, "b", Alive)
	n := v.Node("b")
	if n.Incarnation != 77 || n.Addr != "127.0.0.1:7711" || n.Admin != "127.0.0.1:7690" || n.Gossip != b.GossipAddr() || len(n.Workers) != 0 {
		t.Errorf("%+v", n)
	}
	if err := b.SetWorkers([]WorkerInfo{{Worker: 0, Incarnation: 5, Local: "/run/0"}, {Worker: 2, Incarnation: 6}}); err != nil {
		t.Fatal(err)
	}
	v = await(t, a, "two workers", func(v *View) bool { return len(v.Node("b").Workers) == 2 })
	if p, s := v.Peer(PeerID{"b", 2, 6}); s != Alive || p.Local != "" {
		t.Errorf("%+v is %v", p, s)
	}
	if p, _ := b.View().Peer(PeerID{"b", 0, 5}); p.Local != "/run/0" {
		t.Errorf("its own view has %+v", p)
	}
	drain(t, b, true)
	await(t, a, "b drain", func(v *View) bool { return v.Node("b").Draining })
	if !b.View().Node("b").Draining {
		t.Error("it does not know that it drains")
	}
	drain(t, b, false)
	await(t, a, "b serve", func(v *View) bool { return !v.Node("b").Draining })
	for _, bad := range [][]WorkerInfo{{{Worker: 0}}, {{Worker: 256, Incarnation: 1}}, {{Worker: 1, Incarnation: 1}, {Worker: 1, Incarnation: 2}}, make([]WorkerInfo, WorkersMax+1)} {
		if err := b.SetWorkers(bad); err == nil {
			t.Errorf("%v was taken", bad)
		}
	}
}

func drain(t *testing.T, m *Members, on bool) {
	t.Helper()
	if err := m.SetDraining(on); err != nil {
		t.Error(err)
	}
}

// A killed node: its links end and dialling it is refused. Gossip has not
// noticed yet.
func TestMembersTakeTheWordOfLinks(t *testing.T) {
	all := four(t)
	victim := all[3].Self()
	for _, m := range all[:3] {
		m.Evidence(victim, LinkUp)
	}
	begin := time.Now()
	if err := all[3].Close(); err != nil {
		t.Fatal(err)
	}
	for _, m := range all[:3] {
		m.Evidence(victim, LinkEOF)
		m.Evidence(victim, Refused)
		if s := m.View().Node("n4").State; s != Dead {
			t.Errorf("%s holds it for %v", m.o.Node, s)
		}
	}
	t.Logf("dead everywhere %v after the kill, evidence at once", time.Since(begin).Round(time.Microsecond))

	// It comes back under its name, at another address and with a new
	// incarnation.
	back := member(t, "n4", []string{all[0].GossipAddr()}, nil)
	for _, m := range all[:3] {
		v := await(t, m, "n4 return", func(v *View) bool {
			n := v.Node("n4")
			return n.State == Alive && n.Incarnation == back.Self().Incarnation
		})
		if _, s := v.Peer(victim); s != Dead {
			t.Errorf("%s holds the old incarnation for %v", m.o.Node, s)
		}
	}
}

// Without links, as between nodes that have just met, gossip decides.
func TestMembersTakeTheWordOfGossip(t *testing.T) {
	all := four(t)
	begin := time.Now()
	if err := all[3].Close(); err != nil {
		t.Fatal(err)
	}
	for _, m := range all[:3] {
		awaitState(t, m, "n4", Dead)
	}
	t.Logf("dead everywhere %v after the kill, by gossip alone", time.Since(begin).Round(time.Millisecond))
}

// Gossip alone declares nobody dead who is heard.
func TestMembersOverrideGossip(t *testing.T) {
	a := member(t, "a", nil, nil)
	b := member(t, "b", []string{a.GossipAddr()}, nil)
	awaitState(t, a, "b", Alive)
	a.Evidence(b.Self(), LinkUp)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	// Its link goes on, as if only its gossip were cut off.
	beat := time.NewTicker(20 * time.Millisecond)
	defer beat.Stop()
	deadline := time.NewTimer(30 * time.Second)
	defer deadline.Stop()
	for denied := 0; denied < 100; {
		select {
		case <-beat.C:
		case <-deadline.C:
			t.Fatal("gossip never came to its verdict")
		}
		a.Evidence(b.Self(), Heard)
		a.mu.Lock()
		if !a.nodes["b"].alive { // gossip's opinion
			denied++
		}
		a.mu.Unlock()
		if s := a.View().Node("b").State; s == Dead {
			t.Fatal("gossip had its way")
		}
	}
	if s := a.View().Node("b").State; s != Suspect {
		t.Errorf("it is %v", s)
	}
	awaitState(t, a, "b", Dead) // now that it is silent
}
