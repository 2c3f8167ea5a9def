package main

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/rookery-server/rookery/bench"
)

// The test binary is the command too: scripts run it as "rookery".
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"rookery": main})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			// Variables of the machine are no part of a script.
			var kept []string
			for _, kv := range env.Vars {
				if !strings.HasPrefix(kv, envPrefix) {
					kept = append(kept, kv)
				}
			}
			env.Vars = kept
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":     cmdExits,
			"ports":     cmdPorts,
			"waitfor":   cmdWaitFor,
			"sigterm":   cmdSigterm,
			"occupy":    cmdOccupy,
			"say":       cmdSay,
			"waitready": cmdWaitReady,
		},
	})
}

// cmdExits runs a command and requires its exit code: exits CODE COMMAND ARGS...
func cmdExits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND ARGS...")
	}
	err := ts.Exec(args[1], args[2:]...)
	code := 0
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		code = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if got := fmt.Sprint(code); got != args[0] {
		ts.Fatalf("exit code %s, want %s", got, args[0])
	}
}

// cmdPorts sets variables to addresses that are free now, and that no other script
// is given: ports NAME...
func cmdPorts(ts *testscript.TestScript, neg bool, args []string) {
	for _, name := range args {
		a, err := bench.FreeAddr()
		ts.Check(err)
		ts.Setenv(name, a.String())
	}
}

// cmdWaitFor waits until something answers at an address.
func cmdWaitFor(ts *testscript.TestScript, neg bool, args []string) {
	deadline := time.Now().Add(10 * time.Second)
	for {
		c, err := net.DialTimeout("tcp", args[0], time.Second)
		if err == nil {
			ts.Check(c.Close())
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("nobody at %s: %v", args[0], err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// cmdWaitReady waits until the node with that admin listener is ready.
func cmdWaitReady(ts *testscript.TestScript, neg bool, args []string) {
	client := http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	deadline := time.Now().Add(20 * time.Second)
	for {
		res, err := client.Get("http://" + args[0] + "/readyz")
		if err == nil {
			ts.Check(res.Body.Close())
			if res.StatusCode == http.StatusOK {
				return
			}
		}
		if time.Now().After(deadline) {
			ts.Fatalf("the node at %s is not ready: %v", args[0], err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// cmdSigterm sends SIGTERM to the background commands and waits for their end;
// the script's wait then finds their output.
func cmdSigterm(ts *testscript.TestScript, neg bool, args []string) {
	for _, c := range ts.BackgroundCmds() {
		ts.Check(c.Process.Signal(syscall.SIGTERM))
	}
}

// cmdOccupy sets a variable to an address and listens there until the script is
// over: occupy NAME.
func cmdOccupy(ts *testscript.TestScript, neg bool, args []string) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Setenv(args[0], ln.Addr().String())
	ts.Setenv("MYPID", fmt.Sprint(os.Getpid()))
	ts.Defer(func() { ln.Close() })
}

// cmdSay sends a line to an address and requires the line that comes back.
func cmdSay(ts *testscript.TestScript, neg bool, args []string) {
	c, err := net.DialTimeout("tcp", args[0], time.Second)
	ts.Check(err)
	defer c.Close()
	ts.Check(c.SetDeadline(time.Now().Add(10 * time.Second)))
	_, err = c.Write([]byte(args[1] + "\n"))
	ts.Check(err)
	buf := make([]byte, 4096)
	n, err := c.Read(buf)
	ts.Check(err)
	if got := strings.TrimSpace(string(buf[:n])); got != args[2] {
		ts.Fatalf("answer %s, want %s", got, args[2])
	}
}
