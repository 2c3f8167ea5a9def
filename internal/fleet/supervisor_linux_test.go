package fleet

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestLife: workers start, know who they are, exchange frames and end in order.
func TestLife(t *testing.T) {
	var got frames
	o := testOptions(3, "")
	o.Receive = got.receive
	s := startReady(t, o)
	until(t, "three workers introduce themselves", func() bool { return len(got.of(kindHello)) == 3 })
	for _, f := range got.of(kindHello) {
		if want := fmt.Sprintf("%d 3 %x %x %s", f.from.Worker, f.from.Incarnation, s.page.secret(), s.Dir()); f.payload != want {
			t.Errorf("worker %d says %q, want %q", f.from.Worker, f.payload, want)
		}
	}
	big := strings.Repeat("x", PayloadMax)
	all := s.Processes()
	for _, p := range all {
		if err := s.Send(p, kindEcho, []byte(big)); err != nil {
			t.Error(err)
		}
	}
	until(t, "three echoes", func() bool { return len(got.of(kindEcho)) == 3 })
	for _, f := range got.of(kindEcho) {
		if f.payload != big {
			t.Errorf("worker %d returned %d bytes", f.from.Worker, len(f.payload))
		}
	}
	if err := s.Send(Process{Worker: 7}, kindEcho, nil); !errors.Is(err, ErrClosed) {
		t.Errorf("frame for nobody: %v", err)
	}
	if err := s.Send(Process{Worker: 1, Incarnation: all[1].Incarnation + 1}, kindEcho, nil); !errors.Is(err, ErrClosed) {
		t.Errorf("frame for a former process: %v", err)
	}
	if err := s.Drain(t.Context()); err != nil {
		t.Error(err)
	}
	if left := s.Processes(); len(left) != 0 {
		t.Errorf("%v are left", left)
	}
	if _, err := os.Stat(s.Dir()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the directory for sockets is left: %v", err)
	}
	if err := s.Send(all[0], kindEcho, nil); !errors.Is(err, ErrClosed) {
		t.Errorf("frame after the end: %v", err)
	}
}

// TestBackoff: at once after a steady run, then with growing pauses.
func TestBackoff(t *testing.T) {
	for failures, want := range map[int]time.Duration{
		0: 0, 1: backoffMin, 2: 2 * backoffMin, 3: 4 * backoffMin, 7: backoffMax, 1000: backoffMax,
	} {
		if got := backoff(failures); got != want {
			t.Errorf("after %d: %v, want %v", failures, got, want)
		}
	}
}

// TestRestart: a worker that is killed is replaced, with another incarnation,
// and its row of the page is cleared meanwhile.
func TestRestart(t *testing.T) {
	s := startReady(t, testOptions(2, ""))
	share := s.page.Share(1)
	for round := range 3 {
		share.Add(5)
		before := s.Processes()[1]
		if err := syscall.Kill(before.PID, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		until(t, "another process", func() bool {
			all := s.Processes()
			return len(all) == 2 && all[1].Ready && all[1].Incarnation != before.Incarnation
		})
		now := s.Processes()[1]
		if now.Restarts != round+1 || now.PID == before.PID {
			t.Errorf("after %+v came %+v", before, now)
		}
		if n := s.page.Open(1); n != 0 {
			t.Errorf("%d connections of a process that has ended", n)
		}
	}
	if p := s.Processes()[0]; p.Restarts != 0 {
		t.Errorf("the other worker: %+v", p)
	}
}

// TestKillAll: even if all workers are killed at once the node comes back.
func TestKillAll(t *testing.T) {
	s := startReady(t, testOptions(3, ""))
	old := map[int]bool{}
	for _, p := range s.Processes() {
		old[p.PID] = true
		if err := syscall.Kill(p.PID, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	until(t, "three new processes", func() bool {
		n := 0
		for _, p := range s.Processes() {
			if p.Ready && !old[p.PID] {
				n++
			}
		}
		return n == 3
	})
}

// TestWorkerWithoutControl: a worker that can be told nothing any more
// is replaced.
func TestWorkerWithoutControl(t *testing.T) {
	s := startReady(t, testOptions(1, ""))
	p := s.find(0)
	p.control.Close()
	until(t, "it is replaced", func() bool {
		all := s.Processes()
		return len(all) == 1 && all[0].Ready && all[0].PID != p.PID
	})
}

// TestFailedStart: what cannot start is an error, not a loop.
func TestFailedStart(t *testing.T) {
	s, err := Start(testOptions(2, "fail"))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Ready(t.Context()); err == nil || !strings.Contains(err.Error(), "exit status 4") {
		t.Errorf("error %v", err)
	}
	s.Kill()

	o := testOptions(1, "late")
	o.StartTimeout = 50 * time.Millisecond
	if s, err = Start(o); err != nil {
		t.Fatal(err)
	}
	if err := s.Ready(t.Context()); err == nil || !strings.Contains(err.Error(), "SIGKILL") {
		t.Errorf("error %v", err)
	}
	s.Kill()

	cause := errors.New("cause")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(cause)
	if s, err = Start(testOptions(1, "late")); err != nil {
		t.Fatal(err)
	}
	if err := s.Ready(ctx); !errors.Is(err, cause) {
		t.Errorf("error %v", err)
	}
	s.Kill()
	for _, n := range []int{0, -1, WorkersMax + 1} {
		if _, err := Start(Options{Workers: n}); err == nil {
			t.Errorf("%d workers started", n)
		}
	}
}

// TestDrainErrors: who ends badly is named; who does not end is killed.
func TestDrainErrors(t *testing.T) {
	s := startReady(t, testOptions(2, "sorry"))
	if err := s.Drain(t.Context()); err == nil || !strings.Contains(err.Error(), "worker 0: exit status 6") || !strings.Contains(err.Error(), "worker 1: exit status 6") {
		t.Errorf("error %v", err)
	}
	s = startReady(t, testOptions(2, "stubborn"))
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := s.Drain(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v", err)
	}
	if left := s.Processes(); len(left) != 0 {
		t.Errorf("%v are left", left)
	}
}

// TestLifeline: the workers of a supervisor that is killed end at once, busy or
// stopped though they may be.
func TestLifeline(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), envSupervisor+"=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var pids []int
	lines := bufio.NewScanner(out)
	for len(pids) < 3 && lines.Scan() {
		pid, err := strconv.Atoi(lines.Text())
		if err != nil {
			t.Fatal(err)
		}
		pids = append(pids, pid)
	}
	if len(pids) != 3 {
		t.Fatalf("workers %v", pids)
	}
	lines.Scan()
	dir := lines.Text()
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("directory for sockets: %v, %v", info, err)
	}
	if err := syscall.Kill(pids[1], syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed
	until(t, "all workers end", func() bool { return !alive(pids[0]) && !alive(pids[1]) && !alive(pids[2]) })
	t.Logf("all workers ended %v after the supervisor was killed", time.Since(began))
	next := startReady(t, testOptions(1, "")) // removes what the other one left
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the directory for sockets is left: %v", err)
	}
	if _, err := os.Stat(next.Dir()); err != nil {
		t.Error(err)
	}
}

// TestPassConnections: the supervisor passes connections to a worker.
func TestPassConnections(t *testing.T) {
	s := startReady(t, testOptions(2, ""))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for i := range 20 {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Write([]byte("ping\n")); err != nil {
			t.Fatal(err)
		}
		in, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Pass(i%2, TagPeer, in.(*net.TCPConn)); err != nil {
			t.Fatal(err)
		}
		in.Close()
		r := bufio.NewReader(c)
		_ = c.SetDeadline(time.Now().Add(patience))
		for _, want := range []string{fmt.Sprintf("worker %d\n", i%2), "ping\n"} {
			if line, err := r.ReadString('\n'); err != nil || line != want {
				t.Errorf("line %q, %v; want %q", line, err, want)
			}
		}
		if err := s.Pass(9, TagPeer, c.(*net.TCPConn)); !errors.Is(err, ErrClosed) {
			t.Errorf("passed to nobody: %v", err)
		}
		c.Close()
	}
}
