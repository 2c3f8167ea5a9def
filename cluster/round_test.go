package cluster

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// Publications that come together are spread together, in order, and a round that
// is full ends in the middle of one.
func TestRoundTakesManyTogether(t *testing.T) {
	for _, acked := range []bool{false, true} {
		for _, most := range []int{roundVisits, 5} {
			w := newTestCores(t, 4, acked)
			var all []*answers
			for _, p := range w.procs {
				p.core.spread.round.most = most
				for range 7 {
					id, _, _ := p.session()
					all = append(all, p.ask("get "+id+" - -"))
				}
			}
			w.recover(200 * time.Millisecond)
			const count = roundLength + 10
			var want []string
			var outs []*Outgoing
			for n := range count {
				text := fmt.Sprintf("e%02d.", n)
				out, err := w.procs[0].core.StartPublish([]byte("all "+text), "")
				if err != nil {
					t.Fatal(err)
				}
				want, outs = append(want, text), append(outs, out)
			}
			longest := 0
			for i := range w.procs {
				p := w.procs[i]
				step := p.core.o.Attention
				p.core.o.Attention = func() {
					longest = max(longest, len(p.core.spread.round.list))
					step()
				}
			}
			w.recover(time.Second)
			for n, out := range outs {
				if _, err := out.Result(); !isDone(out.done) || err != nil {
					t.Errorf("publication %d: through %v, %v", n, isDone(out.done), err)
				}
			}
			for i, a := range all {
				var got []string
				for _, line := range a.lines {
					if f := strings.Fields(line); f[0] == "event" {
						got = append(got, f[3])
					}
				}
				if !slices.Equal(got, want) {
					t.Fatalf("client %d, acked %v, full at %d: %q", i, acked, most, a.lines)
				}
			}
			if most == roundVisits && longest < 2 {
				t.Errorf("at most %d publications a round", longest)
			}
			for _, p := range w.procs {
				w.checkQuiet(p)
			}
			w.ok(t)
		}
	}
}

// A round that never ends would keep back what waits for its end.
func TestRoundGoesOnAlone(t *testing.T) {
	w := newTestCores(t, 1, false)
	p := w.procs[0]
	p.core.spread.round.most = 3
	for range 10 {
		id, _, _ := p.session()
		p.ask("get " + id + " - -")
	}
	w.recover(200 * time.Millisecond)
	for n := range 20 {
		if _, err := p.core.StartPublish(fmt.Appendf(nil, "all e%d.", n), ""); err != nil {
			t.Fatal(err)
		}
	}
	ran := false
	p.core.later(func() {
		if ran = true; p.core.spread.busy() {
			t.Error("a publication is half way")
		}
	})
	for steps := 0; !ran; steps++ {
		if p.core.Step(); steps > 100 {
			t.Fatal("what waits for the end of a round waits for ever")
		}
		w.now += time.Millisecond
	}
	w.recover(time.Second)
	w.checkQuiet(p)
	w.ok(t)
}

// Changes that go to copies cost no memory each.
func TestNotedAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("under the race detector pools drop what they are given at random")
	}
	w := newTestCores(t, 3, true)
	p := w.procs[0]
	_, _, ref := p.session()
	w.recover(200 * time.Millisecond)
	msg := []byte(`{"jsonrpc":"2.0","method":"m"}`)
	seq := uint32(0)
	if n := testing.AllocsPerRun(2000, func() {
		seq++
		p.core.Noted(ref, 1, seq, Origin{1, 1}, msg)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
