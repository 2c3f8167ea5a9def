package cluster

import (
	"strings"
	"testing"
	"time"

	"github.com/rookery-server/rookery/batch"
)

// What is brought to a session while an earlier event of it waits for the links
// is not written with that one, but when the links have it as well.
func TestLateWritesWaitForTheirOwnFlush(t *testing.T) {
	w := newTestCores(t, 4, true)
	p := w.procs[0]
	text, _, ref := p.session()
	a := p.ask("get " + text + " - -")
	w.recover(100 * time.Millisecond)
	late := &p.core.late
	bring := func(what string, n uint64) {
		if err := p.store.SpreadTo(ref, []byte("one "+what), Origin{1, n}, false); err != nil {
			t.Fatal(err)
		}
		late.add(ref)
		late.step(p.core, w.now)
	}
	bring("first", 1)
	if len(late.writing) != 1 || flushed(late.marks) {
		t.Fatal("the first is not waited for")
	}
	for _, m := range late.marks { // the kernel gets what was before the second
		m.l.mu.Lock()
		m.l.written[batch.Data], m.l.written[batch.Bulk] = m.m.data, m.m.bulk
		m.l.mu.Unlock()
	}
	s := p.store.byRef[ref]
	first := s.log.Last
	if err := p.store.SpreadTo(ref, []byte("one second"), Origin{1, 2}, false); err != nil {
		t.Fatal(err)
	}
	late.add(ref)
	late.step(p.core, w.now)
	if s.unsent != first+1 || len(late.writing) != 1 || flushed(late.marks) {
		t.Fatalf("unsent from %d on, want %d: the second was written with the first", s.unsent, first+1)
	}
	w.recover(100 * time.Millisecond)
	if heard := a.String(); strings.Count(heard, "first") != 1 || strings.Count(heard, "second") != 1 || late.busy() {
		t.Fatal(heard)
	}
	w.ok(t)
}
