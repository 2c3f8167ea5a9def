package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rookery-server/rookery/memprof"
	"github.com/spf13/cobra"
)

// run executes a command of this package in this process. In short mode it
// skips the test.
func run(t *testing.T, args ...string) (string, error) {
	t.Helper()
	if testing.Short() {
		t.Skip("short: starts dozens of processes, each slow to start under the race detector")
	}
	var out bytes.Buffer
	root := programs()
	root.SetArgs(args)
	root.SetOut(&out)
	err := root.ExecuteContext(boundedContext(t, 4*time.Minute)) // some start dozens of processes
	return out.String(), err
}

// smallMem is a bench-mem that takes a second or two.
var smallMem = []string{"bench-mem", "--counts", "20,60", "--runs", "1", "--settle", "40ms", "--quiet"}

func TestMemCommand(t *testing.T) {
	needLinux(t)
	dir := t.TempDir()
	svg := filepath.Join(dir, "mem.svg")
	budgets := filepath.Join(dir, "budgets.json")
	tight := `{"schema":1,"memory":{"at_clients":60,"zero_bytes":1e9,"burst_growth":9,"kinds":{"tcp":{"average":1,"slope":1e9}}}}`
	if err := os.WriteFile(budgets, []byte(tight), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := run(t, append(smallMem, "--baseline", self(t)[0], "--json", "--svg", svg, "--budgets", budgets)...)
	if !errors.Is(err, ErrBudget) || !strings.Contains(err.Error(), "tcp, average") {
		t.Errorf("error %v, want the average over budget", err)
	}
	var r MemReport
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	var names []string
	for _, row := range r.Rows {
		names = append(names, row.Server+" "+string(row.Kind))
		if row.Average.Median <= 0 || row.Zero.Median <= 0 || row.OpenRate.Median <= 0 || len(row.Average.Runs) != row.Runs || len(row.Points) != 2 {
			t.Errorf("%s: %+v", row.Server, row)
		}
		if full := row.Server == ours || row.Server == adapter; full != (row.Burst != nil) || full != (row.Components != nil) || full != (row.LiveHeap != nil) {
			t.Errorf("%s: burst %v, components %v", row.Server, row.Burst, row.Components)
		}
	}
	want := []string{"rookery tcp", "rookery jsonrpc-session", "rookery mcp-stream", "rookery listen",
		"gosdk-rookery mcp-stream", "gosdk-rookery listen", "std tcp", "netpoll tcp", "httpsse sse", "gosdk mcp-stream", "mcpgo mcp-stream", "gosdk-stateless listen"}
	if !slices.Equal(names, want) {
		t.Errorf("rows %v, want %v", names, want)
	}
	// The fake says that it holds 4,096 bytes a client.
	if i := slices.IndexFunc(r.Rows[0].Components, func(c PerEach) bool { return c.Name == "connections" }); i < 0 || r.Rows[0].Components[i].Bytes != 4096 {
		t.Errorf("components %v", r.Rows[0].Components)
	}
	if text, err := os.ReadFile(svg); err != nil || !bytes.Contains(text, []byte("<svg")) {
		t.Errorf("picture: %v", err)
	}
}

func TestMemCommandTable(t *testing.T) {
	needLinux(t)
	out, err := run(t, append(smallMem, "--kinds", "tcp", "--quick", "--baseline", "", "--budgets", noBudgets)...)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"rookery  tcp", "growth by component", "All clients speak at once"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in:\n%s", want, out)
		}
	}
	if strings.Contains(out, "\x1b") {
		t.Error("escape codes outside a terminal")
	}
}

func TestMemCommandRefuses(t *testing.T) {
	for _, test := range []struct{ arg, want string }{
		{"--kinds=parrot", `"parrot"`},
		{"--counts=9,3", "must ascend"},
		{"--counts=99999999", "ulimit -Hn"},
		{"--budgets=nothing/there", "no such file"},
		{"--baseline=nothing/there", "make baseline"},
		{"--server=nothing/there", "no such file"},
		{"--serve-arg=--exit", "this server will not start"},
		{"--serve-arg=--wrong", "does not echo"},
		{"--serve-arg=--one-shot", "closed"},
		{"--svg=nothing/there", "no such file"},
		{"surplus", "unknown command"},
	} {
		t.Run(test.arg, func(t *testing.T) {
			needLinux(t)
			_, err := run(t, append(smallMem, "--kinds=tcp", "--quick", "--budgets=off", test.arg)...)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one that says %q", err, test.want)
			}
		})
	}
}

func TestCPUCommand(t *testing.T) {
	needLinux(t)
	out, err := run(t, "bench-cpu", "--quick", "--pairs", "2", "--measure", "80ms", "--clients", "40", "--quiet", "--json",
		"--baseline", self(t)[0], "--budgets", noBudgets)
	if err != nil {
		t.Fatal(err)
	}
	var r CPUReport
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	if len(r.Comparisons) != len(contests) || len(r.Rates) != len(idleKinds) || r.GC == nil || r.Fanout == nil {
		t.Fatalf("%+v", r)
	}
	for i, c := range r.Comparisons {
		if c.Name != contests[i].name || c.Pairs != 2 || len(c.Ratio.Runs) != 2 || c.Ratio.Median <= 0 ||
			c.Ours.CPU.Median <= 0 || c.Theirs.PerSecond.Median <= 0 || c.Ours.Latency.P99 <= 0 {
			t.Errorf("%+v", c)
		}
	}
	for _, rate := range r.Rates {
		if rate.Clients != 40 || rate.PerSecond.Median <= 0 || len(rate.PerSecond.Runs) != 1 {
			t.Errorf("%+v", rate)
		}
	}
	if g := r.GC; g.Clients != 40 || g.GC.Cycles < gcCycles || g.GC.PauseMax <= 0 || g.P99 <= 0 || g.CPUShare <= 0 || g.CPUShare > 1 {
		t.Errorf("%+v", g)
	}
	if o := r.Fanout; o.Clients != 40 || len(o.Took.Runs) != fanoutRoundsQuick || o.Took.Median <= 0 || o.Bystander.P99 <= 0 ||
		o.LagTicks != 1 || o.LagP99 != int64(time.Millisecond) {
		t.Errorf("%+v", o)
	}
}

func TestBuckets(t *testing.T) {
	const m = "m_bucket"
	text := func(a, b, c int) []byte {
		return fmt.Appendf(nil, "# TYPE m histogram\nm_bucket{le=\"0.5\"} %d\nm_bucket{le=\"1e+00\"} %d\nm_bucket{le=\"+Inf\"} %d\nm_bucket{loop=\"1\",le=\"0.5\"} 1\nm_sum 3\n", a-1, b, c)
	}
	base, err := parseBuckets(text(5, 5, 5), m)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		text []byte
		ns   int64
		n    uint64
	}{
		{text(105, 105, 105), 5e8, 100},
		{text(103, 105, 105), 1e9, 100},
		{text(105, 105, 107), math.MaxInt64, 102},
	} {
		b, err := parseBuckets(test.text, m)
		if err != nil {
			t.Fatal(err)
		}
		if ns, n := b.since(base).p99(); ns != test.ns || n != test.n {
			t.Errorf("%s: p99 %d of %d, want %d of %d", test.text, ns, n, test.ns, test.n)
		}
	}
	for _, bad := range []string{"", "m_bucket{le=\"x\"} 1\n", "m_bucket{le=\"1\"} one\n", "m_bucket{le=\"1\n"} {
		if _, err := parseBuckets([]byte(bad), m); err == nil {
			t.Errorf("%q passes", bad)
		}
	}
}

func TestCPUCommandRefuses(t *testing.T) {
	needLinux(t)
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"sing"}, "invalid argument"},
		{[]string{"echo", "--baseline=nothing/there"}, "make baseline"},
		{[]string{"tools-call", "--serve-arg=--one-shot", "--baseline=" + self(t)[0]}, "before its answer"},
		{[]string{"conn-rate", "--serve-arg=--wrong"}, "does not echo"},
		{[]string{"gc", "--serve-arg=--exit"}, "will not start"},
		{[]string{"fan-out", "--serve-arg=--one-shot"}, "the server ended a "}, // between calls, or before an answer
	} {
		_, err := run(t, append([]string{"bench-cpu", "--quick", "--clients=9", "--measure=20ms", "--quiet", "--budgets=off"}, test.args...)...)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%v: error %v, want one that says %q", test.args, err, test.want)
		}
	}
	if _, err := RunCPU(testContext(t), CPUOptions{Parts: []string{"sing"}}); err == nil || !strings.Contains(err.Error(), `"sing"`) {
		t.Errorf("unknown part: %v", err)
	}
	if _, err := RunCPU(testContext(t), CPUOptions{}); !errors.Is(err, errNoBaseline) {
		t.Errorf("no baseline: %v", err)
	}
}

// children returns the processes below pid.
func children(t *testing.T, pid int) (all []int) {
	t.Helper()
	tasks, err := filepath.Glob(filepath.Join("/proc", strconv.Itoa(pid), "task", "*", "children"))
	if err != nil {
		t.Fatal(err)
	}
	for _, task := range tasks {
		text, err := os.ReadFile(task)
		if err != nil {
			continue // the thread has ended
		}
		for _, word := range strings.Fields(string(text)) {
			if child, err := strconv.Atoi(word); err == nil {
				all = append(append(all, child), children(t, child)...)
			}
		}
	}
	return all
}

// TestNothingOutlivesTheOrchestrator ends a measurement in its middle, by
// Ctrl-C and by a kill that nobody can catch.
func TestNothingOutlivesTheOrchestrator(t *testing.T) {
	needLinux(t)
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGKILL} {
		cmd := exec.Command(self(t)[0], "bench-mem", "--kinds=tcp", "--counts=50", "--settle=1h", "--budgets=off")
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		var below []int
		// a keeper, its server and a worker
		eventually(t, "three processes are at work", func() bool {
			below = children(t, cmd.Process.Pid)
			return len(below) == 3
		})
		if err := cmd.Process.Signal(signal); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err == nil {
			t.Errorf("%v: the measurement ended well", signal)
		}
		for _, pid := range below {
			eventually(t, "process "+strconv.Itoa(pid)+" has ended after "+signal.String(), func() bool { return !alive(pid) })
		}
	}
}

// TestExplainNeedsAnAdmin: baselines have nobody to ask.
func TestExplainNeedsAnAdmin(t *testing.T) {
	needLinux(t)
	b := &memBench{self: self(t), timeout: testTimeout, settle: time.Millisecond, progress: &progress{}}
	s := &subject{program: baselineProgram(self(t)[0], "std", true), kind: TCP, counts: []int{1}}
	if _, err := b.explain(testContext(t), s); err == nil || !strings.Contains(err.Error(), "no admin listener") {
		t.Errorf("error %v", err)
	}
}

// TestComeBack waits for memory that returns, and gives up in time.
func TestComeBack(t *testing.T) {
	needLinux(t)
	at := &site{server: &server{pid: os.Getpid()}, long: 10 * time.Millisecond}
	m, err := memprof.ReadMemory(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	back := memRun{own: []int64{2 * m.Own()}}
	if err := at.comeBack(testContext(t), &back); err != nil || back.back > time.Second || back.after <= 0 {
		t.Errorf("%+v, %v", back, err)
	}
	never := memRun{own: []int64{1}}
	if err := at.comeBack(testContext(t), &never); err != nil || never.back < backMax*at.long {
		t.Errorf("%+v, %v", never, err)
	}
	stopped, stop := context.WithCancel(t.Context())
	stop()
	if err := at.comeBack(stopped, &never); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

func TestHelpersAreHidden(t *testing.T) {
	for _, cmd := range []*cobra.Command{MemCommand(), CPUCommand(), CompareCommand()} {
		if strings.Contains(cmd.UsageString(), keeperCommand+" ") || len(cmd.Commands()) != 2 {
			t.Errorf("%s shows its helpers:\n%s", cmd.Name(), cmd.UsageString())
		}
	}
}
