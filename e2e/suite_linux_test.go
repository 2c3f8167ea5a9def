package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// TestSuiteSmall runs the whole suite at its small scale: each check is
// measured and none fails.
func TestSuiteSmall(t *testing.T) {
	dir := t.TempDir()
	cmd := exec.Command(binary, "suite", "--scale", "small", "--out", dir, "--verbose", "--timeout", "6m", "--json")
	var progress bytes.Buffer
	cmd.Stderr = &progress
	out, err := cmd.Output()
	var r struct {
		Unfinished string
		Checks     []struct {
			ID, Verdict, Detail string
			Got                 *float64
		}
		Charts []struct{ X []float64 }
	}
	if decoded := json.Unmarshal(out, &r); decoded != nil {
		t.Fatalf("%v, %v: %s", err, decoded, progress.String())
	}
	for _, c := range r.Checks {
		if c.Verdict != "passed" && c.Verdict != "below bar" && c.Verdict != "no limit" || c.Got == nil {
			t.Errorf("%s: %s: %s", c.ID, c.Verdict, c.Detail)
		}
	}
	if len(r.Checks) < 30 || len(r.Charts) < 7 || r.Unfinished != "" || err != nil {
		t.Errorf("%d checks, %d charts, unfinished %q, %v: %s", len(r.Checks), len(r.Charts), r.Unfinished, err, progress.String())
	}
	for _, name := range []string{"suite-small.json", "suite-small.html", "logs/n1.log"} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Size() == 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestSuiteInterrupted: Ctrl-C ends everything that the suite has started, and
// what was measured until then is reported.
func TestSuiteInterrupted(t *testing.T) {
	cmd := exec.Command(binary, "suite", "--scale", "small", "--json")
	// What it starts inherits standard error: it comes to its end when the last
	// process has.
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	cmd.Stdout = &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pids := map[int]bool{}
	lines := bufio.NewScanner(stderr)
	for lines.Scan() {
		if strings.Contains(lines.Text(), "scaling.100:") {
			pids = descendants(t, cmd.Process.Pid)
			if err := cmd.Process.Signal(os.Interrupt); err != nil {
				t.Error(err)
			}
		}
	}
	err = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 130 {
		t.Errorf("it ended with %d: %v", code, err)
	}
	if len(pids) < 5 {
		t.Errorf("%d processes ran: four nodes and a load process are the least", len(pids))
	}
	eventually(t, "end of all processes", func() bool {
		for pid := range pids {
			if syscall.Kill(pid, 0) == nil {
				return false
			}
		}
		return true
	})
	var r struct {
		Unfinished string
		Checks     []struct{ ID, Verdict string }
	}
	if err := json.Unmarshal(out.Bytes(), &r); err != nil || r.Unfinished == "" || len(r.Checks) < 30 {
		t.Errorf("%d checks, unfinished %q, %v", len(r.Checks), r.Unfinished, err)
	}
	skipped := 0
	for _, c := range r.Checks {
		if c.Verdict == "skipped" {
			skipped++
		}
	}
	if skipped == 0 || skipped == len(r.Checks) {
		t.Errorf("%d of %d checks were skipped", skipped, len(r.Checks))
	}
}

// TestSuiteNodeEnds: a node that somebody else ends is named, fails what was to be
// measured with it, and leaves no process and no file.
func TestSuiteNodeEnds(t *testing.T) {
	dir := t.TempDir()
	// It would hold its clients for minutes: the node's end comes in between.
	cmd := exec.Command(binary, "suite", "--scale", "small", "--json", "--soak", "5m",
		"--check", "scaling.100,sustained.long,sustained.metrics,sustained.one-node,replication.all")
	cmd.Env = append(os.Environ(), "TMPDIR="+dir)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	cmd.Stdout = &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(stderr)
	killed := 0
	for lines.Scan() {
		if killed == 0 && strings.Contains(lines.Text(), "holding") {
			for _, pid := range children(t, cmd.Process.Pid) {
				args, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cmdline")
				if err == nil && bytes.Contains(args, []byte("\x00serve\x00")) {
					killed = pid
				}
			}
			if err := syscall.Kill(killed, syscall.SIGKILL); killed == 0 || err != nil {
				t.Fatalf("killing %d: %v", killed, err)
			}
		}
	}
	err = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 1 {
		t.Errorf("it ended with %d: %v", code, err)
	}
	var r struct {
		Unfinished string
		Checks     []struct{ ID, Verdict, Detail string }
	}
	if err := json.Unmarshal(out.Bytes(), &r); err != nil || r.Unfinished != "" {
		t.Errorf("unfinished %q, %v", r.Unfinished, err)
	}
	want := map[string]string{
		"scaling.100": "passed", "sustained.long": "failed", "sustained.metrics": "failed",
		"sustained.one-node": "passed", "replication.all": "passed",
	}
	for _, c := range r.Checks {
		if c.Verdict != want[c.ID] || c.Verdict == "failed" && !strings.Contains(c.Detail, "ended by itself: signal: killed") {
			t.Errorf("%s: %s: %s", c.ID, c.Verdict, c.Detail)
		}
		delete(want, c.ID)
	}
	if len(want) > 0 {
		t.Errorf("not reported: %v", want)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("it leaves %v, %v", left, err)
	}
}

// descendants returns the processes that pid and what it has started have
// started.
func descendants(t *testing.T, pid int) map[int]bool {
	t.Helper()
	all := map[int]bool{}
	for _, child := range children(t, pid) {
		all[child] = true
		for grandchild := range descendants(t, child) {
			all[grandchild] = true
		}
	}
	return all
}

// children returns the processes that pid has started and that have not ended.
func children(t *testing.T, pid int) (list []int) {
	t.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range stats {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended meanwhile
		}
		// pid (name) state parent ...: a name may hold anything.
		fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
		child, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err == nil && len(fields) > 1 && fields[0] != "Z" && fields[1] == strconv.Itoa(pid) {
			list = append(list, child)
		}
	}
	return list
}
