package load

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/rookery-server/rookery/bench/wire"
)

// start begins the handshake of client i. REQUIRES: it is absent or away.
func (w *worker) start(i int32, now int64) {
	c := &w.clients[i]
	if c.state == away {
		w.aways--
	}
	w.handshakes++
	needsSession := w.o.Protocol == Sessions && c.session.length == 0
	switch {
	case needsSession:
		c.state = session
		k := w.calls.take(kindInitialize, i, now, now)
		w.calls.list[k].target = c.target
		c.head = k
		w.dispatch(k, now)
	case w.o.NoStream:
		c.head = w.calls.take(kindHandshake, i, now, now)
		w.arrived(i, now)
	default:
		c.head = w.calls.take(kindHandshake, i, now, now)
		w.dial(i, now)
	}
}

// dial opens the connection of client i.
func (w *worker) dial(i int32, now int64) {
	c := &w.clients[i]
	c.state = dialing
	fd, err := w.dialer.dial(w.o.Targets[c.target].Addr)
	if err != nil {
		w.refuse(i, err, 0, now)
		return
	}
	c.fd = int32(fd)
	if err := w.watch(fd, i, c.gen); err != nil {
		w.refuse(i, err, 0, now)
	}
}

// greet says the first words on a new connection.
func (w *worker) greet(i int32, now int64) {
	c := &w.clients[i]
	if w.o.Protocol == JSONRPC {
		c.seq++
		w.calls.list[c.head].id = c.seq
		w.calls.list[c.head].size = uint32(w.o.Size.draw(w.random))
		w.request = w.speech.call(w.request[:0], c.seq, w.texts.of(c.seq, int(w.calls.list[c.head].size)))
	} else {
		w.request = w.speech.stream(w.request[:0], int(c.target), w.ids.get(c.session), w.ids.get(c.event))
	}
	w.send(i, w.request, now)
}

// arrived is called when client i has been answered for the first time on its
// connection: it is up.
func (w *worker) arrived(i int32, now int64) {
	c := &w.clients[i]
	record(w.tally.handshake, now-w.calls.list[c.head].due)
	w.endHandshake(i)
	w.tally.counts.Connects++
	w.connected++
	c.state, c.tries = up, 0
	if c.event.length > 0 {
		w.tally.counts.Resumed++
	}
	switch {
	case !c.is(known):
		c.flags |= known
		w.opened++
		w.joins(i)
	case !c.is(shaken):
		w.tally.counts.Back++
		w.tally.lastBack = now
		record(w.tally.outage, now-int64(c.since)*sinceUnit)
	}
	if c.flags &^= shaken; w.o.Protocol == Stateless {
		w.joins(i) // nothing is repeated to a listener
	}
	w.push(i)
}

// joins makes client i one that hears events from the next on.
func (w *worker) joins(i int32) {
	c := &w.clients[i]
	c.base, c.heard = w.published, w.published
	c.flags &^= loose
	if w.publishing {
		c.flags |= loose
	}
}

// endHandshake takes the record of a handshake back.
func (w *worker) endHandshake(i int32) {
	c := &w.clients[i]
	w.calls.give(c.head)
	c.head, c.tail = noOne, noOne
	w.handshakes--
}

// refuse ends the handshake of client i, which failed; it tries again, not
// before after.
func (w *worker) refuse(i int32, why error, after time.Duration, now int64) {
	c := &w.clients[i]
	w.tally.counts.Refused++
	w.tally.say(fmt.Errorf("a handshake with %s: %w", w.o.Targets[c.target].Addr, why))
	w.endHandshake(i)
	w.hangUp(i, nil, nil)
	w.elsewhere(i, now)
	w.comeBack(i, int64(after), now)
	c.tries = min(c.tries+1, 255-1)
}

// elsewhere makes client i try another target next time, one drawn at random
// that is not known to be down if there is one: the clients of a target that is
// gone spread over all others, as behind a balancer.
func (w *worker) elsewhere(i int32, now int64) {
	c := &w.clients[i]
	if others := len(w.targets) - 1; others > 1 {
		c.target = uint16((int(c.target) + w.random.IntN(others)) % len(w.targets))
	}
	for range w.targets {
		c.target = uint16((int(c.target) + 1) % len(w.targets))
		if now >= w.targets[c.target].downUntil {
			return
		}
	}
}

// forgotten is called when the server does not know the session of client i any
// more: it begins a new one. Its events were lost with it.
func (w *worker) forgotten(i int32, now int64) {
	c := &w.clients[i]
	w.tally.counts.Gone++
	w.ids.drop(c.session)
	w.ids.drop(c.event)
	c.session, c.event = place{}, place{}
	delete(w.missed, i)
	w.joins(i)
	if c.state == up {
		w.closed(i, now, &w.tally.counts.Resets, errors.New("the session is gone"))
		return
	}
	w.endHandshake(i)
	w.hangUp(i, nil, nil)
	w.comeBack(i, 0, now)
}

// initialized takes the answer to a step of a session's beginning.
func (w *worker) initialized(k int32, r *wire.Response, now int64) {
	call := &w.calls.list[k]
	i := call.client
	c := &w.clients[i]
	if call.kind == kindInitialized {
		if r.Status != http.StatusAccepted && r.Status != http.StatusOK && r.Status != http.StatusNoContent {
			w.refuse(i, statusError("notifications/initialized", r), r.After, now)
			return
		}
		if call.kind = kindHandshake; w.o.NoStream {
			w.arrived(i, now)
		} else {
			w.dial(i, now)
		}
		return
	}
	if r.Status != http.StatusOK {
		w.refuse(i, statusError("initialize", r), r.After, now)
		return
	}
	if err := checkInitialize(r); err != nil {
		w.refuse(i, err, 0, now)
		return
	}
	c.session = w.ids.put(c.session, []byte(r.Session))
	call.kind = kindInitialized
	w.dispatch(k, now)
}

// checkInitialize wants the revision that was asked for. A server need not keep
// sessions: then its clients have no id to send.
func checkInitialize(r *wire.Response) error {
	message, err := r.Message()
	if err != nil {
		return fmt.Errorf("initialize: %w", err)
	}
	m, err := wire.ParseReply(message, handshakeID)
	if err != nil {
		return fmt.Errorf("initialize: %w", err)
	}
	var result struct {
		ProtocolVersion string `json:"protocolVersion"`
	}
	err = json.Unmarshal(m.Result, &result)
	switch {
	case err != nil:
		return fmt.Errorf("initialize: %w", err)
	case "mcp-"+result.ProtocolVersion != string(Sessions):
		return fmt.Errorf("initialize: the server speaks revision %q, asked was 2025-11-25", result.ProtocolVersion)
	case len(r.Session) > arenaLongest:
		return fmt.Errorf("initialize: a session id of %d bytes", len(r.Session))
	}
	return nil
}

// statusError says what was answered instead of success.
func statusError(what string, r *wire.Response) error {
	return fmt.Errorf("%s: HTTP status %d: %s", what, r.Status, wire.Clip(bytes.TrimSpace(r.Body)))
}
