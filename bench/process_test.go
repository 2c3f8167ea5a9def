package bench

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

const testTimeout = 20 * time.Second

func ignore(int) {}

func testContext(t *testing.T) context.Context {
	t.Helper()
	return boundedContext(t, testTimeout)
}

func boundedContext(t *testing.T, timeout time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	t.Cleanup(cancel)
	return ctx
}

func alive(pid int) bool { return syscall.Kill(pid, 0) == nil }

// eventually waits, bounded, for what another goroutine will do.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.NewTimer(testTimeout)
	defer deadline.Stop()
	poll := time.NewTicker(time.Millisecond)
	defer poll.Stop()
	for !ok() {
		select {
		case <-poll.C:
		case <-deadline.C:
			t.Fatalf("not within %v: %s", testTimeout, what)
		}
	}
}

// startFake runs the fake server under a keeper.
func startFake(t *testing.T, flags ...string) *server {
	t.Helper()
	needLinux(t)
	s, err := startServer(testContext(t), self(t), rookeryProgram(self(t)[0], flags))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = s.stop() // most tests have done it
	})
	return s
}

func needLinux(t *testing.T) {
	t.Helper()
	if _, err := os.Stat(socketsPath); err != nil {
		t.Skip("measuring needs Linux: ", err)
	}
}

func TestServerStops(t *testing.T) {
	s := startFake(t)
	if !alive(s.pid) {
		t.Fatal("the server is not there")
	}
	if ok, err := listens(s.addrs[0]); !ok || err != nil {
		t.Errorf("listens: %v, %v", ok, err)
	}
	if err := s.stop(); err != nil {
		t.Error(err)
	}
	if alive(s.pid) {
		t.Error("the server outlives its stop")
	}
	if ok, err := listens(s.addrs[0]); ok || err != nil {
		t.Errorf("still listens: %v, %v", ok, err)
	}
}

// TestServerEndsWithItsKeepersParent closes the pipe, as the kernel does when
// the orchestrator is killed.
func TestServerEndsWithItsKeepersParent(t *testing.T) {
	s := startFake(t)
	if err := s.keeper.stdin.Close(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the server has ended", func() bool { return !alive(s.pid) })
}

func TestServerThatDiesIsReported(t *testing.T) {
	s := startFake(t)
	if err := syscall.Kill(s.pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if _, err := s.keeper.line(testContext(t)); err == nil || !strings.Contains(err.Error(), "ended by itself: signal: killed") {
		t.Errorf("error %v does not say that the server was killed", err)
	}
	if err := s.stop(); err == nil {
		t.Error("no error from stopping a server that had died")
	}
}

func TestServerThatWillNotStart(t *testing.T) {
	needLinux(t)
	p := rookeryProgram(self(t)[0], []string{"--exit"})
	_, err := startServer(testContext(t), self(t), p)
	if err == nil || !strings.Contains(err.Error(), "this server will not start") {
		t.Errorf("error %v lacks the server's last words", err)
	}
	p = rookeryProgram(filepath.Join(t.TempDir(), "nothing"), nil)
	_, err = startServer(testContext(t), self(t), p)
	if err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("error %v does not name the missing program", err)
	}
}

func TestServerThatDoesNotListen(t *testing.T) {
	needLinux(t)
	gone := errors.New("long enough")
	ctx, cancel := context.WithTimeoutCause(t.Context(), 300*time.Millisecond, gone)
	defer cancel()
	if _, err := startServer(ctx, self(t), rookeryProgram(self(t)[0], []string{"--deaf"})); !errors.Is(err, gone) {
		t.Errorf("error %v, want the context's", err)
	}
}

// TestKeep runs the keeper's body here: it passes signals on and forces what
// does not listen.
func TestKeep(t *testing.T) {
	for _, script := range []string{"exec sleep 100", "trap '' TERM; exec sleep 100"} {
		in, parent := io.Pipe()
		out, child := io.Pipe()
		ended := make(chan error, 1)
		go func() { ended <- keep(testContext(t), []string{"sh", "-c", script}, in, child, os.Stderr) }()
		var buf [20]byte
		n, err := out.Read(buf[:])
		if err != nil {
			t.Fatal(err)
		}
		pid, err := strconv.Atoi(strings.TrimSpace(string(buf[:n])))
		if err != nil || !alive(pid) {
			t.Fatalf("pid %d: %v", pid, err)
		}
		_ = parent.Close()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if alive(pid) {
			t.Errorf("%q outlives its keeper", script)
		}
	}
}

func TestKeepReportsTheEnd(t *testing.T) {
	in, parent := io.Pipe()
	defer func() { _ = parent.Close() }()
	err := keep(testContext(t), []string{"sh", "-c", "exit 3"}, in, io.Discard, os.Stderr)
	var status *exec.ExitError
	if !errors.As(err, &status) || status.ExitCode() != 3 {
		t.Errorf("error %v, want exit status 3", err)
	}
	err = keep(testContext(t), []string{"true"}, in, io.Discard, os.Stderr)
	if !errors.Is(err, errExitZero) {
		t.Errorf("error %v, want %v", err, errExitZero)
	}
}

func TestTail(t *testing.T) {
	var l Tail
	if got := l.Said(); got != " without a word" {
		t.Errorf("%q", got)
	}
	for range 3 {
		if n, err := l.Write(bytes.Repeat([]byte("x"), tailBytes)); n != tailBytes || err != nil {
			t.Fatal(n, err)
		}
	}
	_, _ = l.Write([]byte("end\n"))
	if got := l.Said(); len(got) > tailBytes+2 || !strings.HasSuffix(got, "xend") {
		t.Errorf("%d bytes, ends %q", len(got), got[len(got)-10:])
	}
}

// TestCrew drives a worker process against a server process.
func TestCrew(t *testing.T) {
	s := startFake(t)
	ctx := testContext(t)
	c, err := hireCrew(self(t), testTimeout)
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range idleKinds {
		target := s.target(kind)
		if _, err := c.open(ctx, target, kind, 50, ignore); err != nil {
			t.Fatal(err)
		}
		if r, err := c.burst(ctx, target, kind); err != nil || r.Clients != 50 {
			t.Errorf("%s: %+v, %v", kind, r, err)
		}
		if err := c.order(ctx, opCheck, target, kind); err != nil {
			t.Error(err)
		}
		if err := c.order(ctx, opShut, target, kind); err != nil {
			t.Error(err)
		}
	}
	target := s.target(Caller)
	if _, err := c.open(ctx, target, Caller, 4, nil); err != nil {
		t.Fatal(err)
	}
	r, err := c.load(ctx, target, LoadOrder{Kind: Caller, Measure: 100 * time.Millisecond, PID: s.pid})
	if err != nil || r.Requests == 0 || r.CPU <= 0 {
		t.Errorf("load: %+v, %v", r, err)
	}
	if _, err := c.open(ctx, target, "parrot", 1, nil); err == nil || !strings.Contains(err.Error(), `"parrot"`) {
		t.Errorf("error %v does not name the kind", err)
	}
	if err := c.order(ctx, "sing", target, ""); err == nil || !strings.Contains(err.Error(), "cannot") {
		t.Errorf("error %v does not name the order", err)
	}
	if err := c.order(ctx, opLeave, target, ""); err != nil {
		t.Error(err)
	}
	pid := c.process.PID()
	if err := c.stop(); err != nil {
		t.Error(err)
	}
	if alive(pid) {
		t.Error("the worker outlives its stop")
	}
	if _, err := c.open(ctx, target, TCP, 1, nil); err == nil {
		t.Error("no error from a worker that has gone")
	}
}

// TestCrewIsInterrupted cancels an order that would take long.
func TestCrewIsInterrupted(t *testing.T) {
	s := startFake(t)
	c, err := hireCrew(self(t), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	target := s.target(Caller)
	if _, err := c.open(testContext(t), target, Caller, 1, nil); err != nil {
		t.Fatal(err)
	}
	stop := errors.New("interrupted")
	ctx, cancel := context.WithTimeoutCause(t.Context(), 100*time.Millisecond, stop)
	defer cancel()
	if _, err := c.load(ctx, target, LoadOrder{Kind: Caller, Measure: time.Hour, PID: s.pid}); !errors.Is(err, stop) {
		t.Errorf("error %v, want %v", err, stop)
	}
	if err := c.stop(); err != nil {
		t.Errorf("stopping a busy worker: %v", err)
	}
}
