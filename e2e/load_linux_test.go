package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

const (
	loadClients  = 1000
	loadPatience = 2 * time.Minute
)

// loadResult is what this test reads of the result of `rookery load --json`.
type loadResult struct {
	Schema      int
	Interrupted bool
	Version     string
	Command     []string
	Ramps       []struct{ Opened int }
	Phases      []struct {
		Connected int
		Counts    struct{ Due, Sent, Replies, Notes, Dropped int64 }
		Corrected struct {
			Count     int64
			Histogram string
		}
	}
	Seconds []struct{ Connected int }
	Total   struct {
		Sent, Replies                             int64
		Timeouts, Resets, Statuses, Faults, Wrong int64
		Lost                                      int64
	}
	Checks struct {
		Verified, Heard, Gaps, Doubled, Unasked int64
		OutOfOrder                              int64 `json:"out_of_order"`
	}
	Events *struct{ Published, Failed, Clients, Missing int64 }
}

// runLoad runs `rookery load` and returns its result and what it said besides.
func runLoad(t *testing.T, args ...string) (loadResult, string) {
	t.Helper()
	cmd := exec.Command(binary, append([]string{"load", "--json"}, args...)...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stop := time.AfterFunc(loadPatience, func() { _ = cmd.Process.Kill() })
	defer stop.Stop()
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v\n%s\n%s", err, &stderr, &stdout)
	}
	var r loadResult
	if err := json.Unmarshal(stdout.Bytes(), &r); err != nil {
		t.Fatalf("%v: %s", err, &stdout)
	}
	return r, stderr.String()
}

// TestLoad drives a node with a thousand clients of each protocol: every answer
// and every event is right.
func TestLoad(t *testing.T) {
	n := startNode(t)
	for _, test := range []struct{ protocol, target string }{
		{"jsonrpc", n.tcp}, {"mcp-2025-11-25", "http://" + n.http + "/mcp"}, {"mcp-2026-07-28", n.http},
	} {
		t.Run(test.protocol, func(t *testing.T) {
			args := []string{"--target", test.target, "--protocol", test.protocol, "--clients", "1000",
				"--rate", "400", "--burst", "2", "--notify", "0.1", "--size", "8-200", "--duration", "3s", "--timeout", "60s", "--drop-after", "60s"}
			if test.protocol != "jsonrpc" {
				args = append(args, "--publish", "2")
			}
			r, said := runLoad(t, args...)
			if len(r.Ramps) != 1 || r.Ramps[0].Opened != loadClients || len(r.Phases) != 1 || len(r.Seconds) < 3 {
				t.Fatalf("%+v", r)
			}
			p, c := r.Phases[0], r.Total
			if p.Connected != loadClients || p.Counts.Replies == 0 || p.Counts.Notes == 0 || p.Counts.Dropped > 0 || p.Corrected.Count == 0 || p.Corrected.Histogram == "" {
				t.Errorf("%+v", p)
			}
			if c.Replies != c.Sent || r.Checks.Verified != c.Replies || c.Lost+c.Timeouts+c.Resets+c.Statuses+c.Faults+c.Wrong > 0 || r.Checks.OutOfOrder+r.Checks.Unasked+r.Checks.Gaps+r.Checks.Doubled > 0 {
				t.Errorf("%+v %+v", c, r.Checks)
			}
			if e := r.Events; test.protocol != "jsonrpc" && (e == nil || e.Published == 0 || e.Failed > 0 || e.Clients != loadClients || e.Missing > 0 || r.Checks.Heard != e.Published*loadClients) {
				t.Errorf("%+v, %d heard", e, r.Checks.Heard)
			}
			if r.Schema != 1 || r.Version == "" || len(r.Command) == 0 || !strings.Contains(said, "1000 of 1000 clients") {
				t.Errorf("%+v, said %q", r, said)
			}
		})
	}
}

// A load that is interrupted prints what it has measured and ends with 130; one
// that is used wrongly ends with 2, one that cannot be with 1.
func TestLoadExits(t *testing.T) {
	n := startNode(t)
	cmd := exec.Command(binary, "load", "--target", n.tcp, "--clients", "10", "--rate", "100", "--duration", "1h")
	var stdout bytes.Buffer
	cmd.Stdout = &stdout
	progress, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stop := time.AfterFunc(loadPatience, func() { _ = cmd.Process.Kill() })
	defer stop.Stop()
	if _, err := progress.Read(make([]byte, 1)); err != nil { // it has begun
		t.Fatal(err)
	}
	_ = cmd.Process.Signal(os.Interrupt)
	_, _ = bytes.NewBuffer(nil).ReadFrom(progress)
	err = cmd.Wait()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 130 || !strings.Contains(stdout.String(), "whole run: 0 failed calls") {
		t.Errorf("%v: %s", err, &stdout)
	}
	for _, test := range []struct {
		code int
		args []string
	}{
		{2, []string{"--target", "192.0.2.1:80"}}, {2, []string{"--clients", "0"}}, {2, []string{"--size", "x"}},
		{1, []string{"--target", "127.0.0.1:1", "--clients", "1", "--timeout", "10ms", "--ramp", "10000"}},
	} {
		err := exec.Command(binary, append([]string{"load"}, test.args...)...).Run()
		if !errors.As(err, &exit) || exit.ExitCode() != test.code {
			t.Errorf("%v: %v, want exit code %d", test.args, err, test.code)
		}
	}
}
