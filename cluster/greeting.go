package cluster

import "time"

// greetings are what peers say when they see us again: behind the word about each
// session that they have taken from us meanwhile. As long as one that has come
// back has not said so, our sessions may be at home there, and we take no
// publication for them. Step uses it.
type greetings struct {
	heard   map[*Link]time.Duration // when each came last
	waited  map[*Link]time.Duration // since when one is waited for
	greeted map[*Link]time.Duration // when each was greeted last
}

const (
	// greetingWait is how long. A peer that is greeted, and had not lost us, greets
	// back; until there is a link nothing that we would take is acknowledged anyway.
	greetingWait = 3 * time.Second
	// greetingFresh is how much earlier than our view of its return one may come.
	greetingFresh = 2 * time.Second
)

// came notes a greeting; live are the peers that are alive. One that is not waited
// for says that we had been lost without our knowing: to others too, perhaps,
// and their word about our sessions may come later than what this peer publishes.
// It returns who is to be greeted, so that they speak.
func (g *greetings) came(l *Link, live []*Link, now time.Duration) (greet []*Link) {
	if g.heard == nil {
		g.heard = map[*Link]time.Duration{}
	}
	_, expected := g.waited[l]
	_, again := g.heard[l]
	g.heard[l] = now
	delete(g.waited, l)
	if !again || expected {
		return nil
	}
	g.expect(live, nil, now)
	for _, other := range live {
		at, ok := g.greeted[other]
		if _, waited := g.waited[other]; (waited || other == l) && (!ok || now-at >= greetingFresh) {
			greet = append(greet, other)
		}
	}
	return greet
}

// greets notes that a peer is greeted.
func (g *greetings) greets(l *Link, now time.Duration) {
	if g.greeted == nil {
		g.greeted = map[*Link]time.Duration{}
	}
	g.greeted[l] = now
}

// expect begins to wait for those of peers that have returned, and forgets those
// that are gone.
func (g *greetings) expect(returned, died []*Link, now time.Duration) {
	for _, l := range died {
		delete(g.heard, l)
		delete(g.waited, l)
		delete(g.greeted, l)
	}
	for _, l := range returned {
		if at, ok := g.heard[l]; ok && now-at < greetingFresh {
			continue
		}
		if g.waited == nil {
			g.waited = map[*Link]time.Duration{}
		}
		g.waited[l] = now
	}
}

// missing reports whether one is waited for still.
func (g *greetings) missing(now time.Duration) bool {
	for l, since := range g.waited {
		if now-since >= greetingWait {
			delete(g.waited, l)
		}
	}
	return len(g.waited) > 0
}
