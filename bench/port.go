package bench

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
)

// Ports of servers under test lie below the usual range of source ports, so
// that no outgoing connection of the machine takes one between choosing and
// listening.
const (
	portFirst = 20000
	portLast  = 32000
	portTries = 100
)

// freeAddr returns a loopback address on which nobody listens now.
func freeAddr() (netip.AddrPort, error) {
	for range portTries {
		port := portFirst + rand.IntN(portLast-portFirst)
		a := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(port))
		l, err := net.Listen("tcp4", a.String())
		if err == nil {
			return a, l.Close()
		}
	}
	return netip.AddrPort{}, fmt.Errorf("bench: no free port between %d and %d on 127.0.0.1 after %d tries", portFirst, portLast, portTries)
}

const (
	socketsPath = "/proc/net/tcp"
	stateListen = "0A"
)

// listens reports whether a process listens on a. It asks the kernel, for a
// connection would leave traces in the memory of the server.
func listens(a netip.AddrPort) (bool, error) {
	text, err := os.ReadFile(socketsPath)
	if err != nil {
		return false, fmt.Errorf("bench: %w", errors.Join(err, errNeedsLinux))
	}
	ip := a.Addr().As4()
	local := fmt.Sprintf("%02X%02X%02X%02X:%04X", ip[3], ip[2], ip[1], ip[0], a.Port())
	for line := range bytes.Lines(text) {
		words := bytes.Fields(line)
		if len(words) > 3 && string(words[1]) == local && string(words[3]) == stateListen {
			return true, nil
		}
	}
	return false, nil
}

var errNeedsLinux = errors.New("measuring needs Linux")
