package bench

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/spf13/cobra"
)

// linkLine is what the benchmark of the link prints.
const linkLine = linkBenchmark + "-2  1  5000000000 ns/op  0.27 copy-wire/json  2000 copy-cpu-ns  900000 copy-msg/s  3.0 copy/nats" +
	"  600000 notify-msg/s  3000 notify-cpu-ns  300000 nats-msg/s  6000 nats-cpu-ns"

// fakeLinkCommand plays the test binary of package cluster; a script calls it.
func fakeLinkCommand() *cobra.Command {
	return &cobra.Command{Use: "fake-link", DisableFlagParsing: true, RunE: func(_ *cobra.Command, args []string) error {
		if os.Getenv("ROOKERY_BASELINE") == "" || !strings.Contains(strings.Join(args, " "), linkBenchmark) {
			return errors.New("this is not how the benchmark is run")
		}
		fmt.Println(linkLine)
		return nil
	}}
}

// script writes a program that runs the test binary as role.
func script(t *testing.T, role string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), role)
	if err := os.WriteFile(path, fmt.Appendf(nil, "#!/bin/sh\nexec %s %s \"$@\"\n", self(t)[0], role), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

// smallCompare is a bench-compare that takes a few seconds.
func smallCompare(t *testing.T, more ...string) []string {
	return append([]string{"bench-compare", "--quick", "--clients=30", "--rounds=1", "--measure=400ms", "--settle=20ms", "--quiet", "--baseline=" + self(t)[0]}, more...)
}

func TestCompareCommand(t *testing.T) {
	needLinux(t)
	out, err := run(t, smallCompare(t, "--json", "--link="+script(t, "fake-link"))...)
	if err != nil {
		t.Fatal(err)
	}
	var r CompareReport
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	var names []string
	for i := range r.Rows {
		row := &r.Rows[i]
		names = append(names, row.Load+" "+row.Server)
		if row.CPU.Median <= 0 || row.PerSecond.Median <= 0 {
			t.Errorf("%s: %+v", row.What, row)
		}
		if link := row.Load == compareLink; link != (row.Bytes == nil) || link != (row.Latency == nil) {
			t.Errorf("%s: %+v", row.What, row)
		}
		if first := i == 0 || r.Rows[i-1].Load != row.Load; first != (row.CPURatio == nil) {
			t.Errorf("%s: ratio %v", row.What, row.CPURatio)
		}
	}
	want := "[tcp rookery tcp std tcp netpoll mcp rookery mcp gosdk-rookery mcp nethttp mcp mcpgo mcp gosdk link rookery link rookery-copy link nats-route]"
	if got := fmt.Sprint(names); got != want {
		t.Errorf("rows %s, want %s", got, want)
	}
	if nats := r.Rows[len(r.Rows)-1]; nats.CPURatio.Median != 2 || nats.PerSecondRatio.Median != 0.5 {
		t.Errorf("%+v", nats)
	}
}

func TestCompareTable(t *testing.T) {
	needLinux(t)
	out, err := run(t, smallCompare(t, "tcp", "link")...)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Echo over TCP", "netpoll, stock Connection", "10,000/s", "×", "link between nodes is not measured"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in:\n%s", want, out)
		}
	}
}

func TestCompareRefuses(t *testing.T) {
	needLinux(t)
	silent := filepath.Join(t.TempDir(), "silent")
	if err := os.WriteFile(silent, []byte("#!/bin/sh\necho nothing\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"sing"}, "invalid argument"},
		{[]string{"tcp", "--baseline=nothing/there"}, "make baseline"},
		{[]string{"tcp", "--serve-arg=--wrong"}, "does not echo"},
		{[]string{"link", "--link=" + silent}, "says nothing of notify"},
		{[]string{"link", "--link=nothing/there"}, "exit status 127"},
	} {
		if _, err := run(t, smallCompare(t, test.args...)...); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%v: error %v, want one that says %q", test.args, err, test.want)
		}
	}
	if _, err := RunCompare(testContext(t), CompareOptions{Loads: []string{"sing"}}); err == nil || !strings.Contains(err.Error(), `"sing"`) {
		t.Error(err)
	}
	if _, err := RunCompare(testContext(t), CompareOptions{}); !errors.Is(err, errNoBaseline) {
		t.Error(err)
	}
}

// TestCompareInterrupted: Ctrl-C ends the link's benchmark too.
func TestCompareInterrupted(t *testing.T) {
	needLinux(t)
	if testing.Short() {
		t.Skip("short: starts several processes")
	}
	forever := filepath.Join(t.TempDir(), "forever")
	if err := os.WriteFile(forever, []byte("#!/bin/sh\nexec sleep 3600\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self(t)[0], smallCompare(t, "link", "--link="+forever)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var below []int
	eventually(t, "a keeper and the benchmark run", func() bool {
		below = children(t, cmd.Process.Pid)
		return len(below) == 2
	})
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil {
		t.Error("it ended well")
	}
	for _, pid := range below {
		eventually(t, "the end of all processes", func() bool { return !alive(pid) })
	}
}

func TestParseLink(t *testing.T) {
	rows, err := parseLink([]byte("goos: linux\n" + linkLine + "\nPASS\n"))
	if err != nil || len(rows) != len(linkRows) || rows[1].PerSecond.Median != 900_000 || rows[2].CPURatio.Median != 2 || rows[0].CPURatio != nil {
		t.Errorf("%+v, %v", rows, err)
	}
	for _, bad := range []string{"", "PASS", strings.ReplaceAll(linkLine, "nats-cpu-ns", "x"), strings.ReplaceAll(linkLine, "6000", "many")} {
		if _, err := parseLink([]byte(bad)); err == nil {
			t.Errorf("%q passes", bad)
		}
	}
}

func TestTimes(t *testing.T) {
	for v, want := range map[float64]string{0.5: "0.50×", 12.6: "13×", 160.2: "160×"} {
		s := spreadOf([]float64{v})
		if got := times(&s); got != want {
			t.Errorf("%v: %s", v, got)
		}
	}
	if times(nil) != "" || millis(1500*time.Microsecond) != "1.50 ms" {
		t.Error(times(nil), millis(1500*time.Microsecond))
	}
}

// TestBesideNothing: where ours has not grown there is no ratio.
func TestBesideNothing(t *testing.T) {
	none, some := spreadOf([]float64{0}), spreadOf([]float64{3})
	ours := CompareRow{Bytes: &none, CPU: some, PerSecond: some}
	theirs := CompareRow{Bytes: &some, CPU: some, PerSecond: some}
	theirs.beside(&ours)
	if theirs.BytesRatio != nil || theirs.CPURatio.Median != 1 {
		t.Errorf("%+v", theirs)
	}
}
