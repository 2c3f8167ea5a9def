package e2e

import (
	"strings"
	"syscall"
	"testing"
	"time"
)

// audienceOfFaults is how many clients a fault meets.
func audienceOfFaults() int {
	if inRaceBuild() {
		return 100
	}
	return 500
}

// kill -9 of one node, and of two at once: with three copies of each session
// none is lost, and nothing that was acknowledged is lost or comes twice.
func TestClusterKill(t *testing.T) {
	c := startNest(t, nodesOfCluster)
	a := c.newAudience(audienceOfFaults())
	n := c.members
	for _, victims := range [][]*member{n[3:], n[1:3]} {
		var left []*member
		for _, m := range n {
			if m != victims[0] && m != victims[len(victims)-1] {
				left = append(left, m)
			}
		}
		b := a.publish(left...)
		b.more(5)
		for _, m := range victims {
			m.send(t, syscall.SIGKILL)
		}
		c.settled(left...)
		b.more(5)
		a.served()
		b.more(5)
		b.verify(true)
		homes := 0
		for _, m := range left {
			r, _ := m.report()
			homes += r.Processes[0].Homes
		}
		if homes < len(a.members) {
			t.Errorf("%d sessions are left of %d", homes, len(a.members))
		}
		for _, m := range victims {
			<-m.ended
			c.start(m)
		}
		c.settled()
	}
}

// A node that stops for a moment is not declared dead. One that stops for
// longer is, and when it comes back it knows that its sessions are elsewhere.
func TestClusterPause(t *testing.T) {
	c := startNest(t, nodesOfCluster)
	a := c.newAudience(audienceOfFaults())
	n := c.members
	t.Run("300ms", func(t *testing.T) {
		b := a.publish(n[0], n[1])
		b.more(3)
		n[3].pause(t, 300*time.Millisecond)
		b.more(5)
		for _, m := range n {
			if got := m.stat(t, "takeovers"); got != 0 || strings.Contains(m.log.String(), "state=dead") {
				t.Errorf("%s has declared a node dead, and taken %d sessions over", m.name, got)
			}
		}
		b.verify(false)
	})
	t.Run("5s", func(t *testing.T) {
		for range 20 { // its clients may all be elsewhere by now
			l := &listener{a: a}
			l.at.Store(3)
			if err := l.initialize(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		b := a.publish(n[0], n[1])
		b.more(3)
		n[3].pause(t, 5*time.Second)
		c.settled()
		b.more(5)
		a.served()
		b.verify(true)
		taken := n[0].stat(t, "takeovers") + n[1].stat(t, "takeovers") + n[2].stat(t, "takeovers")
		if taken == 0 {
			t.Error("nobody took over what the node had")
		}
		if n[3].stat(t, "fenced") == 0 {
			t.Error("the node that came back was not fenced")
		}
	})
}

// pause stops the process for a while.
func (m *member) pause(t *testing.T, d time.Duration) {
	t.Helper()
	m.send(t, syscall.SIGSTOP)
	time.Sleep(d) // what is tested
	m.send(t, syscall.SIGCONT)
}
