package cluster

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// court is a Detector with one accused node of one or two processes.
type court struct {
	t   rapid.TB
	d   *Detector
	now time.Duration
}

const accused = "n2"

var (
	first  = PeerID{accused, 0, 0xa}
	second = PeerID{accused, 1, 0xb}
)

func newCourt(t rapid.TB, peers ...PeerID) *court {
	c := &court{t: t, d: NewDetector("n1", DetectorOptions{})}
	c.d.Tick(c.now)
	c.gossip(GossipAlive, peers...)
	for _, p := range peers {
		c.d.Evidence(p, LinkUp)
	}
	c.d.Tick(c.now)
	return c
}

func (c *court) gossip(s GossipState, peers ...PeerID) {
	var list []WorkerInfo
	for _, p := range peers {
		list = append(list, WorkerInfo{Worker: p.Worker, Incarnation: p.Incarnation})
	}
	c.d.Gossip(accused, s, list)
}

// pass lets time pass in ticks that come on time, in which those who live are
// heard every 100 ms.
func (c *court) pass(d time.Duration, living ...PeerID) {
	for begin := c.now; c.now < begin+d; {
		c.now += 50 * ms
		if (c.now-begin)%(100*ms) == 0 {
			for _, p := range living {
				c.d.Evidence(p, Heard)
			}
		}
		c.d.Tick(c.now)
	}
}

// stop stops the judge.
func (c *court) stop(d time.Duration) {
	c.now += d
	c.d.Tick(c.now)
}

func (c *court) want(s NodeState) {
	c.t.Helper()
	if got, why := c.d.Node(accused); got != s {
		c.t.Fatalf("at %v the node is %v (%s), want %v", c.now, got, why, s)
	}
}

func (c *court) wantPeer(p PeerID, s NodeState) {
	c.t.Helper()
	if got, why := c.d.Peer(p); got != s {
		c.t.Fatalf("at %v %v is %v (%s), want %v", c.now, p, got, why, s)
	}
}

const ms = time.Millisecond

// kill ends the process as kill -9 does.
func (c *court) kill(p PeerID) {
	c.d.Evidence(p, LinkEOF)
	c.d.Evidence(p, Refused)
}

var trials = []struct {
	name  string
	peers []PeerID
	play  func(*court)
}{
	{"a quiet cluster", []PeerID{first}, func(c *court) {
		c.pass(time.Minute, first)
		c.want(Alive)
	}},
	{"killed", []PeerID{first}, func(c *court) {
		c.d.Evidence(first, LinkEOF)
		c.want(Alive) // a lost connection is no death
		c.d.Evidence(first, Refused)
		c.want(Dead) // at once
		c.pass(time.Minute)
		c.want(Dead)
	}},
	{"refused before the other link ends", []PeerID{first}, func(c *court) {
		c.d.Evidence(first, Refused)
		c.want(Alive)
		c.d.Evidence(first, LinkEOF)
		c.want(Dead)
	}},
	{"an old refusal does not count", []PeerID{first}, func(c *court) {
		c.d.Evidence(first, Refused)
		c.d.Evidence(first, Heard)
		c.d.Evidence(first, LinkEOF)
		c.pass(200*ms, first)
		c.want(Alive)
	}},
	{"a link that comes back", []PeerID{first}, func(c *court) {
		c.d.Evidence(first, LinkEOF)
		c.pass(250 * ms)
		c.d.Evidence(first, LinkUp)
		c.pass(time.Second, first)
		c.want(Alive)
	}},
	{"killed, and the dialler was the dead one", []PeerID{first}, func(c *court) {
		c.d.Evidence(first, LinkEOF)
		c.pass(600 * ms)
		c.want(Suspect)
		c.gossip(GossipDead, first)
		c.want(Suspect)
		c.pass(100 * ms)
		c.want(Dead)
	}},
	{"stopped for 300 ms", []PeerID{first}, func(c *court) {
		c.pass(300 * ms)
		c.want(Suspect)
		c.pass(time.Second, first)
		c.want(Alive)
	}},
	{"stopped for 300 ms, and gossip was hasty", []PeerID{first}, func(c *court) {
		c.gossip(GossipDead, first)
		c.pass(300 * ms)
		c.want(Suspect)
		c.pass(time.Second, first)
		c.gossip(GossipAlive, first)
		c.want(Alive)
	}},
	{"stopped for 5 s, back with the same incarnation", []PeerID{first}, func(c *court) {
		c.pass(750 * ms)
		c.gossip(GossipDead, first)
		c.want(Dead)
		c.pass(4250 * ms)
		c.gossip(GossipDead, first)
		c.want(Dead) // nothing new
		c.d.Evidence(first, Heard)
		c.want(Suspect) // gossip still says so
		c.gossip(GossipAlive, first)
		c.want(Alive)
	}},
	{"a split heals, gossip first, and then the links", []PeerID{first}, func(c *court) {
		c.gossip(GossipDead, first)
		c.pass(time.Minute)
		c.want(Dead)
		c.gossip(GossipAlive, first)
		c.want(Alive) // so that somebody dials
		c.pass(2 * time.Second)
		c.d.Evidence(first, LinkUp)
		c.pass(time.Minute, first)
		c.want(Alive)
	}},
	{"a split heals for gossip only", []PeerID{first}, func(c *court) {
		c.gossip(GossipDead, first)
		c.pass(time.Minute)
		c.gossip(GossipAlive, first)
		c.d.Evidence(first, Failed)
		c.pass(5 * time.Second)
		c.want(Dead)
		c.gossip(GossipAlive, first) // nothing new
		c.want(Dead)
	}},
	{"the judge is stopped for 5 s", []PeerID{first}, func(c *court) {
		c.pass(time.Second, first)
		c.stop(5 * time.Second)
		c.gossip(GossipDead, first) // its own prober woke up to old timers
		c.d.Evidence(first, Failed)
		c.stop(10 * ms)
		c.want(Suspect)
		c.pass(100*ms, first)
		c.gossip(GossipAlive, first)
		c.want(Alive)
	}},
	{"a starved judge", []PeerID{first}, func(c *court) {
		c.gossip(GossipDead, first)
		for range 200 {
			c.stop(300 * ms)
			c.d.Evidence(first, Failed)
			c.want(Suspect)
		}
	}},
	{"a starved judge still sees who is gone", []PeerID{first}, func(c *court) {
		c.stop(300 * ms)
		c.d.Evidence(first, Refused)
		c.stop(300 * ms)
		c.d.Evidence(first, LinkEOF)
		c.want(Dead)
	}},
	{"gossip alone, for an hour", []PeerID{first}, func(c *court) {
		c.gossip(GossipDead, first)
		c.pass(time.Hour, first)
		c.want(Suspect)
	}},
	{"a link that swallows everything, gossip well", []PeerID{first}, func(c *court) {
		c.pass(time.Minute)
		c.want(Suspect) // nobody tried to dial
		c.d.Evidence(first, LinkEOF)
		c.d.Evidence(first, Failed)
		c.want(Dead)
		c.d.Evidence(first, LinkUp)
		c.want(Alive)
	}},
	{"a cut network", []PeerID{first}, func(c *court) {
		c.pass(600 * ms)
		c.d.Evidence(first, Failed)
		c.pass(550 * ms)
		c.want(Suspect)
		c.pass(50 * ms)
		c.want(Dead)
	}},
	{"flapping", []PeerID{first}, func(c *court) {
		for range 20 {
			c.kill(first)
			c.want(Dead)
			c.pass(100 * ms)
			c.d.Evidence(first, LinkUp)
			c.want(Alive)
			c.pass(100*ms, first)
		}
	}},
	{"another process in its place", []PeerID{first}, func(c *court) {
		c.d.Evidence(first, Replaced)
		c.want(Dead)
	}},
	{"a broken connection, and nobody listens", []PeerID{first}, func(c *court) {
		c.d.Evidence(first, LinkLost)
		c.want(Alive)
		c.d.Evidence(first, Refused)
		c.want(Dead)
	}},
	{"given up for silence, and nobody listens", []PeerID{first}, func(c *court) {
		c.d.Evidence(first, Silent)
		c.want(Alive)
		c.d.Evidence(first, Refused)
		c.want(Dead)
	}},
	{"back with a new incarnation", []PeerID{first}, func(c *court) {
		c.kill(first)
		c.pass(time.Second)
		next := PeerID{accused, 0, 0xc}
		c.gossip(GossipAlive, next)
		c.want(Alive)
		c.wantPeer(first, Dead)
		c.wantPeer(next, Alive)
		c.d.Evidence(first, LinkUp) // of the past
		c.wantPeer(first, Dead)
	}},
	{"a late report of another worker's link", []PeerID{first}, func(c *court) {
		c.kill(first)
		c.d.Evidence(first, Heard)
		c.pass(time.Second)
		c.want(Dead)
	}},
	{"found gone, yet heard and heard", []PeerID{first}, func(c *court) {
		c.kill(first)
		for range goneTicks {
			c.want(Dead)
			c.d.Evidence(first, Heard)
			c.stop(50 * ms)
		}
		c.want(Alive)
	}},
	{"one worker of two is killed", []PeerID{first, second}, func(c *court) {
		c.kill(second)
		c.wantPeer(second, Dead)
		c.wantPeer(first, Alive)
		c.want(Alive)
		next := PeerID{accused, 1, 0xd}
		c.gossip(GossipAlive, first, next)
		c.wantPeer(next, Alive)
		c.kill(first)
		c.want(Alive)
		c.kill(next)
		c.want(Dead)
	}},
	{"one worker of two is stopped", []PeerID{first, second}, func(c *court) {
		c.pass(900*ms, first)
		c.d.Evidence(second, LinkEOF) // the mesh gave up on it
		c.d.Evidence(second, Failed)
		c.pass(300*ms, first)
		c.wantPeer(second, Dead)
		c.want(Alive)
	}},
	{"the supervisor is killed, its workers follow", []PeerID{first, second}, func(c *court) {
		c.pass(100*ms, first, second)
		c.kill(first)
		c.want(Alive)
		c.kill(second)
		c.want(Dead)
	}},
	{"leaves", []PeerID{first}, func(c *court) {
		c.gossip(GossipLeft, first)
		c.want(Left)
		c.pass(time.Second, first) // its links are still there
		c.want(Left)
		c.kill(first)
		c.want(Left)
		c.gossip(GossipAlive, PeerID{accused, 0, 0xe})
		c.want(Alive)
	}},
	{"a supervisor between workers", nil, func(c *court) {
		c.pass(time.Minute)
		c.want(Alive)
		c.gossip(GossipDead)
		c.want(Dead)
	}},
	{"forgotten", []PeerID{first}, func(c *court) {
		c.kill(first)
		c.gossip(GossipDead, first)
		c.pass(30*time.Minute - 50*ms)
		c.want(Dead)
		c.pass(50 * ms)
		c.want(0)
	}},
	{"not forgotten while gossip knows it", []PeerID{first}, func(c *court) {
		c.kill(first)
		c.pass(time.Hour)
		c.want(Dead)
	}},
	{"the clock goes backwards", []PeerID{first}, func(c *court) {
		c.pass(650 * ms)
		c.gossip(GossipDead, first)
		c.now -= time.Hour
		c.d.Tick(c.now)
		c.pass(650 * ms)
		c.want(Suspect)
	}},
}

func TestDetector(t *testing.T) {
	for _, trial := range trials {
		t.Run(trial.name, func(t *testing.T) { trial.play(newCourt(t, trial.peers...)) })
	}
}

// Before a link has come up for the first time, gossip has more to say.
func TestDetectorBeforeTheFirstLink(t *testing.T) {
	c := newCourt(t)
	c.gossip(GossipAlive, first)
	c.d.Evidence(first, Failed)
	c.pass(5*time.Second - 50*ms)
	c.want(Alive)
	c.pass(50 * ms)
	c.want(Dead)
	c.gossip(GossipDead, first)
	c.gossip(GossipAlive, first)
	c.want(Alive)
	c.gossip(GossipDead, first)
	c.pass(700 * ms)
	c.want(Dead)
}

func TestDetectorNeverDoubtsItself(t *testing.T) {
	d := NewDetector("n1", DetectorOptions{})
	self := PeerID{"n1", 0, 1}
	d.Gossip("n1", GossipAlive, []WorkerInfo{{Worker: 0, Incarnation: 1}})
	d.Evidence(self, LinkEOF)
	d.Evidence(self, Refused)
	d.Gossip("n1", GossipDead, []WorkerInfo{{Worker: 0, Incarnation: 1}})
	for i := range 100 {
		d.Tick(time.Duration(i) * 50 * ms)
	}
	if s, why := d.Node("n1"); s != Alive {
		t.Errorf("%v: %s", s, why)
	}
	if s, _ := d.Peer(self); s != Alive {
		t.Errorf("the process is %v", s)
	}
}

func TestDetectorIgnoresStrangers(t *testing.T) {
	d := NewDetector("n1", DetectorOptions{})
	if d.Evidence(PeerID{"n9", 0, 1}, LinkUp) {
		t.Error("evidence of a node nobody announced changed something")
	}
	if s, _ := d.Node("n9"); s != 0 {
		t.Errorf("it is %v", s)
	}
	if s, _ := d.Peer(PeerID{"n9", 0, 1}); s != Dead {
		t.Errorf("its process is %v", s)
	}
}
