package cluster

import (
	"testing"
	"time"
)

// A greeting of a peer that had been here all the time says that it, and perhaps
// others, had lost us: theirs are waited for, but not for ever.
func TestGreetingOfAPeerThatHadLostUs(t *testing.T) {
	a, b, c := new(Link), new(Link), new(Link)
	live := []*Link{a, b, c}
	now := time.Minute
	var g greetings
	for _, l := range live { // as they met
		g.came(l, live, now)
	}
	if g.missing(now) {
		t.Fatal("nobody was lost, and somebody is waited for")
	}
	now += time.Minute
	g.greets(b, now)
	greet := g.came(a, live, now)
	if !g.missing(now) || len(g.waited) != 2 {
		t.Fatalf("%d are waited for, want the two others", len(g.waited))
	}
	if len(greet) != 2 || greet[0] != a || greet[1] != c {
		t.Fatalf("greets %d, want who greeted and who was not greeted a moment ago", len(greet))
	}
	g.came(b, live, now)
	if !g.missing(now) {
		t.Fatal("c has not spoken")
	}
	g.came(c, live, now)
	if g.missing(now) {
		t.Fatal("all have spoken")
	}
	now += time.Minute
	g.came(b, live, now)
	if !g.missing(now) || g.missing(now+greetingWait) {
		t.Fatal("who had not lost us is waited for without end, or not at all")
	}
	now += time.Minute
	if greet := g.came(b, live, now); len(greet) != 3 {
		t.Fatalf("greets %d, want all", len(greet))
	}
	for _, l := range live {
		g.greets(l, now)
	}
	if greet := g.came(b, live, now); len(greet) != 0 {
		t.Fatal("greetings that go round for ever")
	}
	for _, l := range live {
		g.came(l, live, now)
	}
	// One that was expected says nothing of the others.
	now += time.Minute
	g.expect([]*Link{a}, nil, now)
	g.came(a, live, now)
	if g.missing(now) {
		t.Fatal("it was expected")
	}
}
