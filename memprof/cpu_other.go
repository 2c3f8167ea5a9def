//go:build !linux

package memprof

import (
	"errors"
	"fmt"
	"time"
)

// CPUTime is read on Linux only.
func CPUTime(pid int) (time.Duration, error) {
	return 0, fmt.Errorf("memprof: processor time of process %d: %w", pid, errors.ErrUnsupported)
}
