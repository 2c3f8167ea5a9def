package cluster

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// eventually waits for what no view shows.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	deadline := time.NewTimer(30 * time.Second)
	defer deadline.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("never: %s", what)
		}
	}
}

func TestMembersOptions(t *testing.T) {
	good := MembersOptions{Node: "n1", Gossip: "127.0.0.1:0", Peer: "127.0.0.1:7700", Keys: [][]byte{testKey}}
	if _, err := NewMembers(good); err != nil {
		t.Fatal(err)
	}
	for name, breakIt := range map[string]func(*MembersOptions){
		"no name":      func(o *MembersOptions) { o.Node = "" },
		"a bad name":   func(o *MembersOptions) { o.Node = "n/1" },
		"a long name":  func(o *MembersOptions) { o.Node = strings.Repeat("n", 65) },
		"no gossip":    func(o *MembersOptions) { o.Gossip = "" },
		"no port":      func(o *MembersOptions) { o.Peer = "127.0.0.1" },
		"a bad admin":  func(o *MembersOptions) { o.Admin = "127.0.0.1:x" },
		"no keys":      func(o *MembersOptions) { o.Keys = nil },
		"a bad join":   func(o *MembersOptions) { o.Join = []string{"n2"} },
		"bad workers":  func(o *MembersOptions) { o.Workers = []WorkerInfo{{}} },
		"a long peer":  func(o *MembersOptions) { o.Peer = strings.Repeat("p", 65) + ":1" },
		"many workers": func(o *MembersOptions) { o.Workers = make([]WorkerInfo, WorkersMax+1) },
	} {
		o := good
		breakIt(&o)
		if _, err := NewMembers(o); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestMembersStartFails(t *testing.T) {
	taken := member(t, "a", nil, nil)
	for name, change := range map[string]func(*MembersOptions){
		"port taken":      func(o *MembersOptions) { o.Gossip = taken.GossipAddr() },
		"bad key":         func(o *MembersOptions) { o.Keys = [][]byte{{1, 2, 3}} },
		"bad host":        func(o *MembersOptions) { o.Gossip = "no host:1" },
		"bad advertise":   func(o *MembersOptions) { o.Advertise = "no host" },
		"bad label":       func(o *MembersOptions) { o.Label = strings.Repeat("l", 300) },
		"strange address": func(o *MembersOptions) { o.Gossip = "192.0.2.1:7701" },
	} {
		o := MembersOptions{Node: "b", Gossip: "127.0.0.1:0", Peer: "127.0.0.1:1", Keys: [][]byte{testKey}}
		change(&o)
		m, err := NewMembers(o)
		if err != nil {
			t.Fatal(err)
		}
		if err := m.Start(); err == nil {
			t.Errorf("%s: no error", name)
		}
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	}
}

// What may be called when.
func TestMembersPhases(t *testing.T) {
	m, err := NewMembers(MembersOptions{Node: "a", Gossip: "127.0.0.1:0", Advertise: "127.0.0.1", Peer: ":1", Plaintext: true})
	if err != nil {
		t.Fatal(err)
	}
	if v := m.View(); v == nil || v.Node("a").State != Alive {
		t.Errorf("before the start: %+v", v)
	}
	if err := m.Leave(t.Context()); err == nil {
		t.Error("it left before it came")
	}
	if err := m.SetKeys([][]byte{testKey}); err == nil {
		t.Error("keys before the start")
	}
	if err := m.Start(); err != nil {
		t.Fatal(err)
	}
	if err := m.SetKeys([][]byte{testKey}); err == nil {
		t.Error("keys for plaintext")
	}
	if err := m.Start(); err == nil {
		t.Error("it started twice")
	}
	if got := m.View().Node("a").Addr; got != "127.0.0.1:1" {
		t.Errorf("peer address %q", got)
	}
	done, cancel := context.WithCancel(t.Context())
	cancel()
	if err := m.Leave(done); err == nil {
		t.Error("it left without time")
	}
	if err := m.SetWorkers([]WorkerInfo{{Incarnation: 3}}); err != nil || m.View().Node("a").State != Left {
		t.Errorf("%v, %s", err, AppendView(nil, m.View()))
	}
	if err := m.SetDraining(true); err == nil {
		t.Error("it drains after it has left")
	}
	for range 2 {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := m.Start(); err == nil {
		t.Error("it started after its end")
	}
}

// The seed may start last, and addresses may stand in a file or behind a name.
func TestMembersJoinLate(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	seed := l.Addr().String()
	_, port, _ := net.SplitHostPort(seed)
	path := filepath.Join(t.TempDir(), "nodes")
	byName := member(t, "b", []string{"localhost:" + port}, nil)
	byFile := member(t, "c", []string{"file:" + path}, nil)
	eventually(t, "a failed attempt", func() bool { return byName.Stats().JoinFailures > 0 })
	if byName.Stats().Joined || byFile.Stats().Joined {
		t.Error("joined nobody")
	}
	l.Close()
	member(t, "a", nil, func(o *MembersOptions) { o.Gossip = seed })
	if err := os.WriteFile(path, []byte(seed), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, m := range []*Members{byName, byFile} {
		await(t, m, "three alive nodes", func(v *View) bool { return count(v, Alive) == 3 })
	}
}

func TestMembersRefuseStrangers(t *testing.T) {
	a := member(t, "a", nil, nil)
	for name, change := range map[string]func(*MembersOptions){
		"key":       func(o *MembersOptions) { o.Keys = [][]byte{bytes.Repeat([]byte{8}, 32)} },
		"label":     func(o *MembersOptions) { o.Label = "other" },
		"plaintext": func(o *MembersOptions) { o.Keys, o.Plaintext = nil, true },
	} {
		log := &record{}
		b := member(t, "b-"+name, []string{a.GossipAddr()}, func(o *MembersOptions) {
			change(o)
			o.Logger = slog.New(slog.NewTextHandler(log, nil))
		})
		eventually(t, "a failed attempt", func() bool { return strings.Contains(log.String(), "remedy") })
		if n := len(b.View().Nodes); n != 1 || b.Stats().Joined {
			t.Errorf("%s: it sees %d nodes", name, n)
		}
	}
	if n := len(a.View().Nodes); n != 1 {
		t.Errorf("a sees %d nodes", n)
	}
}

func TestMembersRotateKeys(t *testing.T) {
	old, fresh := testKey, bytes.Repeat([]byte{9}, 32)
	a := member(t, "a", nil, nil)
	b := member(t, "b", []string{a.GossipAddr()}, nil)
	both := []*Members{a, b}
	for _, keys := range [][][]byte{{old, fresh}, {fresh, old}, {fresh}} {
		for _, m := range both {
			if err := m.SetKeys(keys); err != nil {
				t.Fatal(err)
			}
		}
	}
	c := member(t, "c", []string{a.GossipAddr()}, func(o *MembersOptions) { o.Keys = [][]byte{fresh} })
	for _, m := range append(both, c) {
		await(t, m, "three alive nodes", func(v *View) bool { return count(v, Alive) == 3 })
	}
	if got := len(a.gossip.keys.GetKeys()); got != 1 {
		t.Errorf("%d keys are left", got)
	}
	if err := a.SetKeys([][]byte{{1}}); err == nil {
		t.Error("a bad key was taken")
	}
	if err := a.SetKeys(nil); err == nil {
		t.Error("no key was taken")
	}
}

func TestMembersOfOneName(t *testing.T) {
	a := member(t, "a", nil, nil)
	member(t, "b", []string{a.GossipAddr()}, nil)
	awaitState(t, a, "b", Alive)
	second := member(t, "b", []string{a.GossipAddr()}, nil)
	eventually(t, "a conflict", func() bool { return a.Stats().Conflicts > 0 && second.Stats().Conflicts > 0 })
}

// Who was away for longer than gossip speaks to the dead is looked for.
func TestMembersLookForTheDead(t *testing.T) {
	a := member(t, "a", nil, nil)
	b := member(t, "b", []string{a.GossipAddr()}, nil)
	addr := b.GossipAddr()
	awaitState(t, a, "b", Alive)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	awaitState(t, a, "b", Dead)
	if s := a.Stats(); s.Deaths != 1 || s.Returns != 0 {
		t.Errorf("%+v", s)
	}
	// It returns and joins nobody itself.
	member(t, "b", nil, func(o *MembersOptions) { o.Gossip = addr })
	awaitState(t, a, "b", Alive)
	if s := a.Stats(); s.Returns != 1 {
		t.Errorf("%+v", s)
	}
}

func TestMembersForget(t *testing.T) {
	a := member(t, "a", nil, func(o *MembersOptions) { o.Detector.Forget = 100 * time.Millisecond })
	b := member(t, "b", []string{a.GossipAddr()}, nil)
	awaitState(t, a, "b", Alive)
	if err := b.Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	await(t, a, "b forgotten", func(v *View) bool { return v.Node("b") == nil })
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.nodes) != 0 {
		t.Errorf("%d nodes are kept", len(a.nodes))
	}
}

func TestGossipLogIsBounded(t *testing.T) {
	log, now := &record{}, time.Unix(0, 0)
	g := &gossipLog{logger: slog.New(slog.NewTextHandler(log, nil)), now: func() time.Time { return now }}
	for i := range 100 {
		fmt.Fprintf(g, "[WARN] memberlist: line %d\n", i)
		fmt.Fprintf(g, "[DEBUG] memberlist: unheard\n")
	}
	if n := strings.Count(log.String(), "\n"); n != gossipLogLines {
		t.Errorf("%d lines", n)
	}
	now = now.Add(gossipLogWindow)
	fmt.Fprint(g, "[ERR] memberlist: bad")
	if got := log.String(); !strings.Contains(got, "level=WARN msg=gossip text=bad suppressed="+strconv.Itoa(100-gossipLogLines)) {
		t.Error(got)
	}
	if strings.Contains(log.String(), "unheard") {
		t.Error("debug lines pass")
	}
	if level, text := gossipLevel("plain"); level != slog.LevelDebug || text != "plain" {
		t.Error(level, text)
	}
}

func TestReachable(t *testing.T) {
	for _, c := range []struct{ addr, gossip, want string }{
		{"10.0.0.1:1", "10.0.0.2:2", "10.0.0.1:1"},
		{":1", "10.0.0.2:2", "10.0.0.2:1"},
		{"0.0.0.0:1", "10.0.0.2:2", "10.0.0.2:1"},
		{"[::]:1", "[fd00::1]:2", "[fd00::1]:1"},
		{"n1.example:1", "10.0.0.2:2", "n1.example:1"},
		{":1", "", ":1"},
		{"", "10.0.0.2:2", ""},
	} {
		if got := reachable(c.addr, c.gossip); got != c.want {
			t.Errorf("%q with %q: %q, want %q", c.addr, c.gossip, got, c.want)
		}
	}
}
