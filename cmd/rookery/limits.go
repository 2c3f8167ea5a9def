package main

import "fmt"

// limits are the bounds the kernel sets; zero where it has none to tell.
type limits struct {
	openFiles     uint64 // RLIMIT_NOFILE, soft
	openFilesHard uint64
	backlog       int // net.core.somaxconn
}

// advisory is a warning with its remedy.
type advisory struct {
	What   string `json:"what"`
	Remedy string `json:"remedy"`
}

func (a advisory) String() string { return a.What + "; " + a.Remedy }

const (
	openFilesFloor = 4096 // below this a node of ordinary use runs out
	backlogFloor   = 4096 // the kernel's own default since 5.4
	reserveFDs     = 64   // descriptors that are no client's
)

// advice names limits that c will meet. The Go runtime has already raised the
// soft limit of open files to the hard one when main starts.
func (l limits) advice(c *config) []advisory {
	all := []advisory{}
	add := func(what, remedy string) { all = append(all, advisory{what, remedy}) }
	const raise = "raise it: LimitNOFILE=1048576 in the systemd unit, --ulimit nofile=1048576:1048576 for Docker, ulimit -n in a shell"
	clients := uint64(divideUp(max(c.connsMax, 0), max(int(c.workers), 1))) // of one process
	switch {
	case l.openFiles == 0: // nothing known
	case l.openFiles < l.openFilesHard:
		add(fmt.Sprintf("open files: the soft limit %d is below the hard limit %d and could not be raised", l.openFiles, l.openFilesHard), "start with ulimit -n "+fmt.Sprint(l.openFilesHard))
	case clients > 0 && l.openFiles < clients+reserveFDs:
		add(fmt.Sprintf("open files: the limit %d is too low for conns-max %d", l.openFiles, clients), raise+"; or run more --workers")
	case l.openFiles < openFilesFloor:
		add(fmt.Sprintf("open files: the limit %d leaves room for about %d clients", l.openFiles, max(int64(l.openFiles)-reserveFDs, 0)), raise)
	}
	if l.backlog > 0 && l.backlog < backlogFloor {
		add(fmt.Sprintf("net.core.somaxconn is %d: bursts of new connections will be refused", l.backlog), "sysctl -w net.core.somaxconn=65535")
	}
	return all
}
