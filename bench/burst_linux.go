package bench

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// burstPool is how many connections carry the calls of clients whose own
// connections hold streams.
const burstPool = 256

// burst lets every idle client of a kind speak at once.
type burst struct {
	fleet     *fleet
	kind      Kind
	clients   []*conn
	called    int // of the clients of streams
	answered  int
	start     time.Time
	histogram *hdrhistogram.Histogram
}

// burst makes each client of kind ask one question of its own and verifies
// each answer. Clients that speak lines ask on their own connection, before
// any reply is read; those that hold a stream ask over pooled connections.
func (f *fleet) burst(ctx context.Context, kind Kind) (BurstResult, error) {
	b := &burst{fleet: f, kind: kind, clients: f.idle[kind], histogram: newHistogram(), start: time.Now()}
	p := &pool{client: f.client, size: burstPool, give: b.call, more: func() bool { return b.called < len(b.clients) }}
	if kind.lines() {
		b.shout()
		p.more = func() bool { return false }
	}
	err := f.run(ctx, func() (time.Duration, bool, error) {
		return tick, b.answered == len(b.clients), p.staff()
	})
	if err != nil {
		return BurstResult{}, fmt.Errorf("bench: burst: %d of %d %s clients were answered: %w", b.answered, len(b.clients), kind, err)
	}
	p.close()
	return BurstResult{Clients: b.answered, Took: time.Since(b.start), Latency: latencyOf(b.histogram)}, f.intact()
}

// shout writes the questions of all clients that speak lines.
func (b *burst) shout() {
	for _, k := range b.clients {
		k.h = &question{burst: b, sent: time.Now()}
		k.send(append(b.message(k.number, ""), '\n'))
	}
}

func (b *burst) tag(number int) string { return "burst " + strconv.Itoa(number) }

func (b *burst) message(number int, meta string) []byte {
	if b.kind == TCP {
		return echoCall(number, "echo", b.tag(number))
	}
	return toolCall(number, meta, b.tag(number))
}

func (b *burst) check(message []byte, number int, sent time.Time) error {
	verify := verifyTool
	if b.kind == TCP {
		verify = b.fleet.target.echoVerifier()
	}
	if err := verify(message, number, b.tag(number)); err != nil {
		return err
	}
	b.answered++
	return b.histogram.RecordValue(int64(min(time.Since(sent), latencyMax)))
}

// call asks the question of the next client that holds a stream.
func (b *burst) call(c *caller, release func(*caller)) {
	k := b.clients[b.called]
	b.called++
	headers, meta := callHeaders, statelessMeta+","
	if b.kind == Stream {
		headers, meta = ofSession(k.session), ""
	}
	sent := time.Now()
	c.call(b.fleet.target.post(b.message(k.number, meta), headers), func(c *caller) error {
		message, err := c.response.Message()
		if err != nil {
			return err
		}
		release(c)
		return b.check(message, k.number, sent)
	})
}

// question is the handler of a client that waits for its answer.
type question struct {
	burst *burst
	sent  time.Time
}

func (q *question) connected(*conn) error { return nil }

func (q *question) received(k *conn, in []byte) (int, error) {
	line, ok, err := firstLine(in)
	if err != nil || !ok {
		return 0, err
	}
	if err := q.burst.check(line, k.number, q.sent); err != nil {
		return 0, err
	}
	k.h = idle{}
	return len(line) + 1, nil
}

func (q *question) closed(_ *conn, why error) error {
	return fmt.Errorf("bench: the server ended a connection before its answer: %w", why)
}
