package load

import (
	"errors"
	"fmt"
	"io"

	"golang.org/x/sys/unix"

	"github.com/rookery-server/rookery/bench"
)

// serveClient takes an event of client i's connection.
func (w *worker) serveClient(i int32, events uint32) {
	c := &w.clients[i]
	now := w.now()
	if c.state == dialing {
		if events&(unix.EPOLLERR|unix.EPOLLHUP) != 0 {
			w.targets[c.target].down(now)
			w.refuse(i, socketState(int(c.fd)), 0, now)
			return
		}
		if events&unix.EPOLLOUT == 0 {
			return
		}
		c.state = greeting
		w.greet(i, now)
	} else if events&unix.EPOLLOUT != 0 && c.is(keeping) {
		w.flush(i, now)
	}
	ended := events&(unix.EPOLLRDHUP|unix.EPOLLERR|unix.EPOLLHUP) != 0
	if c.fd >= 0 && (ended || events&unix.EPOLLIN != 0) {
		w.receive(i, ended, now)
	}
}

// receive reads until the socket is empty, which a short read says, or, when
// the stream has ended, until its end: no further event will tell.
func (w *worker) receive(i int32, ended bool, now int64) {
	c := &w.clients[i]
	for gen := c.gen; c.fd >= 0 && c.gen == gen; {
		n, err := w.readSocket(int(c.fd))
		switch {
		case errors.Is(err, unix.EAGAIN):
			return
		case err != nil:
			w.lost(i, err, now)
			return
		}
		w.take(i, w.buffer[:n], now)
		if n < len(w.buffer) && !ended {
			return
		}
	}
}

// readSocket reads what a socket has into the shared buffer and counts it. Its end is
// io.EOF, and EAGAIN that there is nothing.
func (w *worker) readSocket(fd int) (int, error) {
	for {
		switch n, err := recv(fd, w.buffer[:]); {
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EAGAIN):
			return 0, unix.EAGAIN
		case err != nil:
			return 0, bench.SocketError("recv", err)
		case n == 0:
			return 0, io.EOF
		default:
			w.tally.counts.BytesIn += int64(n)
			return n, nil
		}
	}
}

// keptMax bounds the input that is kept of one connection.
const keptMax = 2 * textMax

// take reads what is complete of the bytes that came and keeps the rest.
func (w *worker) take(i int32, in []byte, now int64) {
	c := &w.clients[i]
	gen := c.gen
	var k *kept
	if c.is(keeping) {
		k = w.kept[i]
		if len(k.in) > 0 {
			k.in = append(k.in, in...)
			in = k.in
		}
	}
	var n int
	var err error
	if w.o.Protocol == JSONRPC {
		n = w.lines(i, in, now)
	} else {
		n, err = w.stream(i, in, now)
	}
	if c.gen != gen || c.fd < 0 {
		return // ended meanwhile, and what was kept with it
	}
	if err == nil && len(in)-n > keptMax {
		err = fmt.Errorf("more than %d bytes without an end", keptMax)
	}
	if err != nil {
		w.broken(i, err, now)
		return
	}
	if n < len(in) {
		k = w.keep(i)
		k.in = append(k.in[:0], in[n:]...)
	} else if c.is(keeping) {
		k = w.kept[i]
		k.in = k.in[:0]
		w.forget(i)
	}
}

// keep returns the kept of client i, a new one if it has none.
func (w *worker) keep(i int32) *kept {
	c := &w.clients[i]
	if c.is(keeping) {
		return w.kept[i]
	}
	var k *kept
	if n := len(w.spare); n > 0 {
		k, w.spare = w.spare[n-1], w.spare[:n-1]
	} else {
		k = &kept{}
	}
	c.flags |= keeping
	w.kept[i] = k
	return k
}

const (
	sparesMax = 256     // that wait to be used again
	spareMax  = 8 << 10 // bytes of each of their buffers
)

// forget gives the kept of client i back, if nothing is in it.
func (w *worker) forget(i int32) {
	k := w.kept[i]
	if len(k.in) > 0 || len(k.out) > 0 || k.reading {
		return
	}
	w.clients[i].flags &^= keeping
	delete(w.kept, i)
	if len(w.spare) < sparesMax && cap(k.in) <= spareMax && cap(k.out) <= spareMax && cap(k.response.Body) <= spareMax {
		w.spare = append(w.spare, k)
	}
}

// send writes b, and keeps what the kernel refuses until it takes it. A broken
// connection is reported by the event that follows. What is kept is bounded by
// the calls of one burst.
func (w *worker) send(i int32, b []byte, _ int64) {
	c := &w.clients[i]
	if c.is(keeping) && len(w.kept[i].out) > 0 {
		w.tally.counts.BytesOut += int64(len(b))
		w.kept[i].out = append(w.kept[i].out, b...)
		return
	}
	n, err := send(int(c.fd), b)
	if err != nil {
		n = 0
	}
	w.sent(i, b, n)
}

// sent goes on when the kernel has taken n bytes of b.
func (w *worker) sent(i int32, b []byte, n int) {
	w.tally.counts.BytesOut += int64(len(b))
	if n < len(b) {
		k := w.keep(i)
		k.out = append(k.out[:0], b[n:]...)
	}
}

func (w *worker) flush(i int32, now int64) {
	k := w.kept[i]
	if len(k.out) == 0 {
		return
	}
	n, err := send(int(w.clients[i].fd), k.out)
	switch {
	case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EINTR):
	case err != nil:
		w.lost(i, bench.SocketError("send", err), now)
	default:
		k.out = append(k.out[:0], k.out[n:]...)
		w.forget(i)
	}
}

// hangUp closes the connection of client i, which also takes it out of the
// epoll set, and ends the calls on it as counted in counter.
func (w *worker) hangUp(i int32, counter *int64, why error) {
	c := &w.clients[i]
	w.pull(i)
	if c.fd >= 0 {
		closeSocket(int(c.fd))
	}
	c.fd = noOne
	c.gen++
	if c.is(keeping) {
		k := w.kept[i]
		k.in, k.out, k.response.Body, k.reading = k.in[:0], k.out[:0], k.response.Body[:0], false
		w.forget(i)
	}
	if c.state == up {
		w.connected--
		c.state = absent
		for c.head != noOne {
			k := c.head
			c.head = w.calls.list[k].next
			w.failed(k, counter, why)
		}
		c.tail = noOne
	}
}

// lost is called when the other side ended the connection of client i.
func (w *worker) lost(i int32, why error, now int64) {
	c := &w.clients[i]
	if c.state != up {
		w.refuse(i, fmt.Errorf("the connection ended during the handshake: %w", why), 0, now)
		return
	}
	w.tally.counts.Lost++
	if w.tally.firstLost == 0 {
		w.tally.firstLost = now
	}
	w.hangUp(i, &w.tally.counts.Resets, fmt.Errorf("the connection ended before the answer: %w", why))
	c.since = uint32(now / sinceUnit)
	c.flags &^= shaken
	c.tries = 0
	w.elsewhere(i, now)
	w.comeBack(i, int64(c.retry)*1e6, now)
}

// broken is called when the other side of client i said what makes no sense.
func (w *worker) broken(i int32, why error, now int64) {
	if w.clients[i].state == up {
		w.tally.counts.Wrong++
		w.tally.say(why)
	}
	w.lost(i, why, now)
}

// giveUp ends the TCP connection of client i, on which an answer is missing.
func (w *worker) giveUp(i int32, now int64) {
	c := &w.clients[i]
	for k := c.head; k != noOne; k = w.calls.list[k].next {
		record(w.tally.corrected, now-w.calls.list[k].due)
		record(w.tally.uncorrected, now-w.calls.list[k].sent)
	}
	w.closed(i, now, &w.tally.counts.Timeouts, fmt.Errorf("no answer within %v", w.o.Timeout))
}

// shake ends the connection of client i, which comes back.
func (w *worker) shake(i int32, now int64) {
	w.closed(i, now, &w.tally.counts.Resets, errors.New("ended by the generator"))
}

func (w *worker) closed(i int32, now int64, counter *int64, why error) {
	c := &w.clients[i]
	w.tally.counts.Closed++
	w.hangUp(i, counter, why)
	c.flags |= shaken
	c.tries = 0
	w.elsewhere(i, now)
	w.comeBack(i, 0, now)
}

// comeBack lets client i, which has no connection, try again: not before after
// nanoseconds, later the more often it failed, and at a random moment, so that
// those who were lost together do not return together.
func (w *worker) comeBack(i int32, after, now int64) {
	c := &w.clients[i]
	c.state = away
	w.aways++
	reach := min(int64(w.o.RetryMin)<<min(c.tries, 16), int64(w.o.RetryMax))
	w.timers.add(timer{at: now + after + w.random.Int64N(max(reach, 1)), what: timerTry, index: i})
}
