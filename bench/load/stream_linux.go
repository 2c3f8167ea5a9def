package load

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/rookery-server/rookery/bench/wire"
)

// lines takes the complete lines of in, messages on the TCP connection of
// client i, and returns how many bytes they are.
func (w *worker) lines(i int32, in []byte, now int64) (n int) {
	c := &w.clients[i]
	for gen := c.gen; c.gen == gen; {
		end := bytes.IndexByte(in[n:], '\n')
		if end < 0 {
			return n
		}
		w.line(i, in[n:n+end], now)
		n += end + 1
	}
	return n
}

// line takes one message. Answers come in the order of the calls, so the first
// call is tried first.
func (w *worker) line(i int32, message []byte, now int64) {
	c := &w.clients[i]
	if c.state == greeting {
		k := &w.calls.list[c.head]
		if err := w.expect.check(message, expected{k.id, w.texts.of(k.id, int(k.size))}); err != nil {
			w.refuse(i, err, 0, now)
			return
		}
		w.arrived(i, now)
		return
	}
	k := c.head
	if k != noOne {
		call := &w.calls.list[k]
		if w.expect.shape.matches(message, expected{call.id, w.texts.of(call.id, int(call.size))}) {
			if c.flying > 1 {
				w.tally.checks.Ordered++
			}
			w.unchain(i, noOne, k)
			w.answered(k, now)
			return
		}
	}
	w.odd(i, message, now)
}

// odd takes a message that is not, in the known form, the answer to the first
// call: perhaps in another form, or to another call, or none at all.
func (w *worker) odd(i int32, message []byte, now int64) {
	c := &w.clients[i]
	id, method, err := wire.Kind(message)
	switch {
	case err != nil:
		w.broken(i, err, now)
		return
	case method != "":
		w.tally.checks.Unrelated++ // the server's own
		return
	}
	before := int32(noOne)
	for k := c.head; k != noOne; before, k = k, w.calls.list[k].next {
		call := &w.calls.list[k]
		if strconv.FormatUint(uint64(call.id), 10) != id {
			continue
		}
		if k != c.head {
			w.tally.checks.OutOfOrder++
		}
		if c.flying > 1 {
			w.tally.checks.Ordered++
		}
		w.unchain(i, before, k)
		w.judge(k, w.expect.check(message, expected{call.id, w.texts.of(call.id, int(call.size))}), now)
		return
	}
	w.tally.checks.Unasked++
	w.tally.say(fmt.Errorf("%q answers no call under way", wire.Clip(message)))
}

// unchain takes call k, which stands behind before, off the connection of client i.
func (w *worker) unchain(i, before, k int32) {
	c := &w.clients[i]
	next := w.calls.list[k].next
	if before == noOne {
		c.head = next
	} else {
		w.calls.list[before].next = next
	}
	if next == noOne {
		c.tail = before
	}
}

// errStreamOver is why a stream ends whose response is complete.
var errStreamOver = errors.New("the server ended the stream")

// stream takes bytes of the event stream of client i and returns how many it
// used. Nothing is kept of a stream between two events.
func (w *worker) stream(i int32, in []byte, now int64) (int, error) {
	c := &w.clients[i]
	gen := c.gen
	r := &w.fresh
	if c.is(keeping) && w.kept[i].reading {
		r = &w.kept[i].response
	} else {
		body := r.Body[:0]
		if *r = (wire.Response{}); c.state == up {
			*r = wire.Stream(c.is(chunked))
		}
		r.Body = body
	}
	n, err := r.Feed(in)
	if err != nil {
		return n, err
	}
	if r.Head && c.state == greeting && (r.Status != http.StatusOK || !r.Events) {
		if r.Done {
			w.unwelcome(i, r, now)
			return n, nil
		}
	} else if r.Head {
		w.listen(i, r, now)
		if c.gen == gen && r.Done {
			w.lost(i, errStreamOver, now)
		}
	}
	if c.gen != gen || c.fd < 0 {
		return n, nil
	}
	w.putAway(i, r)
	return n, nil
}

// putAway keeps r for client i, unless its flags say all of it.
func (w *worker) putAway(i int32, r *wire.Response) {
	c := &w.clients[i]
	inChunks, ok := r.Resting()
	if ok && c.state == up {
		if c.flags &^= chunked; inChunks {
			c.flags |= chunked
		}
		if c.is(keeping) {
			k := w.kept[i]
			k.reading, k.response.Body = false, k.response.Body[:0]
			w.forget(i)
		}
		return
	}
	k := w.keep(i)
	if k.reading {
		return // it is there already
	}
	body := append(k.response.Body[:0], r.Body...)
	k.response, k.reading = *r, true
	k.response.Body = body
}

// unwelcome takes a response that is no stream.
func (w *worker) unwelcome(i int32, r *wire.Response, now int64) {
	switch {
	case r.Status == http.StatusNotFound && w.o.Protocol == Sessions:
		w.forgotten(i, now)
	case r.Status == http.StatusMethodNotAllowed:
		w.refuse(i, fmt.Errorf("%w; it offers no stream: use --no-stream", statusError("a stream", r)), r.After, now)
	default:
		w.refuse(i, statusError("a stream", r), r.After, now)
	}
}

var acknowledged = []byte(`"notifications/subscriptions/acknowledged"`)

// listen takes the complete events of a stream.
func (w *worker) listen(i int32, r *wire.Response, now int64) {
	c := &w.clients[i]
	if c.state == greeting && w.o.Protocol == Sessions {
		w.arrived(i, now)
	}
	gen := c.gen
	used := 0
	for c.gen == gen {
		event, n := wire.NextEvent(r.Body[used:])
		if n == 0 {
			break
		}
		used += n
		if event.ID != nil && len(event.ID) <= arenaLongest && w.o.Protocol == Sessions {
			c.event = w.ids.put(c.event, event.ID)
		}
		if event.Retry > 0 {
			c.retry = uint16(min(event.Retry.Milliseconds(), 1<<16-1))
		}
		switch {
		case len(event.Data) == 0: // a comment, or the first event of a stream
		case c.state == greeting && bytes.Contains(event.Data, acknowledged):
			w.arrived(i, now)
		case c.state == greeting:
			w.refuse(i, fmt.Errorf("the first event of the stream is %q, not its acknowledgement", wire.Clip(event.Data)), 0, now)
		default:
			w.hear(i, event.Data, now)
		}
	}
	r.Body = append(r.Body[:0], r.Body[used:]...)
}

var updated = []byte(`"notifications/resources/updated"`)

// hear takes a message on the stream of client i.
func (w *worker) hear(i int32, data []byte, now int64) {
	c := &w.clients[i]
	if w.o.Protocol == Stateless {
		if !bytes.Contains(data, updated) {
			w.tally.checks.Unrelated++
		} else if c.heard == w.published && c.is(loose) {
			c.flags &^= loose // the one that was being published when it came
		} else {
			w.number(i, c.heard+1, now)
		}
		return
	}
	_, rest, ok := bytes.Cut(data, w.mark)
	digits, _, closed := bytes.Cut(rest, []byte(`"`))
	n, err := strconv.ParseUint(string(digits), 10, 32)
	if !ok || !closed || err != nil {
		w.tally.checks.Unrelated++
		return
	}
	if uint32(n) > c.base {
		w.number(i, uint32(n), now)
	}
}

// number takes event n, which client i has heard.
func (w *worker) number(i int32, n uint32, now int64) {
	c := &w.clients[i]
	switch {
	case n > w.published:
		w.tally.checks.Doubled++ // of a listener, whose events have no number
		return
	case n > c.heard:
		for skipped := c.heard + 1; skipped < n; skipped++ {
			g := w.missed[i]
			if g == nil {
				g = &gaps{}
				w.missed[i] = g
			}
			g.add(skipped)
			w.tally.checks.Gaps++
		}
		c.heard = n
	case w.missed[i].fill(n):
		w.tally.checks.Filled++
	default:
		w.tally.checks.Doubled++
		return
	}
	w.tally.heard(n, now)
}
