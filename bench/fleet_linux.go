package bench

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// handshakesMax bounds the handshakes under way: a listen backlog of 4,096
// never overflows, and a slow server is not asked for everything at once.
const handshakesMax = 256

// poolSize is how many keep-alive connections carry the POSTs of sessions
// whose own connections hold streams.
const poolSize = 32

// fleet is the clients of one server: idle ones by kind, and callers.
type fleet struct {
	*client
	target  Target
	idle    map[Kind][]*conn
	callers []*caller
}

func newFleet(t Target) (*fleet, error) {
	c, err := newClient(t.Addr)
	if err != nil {
		return nil, err
	}
	return &fleet{client: c, target: t, idle: map[Kind][]*conn{}}, nil
}

// opening brings the number of a kind's clients up to want.
type opening struct {
	fleet   *fleet
	kind    Kind
	want    int
	started int
	flying  int // started, not settled
	pool    *pool
	settled []*conn
}

// open adds clients of kind until there are count of them and calls progress
// now and then. It returns how long that took, from the first connect to the
// last completed handshake. ctx bounds it in time.
func (f *fleet) open(ctx context.Context, kind Kind, count int, progress func(done int)) (time.Duration, error) {
	if kind == Caller {
		return f.openCallers(ctx, count)
	}
	have := len(f.idle[kind])
	o := &opening{fleet: f, kind: kind, want: count - have}
	o.pool = &pool{client: f.client, size: poolSize, give: o.initialize, more: o.unstarted}
	start := time.Now()
	reported := start
	err := f.run(ctx, func() (time.Duration, bool, error) {
		if now := time.Now(); now.Sub(reported) >= 100*time.Millisecond {
			reported = now
			progress(have + len(o.settled))
		}
		return tick, len(o.settled) >= o.want, o.start()
	})
	took := time.Since(start)
	f.idle[kind] = append(f.idle[kind], o.settled...)
	if err != nil {
		return took, o.explain(err, took)
	}
	o.pool.close()
	return took, f.intact()
}

func (o *opening) explain(err error, took time.Duration) error {
	if !errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("bench: %s client %d of %d: %w", o.kind, len(o.settled)+1, o.want, err)
	}
	return fmt.Errorf("bench: only %d of %d %s clients in %v, %d handshakes under way: "+
		"the server is slow or stuck (see its log and its /debug/pprof/goroutine), or give it longer with --timeout",
		len(o.settled), o.want, o.kind, took.Round(time.Millisecond), o.flying)
}

func (o *opening) unstarted() bool { return o.started < o.want && o.flying < handshakesMax }

// start begins handshakes up to the bounds.
func (o *opening) start() error {
	if o.kind.pooled() {
		return o.pool.staff()
	}
	for o.unstarted() {
		o.started++
		o.flying++
		if _, err := o.fleet.client.open(o.conversation()); err != nil {
			return err
		}
	}
	return nil
}

// settle is called when k has heard all it had to hear; from then on h is its
// handler.
func (o *opening) settle(k *conn, h handler) {
	k.h = h
	o.flying--
	o.settled = append(o.settled, k)
}

// conversation returns the handler of a new client's first words.
func (o *opening) conversation() handler {
	t := &o.fleet.target
	switch o.kind {
	case TCP:
		return &lineTalk{opening: o, verify: t.echoVerifier()}
	case Session:
		return &lineTalk{opening: o}
	case Listen:
		return &streamTalk{opening: o, request: t.post(listenCall(1), listenHeaders), first: verifyListen}
	case Watch:
		return &streamTalk{opening: o, request: t.post(watchCall(1), listenHeaders), first: verifyListen}
	default:
		return &streamTalk{opening: o, request: t.get("")}
	}
}

// initialize makes a session on a pooled connection and then the connection
// that the client keeps.
func (o *opening) initialize(k *caller, release func(*caller)) {
	number := len(o.fleet.idle[o.kind]) + o.started
	o.started++
	o.flying++
	t := &o.fleet.target
	switch o.kind {
	case Waiting:
		k.initialize(t, capsElicit, func(k *caller, session string) error {
			release(k)
			return o.attach(session, newWaiter(o, session))
		})
	case SharedEvents, OwnEvents:
		k.initialize(t, capsNone, func(k *caller, session string) error {
			o.retain(k, release, session, number)
			return nil
		})
	default:
		k.initialize(t, capsNone, func(k *caller, session string) error {
			release(k)
			return o.attach(session, &streamTalk{opening: o, request: t.get(ofSession(session))})
		})
	}
}

// attach opens the connection of a session's client.
func (o *opening) attach(session string, h handler) error {
	k, err := o.fleet.client.open(h)
	if err != nil {
		return err
	}
	k.session = session
	return nil
}

// openCallers brings the number of callers up to count.
func (f *fleet) openCallers(ctx context.Context, count int) (time.Duration, error) {
	ready := len(f.callers)
	start := time.Now()
	for len(f.callers) < count {
		k, err := newCaller(f.client)
		if err != nil {
			return time.Since(start), err
		}
		f.callers = append(f.callers, k)
		k.initialize(&f.target, capsNone, func(k *caller, session string) error {
			k.conn.session = session
			ready++
			return nil
		})
	}
	err := f.run(ctx, func() (time.Duration, bool, error) { return tick, ready >= count, nil })
	if err != nil {
		err = fmt.Errorf("bench: %d of %d callers: %w", ready, count, err)
	}
	return time.Since(start), err
}

// shut ends the clients of kind.
func (f *fleet) shut(kind Kind) {
	if kind == Caller {
		for _, k := range f.callers {
			f.drop(k.conn)
		}
		f.callers = nil
		return
	}
	for _, k := range f.idle[kind] {
		f.drop(k)
	}
	delete(f.idle, kind)
}

// rest serves idle connections until wake is ready or ctx ends.
func (f *fleet) rest(ctx context.Context, ready func() bool) error {
	return f.run(ctx, func() (time.Duration, bool, error) { return tick, ready(), nil })
}
