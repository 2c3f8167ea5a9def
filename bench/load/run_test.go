package load

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Run does what it says, for each workload, and tells each second once.
func TestRun(t *testing.T) {
	for _, workload := range Workloads {
		t.Run(string(workload), func(t *testing.T) {
			s := &mcpServer{}
			o := mcpOptions(Sessions, s.serve(t))
			o.Self, o.Workload, o.Rate, o.Publish = as(t, "worker"), workload, 200, 20
			o.Warmup, o.Duration = 100*time.Millisecond, 2*time.Second
			var mu sync.Mutex
			var told []int
			o.Progress = func(s Second) {
				mu.Lock()
				defer mu.Unlock()
				told = append(told, s.AtS)
			}
			r, err := Run(testContext(t), o)
			if err != nil {
				t.Fatal(err)
			}
			if r.Failed() || r.Interrupted || len(r.Phases) != 1 || r.Phases[0].Name != measured || r.Phases[0].Took() < o.Duration {
				t.Errorf("%+v", r)
			}
			if called := r.Total.Sent > 0; called == (workload == Idle) {
				t.Errorf("%d calls", r.Total.Sent)
			}
			if waves := r.Total.Closed > 0; waves != (workload == Day) {
				t.Errorf("%d connections ended", r.Total.Closed)
			}
			if a := r.Events; a == nil || a.Published == 0 || a.Clients != 10 {
				t.Errorf("%+v", a)
			}
			mu.Lock()
			defer mu.Unlock()
			if len(told) < 2 || !slices.IsSorted(told) || len(slices.Compact(slices.Clone(told))) != len(told) || told[0] != 0 || len(r.Seconds) < len(told) {
				t.Errorf("told seconds %v of %d", told, len(r.Seconds))
			}
			text, err := json.Marshal(r)
			var back Result
			if err != nil || json.Unmarshal(text, &back) != nil || back.Phases[0].Corrected.Count != r.Phases[0].Corrected.Count || back.Schema != Schema {
				t.Errorf("%v in %s", err, text)
			}
		})
	}
}

// A run that is interrupted says what it has measured.
func TestRunIsInterrupted(t *testing.T) {
	s := &lineServer{}
	o := lineOptions(s.serve(t))
	o.Self, o.Rate, o.Duration = as(t, "worker"), 500, time.Hour
	ctx, cancel := context.WithCancel(testContext(t))
	o.Progress = func(s Second) {
		if s.Replies > 0 {
			cancel()
		}
	}
	r, err := Run(ctx, o)
	if !errors.Is(err, context.Canceled) || r == nil || !r.Interrupted || len(r.Phases) != 1 || r.Total.Replies == 0 {
		t.Errorf("%+v, %v", r, err)
	}
}

// A ramp that does not succeed says how far it came and why.
func TestRampFails(t *testing.T) {
	l := (&lineServer{answer: nil}).serve(t)
	o := lineOptions(l)
	f, ctx := begin(t, o)
	if _, err := f.Ramp(ctx, 11, 100); !errors.Is(err, ErrOptions) {
		t.Errorf("more clients than there may be: %v", err)
	}
	if _, err := f.Ramp(ctx, 9, 100); !errors.Is(err, ErrOptions) {
		t.Errorf("fewer clients than there are: %v", err)
	}
	if f.Rate(ctx, -1) == nil || f.Reconnect(ctx, 2, 0) == nil {
		t.Error("nonsense was taken")
	}
	o.Targets[0] = Target{Addr: o.Targets[0].Addr, Path: "/mcp"}
	o.Protocol, o.Self = Sessions, as(t, "worker") // which that server does not speak
	g, err := Start(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	short, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
	defer cancel()
	r, err := g.Ramp(short, 10, 10_000)
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "0 of 10 clients are open") || !strings.Contains(err.Error(), "a handshake with") || r.Opened != 0 || r.Failed == 0 {
		t.Errorf("%+v, %v", r, err)
	}
}

// A server that lets nobody in is not tried until the ramp's time is over.
func TestRunGivesUpWhereNobodyIsLetIn(t *testing.T) {
	l := (&lineServer{answer: nil}).serve(t)
	o := lineOptions(l)
	o.Targets[0] = Target{Addr: o.Targets[0].Addr, Path: "/mcp"}
	o.Protocol, o.Self, o.Timeout = Sessions, as(t, "worker"), time.Hour
	r, err := Run(t.Context(), o)
	if !errors.Is(err, errRampRefused) || !strings.Contains(err.Error(), "0 of 10 clients are open") {
		t.Errorf("%v", err)
	}
	if r == nil || r.Interrupted || r.Total.Connects != 0 || r.Total.Refused == 0 {
		t.Errorf("%+v", r)
	}
}

// A load process that is killed is an error of every method.
func TestLoadProcessIsKilled(t *testing.T) {
	f, ctx := begin(t, lineOptions((&lineServer{}).serve(t)))
	if err := syscall.Kill(f.PIDs()[0], syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := f.Hold(ctx, patience); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Errorf("%v", err)
	}
	if err := f.Rate(ctx, 1); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Errorf("%v", err)
	}
}

// coordinate starts a fleet against target and prints the pids of its load
// processes, then waits to be killed.
func coordinate(target string) error {
	targets, err := ParseTargets(context.Background(), target)
	if err != nil {
		return err
	}
	f, err := Start(context.Background(), Options{
		Protocol: JSONRPC, Targets: targets, Clients: 10, Processes: 2, Self: []string{os.Args[0], "worker"},
	})
	if err != nil {
		return err
	}
	if _, err := f.Ramp(context.Background(), 10, 1000); err != nil {
		return err
	}
	fmt.Println(f.PIDs())
	return f.Hold(context.Background(), patience)
}

// Load processes end with their coordinator, also when it is killed.
func TestNothingOutlivesTheCoordinator(t *testing.T) {
	s := &lineServer{}
	target := s.serve(t)
	cmd := exec.Command(as(t, "coordinator")[0], "coordinator", target.Addr.String())
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	var a, b int
	if _, err := fmt.Sscanf(line, "[%d %d]", &a, &b); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	ctx := testContext(t)
	for _, pid := range []int{a, b} {
		for alive(pid) {
			select {
			case <-ctx.Done():
				t.Fatalf("process %d lives", pid)
			case <-time.After(5 * time.Millisecond):
			}
		}
	}
}

// alive reports whether pid is a process that has not ended. One that nobody has
// waited for, because its parent is gone, has ended.
func alive(pid int) bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !strings.Contains(string(text), ") Z ")
}
