package cluster

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

var anyEvidence = rapid.SampledFrom([]Evidence{LinkUp, LinkEOF, LinkLost, Silent, Refused, Replaced, Failed, Heard})

var anyGossip = rapid.SampledFrom([]GossipState{GossipAlive, GossipDead})

// Whoever is heard at least every 250 ms lives, whatever gossip says and
// however late the judge's ticks are, as long as nobody finds it gone.
func TestDetectorSparesThoseWhoAreHeard(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := newCourt(t, first)
		quiet := time.Duration(0)
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			switch rapid.IntRange(0, 3).Draw(t, "what") {
			case 0:
				c.gossip(anyGossip.Draw(t, "gossip"), first)
			case 1:
				c.d.Evidence(first, rapid.SampledFrom([]Evidence{LinkEOF, LinkLost, Silent, Failed, LinkUp}).Draw(t, "evidence"))
			case 2:
				c.stop(time.Duration(rapid.IntRange(300, 10_000).Draw(t, "pause")) * ms)
				quiet = 0
			case 3:
				step := time.Duration(rapid.IntRange(1, 100).Draw(t, "tick")) * ms
				if quiet += step; quiet > 250*ms {
					c.d.Evidence(first, Heard)
					quiet = 0
				}
				c.stop(step)
			}
			if s, why := c.d.Node(accused); !s.Serves() {
				t.Fatalf("%v: %s", s, why)
			}
		}
	})
}

// A judge whose ticks are all late condemns nobody but those who are gone.
func TestDetectorThatStarvesDoesNotJudge(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := newCourt(t, first)
		for range rapid.IntRange(1, 100).Draw(t, "steps") {
			c.gossip(anyGossip.Draw(t, "gossip"), first)
			c.d.Evidence(first, rapid.SampledFrom([]Evidence{LinkEOF, LinkLost, Silent, Failed, Heard}).Draw(t, "evidence"))
			c.stop(time.Duration(rapid.IntRange(251, 5000).Draw(t, "pause")) * ms)
			if s, why := c.d.Node(accused); !s.Serves() {
				t.Fatalf("%v: %s", s, why)
			}
		}
	})
}

// Whatever happened before: a process that dies is dead soon, one that lives
// again is alive soon, and the states of node and processes agree.
func TestDetectorSettles(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		peers := []PeerID{first, second}
		c := newCourt(t, peers...)
		for range rapid.IntRange(0, 100).Draw(t, "steps") {
			p := rapid.SampledFrom(peers).Draw(t, "peer")
			switch rapid.IntRange(0, 2).Draw(t, "what") {
			case 0:
				c.gossip(anyGossip.Draw(t, "gossip"), peers...)
			case 1:
				c.d.Evidence(p, anyEvidence.Draw(t, "evidence"))
			case 2:
				c.stop(time.Duration(rapid.IntRange(1, 400).Draw(t, "tick")) * ms)
			}
			node, _ := c.d.Node(accused)
			a, _ := c.d.Peer(first)
			b, _ := c.d.Peer(second)
			if node != min(a, b) {
				t.Fatalf("the node is %v, its processes %v and %v", node, a, b)
			}
		}
		lives := rapid.Bool().Draw(t, "lives")
		c.gossip(GossipAlive, peers...)
		if lives {
			c.pass(400*ms, peers...)
			c.want(Alive)
			return
		}
		for _, p := range peers {
			if rapid.Bool().Draw(t, "gone") {
				c.kill(p)
			}
		}
		c.pass(700 * ms)
		c.gossip(GossipDead, peers...)
		c.pass(100 * ms)
		c.want(Dead)
	})
}

// The verdict does not depend on the order in which nodes are judged, nor on
// anything else but the calls.
func TestDetectorIsDeterministic(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		names := []string{"a", "b", "c", "d", "e"}
		d1, d2 := NewDetector("a", DetectorOptions{}), NewDetector("a", DetectorOptions{})
		now := time.Duration(0)
		for range rapid.IntRange(1, 100).Draw(t, "steps") {
			name := rapid.SampledFrom(names).Draw(t, "node")
			var c1, c2 bool
			switch rapid.IntRange(0, 2).Draw(t, "what") {
			case 0:
				s := anyGossip.Draw(t, "gossip")
				workers := []WorkerInfo{{Worker: 0, Incarnation: rapid.Uint64Range(1, 2).Draw(t, "incarnation")}}
				c1, c2 = d1.Gossip(name, s, workers), d2.Gossip(name, s, workers)
			case 1:
				id := PeerID{name, 0, rapid.Uint64Range(1, 2).Draw(t, "incarnation")}
				e := anyEvidence.Draw(t, "evidence")
				c1, c2 = d1.Evidence(id, e), d2.Evidence(id, e)
			case 2:
				now += time.Duration(rapid.IntRange(1, 400).Draw(t, "tick")) * ms
				c1, c2 = d1.Tick(now), d2.Tick(now)
			}
			if c1 != c2 {
				t.Fatal("only one of two equal judges changed its mind")
			}
			for _, name := range names {
				s1, why1 := d1.Node(name)
				s2, why2 := d2.Node(name)
				if s1 != s2 || why1 != why2 {
					t.Fatalf("%s: %v (%s) and %v (%s)", name, s1, why1, s2, why2)
				}
			}
		}
	})
}
