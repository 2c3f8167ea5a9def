package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/rookery-server/rookery/bench/wire"
)

// touchCall marks a resource of the demo app as changed.
func touchCall(id int, uri string) []byte {
	return rpcCall(id, "tools/call", `{`+statelessMeta+`,"name":"touch","arguments":{"uri":"`+uri+`"}}`)
}

// verifyTouch wants the answer to touch request id to say how many streams
// were told.
func verifyTouch(message []byte, id, notified int) error {
	r, err := wire.ParseReply(message, id)
	if err != nil {
		return err
	}
	var result struct {
		Touched *struct {
			Notified int `json:"notified"`
		} `json:"structuredContent"`
	}
	if err := json.Unmarshal(r.Result, &result); err != nil || result.Touched == nil {
		return fmt.Errorf("reply %q does not say who was notified", wire.Clip(message))
	}
	if got := result.Touched.Notified; got != notified {
		return fmt.Errorf("a change reached %d streams, not %d", got, notified)
	}
	return nil
}

// subscribe lets a session subscribe to uri and then runs then.
func (o *opening) subscribe(k *caller, session, uri string, then func(*caller) error) {
	const id = 2
	call := rpcCall(id, "resources/subscribe", `{"uri":"`+uri+`"}`)
	k.call(o.fleet.target.post(call, ofSession(session)), func(k *caller) error {
		message, err := k.response.Message()
		if err == nil {
			_, err = wire.ParseReply(message, id)
		}
		if err != nil {
			return fmt.Errorf("resources/subscribe: %w", err)
		}
		return then(k)
	})
}

// prepare touches uri, to which nobody listens yet, and then runs then: the
// demo app has made room for the resource when memory is measured.
func (o *opening) prepare(k *caller, uri string, then func(*caller)) {
	const id = 2
	k.call(o.fleet.target.post(touchCall(id, uri), touchHeaders), func(k *caller) error {
		message, err := k.response.Message()
		if err == nil {
			err = verifyTouch(message, id, 0)
		}
		if err != nil {
			return fmt.Errorf("touch: %w", err)
		}
		then(k)
		return nil
	})
}

// retain opens the stream of a session that listens to the resource of the
// number-th client.
func (o *opening) retain(k *caller, release func(*caller), session string, number int) {
	uri := eventURI(o.kind, number)
	subscribe := func(k *caller) {
		o.subscribe(k, session, uri, func(k *caller) error {
			release(k)
			request := o.fleet.target.get(ofSession(session))
			return o.attach(session, &retainer{opening: o, request: request, uri: uri})
		})
	}
	if o.kind == OwnEvents {
		o.prepare(k, uri, subscribe)
	} else {
		subscribe(k)
	}
}

// retainer is the handler of a session's event stream that counts the changes
// of one resource.
type retainer struct {
	opening  *opening
	request  []byte
	uri      string
	response wire.Response
	settled  bool
	heard    int
	round    *publishing // nil: nothing is published
}

func (r *retainer) connected(k *conn) error {
	k.send(r.request)
	r.request = nil
	return nil
}

func (r *retainer) received(k *conn, in []byte) (int, error) {
	n, err := r.response.Feed(in)
	if err != nil || !r.response.Head {
		return n, err
	}
	if r.settled && r.response.Done {
		return n, k.client.end(k, errStreamOver)
	}
	if !r.settled {
		if s := &r.response; s.Status != http.StatusOK || !s.Events || s.Done {
			return n, fmt.Errorf("HTTP status %d and no open event stream: %s", s.Status, wire.Clip(bytes.TrimSpace(s.Body)))
		}
		r.settled = true
		r.opening.settle(k, r)
	}
	return n, r.count()
}

var errStreamOver = errors.New("the response that is a stream is complete")

var eventEnd = []byte("\n\n")

// count takes the complete events of the response.
func (r *retainer) count() error {
	body := r.response.Body
	end := bytes.LastIndex(body, eventEnd)
	if end < 0 {
		return nil
	}
	end += len(eventEnd)
	for message := range wire.EventData(body[:end]) {
		var m struct {
			Method string
			Params struct{ URI string }
		}
		if err := json.Unmarshal(message, &m); err != nil || m.Params.URI != r.uri {
			return fmt.Errorf("event %q is no change of %s", wire.Clip(message), r.uri)
		}
		if r.round == nil {
			return fmt.Errorf("event %q though nothing was published", wire.Clip(message))
		}
		r.heard++
		r.round.heard++
	}
	r.response.Body = append(body[:0], body[end:]...)
	return nil
}

func (r *retainer) closed(k *conn, why error) error {
	switch {
	case !r.settled:
		return endedEarly(why)
	case r.round == nil:
		return idle{}.closed(k, why) // told with the next order
	default:
		return fmt.Errorf("bench: the server ended a stream before its events: %w", why)
	}
}

// publishing is the events of all clients of a kind, one round after another.
type publishing struct {
	fleet    *fleet
	uris     []string // touched in each round
	notified int      // streams that each touch reaches
	called   int      // of uris, in this round
	answered int
	heard    int // in all rounds
}

// publish lets each client of kind hear each changes, and returns how long that
// took.
func (f *fleet) publish(ctx context.Context, kind Kind, each int) (time.Duration, error) {
	clients := f.idle[kind]
	if err := f.intact(); err != nil || len(clients) == 0 {
		return 0, err
	}
	o := &publishing{fleet: f, notified: 1}
	for _, k := range clients {
		r := k.h.(*retainer)
		r.round, r.heard = o, 0
		o.uris = append(o.uris, r.uri)
	}
	if kind == SharedEvents {
		o.uris, o.notified = o.uris[:1], len(clients)
	}
	p := &pool{client: f.client, size: poolSize, give: o.touch, more: func() bool { return o.called < len(o.uris) }}
	start := time.Now()
	for round := range each {
		o.called, o.answered = 0, 0
		want := (round + 1) * len(clients)
		err := f.run(ctx, func() (time.Duration, bool, error) {
			return tick, o.answered == len(o.uris) && o.heard >= want, p.staff()
		})
		if err != nil {
			return 0, fmt.Errorf("bench: round %d of %d: %d of %d events have arrived: %w", round+1, each, o.heard, want, err)
		}
	}
	took := time.Since(start)
	p.close()
	for _, k := range clients {
		r := k.h.(*retainer)
		if r.heard != each {
			return took, fmt.Errorf("bench: a client heard %d events, not %d", r.heard, each)
		}
		r.round = nil
	}
	return took, f.intact()
}

// touch changes the next resource.
func (o *publishing) touch(c *caller, release func(*caller)) {
	id := firstHTTPID + o.called
	uri := o.uris[o.called]
	o.called++
	c.call(o.fleet.target.post(touchCall(id, uri), touchHeaders), func(c *caller) error {
		message, err := c.response.Message()
		if err == nil {
			err = verifyTouch(message, id, o.notified)
		}
		if err != nil {
			return fmt.Errorf("touch: %w", err)
		}
		o.answered++
		release(c)
		return nil
	})
}
