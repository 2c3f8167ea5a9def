package cluster

import "testing"

// Who took a leave for a death hears of it from who did not.
func TestMembersHearOfLeavesLate(t *testing.T) {
	fresh := func(name string) *Members {
		m, err := NewMembers(MembersOptions{Node: name, Gossip: "127.0.0.1:0", Peer: "127.0.0.1:1", Plaintext: true})
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	a, b := fresh("a"), fresh("b")
	meta := nodeMeta{incarnation: 7, workers: []WorkerInfo{{Incarnation: 7}}}
	gone := meta
	gone.leaving = true
	for _, m := range []*Members{a, b} {
		m.onGossip(gossipEvent{name: "c", state: GossipAlive, meta: meta})
		m.onGossip(gossipEvent{name: "d", state: GossipAlive, meta: meta})
	}
	a.onGossip(gossipEvent{name: "c", state: GossipLeft, meta: gone})
	a.onGossip(gossipEvent{name: "d", state: GossipLeft, meta: gone})
	told := a.leftState()
	for n := range told { // cut short: nothing, or the first node
		b.takeLeft(told[:n])
	}
	if s := b.View().Node("d").State; s != Alive {
		t.Errorf("d is alive to gossip, and %v", s)
	}
	b.onGossip(gossipEvent{name: "c", state: GossipDead, meta: meta})
	b.takeLeft(told)
	if s := b.View().Node("c").State; s != Left {
		t.Errorf("c is %v", s)
	}
	next := meta
	next.incarnation = 8
	b.onGossip(gossipEvent{name: "d", state: GossipAlive, meta: next})
	b.onGossip(gossipEvent{name: "d", state: GossipDead, meta: next})
	b.takeLeft(told)
	if n := b.nodes["d"]; n.meta.leaving {
		t.Error("d has returned since")
	}
	b.takeLeft(nil)
	b.takeLeft([]byte{leftVersion + 1, 1})
}
