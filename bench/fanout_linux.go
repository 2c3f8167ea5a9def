package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rookery-server/rookery/bench/wire"
)

const (
	touchHeaders = statelessHeader + "Mcp-Method: tools/call\r\nMcp-Name: touch\r\n"
	pingHeaders  = statelessHeader + "Mcp-Method: tools/list\r\n"
)

// updatedNote is how a change reads on the wire, wherever the fields stand.
var updatedNote = []byte(`notifications/resources/updated`)

var errNotKept = errors.New("the server ended a keep-alive connection between calls")

func watchCall(id int) []byte {
	return rpcCall(id, "subscriptions/listen", `{`+statelessMeta+`,"notifications":{"resourceSubscriptions":["`+fanoutURI+`"]}}`)
}

// fanout is one publication to all watchers of a fleet, while a bystander
// keeps asking for something that the loop answers itself.
type fanout struct {
	fleet  *fleet
	heard  int
	start  time.Time
	last   time.Time // when the last watcher heard
	asked  time.Time // when the bystander sent
	result FanoutResult
}

// fanout publishes rounds times and waits each time until every watcher has
// heard. The bystander's latency is of all its calls meanwhile.
func (f *fleet) fanout(ctx context.Context, rounds int) (FanoutResult, error) {
	o := &fanout{fleet: f, result: FanoutResult{Clients: len(f.idle[Watch])}}
	latency := newHistogram()
	publisher, err := newCaller(f.client)
	if err != nil {
		return o.result, err
	}
	defer f.drop(publisher.conn)
	bystander, err := newCaller(f.client)
	if err != nil {
		return o.result, err
	}
	defer f.drop(bystander.conn)
	var took []float64
	for round := range rounds {
		o.begin(publisher, firstHTTPID+round)
		err := f.run(ctx, func() (time.Duration, bool, error) {
			if !f.holds(bystander.conn) || !f.holds(publisher.conn) {
				return 0, false, errNotKept
			}
			if bystander.done == nil {
				o.ask(bystander, func(d time.Duration) error { return latency.RecordValue(int64(min(d, latencyMax))) })
			}
			return tick, o.heard == o.result.Clients && publisher.done == nil, nil
		})
		if err != nil {
			return o.result, fmt.Errorf("bench: fan-out: %d of %d clients have heard: %w", o.heard, o.result.Clients, err)
		}
		took = append(took, float64(o.last.Sub(o.start)))
	}
	o.result.Took, o.result.Bystander = spreadOf(took), latencyOf(latency)
	return o.result, f.intact()
}

// begin publishes: every watcher is to hear of it once.
func (o *fanout) begin(publisher *caller, id int) {
	o.heard, o.start = 0, time.Now()
	for _, k := range o.fleet.idle[Watch] {
		k.h = watching{o}
	}
	publisher.call(o.fleet.target.post(touchCall(id, fanoutURI), touchHeaders), func(k *caller) error {
		message, err := k.response.Message()
		if err != nil {
			return fmt.Errorf("touch: %w", err)
		}
		_, err = wire.ParseReply(message, id)
		return err
	})
}

// ask lets the bystander make one call.
func (o *fanout) ask(k *caller, record func(time.Duration) error) {
	const id = firstHTTPID
	o.asked = time.Now()
	list := rpcCall(id, "tools/list", `{`+statelessMeta+`}`)
	k.call(o.fleet.target.post(list, pingHeaders), func(k *caller) error {
		message, err := k.response.Message()
		if err != nil {
			return fmt.Errorf("tools/list: %w", err)
		}
		if _, err := wire.ParseReply(message, id); err != nil {
			return err
		}
		return record(time.Since(o.asked))
	})
}

// watching is the handler of a client that waits for one change.
type watching struct{ o *fanout }

func (watching) connected(*conn) error { return nil }

func (w watching) received(k *conn, in []byte) (int, error) {
	if !bytes.Contains(in, updatedNote) || !bytes.Contains(in, []byte(fanoutURI)) {
		if len(in) > wire.HeadMax {
			return 0, fmt.Errorf("%q is no change of %s", wire.Clip(in), fanoutURI)
		}
		return 0, nil // the rest of the event is on its way
	}
	w.o.heard++
	w.o.last = time.Now()
	k.h = idle{}
	return len(in), nil
}

func (watching) closed(_ *conn, why error) error {
	return fmt.Errorf("bench: the server ended a stream before its event: %w", why)
}
