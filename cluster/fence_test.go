package cluster

import (
	"testing"
	"time"
)

// Two processes that take each other for the home of a session find out with the
// next request for it, and the one that has a copy takes it over.
func TestCoreNobodyIsHome(t *testing.T) {
	for _, test := range []struct {
		name          string
		home, another uint32 // what is added to the record of the home, and of the first copy
	}{
		{"two copies", 0, 0},
		{"the home has a pointer", homePointer, 0},
		{"the copy has become a pointer", 0, homePointer},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newTestCores(t, 4, true)
			home := w.procs[0]
			text, id, ref := home.session()
			w.recover(200 * time.Millisecond)
			var copies []*proc
			for _, p := range w.procs[1:] {
				if p.store.byID[id] != nil {
					copies = append(copies, p)
				}
			}
			if len(copies) == 0 {
				t.Fatal("no copies")
			}
			points := func(p *proc, ref uint64, to *proc, mark uint32) {
				var now Snapshot
				if !p.store.Export(ref, func(full *Snapshot) { now = full.clone() }) {
					t.Fatal("no session")
				}
				now.Home = p.core.linkOf(to.id.Incarnation).num | mark
				if _, ok := p.store.Replace(ref, &now); !ok {
					t.Fatal("not replaced")
				}
			}
			other, _ := copies[0].store.Find(id)
			points(home, ref, copies[0], test.home)
			points(copies[0], other, home, test.another)

			asks := []*proc{home, copies[0]}
			var all []*answers
			for _, p := range asks {
				all = append(all, p.ask("call "+text+" - -"))
			}
			w.recover(HoldTimeoutDefault)
			for i, a := range all {
				if len(a.lines) == 0 || a.lines[0] != "ok" {
					t.Errorf("%v answered %q", asks[i].id, a)
				}
			}
			homes := 0
			for _, p := range w.procs {
				if ref, ok := p.store.Find(id); ok {
					if s, ok := p.store.Load(ref); ok && s.Home == 0 {
						homes++
					}
				}
			}
			if homes != 1 {
				t.Errorf("%d homes", homes)
			}
			w.ok(t)
		})
	}
}
