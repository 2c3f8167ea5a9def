package e2e

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	startPatience = 15 * time.Second
	stepPatience  = 10 * time.Second
)

// The programs under test, built by TestMain.
var binary string // the command

// conformance are servers with a tool for everything a call can do: one of our
// own and one of the Go SDK behind the adapter.
var conformance = map[string]string{"native": "../examples/conformance", "gosdk": "../examples/gosdk/conformance"}

// roles are what this program does in the place of tests when it is started with
// a variable that has a value.
var roles = map[string]func(value string) int{}

// binaryEnv has tests run with a command that is built already.
const binaryEnv = "E2E_BINARY"

// raceEnv has the programs built with the race detector when it is set.
const raceEnv = "E2E_RACE"

func TestMain(m *testing.M) {
	if os.Getenv(holderEnv) != "" {
		os.Exit(holdConnections(os.Stdin, os.Stdout))
	}
	for env, play := range roles {
		if value := os.Getenv(env); value != "" {
			os.Exit(play(value))
		}
	}
	if binary = os.Getenv(binaryEnv); binary != "" {
		os.Exit(m.Run())
	}
	os.Exit(buildAndRun(m))
}

func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "rookery-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "rookery")
	args := []string{"build"}
	if os.Getenv(raceEnv) != "" {
		args = append(args, "-race")
	}
	build := func(to, from string) bool {
		out, err := exec.Command("go", append(args[:len(args):len(args)], "-o", to, from)...).CombinedOutput()
		if err != nil {
			fmt.Fprintf(os.Stderr, "go build %s: %v\n%s", from, err, out)
		}
		return err == nil
	}
	if !build(binary, "../cmd/rookery") {
		return 1
	}
	for name, from := range conformance {
		conformance[name] = filepath.Join(dir, "conformance-"+name)
		if !build(conformance[name], from) {
			return 1
		}
	}
	return m.Run()
}

// node is a running `rookery serve`.
type node struct {
	cmd              *exec.Cmd
	tcp, http, admin string // addresses it says it listens on
	last             string // the last of the listeners it announces
	log              lockedBuffer
	ended            chan struct{} // closed when the process has ended
	err              error         // of its end; read after ended
}

// startNode starts a node on free ports and waits until it is ready. The node
// is killed when the test ends, and its log printed if the test failed.
func startNode(t *testing.T, args ...string) *node {
	t.Helper()
	return startCommand(t, exec.Command(binary, serveArgs(args)...), "admin")
}

// startConformance is startNode for a conformance server, which has HTTP only.
func startConformance(t *testing.T, name string) *node {
	t.Helper()
	return startCommand(t, exec.Command(conformance[name], "--http", "127.0.0.1:0"), "http")
}

// onBoth runs a test against each of the conformance servers.
func onBoth(t *testing.T, test func(t *testing.T, n *node)) {
	t.Helper()
	for name := range conformance {
		t.Run(name, func(t *testing.T) { test(t, startConformance(t, name)) })
	}
}

func serveArgs(args []string) []string {
	return append([]string{"serve", "--tcp", "127.0.0.1:0", "--http", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--gossip=", "--peer="}, args...)
}

// startCommand is startNode for a command that becomes a node, which announces
// the listener last when it is ready.
func startCommand(t *testing.T, cmd *exec.Cmd, last string) *node {
	t.Helper()
	n := &node{cmd: cmd, last: last, ended: make(chan struct{})}
	n.cmd.Stderr = &n.log
	if n.cmd.Env == nil {
		n.cmd.Env = cleanEnv()
	}
	stdout, err := n.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := n.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = n.cmd.Process.Kill() // it may have ended long ago
		<-n.ended
		if t.Failed() {
			t.Logf("log of the node:\n%s", n.log.String())
		}
	})
	listening := make(chan struct{})
	go func() { // ends with the process
		n.readListeners(stdout, listening)
		n.err = n.cmd.Wait()
		close(n.ended)
	}()
	select {
	case <-listening:
	case <-n.ended:
		t.Fatalf("the node ended: %v\n%s", n.err, n.log.String())
	case <-time.After(startPatience):
		t.Fatalf("the node is not ready after %v", startPatience)
	}
	return n
}

// startFailing runs the command, requires exit code 1 and returns its log.
func startFailing(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), binary, args...)
	cmd.Env = cleanEnv()
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 1 {
		t.Fatalf("%v ended with %v, want exit code 1\n%s", args, err, out)
	}
	return string(out)
}

// readListeners takes the addresses from "listening NAME ADDRESS ..." lines
// and reads on until the process ends.
func (n *node) readListeners(stdout io.Reader, done chan<- struct{}) {
	for s := bufio.NewScanner(stdout); s.Scan(); {
		f := strings.Fields(s.Text())
		if len(f) < 3 || f[0] != "listening" {
			continue
		}
		switch f[1] {
		case "tcp":
			n.tcp = f[2]
		case "http":
			n.http = f[2]
		case "admin":
			n.admin = f[2]
		}
		if f[1] == n.last {
			close(done)
		}
	}
}

func (n *node) mcp() string { return "http://" + n.http + "/mcp" }

func (n *node) signal(t *testing.T) {
	t.Helper()
	if err := n.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
}

// exitCode waits for the end of the process.
func (n *node) exitCode(t *testing.T, patience time.Duration) int {
	t.Helper()
	select {
	case <-n.ended:
	case <-time.After(patience):
		t.Fatalf("the node has not ended after %v", patience)
	}
	var exit *exec.ExitError
	if errors.As(n.err, &exit) {
		return exit.ExitCode()
	}
	if n.err != nil {
		t.Fatal(n.err)
	}
	return 0
}

// get returns status and body of an admin path.
func (n *node) get(t *testing.T, path string) (int, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), stepPatience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+n.admin+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(body)
}

// metric returns the sum of a metric's samples whose labels contain all of
// labels, each `name="value"`.
func (n *node) metric(t *testing.T, name string, labels ...string) float64 {
	t.Helper()
	_, body := n.get(t, "/metrics")
	sum, found := 0.0, false
	for line := range strings.Lines(body) {
		sample, value, ok := strings.Cut(strings.TrimSpace(line), " ")
		base, rest, _ := strings.Cut(sample, "{")
		if !ok || base != name || !containsAll(rest, labels) {
			continue
		}
		v, err := strconv.ParseFloat(value, 64)
		if err != nil {
			t.Fatalf("/metrics: %q: %v", line, err)
		}
		sum, found = sum+v, true
	}
	if !found {
		t.Fatalf("/metrics has no %s %v", name, labels)
	}
	return sum
}

func containsAll(s string, parts []string) bool {
	for _, p := range parts {
		if !strings.Contains(s, p) {
			return false
		}
	}
	return true
}

// eventually waits for a state that another process reaches on its own.
func eventually(t *testing.T, what string, reached func() bool) {
	t.Helper()
	for deadline := time.Now().Add(stepPatience); !reached(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("no %s within %v", what, stepPatience)
		}
	}
}

// cleanEnv is the environment without settings of the machine.
func cleanEnv() []string {
	var env []string
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "ROOKERY_") {
			env = append(env, kv)
		}
	}
	return env
}

// client is a TCP client that speaks lines.
type client struct {
	t *testing.T
	net.Conn
	r *bufio.Reader
}

func dial(t *testing.T, addr string) *client {
	t.Helper()
	c, err := net.DialTimeout("tcp", addr, stepPatience)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	return &client{t, c, bufio.NewReader(c)}
}

func (c *client) send(line string) {
	c.t.Helper()
	if _, err := io.WriteString(c, line); err != nil {
		c.t.Fatal(err)
	}
}

// line returns the next line without its end.
func (c *client) line() string {
	c.t.Helper()
	line, err := c.r.ReadString('\n')
	if err != nil {
		c.t.Fatalf("%v after %q", err, line)
	}
	return strings.TrimSuffix(line, "\n")
}

// rest reads until the server closes.
func (c *client) rest() string {
	c.t.Helper()
	b, err := io.ReadAll(c.r)
	if err != nil && !errors.Is(err, syscall.ECONNRESET) {
		c.t.Fatal(err)
	}
	return string(b)
}

// lockedBuffer is a log that a process writes and a test reads.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
