package fleet

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Tags of passed connections, which say what they are for.
const (
	TagAdmin byte = 'A' // HTTP of the supervisor's admin listener
	TagPeer  byte = 'P' // a link of another peer, behind its preamble
)

const (
	// passTimeout bounds how long a worker that does not take connections can
	// hold whoever passes one.
	passTimeout = time.Second
	// inboxSize bounds passed connections that nobody has accepted; beyond it
	// they are closed, as by a listener whose backlog is full.
	inboxSize = 128
)

// pass sends the descriptor of c over conn. c remains the caller's.
func pass(conn *net.UnixConn, tag byte, c syscall.Conn) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	if err := conn.SetWriteDeadline(time.Now().Add(passTimeout)); err != nil {
		return err
	}
	var failed error
	if err := raw.Control(func(fd uintptr) {
		_, _, failed = conn.WriteMsgUnix([]byte{tag}, unix.UnixRights(int(fd)), nil)
	}); err != nil {
		return err
	}
	return failed
}

// Pass passes a connection to a worker, which gets it from Worker.Conns(tag).
// c remains the caller's to close. It waits at most a second. The error is
// ErrClosed when the worker is not running.
func (s *Supervisor) Pass(worker int, tag byte, c syscall.Conn) error {
	p := s.find(worker)
	if p == nil {
		return ErrClosed
	}
	err := pass(p.passing, tag, c)
	if errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET) {
		return ErrClosed // it has ended a moment ago
	}
	if err != nil {
		return fmt.Errorf("fleet: pass a connection to worker %d: %w", worker, err)
	}
	return nil
}

// takePassed waits for the next passed connection.
func takePassed(conn *net.UnixConn) (tag byte, c net.Conn, err error) {
	buf, oob := make([]byte, 1), make([]byte, unix.CmsgSpace(4))
	n, oobn, _, _, err := conn.ReadMsgUnix(buf, oob)
	if err != nil {
		return 0, nil, err
	}
	if n == 0 {
		return 0, nil, net.ErrClosed
	}
	fd, err := rights(oob[:oobn])
	if err != nil {
		return buf[0], nil, err
	}
	f := os.NewFile(uintptr(fd), "passed")
	defer f.Close()
	c, err = net.FileConn(f)
	return buf[0], c, err
}

var errNoDescriptor = errors.New("fleet: a message without a descriptor")

// rights returns the one descriptor of a control message.
func rights(oob []byte) (int, error) {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return -1, fmt.Errorf("fleet: passed connection: %w", err)
	}
	if len(messages) != 1 {
		return -1, errNoDescriptor // as when the worker's limit is reached
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil {
		return -1, fmt.Errorf("fleet: passed connection: %w", err)
	}
	if len(fds) != 1 {
		return -1, errNoDescriptor
	}
	return fds[0], nil
}

// An inbox is a net.Listener whose connections are passed to it.
type inbox struct {
	conns chan net.Conn
	once  sync.Once
	quit  chan struct{}
}

func newInbox() *inbox {
	return &inbox{conns: make(chan net.Conn, inboxSize), quit: make(chan struct{})}
}

// put hands c over, or closes it when there is no room or nobody accepts.
func (b *inbox) put(c net.Conn) {
	select {
	case b.conns <- c:
		if isClosed(b.quit) {
			b.empty()
		}
	default:
		_ = c.Close()
	}
}

// empty closes what nobody will accept.
func (b *inbox) empty() {
	for {
		select {
		case c := <-b.conns:
			_ = c.Close()
		default:
			return
		}
	}
}

func (b *inbox) Accept() (net.Conn, error) {
	select {
	case <-b.quit:
		return nil, net.ErrClosed
	default:
	}
	select {
	case c := <-b.conns:
		return c, nil
	case <-b.quit:
		return nil, net.ErrClosed
	}
}

// Close ends Accept and closes the connections that were not accepted.
func (b *inbox) Close() error {
	b.once.Do(func() { close(b.quit) })
	b.empty()
	return nil
}

func (b *inbox) Addr() net.Addr { return &net.UnixAddr{Name: "passed", Net: "unixpacket"} }
