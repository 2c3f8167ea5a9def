package memprof

import (
	"encoding/json"
	"os"
	"reflect"
	"runtime"
	"runtime/metrics"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func sum(rows []Component) (n int64) {
	for _, c := range rows {
		n += c.Bytes
	}
	return n
}

// TestAccountCloses: whatever the program claims and the runtime says, the
// rows add up to RSS and none but the last is negative.
func TestAccountCloses(t *testing.T) {
	size := rapid.Int64Range(0, 1<<40)
	rapid.Check(t, func(t *rapid.T) {
		h := Heap{Live: size.Draw(t, "live"), Objects: size.Draw(t, "objects"), Unused: size.Draw(t, "unused"),
			Free: size.Draw(t, "free"), Stacks: size.Draw(t, "stacks"), Meta: size.Draw(t, "meta"), Other: size.Draw(t, "other")}
		m := Memory{RSS: size.Draw(t, "rss"), File: size.Draw(t, "file")}
		own := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Component {
			return Component{Name: "x", Bytes: size.Draw(t, "bytes"), OffHeap: rapid.Bool().Draw(t, "off")}
		}), 0, 4).Draw(t, "own")
		rows := account(own, h, m)
		if got := sum(rows); got != m.RSS {
			t.Fatalf("rows add up to %d, RSS is %d", got, m.RSS)
		}
		for _, c := range rows[:len(rows)-1] {
			if c.Bytes < 0 {
				t.Fatalf("row %q is %d", c.Name, c.Bytes)
			}
		}
		if last := rows[len(rows)-1].Name; last != Unaccounted {
			t.Fatalf("last row is %q", last)
		}
	})
}

func TestAccountRows(t *testing.T) {
	rows := account(
		[]Component{{Name: "slots", Count: 10, Bytes: 480}, {Name: "map", Bytes: 1000, OffHeap: true}},
		Heap{Live: 700, Objects: 900, Unused: 30, Free: 40, Stacks: 50, Meta: 60, Other: 70, Goroutines: 3},
		Memory{RSS: 5000, File: 2000})
	want := []Component{
		{Name: "slots", Count: 10, Bytes: 480}, {Name: "map", Bytes: 1000, OffHeap: true},
		{Name: HeapOther, Bytes: 220}, {Name: HeapGarbage, Bytes: 200}, {Name: HeapUnused, Bytes: 30}, {Name: HeapFree, Bytes: 40},
		{Name: Stacks, Count: 3, Bytes: 50}, {Name: RuntimeMeta, Bytes: 60}, {Name: RuntimeRest, Bytes: 70},
		{Name: FilePages, Bytes: 2000}, {Name: Unaccounted, Bytes: 850},
	}
	if !reflect.DeepEqual(rows, want) {
		t.Errorf("got  %v\nwant %v", rows, want)
	}
}

func TestTake(t *testing.T) {
	needLinux(t)
	runtime.GC()
	r, err := Take(7, Component{Name: "slots", Count: 7, Bytes: 7 * 48})
	if err != nil {
		t.Fatal(err)
	}
	if r.Clients != 7 || r.Components[0].Bytes != 336 || r.Schema != Schema {
		t.Errorf("report %+v", r)
	}
	if got := sum(r.Components); got != r.Resident.RSS {
		t.Errorf("rows add up to %d, RSS is %d", got, r.Resident.RSS)
	}
	if r.Heap.Live <= 0 || r.Heap.Count <= 0 || r.Heap.Goroutines <= 0 || r.GC.Cycles == 0 || len(r.GC.Pauses) == 0 {
		t.Errorf("heap %+v, gc %+v", r.Heap, r.GC)
	}
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var back Report
	if err := json.Unmarshal(text, &back); err != nil || !reflect.DeepEqual(back, r) {
		t.Errorf("after JSON: %v\n%+v\nwant\n%+v", err, back, r)
	}
}

// TestHeapIsComplete: the classes read are all the runtime has, so no memory
// hides between them.
func TestHeapIsComplete(t *testing.T) {
	total := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(total)
	want := int64(total[0].Value.Uint64() - total[1].Value.Uint64())
	got := ReadHeap().Mapped()
	if diff := got - want; diff > 1<<20 || diff < -(1<<20) {
		t.Errorf("classes add up to %d, the runtime holds %d", got, want)
	}
}

func TestCPUTime(t *testing.T) {
	needLinux(t)
	before, err := CPUTime(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	for start := time.Now(); time.Since(start) < 20*time.Millisecond; {
		runtime.Gosched()
	}
	after, err := CPUTime(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if used := after - before; used <= 0 || used > time.Minute {
		t.Errorf("spinning for 20 ms used %v", used)
	}
}
