package load

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
)

// Sources of connections to loopback targets: one address gives about 28,000
// ports towards one server, so sourceCount of them from 127.0.0.2 on are used,
// but never one at which somebody listens: a port taken there could be that
// listener's when it comes back.
const (
	sourceFirst = 2
	sourceLast  = 254
	sourceCount = 64
)

// sourcesFor returns the addresses to connect from; none if the kernel may
// choose.
func sourcesFor(targets []Target) ([]netip.Addr, error) {
	var taken []netip.Addr
	for _, t := range targets {
		if !t.Addr.Addr().IsLoopback() {
			return nil, nil
		}
		taken = append(taken, t.Addr.Addr())
	}
	file, err := os.Open("/proc/net/tcp")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // not Linux: Start fails with a better reason
	}
	if err != nil {
		return nil, fmt.Errorf("load: %w", err)
	}
	defer file.Close()
	list, err := listeners(bufio.NewScanner(file))
	if err != nil {
		return nil, fmt.Errorf("load: /proc/net/tcp: %w", err)
	}
	taken = append(taken, list...)
	var sources []netip.Addr
	for n := sourceFirst; n <= sourceLast && len(sources) < sourceCount; n++ {
		if a := netip.AddrFrom4([4]byte{127, 0, 0, byte(n)}); !slices.Contains(taken, a) {
			sources = append(sources, a)
		}
	}
	return sources, nil
}

// listeners returns the addresses of listening sockets in the kernel's list,
// where they stand before all others.
func listeners(lines *bufio.Scanner) ([]netip.Addr, error) {
	const stateListen = "0A"
	var list []netip.Addr
	lines.Scan() // the heading
	for lines.Scan() {
		words := strings.Fields(lines.Text()) // number, local, remote, state
		if len(words) < 4 || words[3] != stateListen {
			break
		}
		text, _, _ := strings.Cut(words[1], ":")
		n, err := strconv.ParseUint(text, 16, 32)
		if err != nil {
			return nil, fmt.Errorf("%q is no address: %w", words[1], err)
		}
		// The kernel prints the word as it stands in memory: little-endian.
		list = append(list, netip.AddrFrom4([4]byte{byte(n), byte(n >> 8), byte(n >> 16), byte(n >> 24)}))
	}
	return list, lines.Err()
}
