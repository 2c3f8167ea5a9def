//go:build unix

package loop

import (
	"errors"
	"syscall"

	"golang.org/x/sys/unix"
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

// readable reports whether there is something to read from fd, or, if it listens,
// to accept.
func readable(fd uintptr) bool {
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	for {
		n, err := unix.Poll(fds, 0)
		if !errors.Is(err, unix.EINTR) {
			return err == nil && n == 1 && fds[0].Revents&unix.POLLIN != 0
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
