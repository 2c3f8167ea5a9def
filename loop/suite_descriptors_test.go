//go:build unix

package loop_test

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/rookery-server/rookery/loop"
)

// childEnv tells the test process that it is the server of
// TestOutOfDescriptors, and which backend to run.
const childEnv = "ROOKERY_LOOP_CHILD"

// TestOutOfDescriptors: with no descriptor left accepting pauses, connections
// that are open are served, and accepting resumes when there is room again. The
// server is a process of its own, with a limit of its own.
func TestOutOfDescriptors(t *testing.T) {
	each(t, func(t *testing.T, portable bool) {
		addr := startChild(t, portable)
		first := dial(t, addr)
		first.send("ping\n")
		first.expect("ping\n")
		var clients []*client
		for range 150 { // the kernel completes them all; the server cannot take them all
			c := dial(t, addr)
			c.send("ping\n")
			clients = append(clients, c)
		}
		ask := func() (open, off int) {
			first.send("stats\n")
			if _, err := fmt.Sscanf(first.line(), "%d %d", &open, &off); err != nil {
				t.Fatal(err)
			}
			return open, off
		}
		until(t, "accepting pauses", func() bool { _, off := ask(); return off > 0 })
		open, off := ask()
		t.Logf("accepting paused %d times at %d connections", off, open)
		if open < 5 || open > len(clients) {
			t.Errorf("paused at %d connections", open)
		}
		// The first to come were the first to be accepted.
		const stay = 10
		for _, c := range clients[:len(clients)-stay] {
			_ = c.Close()
		}
		for _, c := range clients[len(clients)-stay:] {
			c.expect("ping\n")
		}
		until(t, "all others are gone", func() bool { open, _ := ask(); return open == stay+1 })
	})
}

// startChild runs this test binary as a server with few descriptors and returns
// its address.
func startChild(t *testing.T, portable bool) string {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe, "-test.run=^TestOutOfDescriptorsChild$")
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%v", childEnv, portable))
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // the child ends with its standard input
		_ = in.Close()
		_, _ = io.Copy(io.Discard, out)
		if err := cmd.Wait(); err != nil {
			t.Errorf("server: %v", err)
		}
	})
	r := bufio.NewReader(out)
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			t.Fatalf("the server did not say where it is: %v", err)
		}
		if addr, ok := strings.CutPrefix(line, "address "); ok {
			return strings.TrimSpace(addr)
		}
	}
}

// TestOutOfDescriptorsChild is the server of TestOutOfDescriptors.
func TestOutOfDescriptorsChild(t *testing.T) {
	kind, ok := os.LookupEnv(childEnv)
	if !ok {
		t.Skip("run by TestOutOfDescriptors in a process of its own")
	}
	var lim syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &lim); err != nil {
		t.Fatal(err)
	}
	lim.Cur = 64
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &lim); err != nil {
		t.Fatal(err)
	}
	var g *loop.Group
	p := &proto{step: func(t *loop.Turn) loop.Verdict {
		line, n := cutLine(t)
		if string(line) != "stats" {
			return echoLine(t)
		}
		st := g.Stats()
		t.N, t.Out = n, fmt.Appendf(t.Out, "%d %d\n", st.Open, st.AcceptOff)
		return loop.Next
	}}
	// ConnsMax and ReserveFDs do not keep the server from the limit.
	o := loop.Options{Portable: kind == "true", Logger: quiet(), ConnsMax: 1000, ReserveFDs: 1, Loops: 2}
	g, err := loop.New(o)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	addr, err := g.Listen("127.0.0.1:0", p)
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Start(); err != nil {
		t.Fatal(err)
	}
	fmt.Printf("address %s\n", addr)
	_, _ = io.Copy(io.Discard, os.Stdin)
}
