package mcp

import (
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// walkAll returns who hears of uri, sorted.
func walkAll(t *subscriptions, uri string) []owner {
	var all []owner
	w := t.begin(uri)
	if w == nil {
		return nil
	}
	defer t.end(w)
	var batch [3]owner
	for {
		n := t.step(w, batch[:])
		if n == 0 {
			slices.Sort(all)
			return all
		}
		all = append(all, batch[:n]...)
	}
}

// TestSubscriptionsAgainstTwin drives the table and a map of sets with the
// same moves, a walk in the middle of them included.
func TestSubscriptionsAgainstTwin(t *testing.T) {
	uris := []string{"a", "b", "c"}
	const limit = 2
	rapid.Check(t, func(t *rapid.T) {
		table := new(subscriptions)
		sessions := newFakeSessions()
		twin := map[owner]map[string]bool{}
		var refs, listens []owner
		pick := func(t *rapid.T, from []owner) owner {
			if len(from) == 0 {
				t.Skip("none")
			}
			return rapid.SampledFrom(from).Draw(t, "who")
		}
		var walking *walk // of uris[0]
		var due, heard map[owner]bool
		forget := func(o owner, uri string) {
			delete(twin[o], uri)
			if uri == uris[0] {
				delete(due, o)
			}
		}
		finish := func() {
			if walking == nil {
				return
			}
			var batch [2]owner
			for n := table.step(walking, batch[:]); n > 0; n = table.step(walking, batch[:]) {
				for _, o := range batch[:n] {
					heard[o] = true
				}
			}
			table.end(walking)
			walking = nil
			for o := range due {
				if !heard[o] {
					t.Fatalf("%x was subscribed all the time and heard nothing", o)
				}
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"session": func(*rapid.T) {
				_, ref, _ := sessions.Create(Session{})
				refs = append(refs, ref)
				twin[ref] = map[string]bool{}
			},
			"subscribe": func(t *rapid.T) {
				ref, uri := pick(t, refs), rapid.SampledFrom(uris).Draw(t, "uri")
				err := table.subscribe(sessions, ref, uri, limit)
				switch {
				case twin[ref][uri] || len(twin[ref]) < limit:
					twin[ref][uri] = true
					if err != nil {
						t.Fatal(err)
					}
				case !errors.Is(err, errTooManySubscriptions):
					t.Fatalf("past the limit: %v", err)
				}
			},
			"unsubscribe": func(t *rapid.T) {
				ref, uri := pick(t, refs), rapid.SampledFrom(uris).Draw(t, "uri")
				table.unsubscribe(sessions, ref, uri)
				forget(ref, uri)
			},
			"end": func(t *rapid.T) {
				ref := pick(t, refs)
				last, _ := sessions.Delete(ref)
				table.drop(last.Topics)
				for _, uri := range uris {
					forget(ref, uri)
				}
				delete(twin, ref)
				refs = slices.DeleteFunc(refs, func(o owner) bool { return o == ref })
				if err := table.subscribe(sessions, ref, "a", limit); !errors.Is(err, errNoSession) {
					t.Fatalf("an ended session subscribed: %v", err)
				}
				table.unsubscribe(sessions, ref, "a")
			},
			"listen": func(t *rapid.T) {
				wanted := rapid.SliceOfNDistinct(rapid.SampledFrom(uris), 1, 3, rapid.ID).Draw(t, "uris")
				ref := table.listen(1, []byte("1"), &filter{uris: wanted}, 0, 0)
				listens = append(listens, ref)
				twin[ref] = map[string]bool{}
				for _, uri := range wanted {
					twin[ref][uri] = true
				}
			},
			"unlisten": func(t *rapid.T) {
				ref := pick(t, listens)
				if _, ok := table.unlisten(ref); !ok {
					t.Fatal("not there")
				}
				if _, ok := table.unlisten(ref); ok {
					t.Fatal("there twice")
				}
				for _, uri := range uris {
					forget(ref, uri)
				}
				delete(twin, ref)
				listens = slices.DeleteFunc(listens, func(o owner) bool { return o == ref })
			},
			"begin walk": func(t *rapid.T) {
				finish()
				if walking = table.begin(uris[0]); walking == nil {
					t.Skip("nobody")
				}
				due, heard = map[owner]bool{}, map[owner]bool{}
				for o, set := range twin {
					if set[uris[0]] {
						due[o] = true
					}
				}
			},
			"step": func(t *rapid.T) {
				if walking == nil {
					t.Skip("no walk")
				}
				var one [1]owner
				if table.step(walking, one[:]) == 1 {
					if heard[one[0]] {
						t.Fatalf("%x heard twice", one[0])
					}
					heard[one[0]] = true
				} else {
					finish()
				}
			},
			"": func(t *rapid.T) {
				total, topics := 0, map[string]bool{}
				for _, uri := range uris {
					var want []owner
					for o, set := range twin {
						if set[uri] {
							want = append(want, o)
							topics[uri] = true
						}
					}
					slices.Sort(want)
					total += len(want)
					if got := walkAll(table, uri); !slices.Equal(got, want) {
						t.Fatalf("%s: %x, want %x", uri, got, want)
					}
				}
				entries, n, l, _ := table.stats()
				if entries != total || n != len(topics) || l != len(listens) {
					t.Fatalf("%d entries, %d topics, %d listens; want %d, %d, %d", entries, n, l, total, len(topics), len(listens))
				}
			},
		})
		finish()
		if len(table.walks) != 0 {
			t.Fatal("a walk was not ended")
		}
	})
}

func TestListenerReferences(t *testing.T) {
	table := new(subscriptions)
	f := &filter{lists: toolList, uris: []string{"a"}}
	ref := table.listen(7, []byte("1"), f, flagPlain|flagOpening, 0)
	table.opened(ref)
	if l, _, ok := table.listener(ref); !ok || l.stream != 7 || l.flags != flagPlain || string(l.tag("")) != "1" {
		t.Errorf("%+v, %v", l, ok)
	}
	table.unlisten(ref)
	again := table.listen(8, []byte(`"`+fmt.Sprint(maps.Collect(slices.All(make([]int, 20))))+`"`), f, 0, 0)
	if uint32(again) != uint32(ref) || again == ref {
		t.Fatalf("references %x and %x", ref, again)
	}
	for _, stale := range []owner{ref, 0, listenBit, listenBit | 99, 1} {
		if _, _, ok := table.listener(stale); ok {
			t.Errorf("%x names somebody", stale)
		}
		table.opened(stale)
		if _, ok := table.unlisten(stale); ok {
			t.Errorf("%x ended somebody", stale)
		}
	}
	if _, long, ok := table.listener(again); !ok || len(long) < 40 {
		t.Errorf("a long id came back as %q", long)
	}
	table.unlisten(again)
	if len(table.longIDs) != 0 {
		t.Error("long ids stay")
	}
}

// TestSubscriptionMemory pins what a subscription costs beyond its session.
func TestSubscriptionMemory(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector changes memory")
	}
	const n = 100_000
	for _, tt := range []struct {
		name   string
		uri    func(i int) string
		budget float64 // bytes each
	}{
		{"all of one topic", func(int) string { return "demo://item/1" }, 26},
		{"ten of each topic", func(i int) string { return fmt.Sprintf("demo://item/%d", i/10) }, 48},
		{"each of its own topic", func(i int) string { return fmt.Sprintf("demo://item/%d", i) }, 160},
	} {
		before := heap()
		table := new(subscriptions)
		table.mu.Lock()
		for i := range n {
			table.add(owner(i+1), tt.uri(i), 0)
		}
		table.mu.Unlock()
		each := float64(heap()-before) / n
		runtime.KeepAlive(table)
		t.Logf("%s: %.1f bytes a subscription", tt.name, each)
		if each > tt.budget {
			t.Errorf("%s: %.1f bytes a subscription, budget %v", tt.name, each, tt.budget)
		}
	}
}

func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
