package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/rookery-server/rookery/bench/wire"
)

var confirmCall = rpcCall(confirmID, "tools/call", `{"name":"confirm","arguments":{"text":"Are you there?"}}`)

var errTwice = errors.New("a second question to a client that was asked one")

// waiter is the handler of a client whose call waits for its user. The
// question comes on the response to the call, which then stays open; the
// result comes on it too, after the answer.
type waiter struct {
	opening  *opening
	request  []byte
	response wire.Response
	seen     int             // messages of the response
	question json.RawMessage // id; nil: not asked yet
	replies  *replies        // nil: not answered yet
	sent     time.Time       // the answer
}

func newWaiter(o *opening, session string) *waiter {
	return &waiter{opening: o, request: o.fleet.target.post(confirmCall, ofSession(session))}
}

func (w *waiter) connected(k *conn) error {
	k.send(w.request)
	w.request = nil
	return nil
}

func (w *waiter) received(k *conn, in []byte) (int, error) {
	n, err := w.response.Feed(in)
	if err != nil {
		return n, err
	}
	if w.response.Done {
		return n, w.finished(k)
	}
	i := 0
	for message := range wire.EventData(w.response.Body) {
		if i++; i <= w.seen {
			continue
		}
		w.seen = i
		if err := w.heard(k, message); err != nil {
			return n, err
		}
	}
	return n, nil
}

// heard takes a message that is not the last of the response.
func (w *waiter) heard(k *conn, message []byte) error {
	var r wire.Message
	if err := json.Unmarshal(message, &r); err != nil {
		return fmt.Errorf("event %q: %w", wire.Clip(message), err)
	}
	if r.Method != "elicitation/create" {
		return nil // the result, whose end is on its way
	}
	if w.question != nil {
		return errTwice
	}
	w.question = r.ID
	w.opening.settle(k, w)
	return nil
}

// finished takes the complete response.
func (w *waiter) finished(k *conn) error {
	message, err := w.response.Message()
	if err != nil {
		return err
	}
	if w.replies == nil {
		return fmt.Errorf("confirm ended before an answer: %q", wire.Clip(message))
	}
	k.h = idle{}
	return w.replies.check(message, w.sent)
}

func (w *waiter) closed(k *conn, why error) error {
	switch {
	case w.question == nil:
		return endedEarly(why)
	case w.replies == nil:
		return idle{}.closed(k, why) // told with the next order
	default:
		return fmt.Errorf("bench: the server ended a connection before the result of its call: %w", why)
	}
}

// replies are the answers of all waiting clients.
type replies struct {
	fleet     *fleet
	clients   []*conn
	given     int // answers sent
	accepted  int // answers taken by the server
	done      int // calls that ended as they should
	histogram *hdrhistogram.Histogram
}

// reply answers the question of every waiting client, over pooled connections,
// and waits until each has the result of its call. The latency is from the
// answer to the result.
func (f *fleet) reply(ctx context.Context) (BurstResult, error) {
	r := &replies{fleet: f, clients: f.idle[Waiting], histogram: newHistogram()}
	if err := f.intact(); err != nil {
		return BurstResult{}, err
	}
	p := &pool{client: f.client, size: burstPool, give: r.answer, more: func() bool { return r.given < len(r.clients) }}
	start := time.Now()
	err := f.run(ctx, func() (time.Duration, bool, error) {
		return tick, r.done == len(r.clients) && r.accepted == len(r.clients), p.staff()
	})
	if err != nil {
		return BurstResult{}, fmt.Errorf("bench: %d of %d waiting calls have ended: %w", r.done, len(r.clients), err)
	}
	took := time.Since(start)
	p.close()
	return BurstResult{Clients: r.done, Took: took, Latency: latencyOf(r.histogram)}, f.intact()
}

// answer answers the question of the next client.
func (r *replies) answer(c *caller, release func(*caller)) {
	k := r.clients[r.given]
	r.given++
	w := k.h.(*waiter)
	w.replies, w.sent = r, time.Now()
	body := fmt.Appendf(nil, `{"jsonrpc":"2.0","id":%s,"result":{"action":"accept","content":{"sure":true}}}`, w.question)
	c.call(r.fleet.target.post(body, ofSession(k.session)), func(c *caller) error {
		if err := c.accepted(); err != nil {
			return err
		}
		r.accepted++
		release(c)
		return nil
	})
}

// check verifies the result of a call.
func (r *replies) check(message []byte, sent time.Time) error {
	reply, err := wire.ParseReply(message, confirmID)
	if err != nil {
		return err
	}
	var result struct {
		Said struct {
			Action string `json:"action"`
			Sure   bool   `json:"sure"`
		} `json:"structuredContent"`
	}
	if err := json.Unmarshal(reply.Result, &result); err != nil {
		return fmt.Errorf("reply %q: %w", wire.Clip(message), err)
	}
	if result.Said.Action != "accept" || !result.Said.Sure {
		return fmt.Errorf("reply %q does not say what the user did", wire.Clip(message))
	}
	r.done++
	return r.histogram.RecordValue(int64(min(time.Since(sent), latencyMax)))
}
