package main

import (
	"encoding/json"
	"fmt"
	"runtime"
	"slices"
	"strconv"

	"github.com/rookery-server/rookery/cluster"
)

// workerCount is the setting --workers: a number, or zero for "auto".
type workerCount int

const workersAuto workerCount = 0

// workersCeiling bounds --workers: as many as a node can announce.
const workersCeiling = cluster.WorkersMax

func (n workerCount) String() string {
	if n == workersAuto {
		return "auto"
	}
	return strconv.Itoa(int(n))
}

// MarshalJSON writes a number, or "auto".
func (n workerCount) MarshalJSON() ([]byte, error) {
	if n == workersAuto {
		return json.Marshal(n.String())
	}
	return json.Marshal(int(n))
}

// workerCounts is the value of the setting.
func workerCounts(p *workerCount) *value[workerCount] {
	parse := func(s string) (workerCount, error) {
		if s == workersAuto.String() {
			return workersAuto, nil
		}
		n, err := strconv.Atoi(s)
		switch {
		case err != nil:
			return 0, fmt.Errorf("%q is neither a whole number nor auto", s)
		case n < 1 || n > workersCeiling:
			return 0, fmt.Errorf("%d is not between 1 and %d", n, workersCeiling)
		}
		return workerCount(n), nil
	}
	return &value[workerCount]{p, "number|auto", parse, workerCount.String}
}

// defaultConns is what --workers auto makes room for when --conns-max does not
// say, as far as there is a processor for each worker.
const defaultConns = 65536

// circumstances are what --workers auto depends on.
type circumstances struct {
	openFiles  uint64 // limit per process; 0: none known
	processors int
	nodes      int // of the cluster, this one included
	copies     int // of a session, R
}

// chooseWorkers returns how many workers conns connections of the cluster need
// (0: nobody says), and why. With R copies R-1 nodes may be lost, so those that
// remain, nodes-R+1, must be able to hold all clients; and a process holds as
// many as it may open descriptors. More workers than that only share processors.
func chooseWorkers(conns int, c circumstances) (n int, why string) {
	if c.openFiles == 0 {
		return 1, "descriptors are not limited"
	}
	perProcess := max(int(min(c.openFiles, 1<<30))-reserveFDs, 1)
	if conns == 0 {
		n = min(divideUp(defaultConns, perProcess), max(c.processors, 1))
		return n, fmt.Sprintf("a process holds %d connections and there are %d processors; conns-max would say how many are wanted", perProcess, c.processors)
	}
	bearers := max(c.nodes-c.copies+1, 1)
	each := divideUp(conns, bearers)
	n = min(divideUp(each, perProcess), workersCeiling)
	return n, fmt.Sprintf("%d connections on a node, and a process holds %d", each, perProcess)
}

func divideUp(a, b int) int { return (a + b - 1) / b }

// resolveWorkers returns the number of workers to run.
func (c *config) resolveWorkers(l limits) (n int, why string) {
	if c.workers != workersAuto {
		return int(c.workers), "as asked"
	}
	if !workersSupported {
		return 1, "worker processes need Linux"
	}
	nodes := c.clusterSize()
	copies := c.replicas
	if copies == 0 { // all
		copies = nodes
	}
	return chooseWorkers(c.connsMax, circumstances{
		openFiles: l.openFiles, processors: runtime.GOMAXPROCS(0), nodes: nodes, copies: copies,
	})
}

// clusterSize returns how many nodes the settings tell of. A name or file that
// stands for many counts as one: rather a worker too many than one too few.
func (c *config) clusterSize() int {
	others := slices.DeleteFunc(slices.Clone(c.join), func(addr string) bool { return addr == c.gossip })
	slices.Sort(others)
	return 1 + len(slices.Compact(others))
}

// perWorker returns the settings that differ for one of n workers: what bounds
// the node is divided, so that the workers together keep it.
func (c *config) perWorker(n int) map[string]string {
	return map[string]string{
		"workers":      strconv.Itoa(n),
		"conns-max":    strconv.Itoa(divideUp(c.connsMax, n)),
		"sessions-max": strconv.Itoa(divideUp(c.sessionsMax, n)),
		"event-budget": formatSize(max(c.eventBudget/int64(n), 1)),
	}
}

// workerCommand is the hidden command that a supervisor starts.
const workerCommand = "worker"

// loopBudget bounds what the connections of a node hold in buffers, in bytes:
// the loops' own default, of which each worker gets its part.
const loopBudget = 1 << 30
