package cluster

import (
	"slices"
	"testing"
	"time"
)

// A session that comes is given what its home had not spread, also what stands in
// the ring before a publication of the same publisher that is in its log already: from
// when it was first published with its key, and not from this time.
func TestCoreReplaysBeforeWhatWasRepeated(t *testing.T) {
	w := newTestCores(t, 4, true)
	from, to := w.procs[0], w.procs[1]
	text, id, ref := from.session()
	from.ask("get " + text + " - -")
	w.recover(100 * time.Millisecond)
	const publisher = 77
	key := Origin{5, 6}
	if err := from.store.SpreadTo(ref, []byte("one repeated"), key, false); err != nil {
		t.Fatal(err)
	}
	w.recover(100 * time.Millisecond)
	now := to.core.o.Now()
	from.core.spread.seen[publisher], to.core.spread.seen[publisher] = 1, 3
	to.core.spread.remember(&incoming{inc: publisher, number: 2, origin: Origin{^uint64(publisher), 2}, payload: []byte("all between")}, now)
	to.core.spread.remember(&incoming{inc: publisher, number: 3, origin: key, payload: []byte("one repeated")}, now)
	if !from.core.handOver(ref, from.core.linkOf(to.id.Incarnation)) {
		t.Fatal("not handed over")
	}
	w.recover(100 * time.Millisecond)
	s := to.store.byID[id]
	if s == nil || s.Home != 0 {
		t.Fatalf("it has not come: %+v", s)
	}
	var log []string
	for i := range s.log.Events {
		log = append(log, string(s.log.Events[i].Msg))
	}
	if !slices.Equal(log, []string{"repeated", "between"}) {
		t.Errorf("its log has %q", log)
	}
	w.ok(t)
}
