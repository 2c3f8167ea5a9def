package main

import (
	"golang.org/x/sys/unix"

	tuning "github.com/rookery-server/rookery/vm-tuning"
)

// readLimits asks the kernel.
func readLimits(environ []string) limits {
	l := limits{machine: &tuning.Machine{Environ: environ}}
	var nofile unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &nofile) == nil {
		l.openFiles, l.openFilesHard = nofile.Cur, nofile.Max
	}
	return l
}
