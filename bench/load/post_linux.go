package load

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rookery-server/rookery/bench/wire"
)

// endpoint is a target and the keep-alive connections to it, as a gateway has
// them: each carries one exchange after another.
type endpoint struct {
	idle      []int32  // places of connections that wait, the latest last
	open      int      // connections
	waiting   []ticket // calls without a connection; not more than calls under way
	downUntil int64    // it refused connections a moment ago
}

// downFor is how long a target is passed over that refused a connection, if
// there are others.
const downFor = int64(time.Second)

func (e *endpoint) down(now int64) { e.downUntil = now + downFor }

// post is a pooled connection.
type post struct {
	place    int32
	target   uint16
	fd       int
	gen      uint32
	up       bool
	call     int32 // under way; noOne: none
	in, out  []byte
	response wire.Response
}

// Turned away with a 503, or by a target that does not listen, a call is asked
// again so often, not before retryAfter.
const (
	triesMax   = 20
	retryAfter = int64(50 * time.Millisecond)
)

// room reports whether client i could send a call at once.
func (w *worker) room(i int32) bool {
	if w.o.Protocol == JSONRPC {
		return true
	}
	if w.o.Spread {
		return slices.ContainsFunc(w.targets, func(e endpoint) bool { return w.vacant(&e) })
	}
	e := &w.targets[w.clients[i].target]
	if w.vacant(e) {
		return true
	}
	// Others may be at targets with room: this one gives way.
	w.pull(i)
	w.push(i)
	return false
}

func (w *worker) vacant(e *endpoint) bool { return len(e.idle) > 0 || e.open < w.o.Pool }

// nextTarget returns the targets in turn, those last that are known to be down
// or whose pool is busy.
func (w *worker) nextTarget(now int64) uint16 {
	for range w.targets {
		w.turnOf = (w.turnOf + 1) % len(w.targets)
		if e := &w.targets[w.turnOf]; now >= e.downUntil && w.vacant(e) {
			break
		}
	}
	return uint16(w.turnOf)
}

// dispatch sends call k over the pool of its target, or queues it there.
func (w *worker) dispatch(k int32, now int64) {
	e := &w.targets[w.calls.list[k].target]
	switch n := len(e.idle); {
	case n > 0:
		p := w.posts[e.idle[n-1]]
		e.idle = e.idle[:n-1]
		w.carry(p, k, now)
	case e.open < w.o.Pool:
		p, err := w.connect(w.calls.list[k].target)
		if err != nil {
			w.tally.say(err)
			w.again(k, 0, now)
			return
		}
		w.carry(p, k, now)
	default:
		e.waiting = append(e.waiting, w.calls.ticket(k))
	}
}

// connect opens a pooled connection.
func (w *worker) connect(target uint16) (*post, error) {
	fd, err := w.dialer.dial(w.o.Targets[target].Addr)
	if err != nil {
		return nil, err
	}
	w.dialed++
	p := &post{target: target, fd: fd, gen: w.dialed, call: noOne}
	if n := len(w.gone); n > 0 {
		p.place, w.gone = w.gone[n-1], w.gone[:n-1]
		w.posts[p.place] = p
	} else {
		p.place = int32(len(w.posts))
		w.posts = append(w.posts, p)
	}
	w.targets[target].open++
	if err := w.watch(fd, ^p.place, p.gen); err != nil {
		w.discard(p)
		return nil, err
	}
	return p, nil
}

// discard closes a pooled connection.
func (w *worker) discard(p *post) {
	e := &w.targets[p.target]
	if at := slices.Index(e.idle, p.place); at >= 0 {
		e.idle = slices.Delete(e.idle, at, at+1)
	}
	e.open--
	closeSocket(p.fd)
	w.posts[p.place] = nil
	w.gone = append(w.gone, p.place)
}

// carry gives call k to a connection that has none.
func (w *worker) carry(p *post, k int32, now int64) {
	call := &w.calls.list[k]
	call.post, p.call = p.place, k
	p.response.Reset()
	p.out = w.write(p.out[:0], call)
	if call.kind == kindCall || call.kind == kindNote {
		w.written(k, now)
	}
	w.tally.counts.BytesOut += int64(len(p.out))
	if p.up {
		w.flushPost(p)
	}
}

// write appends the request of call.
func (w *worker) write(out []byte, call *call) []byte {
	h := &w.speech.heads[call.target]
	c := &w.clients[call.client]
	var id []byte
	if w.o.Protocol == Sessions {
		id = w.ids.get(c.session)
	}
	switch call.kind {
	case kindInitialize:
		return w.speech.request(out, h.init, nil, []byte(initializeBody))
	case kindInitialized:
		return w.speech.request(out, h.session, id, []byte(initializedBody))
	case kindNote:
		w.message = w.speech.note(w.message[:0], w.texts.of(call.id, int(call.size)))
		return w.speech.request(out, h.note, id, w.message)
	default:
		w.message = w.speech.call(w.message[:0], call.id, w.textOf(call))
		return w.speech.request(out, h.call, id, w.message)
	}
}

// textOf returns the text of a call, nil if it has none.
func (w *worker) textOf(c *call) []byte {
	if w.o.Args != nil {
		return nil
	}
	return w.texts.of(c.id, int(c.size))
}

// flushPost writes what is left of a request. An error is reported by the event
// that follows.
func (w *worker) flushPost(p *post) {
	if n, err := send(p.fd, p.out); err == nil {
		p.out = append(p.out[:0], p.out[n:]...)
	}
}

// servePost takes an event of a pooled connection.
func (w *worker) servePost(p *post, events uint32) {
	now := w.now()
	if !p.up {
		if events&(unix.EPOLLERR|unix.EPOLLHUP) != 0 {
			w.targets[p.target].down(now)
			w.tally.say(fmt.Errorf("%s: %w", w.o.Targets[p.target].Addr, socketState(p.fd)))
			k := p.call
			w.discard(p)
			w.again(k, 0, now) // nothing of it was sent
			w.moveOn(p.target, now)
			return
		}
		if events&unix.EPOLLOUT == 0 {
			return
		}
		p.up = true
	}
	if events&unix.EPOLLOUT != 0 && len(p.out) > 0 {
		w.flushPost(p)
	}
	ended := events&(unix.EPOLLRDHUP|unix.EPOLLERR|unix.EPOLLHUP) != 0
	if ended || events&unix.EPOLLIN != 0 {
		w.receivePost(p, ended, now)
	}
}

func (w *worker) receivePost(p *post, ended bool, now int64) {
	for place, gen := p.place, p.gen; w.posts[place] == p && p.gen == gen; {
		n, err := w.readSocket(p.fd)
		switch {
		case errors.Is(err, unix.EAGAIN):
			return
		case err != nil:
			w.losePost(p, err, now)
			return
		}
		w.takePost(p, w.buffer[:n], now)
		if n < len(w.buffer) && !ended {
			return
		}
	}
}

// takePost reads what came on a pooled connection.
func (w *worker) takePost(p *post, in []byte, now int64) {
	if len(p.in) > 0 {
		p.in = append(p.in, in...)
		in = p.in
	}
	if p.call == noOne {
		w.tally.checks.Unasked++
		w.tally.say(fmt.Errorf("%q from the server, unasked", wire.Clip(in)))
		w.discard(p)
		return
	}
	n, err := p.response.Feed(in)
	if err != nil {
		k := p.call
		w.discard(p)
		w.spoiled(k, err, now)
		w.moveOn(p.target, now)
		return
	}
	if !p.response.Done {
		p.in = append(p.in[:0], in[n:]...)
		return
	}
	if n < len(in) {
		w.tally.checks.Unasked++
		w.tally.say(fmt.Errorf("%q behind a response", wire.Clip(in[n:])))
		p.response.Close = true
	}
	p.in = p.in[:0]
	k := p.call
	p.call, w.calls.list[k].post = noOne, noOne
	w.responded(k, &p.response, now)
	if p.response.Close {
		w.discard(p)
	} else {
		e := &w.targets[p.target]
		e.idle = append(e.idle, p.place)
	}
	w.moveOn(p.target, now)
}

// moveOn sends calls that waited for a connection to target.
func (w *worker) moveOn(target uint16, now int64) {
	e := &w.targets[target]
	for n := len(e.waiting); n > 0 && w.vacant(e); n-- {
		t := e.waiting[0]
		e.waiting = slices.Delete(e.waiting, 0, 1)
		if w.calls.valid(t) {
			w.dispatch(t.call, now)
		}
	}
}

// losePost is called when the server ended a pooled connection, which it may
// while nothing is asked on it.
func (w *worker) losePost(p *post, why error, now int64) {
	k := p.call
	if k != noOne && p.response.Head && !p.response.Done && errors.Is(why, io.EOF) {
		why = io.ErrUnexpectedEOF
	}
	w.discard(p)
	if k != noOne {
		w.calls.list[k].post = noOne
		why = fmt.Errorf("the connection ended before the answer: %w", why)
		if c := &w.calls.list[k]; c.kind == kindCall || c.kind == kindNote {
			w.failed(k, &w.tally.counts.Resets, why)
		} else {
			w.refuse(c.client, why, 0, now)
		}
	}
	w.moveOn(p.target, now)
}

// dropPostOf closes the connection that carries call k, if there is one.
func (w *worker) dropPostOf(k int32, now int64) {
	if at := w.calls.list[k].post; at != noOne {
		p := w.posts[at]
		w.discard(p)
		w.calls.list[k].post = noOne
		w.moveOn(p.target, now)
	}
}

// again asks call k another time: at another target, and not before after.
func (w *worker) again(k int32, after time.Duration, now int64) {
	c := &w.calls.list[k]
	c.post = noOne
	if c.tries++; c.tries > triesMax {
		why := fmt.Errorf("turned away %d times", triesMax)
		if c.kind == kindCall || c.kind == kindNote {
			w.failed(k, &w.tally.counts.Resets, why)
		} else {
			w.refuse(c.client, why, 0, now)
		}
		return
	}
	if c.kind == kindCall || c.kind == kindNote {
		w.tally.counts.Retried++
	}
	c.target = w.nextTarget(now)
	at := now + max(int64(after), retryAfter) + w.random.Int64N(retryAfter)
	w.timers.add(timer{at: at, what: timerCall, index: k, gen: c.gen})
}

// spoiled ends call k, whose answer cannot be read.
func (w *worker) spoiled(k int32, why error, now int64) {
	c := &w.calls.list[k]
	c.post = noOne
	if c.kind == kindCall || c.kind == kindNote {
		w.failed(k, &w.tally.counts.Wrong, why)
	} else {
		w.refuse(c.client, why, 0, now)
	}
}

// responded takes the complete response to call k.
func (w *worker) responded(k int32, r *wire.Response, now int64) {
	c := &w.calls.list[k]
	switch {
	case c.kind == kindInitialize || c.kind == kindInitialized:
		w.initialized(k, r, now)
	case r.Status == http.StatusServiceUnavailable:
		w.again(k, r.After, now)
	case r.Status == http.StatusNotFound && w.o.Protocol == Sessions:
		i := c.client
		w.failed(k, &w.tally.counts.Statuses, statusError("a session", r))
		if w.clients[i].session.length > 0 && w.clients[i].state == up {
			w.forgotten(i, now)
		}
	case c.kind == kindNote && (r.Status == http.StatusAccepted || r.Status == http.StatusOK || r.Status == http.StatusNoContent):
		w.answered(k, now)
	case c.kind == kindNote || r.Status != http.StatusOK:
		w.failed(k, &w.tally.counts.Statuses, statusError("a call", r))
	default:
		message, err := r.Message()
		if err == nil {
			err = w.expect.check(message, expected{c.id, w.textOf(c)})
		}
		w.judge(k, err, now)
	}
}

// judge ends call k, about whose answer a checker has said err.
func (w *worker) judge(k int32, err error, now int64) {
	var fault *wire.Fault
	switch {
	case err == nil:
		w.answered(k, now)
	case errors.As(err, &fault):
		w.failed(k, &w.tally.counts.Faults, err)
	default:
		w.failed(k, &w.tally.counts.Wrong, err)
	}
}
