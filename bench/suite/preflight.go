package suite

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"os"
	"strconv"

	"github.com/rookery-server/rookery/bench"
	"github.com/rookery-server/rookery/bench/load"
	"github.com/rookery-server/rookery/bench/report"
)

const (
	// reserve is how many descriptors a server process needs beside clients'.
	reserve = 1000
	// baseMemory and clientMemory are what a run needs, servers, clients and
	// the kernel's sockets for both included: measured with some room.
	baseMemory   = 1 << 30
	clientMemory = 12 << 10
)

// ErrMachine is wrapped by errors about a machine that cannot hold a run.
var ErrMachine = errors.New("suite: this machine cannot do it")

// plan is how a run fits this machine.
type plan struct {
	workers    int // processes of each node
	oneWorkers int // of the one node that holds all clients
	settings   []report.Setting
	notes      []string // what was missing, and what is done about it
}

// makePlan looks at what the machine has. It fails with ErrMachine when that is
// too little, and says the remedy.
func makePlan(m bench.Machine, s Scale, chaos bool, proc string) (*plan, error) {
	holders := nodeCount - 1 // when one node is dead the others hold its clients too
	if chaos {
		holders-- // and one that was killed before has few: they stay where they are
	}
	room := m.Descriptors - reserve
	if room < 1 {
		return nil, fmt.Errorf("%w: a process may have %d descriptors, at least %d are needed (ulimit -n)", ErrMachine, m.Descriptors, 2*reserve)
	}
	p := &plan{
		workers:    divideUp(divideUp(s.Clients, holders), room),
		oneWorkers: max(divideUp(s.Clients, room), min(6, s.Clients/100)),
	}
	if p.workers > 1 {
		p.notes = append(p.notes, fmt.Sprintf("a process may have %s descriptors: each node has %d worker processes", report.Number(float64(m.Descriptors)), p.workers))
	}
	need := int64(baseMemory) + int64(s.Clients)*clientMemory
	if free, ok := memAvailable(proc); ok && free < need {
		return nil, fmt.Errorf("%w: %d MB of memory are available, about %d MB are needed for %d clients: free some, or take a smaller --scale",
			ErrMachine, free>>20, need>>20, s.Clients)
	}
	// Each connection is two files, one on either side.
	if max, ok := number(proc, "sys/fs/file-max"); ok && max < int64(2*s.Clients+10*reserve) {
		return nil, fmt.Errorf("%w: fs.file-max is %d, %d connections need twice as many (sysctl -w fs.file-max=%d)", ErrMachine, max, s.Clients, 4*s.Clients)
	}
	if max, ok := number(proc, "sys/net/netfilter/nf_conntrack_max"); ok && max < int64(s.Clients+10*reserve) {
		p.notes = append(p.notes, fmt.Sprintf("net.netfilter.nf_conntrack_max is %d: if connections on loopback are tracked, raise it above %d", max, s.Clients))
	}
	if backlog, ok := number(proc, "sys/net/core/somaxconn"); ok && backlog < 1024 {
		p.notes = append(p.notes, fmt.Sprintf("net.core.somaxconn is %d: connections may wait for a second SYN while many are opened (rookery tune check)", backlog))
	}
	p.settings = []report.Setting{
		{Name: "scale", Value: s.Name}, {Name: "clients", Value: report.Number(float64(s.Clients))},
		{Name: "nodes", Value: strconv.Itoa(nodeCount)}, {Name: "processes of a node", Value: strconv.Itoa(p.workers)},
		{Name: "copies", Value: fmt.Sprintf("%d beside the home", replicas-1)}, {Name: "durability", Value: "acked"},
		{Name: "generator sleeps at least", Value: cmp.Or(s.Tick, load.DefaultTick).String()},
		{Name: "limits", Value: slackText(s.Slack)},
	}
	return p, nil
}

func slackText(slack float64) string {
	if slack <= 1 {
		return "as required"
	}
	return fmt.Sprintf("times and rates %s times looser than required: the scale is to show that all works, not how fast", report.Number(slack))
}

func divideUp(a, b int) int { return (a + b - 1) / b }

// memAvailable returns MemAvailable of /proc/meminfo, in bytes.
func memAvailable(proc string) (int64, bool) {
	text, err := os.ReadFile(proc + "/meminfo")
	if err != nil {
		return 0, false
	}
	return kilobytes(text, "MemAvailable:")
}

// kilobytes returns the value in bytes of the line "name  number kB".
func kilobytes(text []byte, name string) (int64, bool) {
	for line := range bytes.Lines(text) {
		if rest, ok := bytes.CutPrefix(line, []byte(name)); ok {
			kb, err := strconv.ParseInt(string(bytes.TrimSpace(bytes.TrimSuffix(bytes.TrimSpace(rest), []byte("kB")))), 10, 64)
			return kb << 10, err == nil
		}
	}
	return 0, false
}

// number returns the first number in a file of /proc.
func number(proc, name string) (int64, bool) {
	text, err := os.ReadFile(proc + "/" + name)
	if err != nil {
		return 0, false
	}
	fields := bytes.Fields(text)
	if len(fields) == 0 {
		return 0, false
	}
	n, err := strconv.ParseInt(string(fields[0]), 10, 64)
	return n, err == nil
}
