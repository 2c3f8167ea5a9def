package cluster

import (
	"errors"
	"net"
	"slices"
	"time"

	"github.com/rookery-server/rookery/batch"
	"github.com/rookery-server/rookery/internal/early"
)

// pendingMax bounds the accepted connections that have not proven who they are.
// A handshake takes milliseconds, so the oldest of so many is not a peer's.
const pendingMax = 128

// Pauses between attempts to accept after an error such as too many open files.
const (
	acceptPause    = 5 * time.Millisecond
	acceptPauseMax = time.Second
)

// Serve accepts connections on l until the mesh or l is closed, reads each one's
// preamble and goes on as Adopt. The error says why it ended, nil after Close.
// Several listeners may be served, each by a goroutine of the caller.
func (m *Mesh) Serve(l net.Listener) error {
	m.mu.Lock()
	if m.closed {
		m.mu.Unlock()
		l.Close()
		return nil
	}
	m.listeners[l] = true
	m.mu.Unlock()
	var twin early.Twin // should we be killed nobody is to wait here for an answer
	twin.Hold(l)
	defer twin.Close()
	defer func() {
		m.mu.Lock()
		delete(m.listeners, l)
		m.mu.Unlock()
	}()
	pause := acceptPause
	for {
		c, err := l.Accept()
		switch {
		case err == nil:
			pause = acceptPause
			m.admit(c, true)
		case m.ctx.Err() != nil:
			return nil
		case errors.Is(err, net.ErrClosed):
			return err
		default: // out of descriptors, most likely: others will close theirs
			m.warn("accept", "accepting connections of peers fails", "err", err)
			if !m.sleep(pause) {
				return nil
			}
			pause = min(2*pause, acceptPauseMax)
		}
	}
}

// Adopt takes a connection that was accepted, and its preamble read, by somebody
// else, such as the supervisor of worker processes. The connection belongs to the
// mesh from then on.
func (m *Mesh) Adopt(c net.Conn) { m.admit(c, false) }

// admit starts the handshake on an accepted connection.
func (m *Mesh) admit(c net.Conn, preamble bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		c.Close()
		return
	}
	m.count.accepted.Add(1)
	if len(m.pending) >= pendingMax {
		m.pending[0].Close() // its goroutine sees that
		m.pending = slices.Delete(m.pending, 0, 1)
		m.count.shed.Add(1)
	}
	m.pending = append(m.pending, c)
	m.wg.Go(func() { m.greet(c, preamble) })
}

// settled takes c out of the pending ones.
func (m *Mesh) settled(c net.Conn) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if i := slices.Index(m.pending, c); i >= 0 {
		m.pending = slices.Delete(m.pending, i, i+1)
	}
}

// greet does the handshake of an accepted connection and attaches it, or closes it.
func (m *Mesh) greet(raw net.Conn, preamble bool) {
	defer m.settled(raw)
	deadline := time.Now().Add(m.o.HandshakeTimeout)
	if err := m.welcome(raw, preamble, deadline); err != nil {
		m.turnedAway(raw, err)
		farewell(raw)
	}
}

// welcome is greet's course of events. An error says that the connection is to
// be closed.
func (m *Mesh) welcome(raw net.Conn, preamble bool, deadline time.Time) error {
	if preamble {
		worker, err := ReadPreamble(raw, m.o.HandshakeTimeout)
		if err != nil {
			return err
		}
		if worker != m.o.Self.Worker {
			return errors.Join(errWorker, RefuseWorker(raw))
		}
	}
	if err := raw.SetDeadline(deadline); err != nil {
		return err
	}
	c, err := m.secure(raw, false)
	if err != nil {
		return err
	}
	var remote batch.Hello
	if remote, err = c.readHello(); err != nil {
		return err
	}
	err = m.receive(c, &remote)
	var refusal *batch.Refusal
	if c.theirs == nil && errors.As(err, &refusal) {
		// Best effort: the other end learns why, or that we closed.
		_, _ = c.rw.Write(batch.AppendRefusal(nil, refusal))
	}
	return err
}

// receive finds the peer that says hello and has it take the connection.
func (m *Mesh) receive(c *meshConn, remote *batch.Hello) error {
	id := PeerID{remote.Node, remote.Worker, remote.Incarnation}
	// Before anybody is looked up: does it mean us, and can we talk?
	local := *remote // limits and features are compared with the link's own later
	m.sign(&local, id)
	if _, err := batch.Agree(&local, remote); err != nil {
		return asRefusal(err)
	}
	mp := (*m.peers.Load())[id]
	if mp == nil {
		m.met(Peer{PeerID: id})
		return &batch.Refusal{Code: batch.RefusedStranger, Text: id.String() + " is not a member here, or not yet"}
	}
	return mp.accept(c, remote)
}

// met says that a process lives that we have no link with.
func (m *Mesh) met(p Peer) {
	m.o.Evidence(p, LinkUp)
	m.o.Evidence(p, LinkLost)
}

// sign writes into h who we are and whom we mean.
func (m *Mesh) sign(h *batch.Hello, target PeerID) {
	h.Cluster, h.Node, h.Worker, h.Incarnation = m.o.Label, m.o.Self.Node, m.o.Self.Worker, m.o.Self.Incarnation
	h.TargetNode, h.TargetWorker, h.TargetIncarnation = target.Node, target.Worker, target.Incarnation
}

// asRefusal returns the refusal that err is; anything else that keeps a link
// from going on means that the two ends do not remember the same one.
func asRefusal(err error) *batch.Refusal {
	var r *batch.Refusal
	if errors.As(err, &r) {
		return r
	}
	code := batch.RefusedResume
	if errors.Is(err, batch.ErrVersion) {
		code = batch.RefusedVersion
	}
	return &batch.Refusal{Code: code, Text: err.Error()}
}

// sleep waits for d, and reports false if the mesh is closed meanwhile.
func (m *Mesh) sleep(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-m.ctx.Done():
		return false
	}
}
