package cluster

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/rookery-server/rookery/batch"
)

// Why a connection is not let in, or ends.
var (
	errGone      = errors.New("cluster: this worker is not running")
	errWorker    = errors.New("cluster: a connection for another worker")
	errPlain     = errors.New("cluster: connections between nodes need a shared key or certificates")
	errAuth      = errors.New("cluster: the other end has not proven that it belongs here")
	errSilent    = errors.New("cluster: nothing was heard for too long")
	errStalled   = errors.New("cluster: the other end reads nothing")
	errOtherUser = errors.New("cluster: the other process belongs to another user")
)

// secure makes of a socket a connection whose other end is known to belong to
// the cluster: by TLS, or by the kernel's word for a process of this machine.
// Deadlines are the caller's.
func (m *Mesh) secure(raw net.Conn, dial bool) (*meshConn, error) {
	if c, ok := raw.(*net.UnixConn); ok {
		uid, err := peerUID(c)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errAuth, err)
		}
		if uid != os.Geteuid() {
			return nil, fmt.Errorf("%w: %w (%d)", errAuth, errOtherUser, uid)
		}
		in := &socket{Conn: raw}
		return m.newConn(in, in, dial), nil
	}
	if m.o.TLS == nil {
		return nil, errPlain
	}
	limitUnsent(raw)
	in := &socket{Conn: raw}
	rw := tls.Server(in, m.o.TLS)
	if dial {
		rw = tls.Client(in, m.o.TLS)
	}
	if err := rw.Handshake(); err != nil {
		return nil, tlsError(err)
	}
	return m.newConn(in, rw, dial), nil
}

// tlsError says what a failed handshake means.
func tlsError(err error) error {
	var record tls.RecordHeaderError
	switch {
	case errors.As(err, &record) && string(record.RecordHeader[:]) == gone[:len(record.RecordHeader)]:
		return errGone
	case ofNetwork(err):
		return err
	}
	return fmt.Errorf("%w: %w", errAuth, err)
}

// ofNetwork reports whether err is none of TLS, which says nothing of keys: the
// connection has ended, or nothing came in time. Of TLS are alerts, certificates
// that do not fit, and bytes that are none of its.
func ofNetwork(err error) bool {
	var op *net.OpError
	return ended(err) || errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, net.ErrClosed) ||
		errors.As(err, &op) && op.Op != "remote error" && op.Op != "local error"
}

// ended reports whether err is the other end's doing, or that of its machine:
// the connection was closed or reset.
func ended(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// evidenceOfEnd is what the end of an attached connection says, 0 for nothing.
func evidenceOfEnd(err error) Evidence {
	switch {
	case errors.Is(err, errDelisted), errors.Is(err, ErrMeshClosed), errors.Is(err, errReplaced):
		return 0
	case errors.Is(err, errSilent):
		return Silent
	case ended(err):
		return LinkEOF
	}
	return LinkLost
}

// failed counts and tells why dialling has not made a connection.
func (mp *meshPeer) failed(err error) {
	m := mp.m
	var refusal *batch.Refusal
	e := Failed
	switch {
	case errors.Is(err, errOvertaken), mp.ctx.Err() != nil:
		return
	case errors.Is(err, errGone), errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ENOENT):
		e = Refused
	case errors.As(err, &refusal):
		m.explain(mp.id.String(), refusal)
		switch refusal.Code {
		case batch.RefusedTarget:
			e = Replaced
		case batch.RefusedDouble: // theirs is on its way
			e = Heard
		case batch.RefusedCluster, batch.RefusedSelf: // somebody else
		default:
			e = LinkLost
			m.o.Evidence(mp.address(), LinkUp)
		}
	case certificateRefused(err), errors.Is(err, errAuth), errors.Is(err, errPlain):
		m.count.strangers.Add(1)
		m.warn("identity", "no link: "+remedyIdentity, "peer", mp.id.String(), "err", err)
	}
	mp.count.failed(err)
	m.o.Evidence(mp.address(), e)
}

// certificateRefused reports whether the other end has sent a TLS alert: in TLS
// 1.3 the end that dials hears only after its own handshake that the other one
// does not accept its certificate.
func certificateRefused(err error) bool {
	var alert tls.AlertError
	var op *net.OpError
	return errors.As(err, &alert) || errors.As(err, &op) && op.Op == "remote error"
}

// turnedAway counts and tells why an accepted connection was not let in.
func (m *Mesh) turnedAway(raw net.Conn, err error) {
	var refusal *batch.Refusal
	from := raw.RemoteAddr().String()
	switch {
	case m.ctx.Err() != nil:
	case errors.As(err, &refusal):
		m.explain(from, refusal)
	case errors.Is(err, errAuth), errors.Is(err, errPlain):
		m.count.strangers.Add(1)
		m.warn("identity", "connection refused: "+remedyIdentity, "from", from, "err", err)
	case errors.Is(err, os.ErrDeadlineExceeded):
		m.count.timeouts.Add(1)
		m.warn("timeout", "connection to the peer port ended: it said nothing in time", "from", from)
	case errors.Is(err, ErrPreamble), errors.Is(err, batch.ErrFrame), errors.Is(err, batch.ErrChecksum):
		m.count.malformed.Add(1)
		m.warn("malformed", "connection to the peer port refused: it does not speak the peer protocol", "from", from, "err", err)
	default: // it went away; or it was for another worker
		m.count.aborted.Add(1)
	}
}

// lingerFor bounds how long a connection that is refused is kept open for its
// other end to read why.
const lingerFor = 250 * time.Millisecond

// farewell closes raw so that what was written last arrives: closing with bytes
// unread would reset the connection and with it the reason.
func farewell(raw net.Conn) {
	defer raw.Close()
	half, ok := raw.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil || raw.SetReadDeadline(time.Now().Add(lingerFor)) != nil {
		return
	}
	// Whatever ends this, the connection is over.
	_, _ = io.Copy(io.Discard, io.LimitReader(raw, readMax))
}
