package load

import (
	"slices"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// tally is what a load process has counted since its last report.
type tally struct {
	sink
	rounds []round // by number
	errors []string
	said   int // errors in words since the start
}

// errorsSaid is how many errors a process reports in words.
const errorsSaid = 10

func newTally() *tally { return &tally{sink: *newSink()} }

// say keeps the words of an error, if it is among the first.
func (t *tally) say(err error) {
	if t.said < errorsSaid {
		t.said++
		t.errors = append(t.errors, err.Error())
	}
}

// heard notes that event n reached a client now.
func (t *tally) heard(n uint32, now int64) {
	t.checks.Heard++
	if last := len(t.rounds) - 1; last < 0 || t.rounds[last].Number != n {
		i, ok := slices.BinarySearchFunc(t.rounds, n, func(r round, n uint32) int { return int(int64(r.Number) - int64(n)) })
		if !ok {
			t.rounds = slices.Insert(t.rounds, i, round{Number: n})
		}
		t.rounds[i].Count, t.rounds[i].Last = t.rounds[i].Count+1, now
		return
	}
	r := &t.rounds[len(t.rounds)-1]
	r.Count, r.Last = r.Count+1, now
}

// report returns all of it and starts anew.
func (t *tally) report(second int) *report {
	r := &report{
		Second: second, Counts: t.counts, Checks: t.checks,
		Corrected: packed(t.corrected), Uncorrected: packed(t.uncorrected), Handshake: packed(t.handshake), Outage: packed(t.outage),
		FirstLost: t.firstLost, LastBack: t.lastBack, Rounds: t.rounds, Errors: t.errors,
	}
	for _, h := range []*hdrhistogram.Histogram{t.corrected, t.uncorrected, t.handshake, t.outage} {
		if h.TotalCount() > 0 {
			h.Reset()
		}
	}
	*t = tally{sink: sink{corrected: t.corrected, uncorrected: t.uncorrected, handshake: t.handshake, outage: t.outage}, said: t.said}
	return r
}

// gaps are the numbers below a client's latest event that it did not hear.
type gaps struct {
	list []uint32
	more int64 // that did not fit; they count as missing for good
}

// gapsMax bounds the numbers kept for one client.
const gapsMax = 256

func (g *gaps) add(n uint32) {
	if len(g.list) == gapsMax {
		g.more++
	} else {
		g.list = append(g.list, n)
	}
}

// fill removes n and reports whether it was missing.
func (g *gaps) fill(n uint32) bool {
	if g == nil {
		return false
	}
	i := slices.Index(g.list, n)
	if i < 0 {
		return false
	}
	g.list = slices.Delete(g.list, i, i+1)
	return true
}
