package main

import (
	"fmt"
	"log/slog"
	"runtime/debug"

	tuning "github.com/rookery-server/rookery/vm-tuning"
)

// limits are what the system lets this process have.
type limits struct {
	openFiles     uint64 // RLIMIT_NOFILE, soft; zero: not known
	openFilesHard uint64
	machine       *tuning.Machine
}

// advisory is a warning with its remedy.
type advisory struct {
	What   string `json:"what"`
	Remedy string `json:"remedy"`
}

func (a advisory) String() string { return a.What + "; " + a.Remedy }

const reserveFDs = 64 // descriptors that are no client's

// advice names limits that c will meet: what 'rookery tune check' calls lacking
// for as many connections as conns-max says, or for any use where it does not.
// The Go runtime has already raised the soft limit of open files to the hard
// one when main starts.
func (l limits) advice(c *config) []advisory {
	all := []advisory{}
	if l.openFiles < l.openFilesHard {
		all = append(all, advisory{
			fmt.Sprintf("open files: the soft limit %d is below the hard limit %d and could not be raised", l.openFiles, l.openFilesHard),
			fmt.Sprintf("start with ulimit -n %d", l.openFilesHard),
		})
	}
	if l.machine.Supported() != nil {
		return all // a system for development
	}
	r := tuneRequest(c.connsMax, int(c.workers))
	wanted := ""
	if r.Conns > 0 {
		wanted = fmt.Sprintf(" for %d connections", r.Conns)
	}
	for _, f := range tuning.Default().Check(l.machine, r) {
		if f.Status == tuning.Lacking {
			all = append(all, advisory{fmt.Sprintf("%s is %s, %s wanted%s: %s", f.Name, f.Have, f.Least, wanted, f.Effect), f.Fix})
		}
	}
	return all
}

// tuneRequest is what a node with so many connections, 0 if nobody says, and
// workers asks of its machine.
func tuneRequest(conns, workers int) tuning.Request {
	return tuning.Request{Profile: tuning.Server, Conns: int64(conns), Processes: int64(workers)}
}

// followMemory gives the Go runtime the memory limit of the control group, less
// what the kernel keeps for conns sockets, divided among the workers. With a
// limit in GOMEMLIMIT, or none anywhere, it does nothing.
func followMemory(m *tuning.Machine, conns, workers int, log *slog.Logger) {
	if n, ok := tuning.Default().MemoryLimit(m, tuneRequest(conns, workers)); ok {
		debug.SetMemoryLimit(n)
		log.Info("memory limit taken from the control group; GOMEMLIMIT would override it", "bytes", n)
	}
}
