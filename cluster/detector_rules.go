package cluster

// Why a process or a node is in its state, for the log.
const (
	reasonGone     = "its link ended and dialling it was refused"
	reasonGossip   = "silent, and gossip calls it dead"
	reasonAlone    = "silent, and dialling it failed"
	reasonDenied   = "gossip calls it dead, but it is heard"
	reasonSilent   = "silent"
	reasonLeft     = "it said so"
	reasonNoWorker = "it announces no process, and gossip calls it dead"
	reasonHeard    = "it is heard"
	reasonAnnounce = "gossip tells of it"
)

func (n *suspectNode) peer(worker uint16, incarnation uint64) *suspectPeer {
	for i := range n.peers {
		if p := &n.peers[i]; p.worker == worker && p.incarnation == incarnation {
			return p
		}
	}
	return nil
}

// judge applies the rules to a node and reports whether a state in it changed.
func (d *Detector) judge(name string, n *suspectNode) (changed bool) {
	if name != d.self {
		for i := range n.peers {
			p := &n.peers[i]
			was := p.dead
			d.judgePeer(n, p)
			changed = changed || p.dead != was
		}
	}
	state, reason := d.nodeState(name, n)
	if state != n.state {
		n.state, n.since = state, d.now
		changed = true
	}
	n.reason = reason
	return changed
}

func (d *Detector) judgePeer(n *suspectNode, p *suspectPeer) {
	if p.dead {
		return // Evidence, Tick and Gossip revoke it
	}
	alone := d.o.Alone
	if !p.linked {
		alone = d.o.Grace
	}
	switch {
	case p.ended && p.refused:
		p.dead, p.gone, p.reason = true, true, reasonGone
		p.heard, p.heardTicks = false, 0
	case n.gossip == GossipDead && p.silence >= d.o.Silence:
		p.dead, p.reason = true, reasonGossip
	case p.failed && p.silence >= alone:
		p.dead, p.reason = true, reasonAlone
	case p.linked && p.silence >= d.o.Doubt:
		p.reason = reasonSilent
	case p.linked:
		p.reason = reasonHeard
	default:
		p.reason = reasonAnnounce
	}
}

// nodeState derives a node's state from those of its processes.
func (d *Detector) nodeState(name string, n *suspectNode) (NodeState, string) {
	switch {
	case n.gossip == GossipLeft:
		return Left, reasonLeft
	case name == d.self:
		return Alive, ""
	case len(n.peers) == 0 && n.gossip == GossipDead:
		return Dead, reasonNoWorker
	case len(n.peers) == 0:
		return Alive, reasonAnnounce
	}
	// The best of its processes speaks for the node.
	best, reason := Dead, n.peers[0].reason
	for i := range n.peers {
		if s := d.peerState(name, n, &n.peers[i]); s < best {
			best, reason = s, n.peers[i].reason
		}
	}
	switch {
	case best == Suspect && n.gossip == GossipDead:
		return Suspect, reasonDenied
	case best == Suspect:
		return Suspect, reasonSilent
	}
	return best, reason
}

// peerState returns the state of a process of the node.
func (d *Detector) peerState(name string, n *suspectNode, p *suspectPeer) NodeState {
	switch {
	case name == d.self:
		return Alive
	case p.dead:
		return Dead
	case n.gossip == GossipDead, p.linked && p.silence >= d.o.Doubt:
		return Suspect
	}
	return Alive
}
