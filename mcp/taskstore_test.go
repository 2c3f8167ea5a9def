package mcp

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"pgregory.net/rapid"
)

// What a task is charged for covers what it costs: its record, its entry in
// the map and its place among the expiries.
func TestTaskOverhead(t *testing.T) {
	type entry struct {
		_ [16]byte
		_ *task
	}
	const load = 2 // a map may be half empty
	cost := unsafe.Sizeof(task{}) + load*(unsafe.Sizeof(entry{})+unsafe.Sizeof(&task{}))
	if cost > taskOverhead {
		t.Errorf("a task costs %d bytes and is charged for %d", cost, taskOverhead)
	}
}

// TestTaskStoreAgainstTwin drives the store and a plain map with the same
// moves and compares sums.
func TestTaskStoreAgainstTwin(t *testing.T) {
	type twin struct {
		k       *task
		running bool
		over    string // a terminal status
		asks    []*taskAsk
	}
	rapid.Check(t, func(t *rapid.T) {
		now := time.Unix(0, 0)
		o := TaskOptions{Count: 6, Running: 4, Bytes: 6 * 1024, TTL: 10 * time.Second, Now: func() time.Time { return now }}
		o.fill()
		s := &taskStore{o: o}
		var all []*twin
		pick := func(t *rapid.T, ok func(*twin) bool) *twin {
			var some []*twin
			for _, w := range all {
				if ok(w) {
					some = append(some, w)
				}
			}
			if len(some) == 0 {
				t.Skip("none")
			}
			return rapid.SampledFrom(some).Draw(t, "task")
		}
		running := func(w *twin) bool { return w.running }
		t.Repeat(map[string]func(*rapid.T){
			"create": func(t *rapid.T) {
				k, e := s.create(TaskPolicy{}, int64(rapid.IntRange(0, 2000).Draw(t, "size")), func(error) {})
				if e == nil {
					all = append(all, &twin{k: k, running: true})
				}
			},
			"finish": func(t *rapid.T) {
				w := pick(t, running)
				s.finish(w.k, taskCompleted, "", make([]byte, rapid.IntRange(0, 3000).Draw(t, "result")))
				if w.running = false; w.over == "" {
					w.over = "ended"
				}
			},
			"withdraw": func(t *rapid.T) {
				w := pick(t, func(w *twin) bool { return w.running && w.over == "" && len(w.asks) == 0 && w.k.message == "" })
				s.withdraw(w.k)
				w.running, w.over, w.k.id = false, "gone", [16]byte{}
			},
			"cancel": func(t *rapid.T) {
				w := pick(t, running)
				if !s.cancelTask(w.k.id) {
					t.Fatal("a running task is unknown")
				}
				if w.over == "" {
					w.over = "cancelled"
				}
			},
			"ask": func(t *rapid.T) {
				w := pick(t, running)
				asks, err := s.ask(w.k, [][]byte{make([]byte, 100), make([]byte, rapid.IntRange(0, 1000).Draw(t, "size"))})
				if err == nil {
					if w.over != "" {
						t.Fatal("asked after the end")
					}
					w.asks = append(w.asks, asks...)
				}
			},
			"answer": func(t *rapid.T) {
				w := pick(t, func(w *twin) bool { return w.running && len(w.asks) > 0 })
				s.answer(w.k.id, members([]byte(`{"`+w.asks[0].key+`":{}}`)))
				if _, ok := <-w.asks[0].answer; ok == (w.over != "") {
					t.Fatalf("answered %v, over %q", ok, w.over)
				}
				w.asks = w.asks[1:]
			},
			"abandon": func(t *rapid.T) {
				w := pick(t, func(w *twin) bool { return w.running && len(w.asks) > 0 })
				s.abandon(w.k, w.asks)
				w.asks = nil
			},
			"message": func(t *rapid.T) {
				s.setMessage(pick(t, running).k, rapid.StringN(0, 20, 200).Draw(t, "message"))
			},
			"sweep": func(t *rapid.T) {
				now = now.Add(time.Duration(rapid.IntRange(0, 20).Draw(t, "seconds")) * time.Second)
				s.sweep(now)
				for _, w := range all {
					if w.over == "" && w.k.terminal() {
						w.over = "expired"
					}
				}
			},
			"": func(t *rapid.T) {
				var bytes int64
				runs := 0
				for i, k := range s.byExpiry {
					if s.byID[k.id] != k || k.index != i {
						t.Fatal("map and heap differ")
					}
					bytes += k.bytes
				}
				for _, w := range all {
					if w.running {
						runs++
						if s.byID[w.k.id] != w.k {
							t.Fatal("a running task was forgotten")
						}
					}
					if w.k.terminal() != (w.over != "" && w.over != "gone") {
						t.Fatalf("status %d, twin %q", w.k.status, w.over)
					}
				}
				st := s.snapshot()
				if st.Bytes != bytes || bytes > o.Bytes || st.Running != runs || st.Tasks != len(s.byExpiry) || st.Tasks != len(s.byID) ||
					st.Tasks > o.Count || runs > o.Running {
					t.Fatalf("%+v, sums %d bytes, %d running, %d in the heap", st, bytes, runs, len(s.byExpiry))
				}
				if open := st.Created - st.Completed - st.Failed - st.Cancelled; open > uint64(runs) {
					t.Fatalf("%d open, %d running: %+v", open, runs, st)
				}
			},
		})
		for _, w := range all {
			if w.running {
				s.finish(w.k, taskCompleted, "", nil)
			}
		}
		s.sweep(now.Add(time.Hour))
		if st := s.snapshot(); st.Tasks+st.Running != 0 || st.Bytes != 0 {
			t.Fatalf("left behind: %+v", st)
		}
	})
}

// TestTasksConcurrently lets clients begin, ask, answer, cancel and watch
// tasks while the sweeper runs, for the race detector and the books.
func TestTasksConcurrently(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const clients, rounds = 4, 60
		b := newTestbed(func(o *Options) { o.Tasks.TTL = 50 * time.Millisecond })
		b.addJob(t, "job", TaskPolicy{}, func(ctx context.Context, c *Call) (*ToolResult, error) {
			c.SetStatus("asking")
			answers, err := c.askInTask(ctx, [][]byte{appendInputRequest(nil, "a", nil), appendInputRequest(nil, "b", nil)})
			if err != nil {
				return nil, err
			}
			return Text(fmt.Sprintf("%s", answers)), nil
		})
		var wg sync.WaitGroup
		for g := range clients {
			st := StreamID(g + 10)
			wg.Go(func() {
				tb := &testbed{Server: b.Server, host: b.host, sessions: b.sessions, calls: b.calls, words: map[StreamID]uint64{}}
				for i := range rounds {
					id := tb.begin(t, st)
					tb.request(t, st, "tasks/get", id, "")
					switch i % 3 {
					case 0:
						tb.request(t, st, "tasks/update", id, `,"inputResponses":{"input-1":{},"input-2":{}}`)
					case 1:
						tb.request(t, st, "tasks/cancel", id, "")
					}
					time.Sleep(time.Millisecond)
					b.SweepTasks(time.Now())
				}
			})
		}
		wg.Wait()
		time.Sleep(time.Second)
		b.SweepTasks(time.Now())
		synctest.Wait()
		b.SweepTasks(time.Now().Add(time.Hour))
		st := b.Stats().Tasks
		if st.Tasks+st.Running != 0 || st.Bytes != 0 || st.Created != clients*rounds || st.Created != st.Completed+st.Failed+st.Cancelled {
			t.Errorf("%+v", st)
		}
	})
}

// begin calls the tool "job" over a connection and returns the task's id.
func (b *testbed) begin(t testing.TB, st StreamID) string {
	out := b.ask(t, st, post(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"job",`+taskMeta+`}}`,
		"MCP-Protocol-Version: 2026-07-28", "Mcp-Method: tools/call", "Mcp-Name: job"))
	m := taskID.FindStringSubmatch(out)
	if m == nil {
		t.Errorf("no task: %s", out)
		return ""
	}
	return m[1]
}

// request sends a request about a task over a connection.
func (b *testbed) request(t testing.TB, st StreamID, method, id, more string) {
	b.ask(t, st, post(`{"jsonrpc":"2.0","id":1,"method":"`+method+`","params":{"taskId":"`+id+`"`+more+`,`+taskMeta+`}}`,
		"MCP-Protocol-Version: 2026-07-28", "Mcp-Method: "+method, "Mcp-Name: "+id))
}

// BenchmarkTask is one short task from the call to the result. Its bytes are
// those of a task that is kept.
func BenchmarkTask(b *testing.B) {
	done := make(chan struct{})
	tb := newTestbed(func(o *Options) {
		o.Tasks = TaskOptions{Count: 1 << 30, Bytes: 1 << 40, Run: func(f func()) error {
			go func() { f(); done <- struct{}{} }()
			return nil
		}}
	})
	tb.addJob(b, "job", TaskPolicy{}, func(context.Context, *Call) (*ToolResult, error) { return Text("done"), nil })
	b.ReportAllocs()
	before := heapInUse()
	for b.Loop() {
		tb.begin(b, 1)
		<-done
	}
	st := tb.Stats().Tasks
	b.ReportMetric(float64(heapInUse()-before)/float64(st.Tasks), "heap-B/task")
	runtime.KeepAlive(tb)
	b.ReportMetric(float64(st.Bytes)/float64(st.Tasks), "charged-B/task")
}

// heapInUse returns the bytes of live objects.
func heapInUse() int64 {
	runtime.GC()
	runtime.GC() // pools let go in the second
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
