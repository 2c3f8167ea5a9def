//go:build !linux

package loop

import (
	"fmt"
	"net"
	"os"
)

// bindFile is Bind.
func bindFile(addr string) (*os.File, error) {
	nl, err := listenNet(addr)
	if err != nil {
		return nil, err
	}
	defer nl.Close()
	var f *os.File
	switch nl := nl.(type) {
	case *net.TCPListener:
		f, err = nl.File()
	case *net.UnixListener:
		nl.SetUnlinkOnClose(false)
		f, err = nl.File()
	}
	if err != nil {
		return nil, fmt.Errorf("loop: listen on %s: %w", addr, err)
	}
	return f, nil
}
