package bench

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rookery-server/rookery/memprof"
)

func TestBuiltinBudgets(t *testing.T) {
	b, err := loadBudgets("")
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range idleKinds {
		if m := b.Memory.Kinds[kind]; m.Average <= 0 || m.Slope <= 0 || m.Slope > m.Average {
			t.Errorf("%s: %+v", kind, m)
		}
	}
	for _, c := range contests {
		if b.CPURatio[c.name] <= 0 {
			t.Errorf("no budget for %s", c.name)
		}
	}
	for _, kind := range adapterKinds {
		if b.Memory.Adapter[kind] <= 0 {
			t.Errorf("no budget for the adapter with %s", kind)
		}
	}
	if len(b.CPURatio) != len(contests) || len(b.Memory.Kinds) != len(idleKinds) || len(b.Memory.Adapter) != len(adapterKinds) {
		t.Errorf("budgets for what is not measured: %v, %v", b.CPURatio, b.Memory)
	}
	if b.Fanout.TookMax <= 0 || b.Fanout.AtClients != fanoutClients {
		t.Errorf("%+v", b.Fanout)
	}
	if b.ConnectionsPerSecond <= 0 || b.GC.PauseMax <= 0 || b.GC.Cycles == 0 || b.GC.CPUShare <= 0 {
		t.Errorf("%+v", b)
	}
}

func TestLoadBudgets(t *testing.T) {
	if b, err := loadBudgets(noBudgets); b != nil || err != nil {
		t.Errorf("off: %v, %v", b, err)
	}
	for text, want := range map[string]string{
		`{"schema":1,"memory":{"kinds":{"tcp":{"average":1,"slope":1}}}}`: "",
		`{"schema":2}`:              "schema 2",
		`{"schema":1,"memmory":{}}`: `unknown field "memmory"`,
		`{"schema":1,`:              "unexpected EOF",
		`{"schema":1,"memory":{"kinds":{"parrot":{"average":1,"slope":1}}}}`: `"parrot"`,
		`{"schema":1,"memory":{"adapter":{"parrot":1}}}`:                     `"parrot"`,
	} {
		path := filepath.Join(t.TempDir(), "budgets.json")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := loadBudgets(path)
		if (err == nil) != (want == "") || (err != nil && !strings.Contains(err.Error(), want)) {
			t.Errorf("%s gives %v, want %q", text, err, want)
		}
	}
	if _, err := loadBudgets("nothing/there"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing file: %v", err)
	}
}

func one(v float64) Spread { return spreadOf([]float64{v}) }

func testRow(clients int, average, slope, zero, growth float64) MemRow {
	return MemRow{
		Server: "rookery", Kind: TCP, Runs: 1, Zero: one(zero), Average: one(average), Slope: one(slope), OpenRate: one(9000),
		Points: []MemPoint{{Clients: clients, Bytes: one(zero + average*float64(clients))}},
		Burst:  &MemBurst{Before: one(1), Peak: one(2), After: one(1), Growth: one(growth), Seconds: one(1), Back: one(1)},
		Closed: &Spread{}, Reopened: &Spread{},
	}
}

func TestCheckMem(t *testing.T) {
	b, err := loadBudgets("")
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name string
		row  MemRow
		want []string
		not  bool // checked
	}{
		{name: "within", row: testRow(18000, 320, 111, 30<<20, 0.2)},
		{name: "outside", row: testRow(18000, 321, 112, 31<<20, 0.21), want: []string{"tcp, average", "tcp, slope", "tcp, without clients", "tcp, after a burst"}},
		{name: "few clients", row: testRow(17999, 9999, 9999, 1, 1), not: true},
	} {
		list, checked := b.checkMem(&test.row)
		if checked == test.not || len(list) != len(test.want) {
			t.Errorf("%s: checked %v, %v", test.name, checked, list)
			continue
		}
		for i, breach := range list {
			if breach.What != test.want[i] || breach.Got <= breach.Budget {
				t.Errorf("%s: %v, want %q", test.name, breach, test.want[i])
			}
		}
	}
	half := testRow(18000, 1e6, 700, 1e9, 9)
	half.Server, half.Kind = adapter, Listen
	if list, checked := b.checkMem(&half); !checked || len(list) != 0 {
		t.Errorf("the adapter within: %v, %v", checked, list)
	}
	half.Slope = one(701)
	if list, _ := b.checkMem(&half); len(list) != 1 || list[0].What != "gosdk-rookery listen, slope" {
		t.Errorf("the adapter outside: %v", list)
	}
	half.Kind = TCP
	if _, checked := b.checkMem(&half); checked {
		t.Error("the adapter with a kind without budget is checked")
	}
	row := testRow(18000, 1, 1, 1, 0)
	row.Kind = SSE
	if _, checked := b.checkMem(&row); checked {
		t.Error("a kind without budget is checked")
	}
}

func TestCheckCPU(t *testing.T) {
	b, err := loadBudgets("")
	if err != nil {
		t.Fatal(err)
	}
	good := CPUReport{
		Comparisons: []Comparison{{Name: compareEcho, Other: "std", Ratio: one(1.10)}, {Name: compareTools, Ratio: one(0.25)}},
		Rates:       []Rate{{Kind: TCP, PerSecond: one(5000)}, {Kind: Stream, PerSecond: one(1)}},
		GC:          &GCResult{Clients: 18000, GC: memprof.GC{PauseMax: time.Millisecond}, CPUShare: 0.5},
		Fanout:      &FanoutResult{Clients: 15000, Took: one(250e6)},
	}
	if good.check(b); len(good.Breaches) != 0 || len(good.Notes) != 0 {
		t.Errorf("within: %v, %v", good.Breaches, good.Notes)
	}
	bad := CPUReport{
		Comparisons: []Comparison{{Name: compareEcho, Other: "std", Ratio: one(1.11)}, {Name: compareTools, Ratio: one(0.26)}},
		Rates:       []Rate{{Kind: TCP, PerSecond: one(4999)}},
		GC:          &GCResult{Clients: 18000, GC: memprof.GC{PauseMax: time.Millisecond + 1}, CPUShare: 0.51},
		Fanout:      &FanoutResult{Clients: 15000, Took: one(251e6)},
	}
	if bad.check(b); len(bad.Breaches) != 6 {
		t.Errorf("outside: %v", bad.Breaches)
	}
	few := CPUReport{GC: &GCResult{Clients: 17999, GC: memprof.GC{PauseMax: time.Hour}, CPUShare: 1},
		Fanout: &FanoutResult{Clients: 14999, Took: one(1e12)}}
	if few.check(b); len(few.Breaches) != 0 || len(few.Notes) != 2 {
		t.Errorf("few clients: %v, %v", few.Breaches, few.Notes)
	}
	if few.check(nil); len(few.Breaches) != 0 {
		t.Errorf("no budgets: %v", few.Breaches)
	}
}

func TestBreachError(t *testing.T) {
	if err := breachError(nil); err != nil {
		t.Error(err)
	}
	err := breachError([]Breach{{What: "tcp, slope", Got: 134.4, Budget: 111, Unit: "bytes a client"}, {What: "echo", Got: 1.234, Budget: 1.1, Unit: "×"}})
	if !errors.Is(err, ErrBudget) {
		t.Errorf("%v is not ErrBudget", err)
	}
	const want = "bench: over budget:\n  tcp, slope: 134, budget 111 bytes a client\n  echo: 1.23, budget 1.10 ×"
	if err.Error() != want {
		t.Errorf("got  %q\nwant %q", err, want)
	}
}
