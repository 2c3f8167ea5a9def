package cluster

import (
	"context"
	"math/rand/v2"
	"slices"
	"time"
)

// announceWait is how long to wait until an announcement has been sent to as
// many nodes as gossip wants, which takes 100 to 200 ms. Memberlist forgets to
// say so when something else about this node is sent meanwhile.
const announceWait = 300 * time.Millisecond

// How often nodes are looked for: the pause grows by half from the first to
// the second until one answers; after that whoever is missing is tried at the
// third, so that a cluster that was split for long becomes one again.
const (
	joinPauseMin = 100 * time.Millisecond
	joinPauseMax = 5 * time.Second
	rejoinPause  = 5 * time.Second
	// resolveTimeout bounds looking names up; one address takes TCPTimeout.
	resolveTimeout = 2 * time.Second
	// joinComplainPause is how often the log hears that joining fails.
	joinComplainPause = time.Minute
)

// judge lets the Detector see the time.
func (m *Members) judge() {
	t := time.NewTicker(m.o.Detector.Tick)
	defer t.Stop()
	for {
		select {
		case <-m.ended:
			return
		case <-t.C:
		}
		m.mu.Lock()
		if m.det.Tick(time.Since(m.origin)) {
			m.publish()
		}
		m.mu.Unlock()
	}
}

// When others still know this node's name at the address of its last life, they
// ignore its announcements until they have found that one dead. So it announces
// itself again, contestedTimes times, with pauses that double. Otherwise the
// next exchange of states would do it, within 10 s.
const (
	contestedTimes = 6
	contestedPause = 200 * time.Millisecond
)

// announce tells gossip when the meta data has changed.
func (m *Members) announce() {
	again := time.NewTimer(time.Hour)
	defer again.Stop()
	left, pause := 0, contestedPause
	for {
		select {
		case <-m.ended:
			return
		case <-m.contested:
			left, pause = contestedTimes, contestedPause
			again.Reset(pause)
			continue
		case <-again.C:
			if left--; left > 0 {
				pause *= 2
				again.Reset(pause)
			}
		case <-m.announced:
		}
		if m.mayJoin() { // else it would take back that this node has left
			m.gossip.announce(announceWait)
		}
	}
}

// lookFor joins the nodes of the join list, and those that are missing later.
func (m *Members) lookFor(ctx context.Context) {
	pause := joinPauseMin
	var complained time.Time
	for {
		missing, err := m.missing(ctx)
		for _, addr := range missing {
			if ctx.Err() != nil || !m.mayJoin() {
				break
			}
			if e := m.joinOne(addr); e != nil {
				err = e
			}
		}
		joined := m.setJoined(len(missing) == 0 && err == nil)
		if joined {
			pause = rejoinPause
		} else if complained.IsZero() || time.Since(complained) >= joinComplainPause {
			complained = time.Now()
			m.log.Warn("no other node of the cluster was reached; trying again",
				"error", err, "remedy", "check that they run, that --join names their gossip addresses, and that key and label are the same")
		}
		t := time.NewTimer(pause + rand.N(pause/4))
		select {
		case <-ctx.Done():
			t.Stop()
			return
		case <-m.search:
			t.Stop()
		case <-t.C:
		}
		if !joined {
			pause = min(pause*3/2, joinPauseMax)
		}
	}
}

// mayJoin reports whether this node still wants to be a member.
func (m *Members) mayJoin() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.phase == phaseRunning
}

// missing returns the addresses to try: those of the join list and of the dead
// that gossip does not hold for alive.
func (m *Members) missing(ctx context.Context) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, resolveTimeout)
	defer cancel()
	addrs, err := m.join.addrs(ctx)
	m.mu.Lock()
	defer m.mu.Unlock()
	known := []string{m.gossip.addr}
	for _, n := range m.nodes {
		switch {
		case n.alive:
			known = append(known, n.addr)
		case !n.meta.leaving && !slices.Contains(addrs, n.addr):
			addrs = append(addrs, n.addr)
		}
	}
	return slices.DeleteFunc(addrs, func(a string) bool { return slices.Contains(known, a) }), err
}

func (m *Members) joinOne(addr string) error {
	err := m.gossip.join(addr)
	m.mu.Lock()
	defer m.mu.Unlock()
	if err != nil {
		m.stats.JoinFailures++
	} else {
		m.stats.Joins++
	}
	return err
}

// setJoined notes whether this node is where it belongs: others are there, or
// there is nobody to look for.
func (m *Members) setJoined(alone bool) bool {
	joined := alone || m.gossip.others() > 0
	m.mu.Lock()
	defer m.mu.Unlock()
	if joined && !m.stats.Joined {
		m.stats.Joined = true
		m.publish()
	}
	return joined
}
