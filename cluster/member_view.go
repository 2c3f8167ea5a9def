package cluster

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"time"
)

// metaData is what this node announces. Memberlist calls it under its locks.
func (m *Members) metaData() []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.self.append(nil)
}

// onGossip takes a change from memberlist, which calls it under its locks.
func (m *Members) onGossip(e gossipEvent) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e.conflict != "" {
		if m.stats.Conflicts++; m.stats.Conflicts == 1 {
			m.log.Warn("a node's name is claimed at two addresses", "node", e.name, "addr", e.addr, "other", e.conflict,
				"remedy", "none if it has just moved; else give each node a name of its own with --node")
		}
		if e.name == m.o.Node {
			poke(m.contested)
		}
		return
	}
	if e.name == m.o.Node {
		return // nobody knows better
	}
	n := m.nodes[e.name]
	if n == nil {
		n = &nodeInfo{}
		m.nodes[e.name] = n
	}
	n.addr, n.meta, n.alive = e.addr, e.meta, e.state == GossipAlive
	m.det.Gossip(e.name, e.state, e.meta.workers)
	if e.state == GossipDead {
		poke(m.search) // if gossip is wrong, an exchange of states ends the error
	}
	m.publish() // addresses may have changed even if no verdict has
}

// publish makes a view of what is known now. REQUIRES: mu is held.
func (m *Members) publish() {
	v := &View{Version: 1, Self: m.o.Node, Searching: !m.stats.Joined}
	if old := m.view.Load(); old != nil {
		v.Version = old.Version + 1
	}
	v.Nodes = append(v.Nodes, m.selfNode())
	for name, n := range m.nodes {
		state, reason := m.det.Node(name)
		if state == 0 { // forgotten
			delete(m.nodes, name)
			continue
		}
		m.note(name, n, state, reason)
		v.Nodes = append(v.Nodes, m.node(name, n))
	}
	slices.SortFunc(v.Nodes, func(a, b Node) int { return strings.Compare(a.Name, b.Name) })
	m.view.Store(v)
	poke(m.updates)
}

// note logs and counts a change of state.
func (m *Members) note(name string, n *nodeInfo, state NodeState, reason string) {
	if n.state == state {
		return
	}
	level, was := slog.LevelInfo, n.state
	switch {
	case state == Dead:
		m.stats.Deaths++
		if !n.meta.draining { // else its processes end before it says so itself
			level = slog.LevelWarn
		}
	case was == Dead:
		m.stats.Returns++
	case state == Suspect || was == Suspect:
		level = slog.LevelDebug
	}
	n.state, n.since = state, time.Now()
	if was == 0 {
		m.log.Log(context.Background(), level, "node found", "node", name, "state", state.String(), "addr", n.addr)
		return
	}
	m.log.Log(context.Background(), level, "node changed", "node", name, "state", state.String(), "was", was.String(), "reason", reason)
}

func (m *Members) selfNode() Node {
	state, _ := m.det.Node(m.o.Node)
	addr := m.gossipAddr()
	n := Node{
		Name: m.o.Node, Incarnation: m.o.Incarnation, State: state, Draining: m.self.draining, Since: m.origin.Round(0),
		Addr: reachable(m.self.peer, addr), Gossip: addr, Admin: reachable(m.self.admin, addr),
	}
	for _, w := range m.self.workers {
		n.Workers = append(n.Workers, WorkerInfo{Worker: w.Worker, Incarnation: w.Incarnation, State: Alive, Local: m.local[w.Incarnation]})
	}
	return n
}

func (m *Members) node(name string, i *nodeInfo) Node {
	n := Node{
		Name: name, Incarnation: i.meta.incarnation, State: i.state, Draining: i.meta.draining, Since: i.since.Round(0),
		Addr: reachable(i.meta.peer, i.addr), Gossip: i.addr, Admin: reachable(i.meta.admin, i.addr),
	}
	for _, w := range i.meta.workers {
		id := PeerID{Node: name, Worker: w.Worker, Incarnation: w.Incarnation}
		state, _ := m.det.Peer(id)
		n.Workers = append(n.Workers, WorkerInfo{Worker: w.Worker, Incarnation: w.Incarnation, State: state, Gone: m.det.Gone(id)})
	}
	return n
}
