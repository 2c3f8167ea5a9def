package rpc

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var errStop = errors.New("stop")

func TestFlightIsAContext(t *testing.T) {
	type key struct{}
	deadline := time.Now().Add(time.Hour)
	base, cancelBase := context.WithDeadline(context.WithValue(context.Background(), key{}, "v"), deadline)
	defer cancelBase()

	tests := []struct {
		name      string
		act       func(tab *Table, f *Flight)
		err       error
		cause     error
		touchDone bool
	}{
		{name: "running", act: func(*Table, *Flight) {}},
		{name: "running, Done looked at", act: func(*Table, *Flight) {}, touchDone: true},
		{name: "cancelled", act: func(tab *Table, _ *Flight) { tab.Cancel(7, []byte("1"), errStop) },
			err: context.Canceled, cause: errStop},
		{name: "cancelled, Done looked at", act: func(tab *Table, _ *Flight) { tab.Cancel(7, []byte("1"), errStop) },
			err: context.Canceled, cause: errStop, touchDone: true},
		{name: "scope gone", act: func(tab *Table, _ *Flight) { tab.CancelScope(7, errStop) },
			err: context.Canceled, cause: errStop, touchDone: true},
		{name: "other id", act: func(tab *Table, _ *Flight) { tab.Cancel(7, []byte(`"1"`), errStop) }},
		{name: "other scope", act: func(tab *Table, _ *Flight) { tab.Cancel(8, []byte("1"), errStop) }},
		{name: "ended", act: func(_ *Table, f *Flight) { f.End() }, err: context.Canceled, cause: context.Canceled},
		{name: "ended, Done looked at", act: func(_ *Table, f *Flight) { f.End() },
			err: context.Canceled, cause: context.Canceled, touchDone: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tab := NewTable(0)
			f := tab.Begin(base, 7, []byte("1"))
			if tt.touchDone {
				select {
				case <-f.Done():
					t.Fatal("done before anything happened")
				default:
				}
			}
			child, cancel := context.WithCancel(f)
			defer cancel()
			tt.act(tab, f)
			if got := f.Err(); !errors.Is(got, tt.err) {
				t.Errorf("Err() = %v, want %v", got, tt.err)
			}
			if got := context.Cause(f); !errors.Is(got, tt.cause) {
				t.Errorf("Cause = %v, want %v", got, tt.cause)
			}
			if tt.err != nil {
				<-f.Done()
				<-child.Done() // linked without a goroutine: goleak watches
				if got := context.Cause(child); !errors.Is(got, tt.cause) {
					t.Errorf("Cause of child = %v, want %v", got, tt.cause)
				}
			} else if child.Err() != nil {
				t.Errorf("child: %v", child.Err())
			}
			if got := f.Value(key{}); got != "v" {
				t.Errorf("Value = %v", got)
			}
			if got, ok := f.Deadline(); !ok || !got.Equal(deadline) {
				t.Errorf("Deadline = %v, %v", got, ok)
			}
			if tt.name[:5] != "ended" {
				f.End()
			}
			if tab.InFlight() != 0 {
				t.Errorf("InFlight = %d after End", tab.InFlight())
			}
		})
	}
}

func TestParentCancelsFlight(t *testing.T) {
	tab := NewTable(0)
	parent, cancel := context.WithCancelCause(context.Background())
	watched, plain := tab.Begin(parent, 1, nil), tab.Begin(parent, 1, nil)
	defer watched.End()
	defer plain.End()
	done := watched.Done()
	cancel(errStop)
	<-done
	if !errors.Is(context.Cause(watched), errStop) || !errors.Is(context.Cause(plain), errStop) {
		t.Errorf("causes %v and %v", context.Cause(watched), context.Cause(plain))
	}
	if plain.Err() == nil {
		t.Error("a flight nobody watched does not see its parent's end")
	}
}

func TestFirstCauseStays(t *testing.T) {
	tab := NewTable(0)
	f := tab.Begin(context.Background(), 1, []byte("1"))
	if !tab.Cancel(1, []byte("1"), errStop) {
		t.Fatal("not found")
	}
	if tab.Cancel(1, []byte("1"), errors.New("later")) {
		t.Error("a second cancellation found the call")
	}
	tab.CancelScope(1, errors.New("later"))
	f.End()
	if got := context.Cause(f); !errors.Is(got, errStop) {
		t.Errorf("cause %v", got)
	}
}

// TestCallsAgainstTwin drives the table and a plain slice with the same moves.
func TestCallsAgainstTwin(t *testing.T) {
	type call struct {
		f     *Flight
		scope Scope
		id    string
		gone  bool // cancelled already
	}
	rapid.Check(t, func(t *rapid.T) {
		tab := NewTable(0)
		var live []*call
		scope := rapid.SampledFrom([]Scope{0, 1, 2, 33, 1 << 63})
		id := rapid.SampledFrom([]string{"", "1", "2", `"1"`})
		t.Repeat(map[string]func(*rapid.T){
			"begin": func(t *rapid.T) {
				c := &call{scope: scope.Draw(t, "scope"), id: id.Draw(t, "id")}
				c.f = tab.Begin(context.Background(), c.scope, []byte(c.id))
				live = append(live, c)
			},
			"end": func(t *rapid.T) {
				if len(live) == 0 {
					t.Skip("nothing runs")
				}
				i := rapid.IntRange(0, len(live)-1).Draw(t, "which")
				live[i].f.End()
				live = append(live[:i], live[i+1:]...)
			},
			"cancel": func(t *rapid.T) {
				sc, name := scope.Draw(t, "scope"), id.Draw(t, "id")
				want := 0
				for _, c := range live {
					if sc != 0 && name != "" && c.scope == sc && c.id == name && !c.gone {
						want++
					}
				}
				if got := tab.Cancel(sc, []byte(name), errStop); got != (want > 0) {
					t.Fatalf("Cancel(%d, %s) = %v, twin has %d", sc, name, got, want)
				}
				n := 0
				for _, c := range live {
					if !c.gone && c.f.Err() != nil {
						c.gone = true
						n++
					}
				}
				if n != min(want, 1) {
					t.Fatalf("%d calls cancelled, want %d", n, min(want, 1))
				}
			},
			"scope": func(t *rapid.T) {
				sc := scope.Draw(t, "scope")
				want := 0
				for _, c := range live {
					if sc != 0 && c.scope == sc && !c.gone {
						c.gone = true
						want++
					}
				}
				if got := tab.CancelScope(sc, errStop); got != want {
					t.Fatalf("CancelScope = %d, twin %d", got, want)
				}
			},
			"": func(t *rapid.T) {
				if tab.InFlight() != len(live) {
					t.Fatalf("InFlight %d, twin %d", tab.InFlight(), len(live))
				}
				for _, c := range live {
					if (c.f.Err() != nil) != c.gone {
						t.Fatalf("%d/%s: err %v, twin gone %v", c.scope, c.id, c.f.Err(), c.gone)
					}
				}
			},
		})
		for _, c := range live {
			c.f.End()
		}
		for i := range tab.shard {
			if s := &tab.shard[i]; len(s.calls)+len(s.questions)+len(s.asked) != 0 {
				t.Fatal("entries left behind")
			}
		}
	})
}

func TestCancelRacesEnd(t *testing.T) {
	tab := NewTable(0)
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			id := fmt.Appendf(nil, "%d", g)
			for range 500 {
				f := tab.Begin(context.Background(), 5, id)
				_, cancel := context.WithCancel(f)
				f.End()
				cancel()
				<-f.Done()
			}
		})
		wg.Go(func() {
			id := fmt.Appendf(nil, "%d", g)
			for i := range 500 {
				if i%10 == 0 {
					tab.CancelScope(5, errStop)
				} else {
					tab.Cancel(5, id, errStop)
				}
			}
		})
	}
	wg.Wait()
	if tab.InFlight() != 0 {
		t.Errorf("InFlight = %d", tab.InFlight())
	}
}

func TestStartAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	tab := NewTable(0)
	ctx, id := context.Background(), []byte("17")
	flights := make([]Flight, 2002)
	i := 0
	if n := testing.AllocsPerRun(2000, func() {
		f := &flights[i]
		i++
		tab.Start(f, ctx, 9, id)
		if f.Err() != nil {
			t.Fatal("cancelled")
		}
		f.End()
	}); n != 0 {
		t.Errorf("%v allocations for a call, want 0", n)
	}
}

func BenchmarkCall(b *testing.B) {
	tab := NewTable(0)
	ctx, id := context.Background(), []byte("17")
	b.ReportAllocs()
	for b.Loop() {
		tab.Begin(ctx, 9, id).End()
	}
}
