package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// errBound ends an attempt to listen that has come as far as it shall.
var errBound = errors.New("bound")

// tryBind reports why addr cannot be bound, if so. It does not listen: the kernel
// would accept connections, which clients of a node that is started again make all
// the time, and reset them a moment later.
func tryBind(ctx context.Context, addr string) error {
	lc := net.ListenConfig{Control: func(_, address string, c syscall.RawConn) error {
		var failed error
		if err := c.Control(func(fd uintptr) { failed = bind(int(fd), address) }); err != nil {
			return err
		}
		if failed != nil {
			return failed
		}
		return errBound
	}}
	ln, err := lc.Listen(ctx, "tcp", addr)
	if errors.Is(err, errBound) {
		return nil
	}
	if err != nil {
		return err
	}
	return ln.Close()
}

// bind binds a socket, whose family package net has chosen, to a numeric address.
func bind(fd int, address string) error {
	family, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN)
	if err != nil {
		return os.NewSyscallError("getsockopt", err)
	}
	sa, err := sockaddr(family, address)
	if err != nil {
		return err
	}
	return os.NewSyscallError("bind", unix.Bind(fd, sa))
}

// sockaddr returns a numeric address as the kernel takes it. Without a host, or
// with one that means all, it is all of the family's.
func sockaddr(family int, address string) (unix.Sockaddr, error) {
	if strings.HasPrefix(address, ":") {
		address = "[::]" + address
	}
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return nil, err
	}
	ip, port := ap.Addr(), int(ap.Port())
	if family == unix.AF_INET {
		if ip.IsUnspecified() {
			ip = netip.IPv4Unspecified()
		}
		if !ip.Is4() {
			return nil, fmt.Errorf("%s is no IPv4 address: %w", address, syscall.EAFNOSUPPORT)
		}
		return &unix.SockaddrInet4{Port: port, Addr: ip.As4()}, nil
	}
	sa := &unix.SockaddrInet6{Port: port, Addr: ip.As16()}
	if zone := ip.Zone(); zone != "" {
		sa.ZoneId, err = zoneID(zone)
	}
	return sa, err
}

// zoneID returns the number of an interface that is named or given by number.
func zoneID(zone string) (uint32, error) {
	if i, err := net.InterfaceByName(zone); err == nil {
		return uint32(i.Index), nil
	}
	n, err := strconv.ParseUint(zone, 10, 32)
	return uint32(n), err
}
