package bench

import (
	"bufio"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"sync"
	"syscall"
)

// Ports of servers under test lie below the usual range of source ports, so
// that no outgoing connection of the machine takes one between choosing and
// listening.
const (
	portFirst = 20000
	portLast  = 32000
	portTries = 100
)

// FreeAddr returns a loopback address on which nobody listens now, and which no
// other call chooses, of this process or of another one, as long as this one lives.
func FreeAddr() (netip.AddrPort, error) {
	for range portTries {
		port := portFirst + rand.IntN(portLast-portFirst)
		if !reserve(port) {
			continue
		}
		a := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(port))
		l, err := net.Listen("tcp4", a.String())
		if err == nil {
			return a, l.Close()
		}
	}
	return netip.AddrPort{}, fmt.Errorf("bench: no free port between %d and %d on 127.0.0.1 after %d tries", portFirst, portLast, portTries)
}

// chosen keeps the names of ports that were chosen. A server listens some time
// after its port was chosen: of 24 suites, four side by side, one had a port that
// another one had chosen too.
var chosen struct {
	sync.Mutex
	names []net.Listener
}

// reserve reports whether the port is ours among those who choose like this. The
// name is that of an abstract unix socket, which the kernel forgets with the
// process and which is, like ports, one of the network namespace. Where there
// are no such names every port is ours.
func reserve(port int) bool {
	if runtime.GOOS != "linux" {
		return true
	}
	name, err := net.Listen("unix", fmt.Sprintf("@rookery-port-%d", port))
	if err != nil {
		return !errors.Is(err, syscall.EADDRINUSE)
	}
	chosen.Lock()
	defer chosen.Unlock()
	chosen.names = append(chosen.names, name)
	return true
}

const (
	socketsPath = "/proc/net/tcp"
	stateListen = "0A"
)

// listens reports whether processes listen on all of addrs. It asks the
// kernel, for a connection would leave traces in the memory of the server.
//
// The kernel lists listeners before all other sockets, so reading stops where
// those begin: with tens of thousands of connections the rest takes long.
func listens(addrs ...netip.AddrPort) (bool, error) {
	file, err := os.Open(socketsPath)
	if err != nil {
		return false, fmt.Errorf("bench: %w", errors.Join(err, errNeedsLinux))
	}
	defer func() { _ = file.Close() }()
	missing := map[string]bool{}
	for _, a := range addrs {
		ip := a.Addr().As4()
		missing[fmt.Sprintf("%02X%02X%02X%02X:%04X", ip[3], ip[2], ip[1], ip[0], a.Port())] = true
	}
	lines := bufio.NewScanner(file)
	lines.Scan() // the heading
	for len(missing) > 0 && lines.Scan() {
		words := strings.Fields(lines.Text()) // number, local, remote, state
		if len(words) < 4 || words[3] != stateListen {
			break
		}
		delete(missing, words[1])
	}
	return len(missing) == 0, lines.Err()
}

var errNeedsLinux = errors.New("measuring needs Linux")
