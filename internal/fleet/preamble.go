package fleet

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"time"
)

// A connection to a node's peer listener begins with a preamble of 8 bytes that
// says which worker it is for: "RKY1", the worker's number, zero; numbers are 16
// bits, big endian. The supervisor reads no byte more and passes the connection
// on, so what follows is between the two peers.
const (
	PreambleSize    = 8
	preambleMagic   = "RKY1"
	preambleTimeout = time.Second
	// preamblesMax bounds connections whose preamble has not arrived. At the
	// bound the next ones wait in the kernel, at most for preambleTimeout.
	preamblesMax = 256
	// acceptRest is how long a listener that failed, for want of descriptors as
	// a rule, is left alone.
	acceptRest = 50 * time.Millisecond
)

// ErrPreamble says that a connection did not begin as one of a peer.
var ErrPreamble = errors.New("fleet: not a preamble")

// AppendPreamble appends the preamble of a connection to a worker.
func AppendPreamble(dst []byte, worker uint16) []byte {
	dst = append(dst, preambleMagic...)
	dst = binary.BigEndian.AppendUint16(dst, worker)
	return append(dst, 0, 0)
}

// ReadPreamble reads a preamble, and no byte more, within a second. It leaves
// no deadline behind.
func ReadPreamble(c net.Conn) (worker uint16, err error) {
	if err := c.SetReadDeadline(time.Now().Add(preambleTimeout)); err != nil {
		return 0, err
	}
	var b [PreambleSize]byte
	if _, err := io.ReadFull(c, b[:]); err != nil {
		return 0, fmt.Errorf("%w: %w", ErrPreamble, err)
	}
	if string(b[:4]) != preambleMagic || b[6]|b[7] != 0 {
		return 0, fmt.Errorf("%w: % x", ErrPreamble, b)
	}
	return binary.BigEndian.Uint16(b[4:6]), c.SetReadDeadline(time.Time{})
}

// Deal accepts from l until it is closed, reads each connection's preamble and
// gives the connection to pass, which owns it. It returns when all of its
// goroutines have ended. Connections without a preamble are closed and logged
// at debug level: whoever can reach the port can send anything.
func Deal(l net.Listener, pass func(worker uint16, c net.Conn), log *slog.Logger) {
	room := make(chan struct{}, preamblesMax)
	var readers sync.WaitGroup
	defer readers.Wait()
	for {
		room <- struct{}{}
		c, err := l.Accept()
		if err != nil {
			<-room
			if errors.Is(err, net.ErrClosed) {
				return
			}
			log.Warn("peer listener", "error", err)
			time.Sleep(acceptRest)
			continue
		}
		readers.Go(func() {
			worker, err := ReadPreamble(c)
			<-room
			if err != nil {
				log.Debug("connection to the peer listener refused", "from", c.RemoteAddr().String(), "error", err)
				_ = c.Close()
				return
			}
			pass(worker, c)
		})
	}
}
