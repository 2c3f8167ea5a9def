package load

import (
	"errors"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"

	"github.com/rookery-server/rookery/bench"
)

// dialer opens non-blocking sockets from several source addresses: one gives
// about 28,000 ports towards one server (ip_local_port_range), fewer while old
// ones are in TIME_WAIT.
type dialer struct {
	sources []unix.RawSockaddrInet4 // none: the kernel chooses
	next    int
}

func newDialer(sources []netip.Addr, first int) *dialer {
	d := &dialer{next: first}
	for _, a := range sources {
		d.sources = append(d.sources, rawAddress(a, 0))
	}
	return d
}

// dial starts a connection to server and returns its descriptor, which the
// caller owns. The socket becomes writable when it is connected.
func (d *dialer) dial(server netip.AddrPort) (int, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, bench.SocketError("socket", err)
	}
	if err := d.connect(fd, server); err != nil {
		closeSocket(fd)
		return -1, err
	}
	return fd, nil
}

func (d *dialer) connect(fd int, server netip.AddrPort) error {
	if err := setOption(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err != nil {
		return os.NewSyscallError("setsockopt TCP_NODELAY", err)
	}
	if len(d.sources) > 0 {
		// The port is chosen at connect, when the kernel knows both ends and
		// may use one port for several servers.
		if err := setOption(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1); err != nil {
			return os.NewSyscallError("setsockopt IP_BIND_ADDRESS_NO_PORT", err)
		}
		d.next = (d.next + 1) % len(d.sources)
		if err := bind(fd, &d.sources[d.next]); err != nil {
			return bench.SocketError("bind", err)
		}
	}
	to := rawAddress(server.Addr(), server.Port())
	if err := connect(fd, &to); err != nil && !errors.Is(err, unix.EINPROGRESS) {
		return bench.SocketError("connect", err)
	}
	return nil
}

// socketState returns why the socket failed.
func socketState(fd int) error {
	number, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err != nil {
		return os.NewSyscallError("getsockopt SO_ERROR", err)
	}
	if number == 0 {
		return errors.New("the connection ended")
	}
	return bench.SocketError("connect", unix.Errno(number))
}
