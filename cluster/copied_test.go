package cluster

import (
	"strings"
	"testing"
	"time"
)

// A session whose beginning copies hold survives the machine of its home, which
// takes with it what was on its way.
func TestCoreCopied(t *testing.T) {
	for _, acked := range []bool{true, false} {
		w := newTestCores(t, 4, acked)
		p := w.procs[0]
		id, key, ref := p.session()
		wait := p.core.startCopied(ref)
		if !acked {
			if wait != nil {
				t.Error("it waits although nobody wants that")
			}
			continue
		}
		if wait == nil || isDone(wait.done) {
			t.Fatal("it does not wait")
		}
		for !isDone(wait.done) {
			w.recover(time.Millisecond)
		}
		w.kill(p, true)
		w.recover(2 * time.Second)
		if w.homeAt(key) == nil {
			t.Fatal("no home")
		}
		a := w.live()[0].ask("call " + id)
		w.recover(100 * time.Millisecond)
		if !strings.HasPrefix(a.String(), "ok") {
			t.Errorf("%s", a)
		}
		w.ok(t)
	}
	w := newTestCores(t, 2, true)
	_, _, ref := w.procs[0].session()
	w.procs[1].paused = true
	wait := w.procs[0].core.startCopied(ref)
	w.recover(2 * HoldTimeoutDefault)
	if wait == nil || !isDone(wait.done) {
		t.Error("it waits for ever")
	}
	if w.procs[0].core.startCopied(ref+1) != nil {
		t.Error("it waits for nobody's session")
	}
}
