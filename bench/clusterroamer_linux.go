package bench

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"

	"github.com/rookery-server/rookery/bench/wire"
)

// roamer is a client of a cluster: it holds a session's stream at one node and,
// when that breaks, resumes it at another, with the id of its session and of
// the last event it heard.
type roamer struct {
	herd     *herd
	node     int
	session  string
	listens  bool            // a stream without a session, which is not resumed
	last     uint64          // number of the latest event heard
	missed   map[uint64]bool // numbers below last that were not heard
	event    []byte          // id of the last event
	request  []byte
	response wire.Response
	up       bool
	gone     bool      // the cluster says that there is no such session
	next     time.Time // when it tries again
	served   time.Time // when its stream was open again after it broke
	opened   func()    // once, when the stream is open for the first time

	heard, doubled, early int
}

// attach opens the stream at a node.
func (r *roamer) attach(node int) error {
	headers := ofSession(r.session)
	if len(r.event) > 0 {
		headers += "Last-Event-ID: " + string(r.event) + "\r\n"
	}
	r.node, r.request = node, r.herd.nodes[node].get(headers)
	r.response = wire.Response{}
	_, err := r.herd.dial(node, r)
	return err
}

// elsewhere returns another node than the last one.
func (r *roamer) elsewhere() int {
	n := len(r.herd.nodes)
	if n == 1 {
		return 0
	}
	return (r.node + 1 + rand.IntN(n-1)) % n
}

func (r *roamer) connected(k *conn) error {
	k.send(r.request)
	r.request = nil
	return nil
}

func (r *roamer) received(k *conn, in []byte) (int, error) {
	chunked, rests := r.response.Resting()
	rests = rests && r.up
	known := &r.herd.known
	if rests && known.is(r, chunked, in) {
		r.event = append(r.event[:0], known.id...)
		r.count(known.number)
		return len(in), nil
	}
	heard := r.heard
	n, err := r.parse(k, in)
	if err != nil || !rests || n != len(in) || r.heard != heard+1 {
		return n, err
	}
	if now, still := r.response.Resting(); still && now == chunked {
		*known = knownEvent{append(known.bytes[:0], in...), append(known.id[:0], r.event...), r.herd.said, r.listens, chunked}
	}
	return n, nil
}

// knownEvent is what a client at rest was sent that was one event, and what came
// of reading it. Another one that is sent the same bytes at rest need not read
// them once more: they say the same.
type knownEvent struct {
	bytes, id        []byte
	number           uint64
	listens, chunked bool
}

func (e *knownEvent) is(r *roamer, chunked bool, in []byte) bool {
	return e.listens == r.listens && e.chunked == chunked && len(in) > 0 && bytes.Equal(e.bytes, in)
}

// parse reads what came of the response.
func (r *roamer) parse(k *conn, in []byte) (int, error) {
	n, err := r.response.Feed(in)
	if err != nil {
		return n, err
	}
	if !r.response.Head {
		return n, nil
	}
	if !r.up && r.response.Status != http.StatusOK {
		return n, r.refused(k)
	}
	if err := r.take(); err != nil {
		return n, err
	}
	if !r.up && (!r.listens || r.heard > 0) {
		r.open()
	}
	if r.response.Done {
		return n, k.client.end(k, errStreamOver)
	}
	return n, nil
}

// open notes that the stream is there.
func (r *roamer) open() {
	r.up = true
	r.herd.missing--
	if r.opened != nil {
		r.opened()
		r.opened = nil
		if r.listens {
			r.heard = 0 // the acknowledgement is no event
		}
	} else {
		r.served = time.Now()
	}
}

// refused takes an answer that is no stream: a session that is not known is
// gone, anything else is tried again when the answer says.
func (r *roamer) refused(k *conn) error {
	s := &r.response
	if !s.Done {
		return nil
	}
	status, after := s.Status, s.After
	body := string(wire.Clip(bytes.TrimSpace(s.Body)))
	r.herd.drop(k)
	switch {
	case r.opened != nil:
		return fmt.Errorf("a session's first stream: HTTP status %d: %s", status, body)
	case status == http.StatusNotFound:
		r.gone = true
		r.herd.gone++
		r.herd.missing--
	default:
		r.herd.turned++
		r.herd.later(r, max(after, returnAgain))
	}
	return nil
}

func (r *roamer) closed(_ *conn, why error) error {
	switch {
	case r.listens:
		return fmt.Errorf("bench: a listen stream ended: %w", why)
	case r.opened != nil:
		return endedEarly(why)
	case r.up:
		r.up = false
		r.herd.missing++
		r.herd.later(r, 0)
	default: // nobody listens there, or it died meanwhile
		r.herd.later(r, returnAgain)
	}
	return nil
}

// take takes the complete events of the response.
func (r *roamer) take() error {
	body := r.response.Body
	end := bytes.LastIndex(body, eventEnd)
	if end < 0 {
		return nil
	}
	end += len(eventEnd)
	for line := range bytes.Lines(body[:end]) {
		line = bytes.TrimRight(line, "\r\n")
		if id, ok := bytes.CutPrefix(line, []byte("id:")); ok {
			r.event = append(r.event[:0], bytes.TrimSpace(id)...)
		} else if data, ok := bytes.CutPrefix(line, []byte("data:")); ok && len(bytes.TrimSpace(data)) > 0 {
			if err := r.hear(data); err != nil {
				return err
			}
		}
	}
	r.response.Body = append(body[:0], body[end:]...)
	return nil
}

var numberedData = []byte(`"data":"` + announcePrefix)

// hear takes a message. A listen stream counts its changes; a session's carry
// their number.
func (r *roamer) hear(data []byte) error {
	if r.listens {
		r.herd.said = 0
		if r.up && bytes.Contains(data, updatedNote) {
			r.herd.said = 1
		}
		r.count(r.herd.said)
		return nil
	}
	_, rest, ok := bytes.Cut(data, numberedData)
	if !ok {
		return nil // something else, such as the stream's first event
	}
	digits, _, _ := bytes.Cut(rest, []byte(`"`))
	n, err := strconv.ParseUint(string(digits), 10, 64)
	if err != nil {
		return fmt.Errorf("%q has no number", wire.Clip(data))
	}
	r.herd.said = n
	r.count(n)
	return nil
}

// count takes an event: of a session its number, of a listen stream 1 for a change.
func (r *roamer) count(n uint64) {
	r.heard++
	switch {
	case r.listens:
		if n > 0 {
			r.number(r.last + 1)
		}
	case n > r.last:
		r.number(n)
	case r.missed[n]:
		delete(r.missed, n)
		r.early++
		r.note(n)
	default:
		r.doubled++
	}
}

// number takes an event that is later than all before.
func (r *roamer) number(n uint64) {
	for skipped := r.last + 1; skipped < n; skipped++ {
		if r.missed == nil {
			r.missed = map[uint64]bool{}
		}
		r.missed[skipped] = true
	}
	r.last = n
	r.note(n)
}

func (r *roamer) note(n uint64) {
	h := r.herd.hearing(n)
	h.count++
	h.last = time.Now()
}
