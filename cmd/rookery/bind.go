package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
	"time"
)

const (
	bindPatience = 3 * time.Second
	bindEvery    = 200 * time.Millisecond
)

// awaitFree returns when every address of ls can be bound. A port can be taken
// for a moment by a predecessor that is about to leave or by a client's
// connection that happened to get it, so it tries for patience and then names
// who has the port. It binds without SO_REUSEPORT: two nodes that share a port
// by accident would each get half of the clients.
func awaitFree(ctx context.Context, ls []listener, patience time.Duration, note func(string)) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for _, l := range ls {
		if strings.HasPrefix(l.addr, "unix:") || portZero(l.addr) {
			continue
		}
		if err := awaitPort(ctx, l, note); err != nil {
			return err
		}
	}
	return nil
}

func awaitPort(ctx context.Context, l listener, note func(string)) error {
	for tries := 0; ; tries++ {
		err := tryBind(ctx, l.addr)
		if err == nil {
			return nil
		}
		if !errors.Is(err, syscall.EADDRINUSE) {
			return fmt.Errorf("--%s: %w", l.name, err)
		}
		if tries == 0 {
			note(fmt.Sprintf("--%s %s is in use; trying again for %v", l.name, l.addr, bindPatience))
		}
		select {
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return inUse(l)
			}
			return context.Cause(ctx)
		case <-time.After(bindEvery):
		}
	}
}

// inUse says who has the address and what to do.
func inUse(l listener) error {
	who, remedy := "another socket", "stop it"
	if h, ok := findHolder(l.addr); ok {
		who = h.String()
		if h.pid > 0 {
			remedy = fmt.Sprintf("stop it (kill %d)", h.pid)
		}
	}
	return fmt.Errorf("--%s %s is in use by %s: %s or choose another address with --%s HOST:PORT: %w",
		l.name, l.addr, who, remedy, l.name, syscall.EADDRINUSE)
}

// portZero reports whether the kernel is to choose the port.
func portZero(addr string) bool {
	_, port, err := net.SplitHostPort(addr)
	return err == nil && port == "0"
}

// holder is who has a port.
type holder struct {
	pid     int // 0 when it could not be found out
	command string
	state   string // of its socket
}

func (h holder) String() string {
	switch {
	case h.pid > 0:
		return fmt.Sprintf("process %d (%s)", h.pid, h.command)
	case h.state == "TIME_WAIT":
		return "a connection in TIME_WAIT, which the kernel keeps for a minute"
	}
	return "a process of another user"
}
