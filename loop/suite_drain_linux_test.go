package loop_test

import (
	"testing"
	"time"

	"github.com/rookery-server/rookery/loop"
)

// TestShutdownBeginsTheMomentWhenLoopsDrain: a loop that gets to no work while a
// shutdown begins gives its connections their moment afterwards.
func TestShutdownBeginsTheMomentWhenLoopsDrain(t *testing.T) {
	stuck, inside := newGate(t), make(chan struct{}, 1)
	l := newLive(t)
	l.step = func(t *loop.Turn) loop.Verdict {
		if line, _ := cutLine(t); string(line) == "stick" {
			inside <- struct{}{}
			stuck.wait() // and with it the loop
		}
		return echoLine(t)
	}
	const moment = time.Millisecond
	g, addr := newGroup(t, false, loop.Options{Loops: 1, DrainMoment: moment}, l)
	first := dial(t, addr)
	first.send("stick\n")
	recv(t, inside)
	done := shutdown(g, 2*patience)
	for range 50 { // a loop that is told too early is told in one of them
		time.Sleep(moment)
		if loop.Hurries(g) {
			t.Fatal("the moment is over before the loop drains")
		}
	}
	stuck.open()
	if err := recv(t, done); err != nil {
		t.Errorf("shutdown: %v", err)
	}
}
