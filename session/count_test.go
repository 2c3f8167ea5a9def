package session

import (
	"sync"
	"testing"
)

// TestCountWhileSessionsChange: whoever changes what at the same time, in the end
// the numbers are those of the sessions there are.
func TestCountWhileSessionsChange(t *testing.T) {
	table := NewTable(Options{Class: oddClass})
	var done sync.WaitGroup
	for w := range 4 {
		done.Go(func() {
			for i := range 500 {
				var ref Ref
				if i%2 == 0 {
					_, ref, _ = table.Create(Record{Home: uint32(i / 2)})
				} else {
					ref, _ = table.Adopt(ID{1, byte(w), byte(i >> 8), byte(i)}, Record{Home: uint32(i / 2)})
				}
				table.Update(ref, func(r *Record) { r.Home, r.Kind = uint32(i%5), uint8(i%3) })
				if i%7 == 0 {
					table.Delete(ref)
				}
				table.Count()
			}
		})
	}
	done.Wait()
	var want [Classes]int
	table.Range(func(_ Ref, r Record) bool {
		want[oddClass(r.Home, r.Kind)]++
		return true
	})
	if got := table.Count(); got != want || got == [Classes]int{} {
		t.Errorf("Count = %v, want %v", got, want)
	}
}

// TestCountWithoutClasses: all sessions are of class 0.
func TestCountWithoutClasses(t *testing.T) {
	table := NewTable(Options{})
	_, ref := mustCreate(t, table, Record{Home: 3})
	table.Update(ref, func(r *Record) { r.Home = 0 })
	if got := table.Count(); got != [Classes]int{1} {
		t.Errorf("Count = %v", got)
	}
	table.Delete(ref)
	if got := table.Count(); got != [Classes]int{} {
		t.Errorf("Count = %v, want none", got)
	}
}
