package loop

import (
	"context"
	"time"

	"golang.org/x/sys/unix"
)

// noSYN lets pass all segments but those that begin a connection: SYN without
// ACK. The end of a handshake passes, and so does what comes for connections that
// are accepted later, which inherit the filter. It sees a segment from the TCP
// header on, whose flags are byte 13 (RFC 9293, section 3.1), and returns how
// many bytes to keep.
var noSYN = [...]unix.SockFilter{
	{Code: unix.BPF_LD | unix.BPF_B | unix.BPF_ABS, K: 13},
	{Code: unix.BPF_ALU | unix.BPF_AND | unix.BPF_K, K: 0x12},               // SYN and ACK
	{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: 0x02, Jt: 0, Jf: 1}, // SYN
	{Code: unix.BPF_RET | unix.BPF_K, K: 0},
	{Code: unix.BPF_RET | unix.BPF_K, K: 1<<32 - 1},
}

// deafen has the kernel accept nothing more for a listening socket, in whatever
// processes it is open.
func deafen(fd int, network string) error {
	if network == "unix" {
		return deafenUnix(fd)
	}
	return deafenTCP(fd)
}

// deafenTCP has the socket drop what would begin a connection. With SO_REUSEPORT, which nothing here sets, a client whose
// SYN is dropped may reach another socket of the port when it tries again.
func deafenTCP(fd int) error {
	program := noSYN
	return unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER,
		&unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]})
}

// deafenUnix has who connects refused; accept goes on returning those that wait.
func deafenUnix(fd int) error { return unix.Shutdown(fd, unix.SHUT_RD) }

// deafen runs on loop 0 when the group is about to drain. Sockets that other
// processes go on serving keep their ears.
func (l *eloop) deafen() {
	if l.deaf {
		return
	}
	l.deaf = true
	defer close(l.g.deaf)
	l.g.o.Pacer.Accepting(false)
	last := l.g.o.Pacer.Last()
	for _, ln := range *l.g.listeners.Load() {
		if ln.closed || ln.shared && !last {
			continue
		}
		network := ln.addr.Network()
		if network == "unix" && ln.watched { // readable from here on; acceptRest comes
			ln.watched = false
			_ = l.ep.remove(ln.fd)
		}
		if err := deafen(ln.fd, network); err != nil {
			l.g.o.Logger.Warn(notDeaf, "addr", ln.addr.String(), "error", err)
		} else if network != "unix" {
			l.g.handshakes = true
		}
	}
}

// deafen returns when the listeners that are nobody else's get no connections any
// more, or when waiting for that has become of no use.
func (g *native) deafen(ctx context.Context) {
	g.loops[0].ask(ctlDeafen)
	select {
	case <-g.deaf:
	case <-g.empty: // Close was called
		return
	case <-ctx.Done():
		return
	}
	if !g.handshakes {
		return
	}
	t := time.NewTimer(handshakeMoment)
	defer t.Stop()
	select {
	case <-t.C:
	case <-g.empty:
	case <-ctx.Done():
	}
}
