package e2e

import (
	"fmt"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	densityMax   = 20_000 // open files of the node in these tests, if the machine allows as many
	densityOther = 1_500  // connections left out so that a second holder can pass the limit
)

// openFiles returns the limit that the node and each holder get.
func openFiles(t *testing.T) int {
	t.Helper()
	var r syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &r); err != nil {
		t.Fatal(err)
	}
	return int(min(r.Max, densityMax))
}

// As many TCP clients as the descriptor limit allows, each answered; more than
// that wait without harm, and are served when others leave.
func TestDensityTCP(t *testing.T) {
	files := openFiles(t)
	// The limit is made explicit, so that the test means the same everywhere.
	n := startCommand(t, exec.Command("sh", append([]string{"-c", fmt.Sprintf(`ulimit -n %d; exec "$0" "$@"`, files), binary}, serveArgs(nil)...)...), "admin")
	some, more := startHolder(t), startHolder(t)

	first := files - densityOther
	a := some.do(order{Do: "open", Kind: kindTCP, Addr: n.tcp, Count: first})
	t.Logf("opened %d connections in %v: %.0f a second, each answered", a.Open, a.Took.Round(time.Millisecond), float64(a.Open)/a.Took.Seconds())
	a = some.do(order{Do: "ask"})
	t.Logf("all asked and answered in %v", a.Took.Round(time.Millisecond))

	// Past the limit: the kernel connects, the node cannot accept.
	more.do(order{Do: "open", Kind: kindDialed, Addr: n.tcp, Count: 2 * densityOther})
	eventually(t, "pause of accepting", func() bool { return n.metric(t, "rookery_accept_pauses_total") >= 1 })
	if code, _ := n.get(t, "/livez"); code != 200 {
		t.Errorf("/livez: %d at the limit", code)
	}
	held := n.metric(t, "rookery_connections")
	t.Logf("at the limit of %d open files: %.0f connections, %.0f goroutines", files, held, n.metric(t, "go_goroutines"))
	if held < float64(files-200) {
		t.Errorf("%.0f connections at a limit of %d files", held, files)
	}
	a = some.do(order{Do: "ask"})
	t.Logf("those inside are answered all the same, in %v", a.Took.Round(time.Millisecond))

	// Room again: who waited outside is served, and nobody was lost.
	some.do(order{Do: "close", Count: 2 * densityOther})
	more.do(order{Do: "ask"})
	some.do(order{Do: "ask"})

	some.do(order{Do: "close", Count: first})
	more.do(order{Do: "close", Count: 2 * densityOther})
	eventually(t, "end of all connections", func() bool { return n.metric(t, "rookery_connections") == 0 })
	n.signal(t)
	if code := n.exitCode(t, stepPatience); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// As many open streams of either era, one subscription each: one change
// reaches every one of them, and no goroutine is parked for any.
func TestDensityStreams(t *testing.T) {
	count := openFiles(t) - 200
	for _, kind := range []string{kindStream, kindListen} {
		t.Run(kind, func(t *testing.T) {
			n := startNode(t)
			h := startHolder(t)
			before := n.metric(t, "go_goroutines")
			a := h.do(order{Do: "open", Kind: kind, Addr: n.http, Count: count})
			t.Logf("opened %d streams in %v: %.0f a second", a.Open, a.Took.Round(time.Millisecond), float64(a.Open)/a.Took.Seconds())
			// A loop counts a stream after its client has read the beginning.
			eventually(t, fmt.Sprintf("%d streams", count), func() bool {
				return int(n.metric(t, "rookery_connections", `state="stream"`)) == count
			})
			if grown := n.metric(t, "go_goroutines") - before; grown > 50 {
				t.Errorf("%.0f more goroutines for %d idle streams", grown, count)
			}
			touchAll(t, n, h)
			begin := time.Now()
			n.signal(t)
			if code := n.exitCode(t, 30*time.Second); code != 0 {
				t.Errorf("exit code %d", code)
			}
			t.Logf("drained in %v", time.Since(begin).Round(time.Millisecond))
		})
	}
}

// touchAll changes the resource that all of h subscribed to.
func touchAll(t *testing.T, n *node, h *holder) {
	t.Helper()
	c := dial(t, n.tcp)
	c.send(`{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"toucher","version":"1"}}}` + "\n")
	if line := c.line(); !strings.Contains(line, `"result"`) {
		t.Fatalf("initialize: %s", line)
	}
	begin := time.Now()
	c.send(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"touch","arguments":{"uri":"demo://item/x"}}}` + "\n")
	if line := c.line(); !strings.Contains(line, `"result"`) {
		t.Fatalf("touch: %s", line)
	}
	h.do(order{Do: "updated"})
	t.Logf("one change reached all of them within %v", time.Since(begin).Round(time.Millisecond))
}

// What a client costs, held to bench/budgets.json: one run of the measurement
// that `make bench-mem` repeats. Where descriptors are too few for its counts
// it measures less and says so.
func TestDensityMemory(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), binary, "bench-mem", "--quick", "--quiet", "--kinds", "tcp,mcp-stream")
	cmd.Env = cleanEnv()
	out, err := cmd.CombinedOutput()
	t.Logf("bench-mem --quick\n%s", out)
	if err != nil {
		t.Fatal(err)
	}
}
