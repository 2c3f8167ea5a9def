package bench

import (
	"errors"
	"fmt"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"
)

// One source address gives about 28,000 ports towards one server address
// (ip_local_port_range), fewer while old ones are in TIME_WAIT. Clients of a
// loopback server are spread over sourceCount addresses from 127.0.0.2 on and
// never use the server's own, from which they could take a listener's port.
const (
	sourceFirst = 2
	sourceCount = 64
)

// dialer opens non-blocking sockets to one server.
type dialer struct {
	server  netip.AddrPort
	sources []unix.SockaddrInet4 // none: the kernel chooses
	next    int
}

func newDialer(server netip.AddrPort) (*dialer, error) {
	if !server.Addr().Is4() {
		return nil, fmt.Errorf("bench: server %s: only IPv4 addresses can be measured", server)
	}
	d := &dialer{server: server}
	if !server.Addr().IsLoopback() {
		return d, nil
	}
	for i := range sourceCount {
		ip := [4]byte{127, 0, 0, byte(sourceFirst + i)}
		if ip != server.Addr().As4() {
			d.sources = append(d.sources, unix.SockaddrInet4{Addr: ip})
		}
	}
	// Workers that run one after another start at different addresses, so
	// that the ports of the last one can rest in TIME_WAIT.
	d.next = os.Getpid() % len(d.sources)
	return d, nil
}

// dial starts a connection and returns its descriptor, which the caller owns.
// The socket becomes writable when it is connected.
func (d *dialer) dial() (fd int, err error) {
	fd, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, SocketError("socket", err)
	}
	if err = d.connect(fd); err != nil {
		_ = unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

func (d *dialer) connect(fd int) error {
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err != nil {
		return os.NewSyscallError("setsockopt TCP_NODELAY", err)
	}
	if len(d.sources) > 0 {
		// The port is chosen at connect, when the kernel knows both ends and
		// may use one port for several servers.
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1); err != nil {
			return os.NewSyscallError("setsockopt IP_BIND_ADDRESS_NO_PORT", err)
		}
		source := d.sources[d.next]
		d.next = (d.next + 1) % len(d.sources)
		if err := unix.Bind(fd, &source); err != nil {
			return SocketError("bind", err)
		}
	}
	server := unix.SockaddrInet4{Addr: d.server.Addr().As4(), Port: int(d.server.Port())}
	if err := unix.Connect(fd, &server); err != nil && !errors.Is(err, unix.EINPROGRESS) {
		return SocketError("connect", err)
	}
	return nil
}

// remedies say what to do about the errors that a load generator meets.
var remedies = map[unix.Errno]string{
	unix.EMFILE:        "this process is out of descriptors: raise `ulimit -Hn`, or ask for fewer clients of a process",
	unix.ENFILE:        "the machine is out of descriptors: raise fs.file-max, or ask for fewer clients",
	unix.EADDRNOTAVAIL: "no source port is free: widen net.ipv4.ip_local_port_range, or wait a minute for old ones to leave TIME_WAIT",
	unix.ECONNREFUSED:  "nobody listens there: is the server running, and on this port?",
	unix.ETIMEDOUT:     "the server did not accept in time: raise net.core.somaxconn and the server's backlog",
	unix.ECONNRESET:    "the server reset the connection: see what it says in its log",
	unix.ENOBUFS:       "the kernel is out of socket memory: see net.ipv4.tcp_mem",
	unix.ENOMEM:        "the kernel is out of memory",
}

// SocketError returns the error of a system call on a client's socket, nil for
// nil, and says what can be done about it where that is known.
func SocketError(call string, err error) error {
	var number unix.Errno
	if errors.As(err, &number) && remedies[number] != "" {
		return fmt.Errorf("%w; %s", os.NewSyscallError(call, err), remedies[number])
	}
	return os.NewSyscallError(call, err)
}
