package main

import (
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// readLimits asks the kernel.
func readLimits() limits {
	var l limits
	var nofile unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &nofile) == nil {
		l.openFiles, l.openFilesHard = nofile.Cur, nofile.Max
	}
	if text, err := os.ReadFile("/proc/sys/net/core/somaxconn"); err == nil {
		l.backlog, _ = strconv.Atoi(strings.TrimSpace(string(text))) // 0: not known
	}
	return l
}
