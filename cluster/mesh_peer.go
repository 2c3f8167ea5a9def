package cluster

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"github.com/rookery-server/rookery/batch"
)

// Pauses between attempts to connect.
const (
	redialMin = 10 * time.Millisecond
	redialMax = time.Second
	// A connection that lived this long was a good one: what follows its end is
	// a first attempt.
	livedWell = time.Second
	// How long the process whose PeerID is greater leaves dialling to the other:
	// at first, and after a connection has ended, when it wants to know whether
	// the other still listens.
	yieldFirst = 500 * time.Millisecond
	yieldAgain = 30 * time.Millisecond
)

// Why a connection ends without anybody's fault.
var (
	errDelisted  = errors.New("cluster: the process is not a member any more")
	errReplaced  = errors.New("cluster: the other end has made a new connection")
	errOvertaken = errors.New("cluster: the other end got through first")
)

// ErrForgotten is what Endpoint.Disconnect gets when the two ends do not
// remember the same link: one of them had given it up, because it had declared
// the other dead, say. Both ends get it, whether they were connected or not. The
// endpoint has to begin anew, as a link that never was connected: messages it
// had not delivered are lost, and the two have to compare what they hold.
var ErrForgotten = errors.New("cluster: the two ends do not remember the same link")

// meshPeer is what a mesh has of one other process: its endpoint, at most one
// connection, and the goroutine that makes it.
type meshPeer struct {
	m      *Mesh
	id     PeerID
	ep     Endpoint
	waking chan struct{} // holds one: there may be something to write
	ctx    context.Context
	cancel context.CancelFunc
	count  linkCounters

	mu   sync.Mutex
	peer Peer // guarded by mu; where it is

	// The seat: at most one of these is there. From the moment in which a
	// connection has told the other end how far the link got (its Hello) nobody
	// else may connect the endpoint, or that would not be true any more.
	conn      *meshConn // guarded by mu; attached
	dialing   *meshConn // guarded by mu; ours, which waits for their Hello
	accepting *meshConn // guarded by mu; theirs, which waits for a first frame

	lived   time.Duration // guarded by mu; how long the last connection was attached
	ended   error         // guarded by mu; why the peer is given up
	changed chan struct{} // guarded by mu; closed and replaced when any of these changes
}

func newMeshPeer(m *Mesh, p Peer) *meshPeer {
	mp := &meshPeer{m: m, id: p.PeerID, peer: p, waking: make(chan struct{}, 1), changed: make(chan struct{})}
	mp.ctx, mp.cancel = context.WithCancel(m.ctx)
	mp.ep = m.o.Open(p)
	return mp
}

// leads reports whether it is our part to dial.
func (mp *meshPeer) leads() bool { return mp.m.o.Self.Compare(mp.id) < 0 }

func (mp *meshPeer) wake() {
	select {
	case mp.waking <- struct{}{}:
	default: // it is awake, or will be
	}
}

func (mp *meshPeer) setAddress(p Peer) {
	mp.mu.Lock()
	defer mp.mu.Unlock()
	mp.peer = p
}

func (mp *meshPeer) address() Peer {
	mp.mu.Lock()
	defer mp.mu.Unlock()
	return mp.peer
}

// changes tells everybody who waits that something has changed; mu is held.
func (mp *meshPeer) changes() {
	close(mp.changed)
	mp.changed = make(chan struct{})
}

// end gives the peer up. Its goroutines end soon after.
func (mp *meshPeer) end(err error) {
	mp.mu.Lock()
	defer mp.mu.Unlock()
	if mp.ended != nil {
		return
	}
	mp.ended = err
	mp.cancel()
	for _, c := range []*meshConn{mp.conn, mp.dialing, mp.accepting} {
		if c != nil {
			c.fail(err)
		}
	}
	mp.changes()
}

// run connects whenever there is no connection, until the peer is given up.
func (mp *meshPeer) run() {
	pause, first := redialMin, true
	for {
		lived, ok := mp.unconnected()
		if !ok {
			return
		}
		switch {
		case lived >= livedWell:
			pause = redialMin
		case !first:
			pause = min(2*pause, redialMax)
		}
		if !mp.rest(mp.before(pause, first, lived >= livedWell)) {
			first = false
			continue
		}
		first = false
		if err := mp.dial(); err != nil {
			mp.failed(err)
		}
	}
}

// before returns how long to wait before dialling.
func (mp *meshPeer) before(pause time.Duration, first, lost bool) (d time.Duration) {
	if !first && !lost {
		// Half of the pause is chance, so that those that lost each other at the
		// same moment do not meet at the same moment for ever.
		d = pause/2 + rand.N(pause/2)
	}
	switch {
	case mp.leads():
	case first:
		d += mp.m.yieldFirst
	default:
		d += mp.m.yieldAgain
	}
	return d
}

// unconnected waits until there is no connection and returns how long the last
// one lived, 0 if this was told before. It reports false when the peer is given
// up.
func (mp *meshPeer) unconnected() (lived time.Duration, ok bool) {
	mp.mu.Lock()
	defer mp.mu.Unlock()
	for mp.conn != nil && mp.ended == nil {
		mp.await()
	}
	lived, mp.lived = mp.lived, 0
	return lived, mp.ended == nil
}

// await waits for a change; mu is held before and after.
func (mp *meshPeer) await() {
	changed := mp.changed
	mp.mu.Unlock()
	<-changed
	mp.mu.Lock()
}

// rest waits for d and reports whether a connection is still wanted then.
func (mp *meshPeer) rest(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	for {
		mp.mu.Lock()
		changed, done := mp.changed, mp.conn != nil || mp.ended != nil
		mp.mu.Unlock()
		if done {
			return false
		}
		select {
		case <-timer.C:
			return true
		case <-changed:
		}
	}
}

// dial makes a connection and attaches it. nil means that there is one, if not
// this one.
func (mp *meshPeer) dial() error {
	ctx, cancel := context.WithTimeout(mp.ctx, mp.m.o.HandshakeTimeout)
	defer cancel()
	deadline, _ := ctx.Deadline()
	p := mp.address()
	network, addr := "tcp", p.Addr
	if p.Local != "" {
		network, addr = "unix", p.Local
	}
	mp.count.dials.Add(1)
	if network == "tcp" && mp.m.o.TLS == nil {
		return errPlain
	}
	var d net.Dialer
	raw, err := d.DialContext(ctx, network, addr)
	if err != nil {
		return err
	}
	// Closing is what ends a handshake early.
	stop := context.AfterFunc(ctx, func() { raw.Close() })
	if err = mp.introduce(raw, deadline); err != nil {
		raw.Close()
	}
	stop()
	return err
}

// introduce does the handshake on a connection that we dialled.
func (mp *meshPeer) introduce(raw net.Conn, deadline time.Time) error {
	if err := raw.SetDeadline(deadline); err != nil {
		return err
	}
	if _, err := raw.Write(AppendPreamble(nil, mp.id.Worker)); err != nil {
		return err
	}
	c, err := mp.m.secure(raw, true)
	if err != nil {
		return err
	}
	hello, local, err := mp.beginDial(c)
	if err != nil {
		return err
	}
	var remote batch.Hello
	if _, err = c.rw.Write(hello); err == nil {
		remote, err = c.readHello()
	}
	return mp.endDial(c, &local, &remote, err)
}

// beginDial takes the seat, after a connection that is being accepted at this
// moment has failed, and returns our Hello.
func (mp *meshPeer) beginDial(c *meshConn) (p []byte, local batch.Hello, err error) {
	mp.mu.Lock()
	defer mp.mu.Unlock()
	for mp.accepting != nil && mp.ended == nil {
		mp.await()
	}
	switch {
	case mp.ended != nil:
		return nil, local, mp.ended
	case mp.conn != nil:
		return nil, local, errOvertaken
	}
	local = mp.hello()
	if p, err = batch.AppendHello(nil, &local); err != nil {
		return nil, local, err
	}
	mp.dialing = c
	return p, local, nil
}

// hello returns our Hello for this peer; mu is held and no connection attached.
func (mp *meshPeer) hello() batch.Hello {
	h := mp.ep.Hello()
	mp.m.sign(&h, mp.id)
	return h
}

// endDial gives the seat back and attaches c, if err is nil and the answer right.
func (mp *meshPeer) endDial(c *meshConn, local, remote *batch.Hello, err error) error {
	mp.mu.Lock()
	mp.dialing = nil
	mp.changes()
	if cause := c.cause(); cause != nil { // we were overtaken, or given up
		mp.mu.Unlock()
		return cause
	}
	var refusal *batch.Refusal
	if err == nil {
		if refusal = mp.connect(c, local, remote); refusal == nil {
			mp.mu.Unlock()
			c.begin()
			return nil
		}
		err = refusal
	} else if errors.As(err, &refusal) && refusal.Code == batch.RefusedResume {
		mp.forget()
	}
	mp.mu.Unlock()
	if c.theirs == nil && refusal != nil {
		_, _ = c.rw.Write(batch.AppendRefusal(nil, refusal)) // they are attached already
	}
	return err
}

// connect attaches c after both Hellos; mu is held and the seat free.
func (mp *meshPeer) connect(c *meshConn, local, remote *batch.Hello) *batch.Refusal {
	if said := (PeerID{remote.Node, remote.Worker, remote.Incarnation}); said != mp.id {
		return &batch.Refusal{Code: batch.RefusedTarget, Text: said.String() + " answers instead of " + mp.id.String()}
	}
	r, err := batch.Agree(local, remote)
	if err == nil {
		err = mp.ep.Connect(r)
	}
	if err != nil {
		refusal := asRefusal(err)
		if refusal.Code == batch.RefusedResume {
			mp.forget()
		}
		return refusal
	}
	c.mp, c.since = mp, time.Now()
	mp.conn = c
	mp.changes()
	return nil
}

// accept answers the Hello of a connection that the peer has dialled, and
// attaches it when the first frame shows that the peer stands by it: a Hello may
// have waited here while the peer thought better of it and went on with another
// connection, and then what it says is not true any more.
func (mp *meshPeer) accept(c *meshConn, remote *batch.Hello) error {
	local, err := mp.beginAccept(c, remote)
	if err != nil {
		return err
	}
	p, err := batch.AppendHello(nil, &local)
	if err == nil {
		_, err = c.rw.Write(p)
	}
	for waits := true; err == nil && waits; {
		if waits, err = c.objection(); err == nil && waits {
			err = c.fill()
		}
	}
	mp.mu.Lock()
	mp.accepting = nil
	mp.changes()
	switch cause := c.cause(); {
	case cause != nil:
		err = cause
	case err == nil:
		if refusal := mp.connect(c, &local, remote); refusal != nil {
			err = refusal
		}
	case errors.Is(err, ErrForgotten):
		mp.forget()
	}
	mp.mu.Unlock()
	if err == nil {
		c.begin()
	}
	return err
}

// beginAccept takes the seat and returns our Hello, or a *batch.Refusal.
func (mp *meshPeer) beginAccept(c *meshConn, remote *batch.Hello) (local batch.Hello, err error) {
	mp.mu.Lock()
	defer mp.mu.Unlock()
	if refusal := mp.takeSeat(); refusal != nil {
		return local, refusal
	}
	local = mp.hello()
	if _, err := batch.Agree(&local, remote); err != nil {
		return local, asRefusal(err)
	}
	mp.accepting = c
	return local, nil
}

// takeSeat makes room for a connection that the peer has dialled; mu is held
// before and after. A peer that dials has no connection: one that we think we
// have is over, or will be in a moment. Only where ours may have crossed theirs
// on the way does it matter who leads.
func (mp *meshPeer) takeSeat() *batch.Refusal {
	for {
		switch {
		case mp.ended != nil:
			return &batch.Refusal{Code: batch.RefusedLeaving, Text: mp.ended.Error()}
		case mp.leads() && (mp.dialing != nil || mp.conn != nil && mp.conn.dialled):
			return &batch.Refusal{Code: batch.RefusedDouble, Text: "the connection from " + mp.m.tag + " is kept"}
		case mp.dialing != nil:
			mp.dialing.fail(errOvertaken)
		case mp.accepting != nil:
			mp.accepting.fail(errReplaced)
		case mp.conn != nil:
			mp.conn.fail(errReplaced)
		default:
			return nil
		}
		mp.await()
	}
}

// forget begins the link anew; mu is held and no connection attached.
func (mp *meshPeer) forget() {
	mp.count.forgotten.Add(1)
	mp.ep.Disconnect(ErrForgotten)
}

// detach ends the life of an attached connection whose goroutines are done. It
// is what lets the next one begin.
func (mp *meshPeer) detach(c *meshConn, err error) {
	mp.ep.Disconnect(err)
	e := evidenceOfEnd(err)
	mp.count.lost(err)
	if e != 0 {
		mp.m.o.Evidence(mp.address(), e)
	}
	mp.mu.Lock()
	defer mp.mu.Unlock()
	mp.conn = nil
	mp.lived = time.Since(c.since)
	mp.changes()
}
