//go:build unix

package loop

import (
	"errors"
	"syscall"
)

// writeNow writes to fd what the kernel takes at once.
func writeNow(fd uintptr, p []byte) (int, error) {
	for {
		n, err := syscall.Write(int(fd), p)
		switch {
		case err == nil:
			return n, nil
		case errors.Is(err, syscall.EINTR):
		case errors.Is(err, syscall.EAGAIN):
			return 0, nil
		default:
			return 0, err
		}
	}
}

// descriptorsMax returns how many descriptors the process may open.
func descriptorsMax() int64 {
	var r syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &r) != nil || r.Cur > 1<<31 {
		return 1 << 31
	}
	return int64(r.Cur)
}
