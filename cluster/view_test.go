package cluster

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

func exampleView() *View {
	return &View{Version: 7, Self: "n1", Nodes: []Node{
		{Name: "n1", Incarnation: 1<<63 + 1, Addr: "127.0.0.1:7700", Gossip: "127.0.0.1:7701", State: Alive,
			Workers: []WorkerInfo{{Worker: 0, Incarnation: 1<<63 + 1, State: Alive, Local: "/run/0"}, {Worker: 1, Incarnation: 5, State: Dead}}},
		{Name: "n2", Incarnation: 2, Addr: "127.0.0.2:7700", Admin: "127.0.0.2:7690", State: Suspect, Draining: true,
			Workers: []WorkerInfo{{Worker: 3, Incarnation: 9, State: Alive}}, Since: time.Unix(1e9, 5).UTC()},
		{Name: "n3", Incarnation: 3, Addr: "127.0.0.3:7700", State: Dead, Workers: []WorkerInfo{{Worker: 0, Incarnation: 3, State: Alive}}},
		{Name: "n4", State: Left},
	}}
}

func TestViewRoundTrip(t *testing.T) {
	v := exampleView()
	p := AppendView([]byte("x"), v)
	if p[0] != 'x' || strings.ContainsRune(string(p), '\n') {
		t.Errorf("%s", p)
	}
	got, err := ParseView(p[1:])
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, v) {
		t.Errorf("%+v became %+v", v, got)
	}
}

func TestParseViewRefuses(t *testing.T) {
	for name, breakIt := range map[string]func(*View){
		"disorder":          func(v *View) { slices.Reverse(v.Nodes) },
		"twice":             func(v *View) { v.Nodes[1].Name = "n1" },
		"no self":           func(v *View) { v.Self = "n9" },
		"workers disorder":  func(v *View) { v.Nodes[0].Workers[1].Worker = 0 },
		"no state":          func(v *View) { v.Nodes[0].State = 0 },
		"worker that left":  func(v *View) { v.Nodes[0].Workers[0].State = Left },
		"state of tomorrow": func(v *View) { v.Nodes[0].State = 9 },
	} {
		v := exampleView()
		breakIt(v)
		if _, err := ParseView(AppendView(nil, v)); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	for _, text := range []string{"", "{", "[]", "null"} {
		if _, err := ParseView([]byte(text)); err == nil {
			t.Errorf("%q: no error", text)
		}
	}
}

func TestViewFindsPeers(t *testing.T) {
	v := exampleView()
	var names []string
	for _, p := range v.Peers(nil) {
		names = append(names, p.String())
	}
	if want := []string{"n1/0", "n2/3"}; !slices.Equal(names, want) {
		t.Errorf("serving: %v, want %v", names, want)
	}
	names = names[:0]
	for _, p := range v.Targets(nil) {
		names = append(names, p.String())
	}
	if want := []string{"n1/0", "n1/1", "n2/3", "n3/0"}; !slices.Equal(names, want) {
		t.Errorf("to dial: %v, want %v", names, want)
	}
	for _, c := range []struct {
		id   PeerID
		want NodeState
		addr string
	}{
		{PeerID{"n1", 0, 1<<63 + 1}, Alive, "127.0.0.1:7700"},
		{PeerID{"n1", 1, 5}, Dead, "127.0.0.1:7700"},
		{PeerID{"n1", 1, 6}, Dead, ""}, // replaced or not yet announced
		{PeerID{"n2", 3, 9}, Suspect, "127.0.0.2:7700"},
		{PeerID{"n3", 0, 3}, Dead, "127.0.0.3:7700"},
		{PeerID{"n9", 0, 1}, Dead, ""},
	} {
		p, s := v.Peer(c.id)
		if s != c.want || p.Addr != c.addr || p.PeerID != c.id {
			t.Errorf("%v: %v at %q, want %v at %q", c.id, s, p.Addr, c.want, c.addr)
		}
	}
	if p, _ := v.Peer(PeerID{"n1", 0, 1<<63 + 1}); p.Local != "/run/0" {
		t.Errorf("socket %q", p.Local)
	}
}

func TestStatus(t *testing.T) {
	v := exampleView()
	var got []string
	for i := range v.Nodes {
		n := &v.Nodes[i]
		got = append(got, n.Status())
		if want := n.Name == "n1"; n.Accepts() != want {
			t.Errorf("%s accepts: %v", n.Name, n.Accepts())
		}
	}
	if want := []string{"alive", "draining", "dead", "left"}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if s := NodeState(9).String(); s != "state 9" {
		t.Error(s)
	}
}

func TestPeerIDOrder(t *testing.T) {
	ids := []PeerID{{"a", 0, 9}, {"a", 1, 1}, {"a", 1, 2}, {"b", 0, 0}}
	for i, x := range ids {
		for j, y := range ids {
			if got := x.Compare(y); got > 0 != (i > j) || got < 0 != (i < j) {
				t.Errorf("%v against %v: %d", x, y, got)
			}
		}
	}
}

func FuzzParseView(f *testing.F) {
	f.Add(AppendView(nil, exampleView()))
	f.Fuzz(func(t *testing.T, p []byte) {
		v, err := ParseView(p)
		if err != nil {
			return
		}
		again, err := ParseView(AppendView(nil, v))
		if err != nil {
			t.Fatal(err)
		}
		if again.Version != v.Version || len(again.Nodes) != len(v.Nodes) {
			t.Fatal("changed on the way")
		}
		v.Peers(nil)
		v.Targets(nil)
	})
}
