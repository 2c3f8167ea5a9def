package bench

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/rookery-server/rookery/memprof"
)

var update = flag.Bool("update", false, "write the expected output in testdata anew")

// golden compares got with a file in testdata.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs (accept it with -update):\n%s", path, got)
	}
}

func testMemReport() *MemReport {
	kernel, live := one(3776), 120.0
	ours := testRow(18000, 270.4, 60, 5<<20, 0.05)
	ours.Runs = 3
	ours.Average = spreadOf([]float64{260, 270.4, 290})
	ours.Kernel, ours.LiveHeap = &kernel, &live
	ours.KernelBy = []PerEach{{"TCP", 2368}}
	ours.Components = []PerEach{{"connection slots", 49.2}, {"tails <unfinished>", 3}, {"heap: other live objects", -8}, {memprof.Unaccounted, 0.2}, {memprof.Stacks, 216}}
	theirs := testRow(3000, 11708, 11600, 3<<20, 0)
	theirs.Server, theirs.Burst, theirs.Closed, theirs.Reopened = "netpoll", nil, nil, nil
	return &MemReport{
		Schema: MemSchema, Taken: time.Date(2026, 7, 28, 0, 0, 0, 0, time.UTC),
		Machine: Machine{CPU: "Test", CPUs: 2, Memory: 24 << 30, Kernel: "6.18", Go: "go1.26", Descriptors: 20000},
		Rows:    []MemRow{ours, theirs},
		Waiting: &WaitingResult{
			Clients: 5000, Runs: 3, Before: one(5 << 20), Waiting: one(80 << 20), After: one(17 << 20),
			Each: spreadOf([]float64{15700, 15800, 15900}), Workers: one(0), Handlers: one(5000), Goroutines: one(5023),
			Seconds: one(0.28), Latency: Latency{P99: 39 * time.Millisecond},
		},
		Events: []EventsResult{
			{Kind: SharedEvents, Clients: 15000, Each: 16, Size: 150, Runs: 1, Before: one(8 << 20), After: one(12 << 20), Grown: one(318),
				Store: one(4 << 20), Kept: one(240000), Bodies: one(16), Seconds: one(3)},
			{Kind: OwnEvents, Clients: 15000, Each: 16, Size: 150, Runs: 1, Before: one(19 << 20), After: one(73 << 20), Grown: one(3800),
				Store: one(48 << 20), Kept: one(240000), Bodies: one(240000), Seconds: one(27)},
		},
		Notes:    []string{"a note"},
		Breaches: []Breach{{What: "tcp, slope", Got: 134, Budget: 111, Unit: "bytes a client"}},
	}
}

func testCPUReport() *CPUReport {
	side := func(ns float64) Side {
		return Side{CPU: one(ns), PerSecond: one(1e9 / ns), Latency: Latency{P50: time.Millisecond, P99: 4 * time.Millisecond}}
	}
	return &CPUReport{
		Schema:      CPUSchema,
		Machine:     Machine{CPU: "Test", CPUs: 2, Memory: 24 << 30, Kernel: "6.18", Go: "go1.26", Descriptors: 20000},
		Comparisons: []Comparison{{Name: compareEcho, Other: "std", Clients: 1000, Pairs: 7, Ratio: spreadOf([]float64{0.9, 0.95, 1}), Ours: side(11000), Theirs: side(12000)}},
		Rates:       []Rate{{Kind: TCP, Clients: 18000, PerSecond: spreadOf([]float64{11000, 12000})}},
		Fanout:      &FanoutResult{Clients: 15000, Took: spreadOf([]float64{190e6, 200e6, 210e6}), Bystander: Latency{P50: time.Millisecond, P99: 2 * time.Millisecond}, LagP99: 1e6, LagTicks: 300},
		GC:          &GCResult{Clients: 18000, GC: memprof.GC{Cycles: 20, PauseMax: 300 * time.Microsecond}, P99: 200000, CPUShare: 0.3},
		Notes:       []string{"a note"},
	}
}

func TestTables(t *testing.T) {
	var out bytes.Buffer
	if err := testMemReport().writeTable(&out, paint{}); err != nil {
		t.Fatal(err)
	}
	golden(t, "mem.txt", out.Bytes())
	out.Reset()
	if err := testCPUReport().writeTable(&out, paint{}); err != nil {
		t.Fatal(err)
	}
	golden(t, "cpu.txt", out.Bytes())
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

func TestReportsToABrokenPipe(t *testing.T) {
	for _, asJSON := range []bool{true, false} {
		if err := printReport(brokenWriter{}, testMemReport(), asJSON); !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("JSON %v: error %v", asJSON, err)
		}
	}
}

func TestReportsSurviveJSON(t *testing.T) {
	for _, r := range []any{testMemReport(), testCPUReport()} {
		text, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		back := reflect.New(reflect.TypeOf(r).Elem())
		if err := json.Unmarshal(text, back.Interface()); err != nil || !reflect.DeepEqual(back.Interface(), r) {
			t.Errorf("%T: %v\n%+v\nwant\n%+v", r, err, back.Interface(), r)
		}
	}
}

// TestPicture wants well-formed XML with every server, each drawn component,
// and colours for both schemes.
func TestPicture(t *testing.T) {
	svg := testMemReport().picture()
	golden(t, "mem.svg", svg)
	d := xml.NewDecoder(bytes.NewReader(svg))
	var text strings.Builder
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if data, ok := token.(xml.CharData); ok {
			text.Write(data)
			text.WriteByte('\n')
		}
	}
	for _, want := range []string{"rookery tcp", "netpoll tcp", "connection slots", memprof.Stacks, otherPart, "prefers-color-scheme: dark", "3,776 B kernel"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("the picture does not say %q", want)
		}
	}
	bare := &MemReport{Rows: []MemRow{testMemReport().Rows[1]}}
	if svg := bare.picture(); bytes.Contains(svg, []byte("by component")) {
		t.Error("a section of components without components")
	}
}

func TestParts(t *testing.T) {
	list, sum, less := parts(&testMemReport().Rows[0])
	want := []PerEach{{"connection slots", 49.2}, {memprof.Stacks, 216}, {otherPart, 3.2}}
	if diff := sum - 260.4; diff > 1e-9 || diff < -1e-9 || less != -8 || len(list) != len(want) {
		t.Fatalf("sum %v, less %v, parts %v", sum, less, list)
	}
	for i := range want {
		if list[i].Name != want[i].Name {
			t.Errorf("part %d is %v, want %v", i, list[i], want[i])
		}
	}
	flux := &MemRow{Components: []PerEach{{memprof.HeapGarbage, -40}, {memprof.HeapFree, 70}, {memprof.RuntimeMeta, 10}}}
	list, sum, less = parts(flux)
	if len(list) != 2 || list[0].Bytes != 30 || sum != 40 || less != 0 {
		t.Errorf("garbage that became free pages: %v, %v, %v", list, sum, less)
	}
}

func TestProgress(t *testing.T) {
	for _, test := range []struct {
		name string
		p    progress
		want string
	}{
		{"plain", progress{}, "one 1\ntwo\n"},
		{"terminal", progress{live: true}, "\r\x1b[Kone 1\r\x1b[K50 %\r\x1b[Ktwo\r\x1b[K"},
	} {
		var out bytes.Buffer
		test.p.w = &out
		test.p.step("one %d", 1)
		test.p.over("50 %%")
		test.p.step("two")
		test.p.clear()
		if out.String() != test.want {
			t.Errorf("%s: %q, want %q", test.name, out.String(), test.want)
		}
	}
	quiet := newProgress(os.Stderr, true)
	quiet.step("must not panic")
	quiet.clear()
}

func TestPaint(t *testing.T) {
	if got := (paint{on: true}).bad("x"); got != "\x1b[31mx\x1b[0m" {
		t.Errorf("%q", got)
	}
	if got := (paint{}).bad("x"); got != "x" {
		t.Errorf("%q", got)
	}
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0) // a character device, like a terminal
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = null.Close() }()
	t.Setenv("NO_COLOR", "")
	if !newPaint(null).on {
		t.Error("no colours on a terminal")
	}
	t.Setenv("NO_COLOR", "1")
	if newPaint(null).on {
		t.Error("colours in spite of NO_COLOR")
	}
	file, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	t.Setenv("NO_COLOR", "")
	if newPaint(file).on || newProgress(file, false).live {
		t.Error("a file is no terminal")
	}
}
