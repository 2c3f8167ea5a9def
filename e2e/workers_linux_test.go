package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"
)

// workers returns the worker processes of a node by their numbers.
func (n *node) workers(t *testing.T) map[int]int {
	t.Helper()
	found := map[int]int{}
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range stats {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // ended meanwhile
		}
		_, rest, _ := strings.Cut(string(text), ") ")
		f := strings.Fields(rest)
		if len(f) < 2 || f[0] == "Z" || f[1] != strconv.Itoa(n.cmd.Process.Pid) {
			continue
		}
		dir := filepath.Dir(path)
		environ, err := os.ReadFile(filepath.Join(dir, "environ"))
		if err != nil {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil {
			continue
		}
		for kv := range bytes.SplitSeq(environ, []byte{0}) {
			if id, ok := bytes.CutPrefix(kv, []byte("FLEET_WORKER=")); ok {
				number, _, _ := strings.Cut(string(id), "/")
				if i, err := strconv.Atoi(number); err == nil {
					found[i] = pid
				}
			}
		}
	}
	return found
}

func startWorkers(t *testing.T, workers int, args ...string) *node {
	t.Helper()
	n := startNode(t, append([]string{"--workers", strconv.Itoa(workers)}, args...)...)
	if got := n.workers(t); len(got) != workers {
		t.Fatalf("worker processes %v, want %d", got, workers)
	}
	return n
}

func kill(t *testing.T, pid int, sig syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(pid, sig); err != nil {
		t.Fatal(err)
	}
}

// whole waits until a node is ready with so many workers, none of them in old.
func (n *node) whole(t *testing.T, count int, old ...int) {
	t.Helper()
	eventually(t, "whole node", func() bool {
		now := n.workers(t)
		for _, pid := range now {
			for _, gone := range old {
				if pid == gone {
					return false
				}
			}
		}
		code, _ := n.get(t, "/readyz")
		return len(now) == count && code == 200
	})
}

// Many processes are one node: one set of addresses, one admin endpoint.
func TestWorkersAreOneNode(t *testing.T) {
	n := startWorkers(t, 3)
	const clients = 30
	for range clients {
		alive(t, dial(t, n.tcp))
	}
	if got := n.metric(t, "rookery_messages_received_total", `protocol="jsonrpc"`); got != clients {
		t.Errorf("%v messages counted, want %d", got, clients)
	}
	if got := n.metric(t, "rookery_worker_process_connections"); got != clients {
		t.Errorf("%v connections of processes, want %d", got, clients)
	}
	if got := n.metric(t, "rookery_build_info"); got != 1 {
		t.Errorf("rookery_build_info %v, want 1", got)
	}
	for i := range 3 {
		if got := n.metric(t, "rookery_worker_process_connections", fmt.Sprintf(`worker="%d"`, i)); got == 0 {
			t.Errorf("worker %d has no connection", i)
		}
		if code, _ := n.get(t, fmt.Sprintf("/debug/pprof/heap?worker=%d", i)); code != 200 {
			t.Errorf("profile of worker %d: %d", i, code)
		}
	}
	if code, text := n.get(t, "/debug/pprof/heap"); code != 400 || !strings.Contains(text, "?worker=0") {
		t.Errorf("profile of nobody: %d %s", code, text)
	}
	_, text := n.get(t, "/debug/mem")
	var m struct {
		Clients    int
		Resident   struct{ RSS int64 }
		Components []struct{ Bytes int64 }
		Workers    []struct{ Clients int }
	}
	if err := json.Unmarshal([]byte(text), &m); err != nil {
		t.Fatal(err)
	}
	sum := int64(0)
	for _, c := range m.Components {
		sum += c.Bytes
	}
	if m.Clients != clients || len(m.Workers) != 3 || sum != m.Resident.RSS {
		t.Errorf("%d clients, %d workers, rows of %d bytes for %d resident", m.Clients, len(m.Workers), sum, m.Resident.RSS)
	}
	n.signal(t)
	if code := n.exitCode(t, stepPatience); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if c, err := net.Dial("tcp", n.tcp); err == nil {
		c.Close()
		t.Error("a drained node still accepts")
	}
}

// kill -9 of one worker: the clients of the others notice nothing, its own are
// served at once elsewhere, counters do not fall, and it is replaced.
func TestWorkerKilled(t *testing.T) {
	n := startWorkers(t, 3)
	var clients []*client
	for range 30 {
		c := dial(t, n.tcp)
		alive(t, c)
		clients = append(clients, c)
	}
	before := n.metric(t, "rookery_accepts_total")
	pid := n.workers(t)[1]
	kill(t, pid, syscall.SIGKILL)
	lost := 0
	for _, c := range clients {
		if _, err := fmt.Fprintln(c, `{"jsonrpc":"2.0","id":1,"method":"echo","params":[]}`); err == nil {
			if _, err = c.r.ReadString('\n'); err == nil {
				continue
			}
		}
		lost++
		alive(t, dial(t, n.tcp))
	}
	if lost == 0 || lost > len(clients)/2 {
		t.Errorf("%d of %d clients lost their connection", lost, len(clients))
	}
	n.whole(t, 3, pid)
	if got := n.metric(t, "rookery_accepts_total"); got < before+float64(lost) {
		t.Errorf("%v connections accepted, were %v before %d came back", got, before, lost)
	}
	if got := n.metric(t, "rookery_worker_process_restarts_total"); got != 1 {
		t.Errorf("%v restarts", got)
	}
}

// kill -9 of all workers: connections that come meanwhile wait in the kernel and
// are served by the next ones.
func TestWorkersKilled(t *testing.T) {
	n := startWorkers(t, 2)
	var old []int
	for _, pid := range n.workers(t) {
		old = append(old, pid)
		kill(t, pid, syscall.SIGKILL)
	}
	alive(t, dial(t, n.tcp))
	n.whole(t, 2, old...)
}

// kill -9 of the supervisor: no worker outlives it, even one that is stopped,
// and the next node finds its ports free.
func TestSupervisorKilled(t *testing.T) {
	n := startWorkers(t, 3)
	stream := dial(t, n.tcp)
	alive(t, stream)
	pids := n.workers(t)
	kill(t, pids[2], syscall.SIGSTOP)
	began := time.Now()
	kill(t, n.cmd.Process.Pid, syscall.SIGKILL)
	for _, pid := range pids {
		eventually(t, "end of a worker", func() bool {
			text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
			return err != nil || strings.Contains(string(text), ") Z ")
		})
	}
	t.Logf("all workers ended within %v", time.Since(began))
	stream.rest()
	next := startNode(t, "--workers", "2", "--tcp", n.tcp, "--http", n.http, "--admin", n.admin)
	alive(t, dial(t, next.tcp))
}

// A worker at the limit of its descriptors holds nobody: who connects is served
// by its siblings, and at once.
func TestWorkerAtItsLimit(t *testing.T) {
	n := startWorkers(t, 2)
	const room, clients = 40, 300
	files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", n.workers(t)[0]))
	if err != nil {
		t.Fatal(err)
	}
	setOpenFiles(t, n.workers(t)[0], uint64(len(files)+room))
	longest := time.Duration(0)
	for range clients {
		began := time.Now()
		alive(t, dial(t, n.tcp))
		longest = max(longest, time.Since(began))
	}
	full := n.metric(t, "rookery_worker_process_connections", `worker="0"`)
	t.Logf("longest connect and answer %v; %v of %d connections are the full worker's", longest, full, clients)
	if longest > time.Second {
		t.Errorf("a connect took %v while a worker had room", longest)
	}
	if full > 2*room {
		t.Errorf("the full worker has %v connections, room was for %d", full, room)
	}
	if !strings.Contains(n.log.String(), "accepting is paused") {
		t.Error("the worker did not reach its limit")
	}
	if on := n.metric(t, "rookery_worker_process_accepting"); on != 1 {
		t.Errorf("%v workers accept, want 1", on)
	}
}

// setOpenFiles limits the descriptors of a process.
func setOpenFiles(t *testing.T, pid int, limit uint64) {
	t.Helper()
	r := syscall.Rlimit{Cur: limit, Max: limit}
	if _, _, errno := syscall.Syscall6(syscall.SYS_PRLIMIT64, uintptr(pid), syscall.RLIMIT_NOFILE, uintptr(unsafe.Pointer(&r)), 0, 0, 0); errno != 0 {
		t.Fatal(errno)
	}
}

// A worker that is stopped delays nobody by more than the pace.
func TestStoppedWorkerHoldsNobody(t *testing.T) {
	n := startWorkers(t, 3)
	pid := n.workers(t)[1]
	kill(t, pid, syscall.SIGSTOP)
	longest := time.Duration(0)
	for range 300 {
		began := time.Now()
		alive(t, dial(t, n.tcp))
		longest = max(longest, time.Since(began))
	}
	t.Logf("longest connect and answer %v", longest)
	kill(t, pid, syscall.SIGCONT)
	n.whole(t, 3)
}

// More clients than one process could hold are spread evenly, however fast they
// come.
func TestWorkersShareEvenly(t *testing.T) {
	const workers, clients = 3, 12_000
	if openFiles(t) < clients+100 {
		t.Skipf("the limit of open files is %d", openFiles(t))
	}
	n := startWorkers(t, workers)
	h := startHolder(t)
	a := h.do(order{Do: "open", Kind: kindTCP, Addr: n.tcp, Count: clients})
	t.Logf("opened %d connections in %v, each answered", a.Open, a.Took.Round(time.Millisecond))
	for i := range workers {
		got := n.metric(t, "rookery_worker_process_connections", fmt.Sprintf(`worker="%d"`, i))
		t.Logf("worker %d: %v", i, got)
		if off := got/(clients/workers) - 1; off < -0.05 || off > 0.05 {
			t.Errorf("worker %d has %v of %d connections, %+.1f %% off even", i, got, clients, 100*off)
		}
	}
	h.do(order{Do: "ask"})
	h.do(order{Do: "close", Count: clients})
	eventually(t, "end of all connections", func() bool { return n.metric(t, "rookery_worker_process_connections") == 0 })
}

// A terminal and most service managers signal all processes of a group. That
// drains, and does not count as a second signal.
func TestSignalToAll(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		cmd := exec.Command(binary, serveArgs([]string{"--workers", "2"})...)
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		n := startCommand(t, cmd, "admin")
		busy := inFlight(t, n, waitShort)
		kill(t, -cmd.Process.Pid, sig)
		if got := busy.line(); !strings.Contains(got, `"result"`) {
			t.Errorf("%v: the call in flight got %s", sig, got)
		}
		if code := n.exitCode(t, stepPatience); code != 0 {
			t.Errorf("%v: exit code %d", sig, code)
		}
		if strings.Contains(n.log.String(), "starting another") {
			t.Errorf("%v: a worker was started again", sig)
		}
	}
}

// While the workers drain the node is not ready; a second signal ends it at once.
func TestWorkersDrain(t *testing.T) {
	n := startWorkers(t, 2, "--drain-timeout", "1m")
	inFlight(t, n, waitLong)
	n.signal(t)
	eventually(t, "/readyz that fails while draining", func() bool { code, _ := n.get(t, "/readyz"); return code == 503 })
	eventually(t, "end of accepting", func() bool {
		c, err := net.Dial("tcp", n.tcp)
		if err == nil {
			c.Close()
		}
		return err != nil
	})
	pids := n.workers(t)
	n.signal(t)
	if code := n.exitCode(t, stepPatience); code != 1 {
		t.Errorf("exit code %d, want 1", code)
	}
	for _, pid := range pids {
		if syscall.Kill(pid, 0) == nil {
			t.Errorf("worker process %d is left", pid)
		}
	}
}

// What is not over by the deadline is cut, and the exit code tells.
func TestWorkersDrainDeadline(t *testing.T) {
	n := startWorkers(t, 2, "--drain-timeout", "300ms")
	inFlight(t, n, waitLong)
	n.signal(t)
	if code := n.exitCode(t, stepPatience); code != 1 {
		t.Errorf("exit code %d, want 1", code)
	}
	if !strings.Contains(n.log.String(), "drain-timeout 300ms passed") {
		t.Error("the log does not say that calls were cut")
	}
}

// SIGTERM to one worker drains it alone; another takes its place.
func TestWorkerTerminated(t *testing.T) {
	n := startWorkers(t, 2)
	pid := n.workers(t)[0]
	busy := inFlight(t, n, waitShort)
	kill(t, pid, syscall.SIGTERM)
	if got := busy.line(); !strings.Contains(got, `"result"`) {
		t.Errorf("the call in flight got %s", got)
	}
	n.whole(t, 2, pid)
	alive(t, dial(t, n.tcp))
}
