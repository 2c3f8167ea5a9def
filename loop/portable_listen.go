package loop

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"time"
)

// listenNet binds "host:port" or "unix:/path". Errors name the address.
func listenNet(addr string) (net.Listener, error) {
	network, address := splitAddr(addr)
	if network == "unix" {
		if err := clearSocket(address); err != nil {
			return nil, fmt.Errorf("loop: listen %s: %w", addr, err)
		}
	}
	// Go's 15 s would be 6,700 probes a second for 100,000 connections.
	lc := net.ListenConfig{KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 5 * time.Minute}}
	// Sockets of Multipath TCP, which Go listens with by default, take no filters
	// (see deafen). A client that offers it gets TCP.
	lc.SetMultipathTCP(false)
	l, err := lc.Listen(context.Background(), network, address)
	if err != nil {
		return nil, fmt.Errorf("loop: listen %s: %w", addr, err)
	}
	return l, nil
}

// splitAddr tells unix sockets from TCP addresses.
func splitAddr(addr string) (network, address string) {
	if path, ok := strings.CutPrefix(addr, "unix:"); ok {
		return "unix", path
	}
	return "tcp", addr
}

// clearSocket removes a socket file that a process left behind. One that is
// served is an error, and so is a file that is no socket.
func clearSocket(path string) error {
	fi, err := os.Lstat(path)
	if err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		return err
	}
	if fi.Mode()&os.ModeSocket == 0 {
		return errors.New("file exists and is not a socket")
	}
	c, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		_ = c.Close()
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return syscall.EADDRINUSE // served, or perhaps served: not ours to remove
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// outOfDescriptors reports whether err says that the process or the system has
// no descriptor or memory left for a connection.
func outOfDescriptors(err error) bool {
	for _, e := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

func (b *portable) listenFile(f *os.File, p Protocol) (net.Addr, error) {
	return b.adopt(p, true, func() (net.Listener, error) {
		l, err := net.FileListener(f)
		if err != nil {
			return nil, fmt.Errorf("loop: listen on inherited %s: %w", f.Name(), err)
		}
		return l, nil
	})
}

// leaveToOthers waits, at most PaceMax, if the pacer says so. Whoever waits in
// Accept already takes one more connection whatever the pacer would say.
func (b *portable) leaveToOthers() {
	d := min(b.o.Pacer.Wait(), PaceMax)
	if d <= 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-b.quit:
	case <-t.C:
	}
}

// count notes that n more connections are open.
func (b *portable) count(n int) {
	b.open.Add(int64(n))
	b.o.Pacer.Add(n)
}
