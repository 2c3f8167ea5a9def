package loop

import (
	"fmt"
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// bindFile is Bind.
func bindFile(addr string) (*os.File, error) {
	ln, err := bind(addr, 0)
	if err != nil {
		return nil, err
	}
	// Non-blocking before it becomes a file: one that os puts into that mode
	// itself it also takes out of it, in Fd, which os/exec calls.
	return os.NewFile(uintptr(ln.fd), addr), nil
}

func (g *native) listenFile(f *os.File, p Protocol) (net.Addr, error) {
	ln, err := inherit(f)
	if err != nil {
		return nil, fmt.Errorf("loop: listen on inherited %s: %w", f.Name(), err)
	}
	return g.adopt(ln, p)
}

// inherit duplicates a listening socket, through system calls alone: what
// package net does on the way may clear the non-blocking mode for a moment, in
// all processes that have the socket.
func inherit(f *os.File) (*listener, error) {
	raw, err := f.SyscallConn()
	if err != nil {
		return nil, err
	}
	ln := &listener{fd: -1, shared: true}
	var failed error
	if err := raw.Control(func(fd uintptr) {
		ln.fd, failed = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0)
	}); err != nil {
		return nil, err
	}
	if failed != nil {
		return nil, os.NewSyscallError("fcntl", failed)
	}
	if ln.addr, err = listeningAt(ln.fd); err == nil {
		err = unix.SetNonblock(ln.fd, true)
	}
	if err != nil {
		unix.Close(ln.fd)
		return nil, err
	}
	return ln, nil
}

// listeningAt returns the address of a listening socket.
func listeningAt(fd int) (net.Addr, error) {
	on, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN)
	if err != nil {
		return nil, os.NewSyscallError("getsockopt", err)
	}
	if on == 0 {
		return nil, os.NewSyscallError("accept", syscall.EINVAL) // what accepting would say
	}
	sa, err := unix.Getsockname(fd)
	if err != nil {
		return nil, os.NewSyscallError("getsockname", err)
	}
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return &net.TCPAddr{IP: sa.Addr[:], Port: sa.Port}, nil
	case *unix.SockaddrInet6:
		a := &net.TCPAddr{IP: sa.Addr[:], Port: sa.Port}
		if i, err := net.InterfaceByIndex(int(sa.ZoneId)); err == nil {
			a.Zone = i.Name
		}
		return a, nil
	case *unix.SockaddrUnix:
		return &net.UnixAddr{Name: sa.Name, Net: "unix"}, nil
	}
	return nil, fmt.Errorf("socket of family %T: %w", sa, syscall.EAFNOSUPPORT)
}

// openPace opens the timer that ends a pause, if anybody paces.
func (e *epoll) openPace(p Pacer) (err error) {
	if p == (noPacer{}) {
		return nil
	}
	if e.pace, err = unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC); err != nil {
		return os.NewSyscallError("timerfd_create", err)
	}
	return e.add(e.pace, unix.EPOLLIN, tagPace, 0)
}

// count notes that n more connections are open.
func (g *native) count(n int) {
	g.open.Add(int64(n))
	g.o.Pacer.Add(n)
}

// leaveToOthers asks the pacer and reports whether accepting pauses.
func (l *eloop) leaveToOthers() bool {
	if l.ep.pace < 0 || l.paced {
		return l.paced
	}
	if l.grace > 0 {
		l.grace--
		return false
	}
	d := min(l.g.o.Pacer.Wait(), PaceMax)
	if d <= 0 {
		return false
	}
	spec := unix.ItimerSpec{Value: unix.NsecToTimespec(int64(d))}
	if unix.TimerfdSettime(l.ep.pace, 0, &spec, nil) != nil {
		return false // without a timer there is no end to a pause
	}
	l.paced = true
	l.rewatch()
	return true
}

// paceOver takes what nobody else has taken meanwhile.
func (l *eloop) paceOver() {
	if !l.paced {
		return
	}
	l.paced, l.grace = false, paceGrace
	l.rewatch()
}
