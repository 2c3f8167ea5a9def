package main

import (
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// sentTo returns how many bytes the connection of this process to a port has
// sent, as the kernel counts them: the server's own counters are from before
// compression.
func sentTo(port int) (uint64, error) {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0, err
	}
	for _, e := range entries {
		fd, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		peer, err := unix.Getpeername(fd)
		if err != nil {
			continue // no connection
		}
		if in, ok := peer.(*unix.SockaddrInet4); !ok || in.Port != port {
			continue
		}
		info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
		if err != nil {
			return 0, err
		}
		return info.Bytes_acked, nil
	}
	return 0, fmt.Errorf("no connection to port %d", port)
}
