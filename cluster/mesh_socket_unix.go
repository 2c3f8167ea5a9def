//go:build linux || darwin

package cluster

import (
	"net"

	"golang.org/x/sys/unix"
)

// limitUnsent bounds what the kernel holds unsent. Without it a link works as
// well, only a heartbeat may take longer behind a transfer.
func limitUnsent(c net.Conn) {
	tcp, ok := c.(*net.TCPConn)
	if !ok {
		return
	}
	if raw, err := tcp.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) {
			_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, notsentMax)
		})
	}
}
