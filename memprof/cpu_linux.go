package memprof

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// cpuClockSched is CPUCLOCK_SCHED of the kernel's posix-timers: the time that
// the scheduler itself counts.
const cpuClockSched = 2

// CPUTime returns the processor time that process pid has used, in user mode
// and in the kernel, summed over all its threads, those that have ended
// included. Its resolution is nanoseconds.
//
// It reads the process's CPU clock (clock_getcpuclockid(3)). The alternatives
// are worse: utime and stime of /proc/<pid>/stat count ticks of 10 ms,
// /proc/<pid>/schedstat covers one thread, and a cgroup covers other processes.
func CPUTime(pid int) (time.Duration, error) {
	clock := int32(^pid)<<3 | cpuClockSched
	var t unix.Timespec
	if err := unix.ClockGettime(clock, &t); err != nil {
		return 0, fmt.Errorf("memprof: processor time of process %d: clock_gettime: %w", pid, err)
	}
	return time.Duration(t.Nano()), nil
}
