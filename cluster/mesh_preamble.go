package cluster

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// PreambleSize is how many bytes stand in front of everything else on a
// connection between peers, in the clear: which worker of the node is meant. A
// supervisor reads them, and nothing more, before it passes the connection on.
// Nobody is believed for what stands there: the Hello names the target again,
// under TLS.
const PreambleSize = 8

const (
	preambleMagic = "RKY1"
	// gone is the answer of a supervisor whose worker is not running. It cannot
	// be the beginning of a TLS record nor of a Hello.
	gone = "RKYGONE\n"
	// goneTimeout bounds how long that answer may take to leave.
	goneTimeout = time.Second
)

// ErrPreamble says that a connection did not begin like one between peers.
var ErrPreamble = errors.New("cluster: not a connection between peers")

// AppendPreamble appends the preamble for a worker.
func AppendPreamble(dst []byte, worker uint16) []byte {
	dst = append(dst, preambleMagic...)
	dst = binary.LittleEndian.AppendUint16(dst, worker)
	return append(dst, 0, 0)
}

// ParsePreamble returns the worker that a preamble names. The error is
// ErrPreamble.
func ParsePreamble(p []byte) (worker uint16, err error) {
	if len(p) != PreambleSize || string(p[:4]) != preambleMagic || p[6]|p[7] != 0 {
		return 0, fmt.Errorf("%w: it begins %q", ErrPreamble, p[:min(len(p), PreambleSize)])
	}
	return binary.LittleEndian.Uint16(p[4:]), nil
}

// ReadPreamble reads the preamble of an accepted connection, and not one byte
// more. It waits no longer than timeout and leaves the connection without a
// deadline.
func ReadPreamble(c net.Conn, timeout time.Duration) (worker uint16, err error) {
	var p [PreambleSize]byte
	if err := c.SetReadDeadline(time.Now().Add(timeout)); err != nil {
		return 0, fmt.Errorf("cluster: preamble: %w", err)
	}
	if _, err := io.ReadFull(c, p[:]); err != nil {
		return 0, fmt.Errorf("cluster: preamble: %w", err)
	}
	if err := c.SetReadDeadline(time.Time{}); err != nil {
		return 0, fmt.Errorf("cluster: preamble: %w", err)
	}
	return ParsePreamble(p[:])
}

// RefuseWorker tells the other end that the worker it wants is not running,
// which it may take as proof of that worker's death, and closes c when that has
// arrived. It blocks for at most 1.25 s.
func RefuseWorker(c net.Conn) error {
	err := c.SetWriteDeadline(time.Now().Add(goneTimeout))
	if err == nil {
		_, err = io.WriteString(c, gone)
	}
	farewell(c)
	return err
}
