package server

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/rookery-server/rookery/cluster"
	"github.com/rookery-server/rookery/mcp"
	"github.com/rookery-server/rookery/session"
)

// TestPackState: what travels comes back, and what does not stays.
func TestPackState(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		state := rapid.Uint64().Draw(t, "state")
		r := session.Record{Stream: 7, Topics: 8, Log: 9, Home: 10, Epoch: 11, Kind: 1 << 1}
		unpackState(&r, state)
		s := toSession(&r)
		s.SetKind(0xff)
		kinds := s.Kind()
		if got, want := packState(&r), state&^(uint64(^kinds)<<48); got != want {
			t.Fatalf("%x came back as %x, want %x", state, got, want)
		}
		if r.Stream != 7 || r.Topics != 8 || r.Log != 9 || r.Home != 10 || r.Epoch != 11 || r.Kind&(1<<1) == 0 {
			t.Fatalf("changed: %+v", r)
		}
	})
}

// storePair is a store with a session at home, and one that holds a copy.
type storePair struct {
	home, copied       *Server
	from, to           cluster.Store
	ref, copyRef       uint64
	id                 string
	fleet              *fakeNet
	homeCore, copyCore *fakeCore
}

func newStorePair(t *testing.T) *storePair {
	t.Helper()
	fleet, servers := startFleet(t, 2, Options{}, fleetTools(t, nil))
	p := &storePair{home: servers[0], copied: servers[1], fleet: fleet, homeCore: fleet.cores[0], copyCore: fleet.cores[1]}
	p.from, p.to = p.homeCore.store, p.copyCore.store
	c := dial(t, servers[0].HTTPAddr())
	p.id = c.begin()
	for _, uri := range []string{"a:b", "c:d"} {
		c.send(post(fmt.Sprintf(`{"jsonrpc":"2.0","id":2,"method":"resources/subscribe","params":{"uri":%q}}`, uri), p.id))
		c.response("POST")
	}
	stream := dial(t, servers[0].HTTPAddr())
	stream.send(getStream + p.id + "\r\n\r\n")
	stream.until("id: ")
	stream.c.Close()
	eventually(t, "closed", func() bool { return servers[0].Stats().MCP.StreamsClosed == 1 })
	p.ref = refOf(t, servers[0], p.id)
	for n := range 3 {
		if err := servers[0].MCP().Notify(p.ref, "notifications/x", map[string]int{"n": n}); err != nil {
			t.Fatal(err)
		}
	}
	s := p.export(t, p.from, p.ref)
	s.Home = 1
	var err error
	if p.copyRef, err = p.to.Adopt(s); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *storePair) export(t *testing.T, store cluster.Store, ref uint64) (s *cluster.Snapshot) {
	t.Helper()
	if !store.Export(ref, func(full *cluster.Snapshot) { s = cloneSnapshot(full) }) {
		t.Fatal("no such session")
	}
	return s
}

// TestStoreCopies: a copy is what its home is, follows its changes, and is left
// alone by what concerns homes.
func TestStoreCopies(t *testing.T) {
	p := newStorePair(t)
	equal := func(what string) {
		t.Helper()
		if a, b := p.from.Digest(p.ref), p.to.Digest(p.copyRef); a != b || a == 0 {
			t.Errorf("%s: digests %x and %x", what, a, b)
		}
		a, b := p.export(t, p.from, p.ref), p.export(t, p.to, p.copyRef)
		if a.Client != b.Client || !slices.Equal(a.Topics, b.Topics) || fmt.Sprint(a.Log) != fmt.Sprint(b.Log) || a.State != b.State {
			t.Errorf("%s: %+v and %+v", what, a, b)
		}
	}
	equal("adopted")
	if s := p.export(t, p.to, p.copyRef); s.Client != "t/1" || len(s.Topics) != 2 || len(s.Log.Events) != 3 || s.Home != 1 {
		t.Errorf("copy %+v", s)
	}
	// Changes, one by one.
	c := dial(t, p.home.HTTPAddr())
	c.send(post(`{"jsonrpc":"2.0","id":3,"method":"logging/setLevel","params":{"level":"error"}}`, p.id) +
		post(`{"jsonrpc":"2.0","id":4,"method":"resources/unsubscribe","params":{"uri":"a:b"}}`, p.id))
	c.response("POST")
	c.response("POST")
	if p.from.Digest(p.ref) == p.to.Digest(p.copyRef) {
		t.Error("digests do not see the changes")
	}
	now, _ := p.from.Load(p.ref)
	p.to.Write(p.copyRef, now.State)
	p.to.Subscribe(p.copyRef, "a:b", false)
	if err := p.home.MCP().Notify(p.ref, "notifications/x", nil); err != nil {
		t.Fatal(err)
	}
	last := p.export(t, p.from, p.ref).Log.Events[3]
	p.to.Append(p.copyRef, &last)
	p.to.Append(p.copyRef, &last) // once more: it is there
	equal("changed")

	if err := p.copied.MCP().Notify(p.copyRef, "notifications/y", nil); err != nil { // goes to the home
		t.Error(err)
	}
	if got := p.export(t, p.from, p.ref).Log; len(got.Events) != 5 || !strings.Contains(string(got.Events[4].Msg), "notifications/y") {
		t.Errorf("log of the home: %+v", got)
	}
	if p.to.SpreadTo(p.copyRef, mcp.AppendPublication(nil, &mcp.Publication{Audience: mcp.ToSession, Method: "m"}), cluster.Origin{Peer: 1, Seq: 1}, false) == nil {
		t.Error("a copy was written to")
	}
	if hooks := p.copyCore.hooks(); len(hooks) != 0 {
		t.Errorf("told of a copy: %q", hooks)
	}
	p.from.Remove(p.ref)
	if _, ok := p.from.Load(p.ref); !ok {
		t.Error("a home was removed as if it were a copy")
	}
	p.to.Remove(p.copyRef)
	if _, ok := p.to.Load(p.copyRef); ok || p.copied.events.Stats().Logs != 0 || p.copied.Stats().MCP.Subscriptions != 0 {
		t.Errorf("left of the copy: %+v", p.copied.Stats())
	}
	p.homeCore.hooks()
	p.from.End(p.ref)
	if hooks := p.homeCore.hooks(); !slices.Equal(hooks, []string{"ended"}) {
		t.Errorf("told %q", hooks)
	}
}

// TestStoreTakesOver: a copy whose home is lost becomes the home; what that had
// beyond is merged, each event once.
func TestStoreTakesOver(t *testing.T) {
	p := newStorePair(t)
	event := func(store cluster.Store, ref uint64) string {
		var all []string
		for _, e := range p.export(t, store, ref).Log.Events {
			_, rest, _ := strings.Cut(string(e.Msg), `"method":`)
			all = append(all, rest)
		}
		return strings.Join(all, " ")
	}
	if !p.to.Promote(p.copyRef, 1, true) {
		t.Fatal("not promoted")
	}
	if s, _ := p.to.Load(p.copyRef); s.Home != 0 || s.Epoch != 1 {
		t.Errorf("%+v", s)
	}
	// Both go on, as on two sides of a split.
	for _, side := range []struct {
		s   *Server
		ref uint64
		n   string
	}{{p.home, p.ref, "old"}, {p.copied, p.copyRef, "new"}} {
		n := mcp.AppendPublication(nil, &mcp.Publication{Audience: mcp.ToSession, Method: side.n})
		store := replicas{side.s.cluster}
		if err := store.SpreadTo(side.ref, n, cluster.Origin{Peer: uint64(len(side.n)) << 32, Seq: uint64(side.n[0])}, false); err != nil {
			t.Fatal(err)
		}
		both := mcp.AppendPublication(nil, &mcp.Publication{Audience: mcp.ToSession, Method: "both"})
		if err := store.SpreadTo(side.ref, both, cluster.Origin{Peer: 7, Seq: 7}, true); err != nil {
			t.Fatal(err)
		}
	}
	late := cluster.Event{Stream: 1, Seq: 99, Origin: cluster.Origin{Peer: 5, Seq: 5}, Msg: []byte(`{"jsonrpc":"2.0","method":"late"}`)}
	p.to.Append(p.copyRef, &late) // it was on its way when the session came home
	healed := p.export(t, p.to, p.copyRef)
	healed.Home = 2
	extra, ok := p.from.Replace(p.ref, healed)
	// What both have is among it: a client may know it by the former home's number.
	if !ok || len(extra) != 2 || !strings.Contains(string(extra[0].Msg), "old") || !strings.Contains(string(extra[1].Msg), "both") {
		t.Fatalf("extra %+v, %v", extra, ok)
	}
	if event(p.from, p.ref) != event(p.to, p.copyRef) {
		t.Errorf("replaced: %s\nby %s", event(p.from, p.ref), event(p.to, p.copyRef))
	}
	p.to.Merge(p.copyRef, extra)
	p.to.Merge(p.copyRef, extra)
	if got := event(p.to, p.copyRef); strings.Count(got, "old") != 1 || strings.Count(got, "new") != 1 || strings.Count(got, "both") != 1 || strings.Count(got, "late") != 1 {
		t.Errorf("merged: %s", got)
	}
	if _, ok := p.from.Replace(p.ref, &cluster.Snapshot{Session: cluster.Session{ID: healed.ID, Home: 3}}); ok {
		t.Error("an older epoch won")
	}
	if _, ok := p.from.Replace(1<<40|12345, healed); ok {
		t.Error("replaced nothing")
	}
	if _, err := p.from.Adopt(healed); err == nil {
		t.Error("adopted twice")
	}
	if _, err := p.from.Spread([]byte("x"), cluster.Origin{}, false); err == nil {
		t.Error("spread what is no publication")
	}
	if p.from.SpreadTo(p.ref, []byte("x"), cluster.Origin{}, false) == nil {
		t.Error("spread what is no publication")
	}
}

// TestStoreRange: only what may be copied is seen, in order.
func TestStoreRange(t *testing.T) {
	p := newStorePair(t)
	dial(t, p.home.TCPAddr()).ask(initialize)
	dial(t, p.home.HTTPAddr()).begin()
	var all []uint64
	p.from.Range(0, func(ref uint64, s cluster.Session) bool { all = append(all, ref&(1<<32-1)); return true })
	if len(all) != 2 || !slices.IsSorted(all) {
		t.Errorf("seen %x", all)
	}
	if homes, copies := p.from.Count(); homes != len(all) || copies != 0 {
		t.Errorf("%d homes, %d copies", homes, copies)
	}
	if homes, copies := p.to.Count(); homes != 0 || copies != 1 {
		t.Errorf("the other has %d homes, %d copies", homes, copies)
	}
	var rest []uint64
	p.from.Range(uint32(all[1]), func(ref uint64, _ cluster.Session) bool { rest = append(rest, ref); return false })
	if len(rest) != 1 {
		t.Errorf("from the second on: %x", rest)
	}
}
