package early

import (
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

const (
	// topShare is the part of the numbers of descriptors that is for twins: the
	// uppermost sixteenth. Processes accept no client that near to their limit.
	topShare = 16
	// numberMax bounds the numbers of twins: the kernel has eight bytes for each
	// number up to the highest. Clients beyond end before the twins.
	numberMax = 1 << 17
)

// lowest returns the number above which twins are, where limit is how many
// descriptors the process may have.
func lowest(limit uint64) int {
	limit = min(limit, numberMax)
	return int(limit - limit/topShare)
}

// A Twin is a second descriptor of a socket. The zero value is one that holds
// nothing. Methods may be called from any goroutine and do not block.
type Twin struct {
	mu     sync.Mutex
	fd     int  // guarded by mu; 0: none
	closed bool // guarded by mu
}

// Hold duplicates the descriptor of a socket, such as a *net.TCPConn or a
// *net.TCPListener, unless the twin is closed or holds one. Who closes the socket
// closes the twin too, first: until then the other end does not hear of it. One
// that cannot be duplicated, for want of descriptors as a rule, ends in its turn.
func (t *Twin) Hold(socket any) {
	c, ok := socket.(syscall.Conn)
	var limit unix.Rlimit
	if !ok || unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) != nil {
		return
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed || t.fd != 0 {
		return
	}
	_ = raw.Control(func(fd uintptr) { // it is closed already: nothing to hold
		if twin, err := unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, lowest(limit.Cur)); err == nil {
			t.fd = twin
		}
	})
}

// Close gives the descriptor up. A second call does nothing, and a Hold that
// comes later likewise.
func (t *Twin) Close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
	if t.fd != 0 {
		_ = unix.Close(t.fd) // ours alone; the socket has another
		t.fd = 0
	}
}
