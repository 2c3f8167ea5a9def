package cluster

import "testing"

// TestLone: a node without a cluster knows its own processes.
func TestLone(t *testing.T) {
	l := NewLone("n1", 7)
	first := l.View()
	if !l.Joined() || first.Node("n1") == nil || len(first.Peers(nil)) != 0 {
		t.Errorf("at first %+v", first)
	}
	workers := []WorkerInfo{{Worker: 0, Incarnation: 1, Local: "/a"}, {Worker: 1, Incarnation: 2, Local: "/b"}}
	if err := l.SetWorkers(workers); err != nil {
		t.Fatal(err)
	}
	<-l.Updates()
	workers[0].Local = "changed"
	v := l.View()
	if peers := v.Peers(nil); len(peers) != 2 || peers[0].Local != "/a" || peers[1].Incarnation != 2 || v.Version <= first.Version {
		t.Errorf("%+v", v)
	}
	if err := l.SetDraining(true); err != nil {
		t.Fatal(err)
	}
	<-l.Updates()
	l.Evidence(PeerID{Node: "n1", Worker: 1, Incarnation: 2}, Refused)
	if n := l.View().Node("n1"); n.Accepts() || !n.State.Serves() || len(l.View().Peers(nil)) != 2 {
		t.Errorf("draining: %+v", n)
	}
	if v.Node("n1").Draining {
		t.Error("a view has changed")
	}
	if back, err := ParseView(AppendView(nil, l.View())); err != nil || back.Version != l.View().Version {
		t.Errorf("%v", err)
	}
}
