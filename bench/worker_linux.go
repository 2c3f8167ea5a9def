package bench

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// errParentGone ends what a worker is doing when its orders stop coming.
var errParentGone = errors.New("bench: the orchestrator has gone")

// worker executes orders on a fleet of clients.
type worker struct {
	fleet *fleet // nil before the first order and after leave
	out   *json.Encoder
}

// work reads orders from in and answers on out until in ends or ctx does. It
// is the body of the worker process; in must be closed or at its end when it
// returns, for one goroutine reads it.
func work(ctx context.Context, in io.Reader, out io.Writer) error {
	ctx, cancel := context.WithCancelCause(ctx)
	orders := make(chan order)
	go func() {
		defer close(orders)
		cancel(readOrders(ctx, in, orders))
	}()
	w := &worker{out: json.NewEncoder(out)}
	defer w.leave()
	for {
		o, err := w.next(ctx, orders)
		if errors.Is(err, errParentGone) {
			return nil
		}
		if err != nil {
			return err
		}
		a := w.do(ctx, o)
		a.Final = true
		if err := w.out.Encode(a); err != nil {
			return err
		}
	}
}

func readOrders(ctx context.Context, in io.Reader, orders chan<- order) error {
	decoder := json.NewDecoder(bufio.NewReader(in))
	for {
		var o order
		err := decoder.Decode(&o)
		if errors.Is(err, io.EOF) {
			return errParentGone
		}
		if err != nil {
			return fmt.Errorf("bench: an order: %w", err)
		}
		select {
		case orders <- o:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// next waits for an order and serves idle clients meanwhile.
func (w *worker) next(ctx context.Context, orders <-chan order) (order, error) {
	if w.fleet == nil {
		select {
		case o, ok := <-orders:
			if ok {
				return o, nil
			}
		case <-ctx.Done():
		}
		return order{}, context.Cause(ctx)
	}
	var o order
	err := w.fleet.rest(ctx, func() (ok bool) {
		select {
		case o, ok = <-orders:
		default:
		}
		return ok
	})
	return o, err
}

func (w *worker) do(ctx context.Context, o order) answer {
	ctx, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()
	a, err := w.try(ctx, o)
	if err != nil {
		a.Error = err.Error()
	}
	return a
}

func (w *worker) try(ctx context.Context, o order) (a answer, err error) {
	if err := w.visit(o.Target); err != nil {
		return a, err
	}
	switch o.Op {
	case opOpen:
		if err := o.Kind.check(); err != nil {
			return a, err
		}
		a.Took, err = w.fleet.open(ctx, o.Kind, o.Count, w.progress)
	case opBurst:
		var r BurstResult
		r, err = w.fleet.burst(ctx, o.Kind)
		a.Burst = &r
	case opLoad:
		var r LoadResult
		r, err = w.fleet.load(ctx, *o.Load)
		a.Load = &r
	case opFan:
		var r FanoutResult
		r, err = w.fleet.fanout(ctx, o.Count)
		a.Fan = &r
	case opReply:
		var r BurstResult
		r, err = w.fleet.reply(ctx)
		a.Burst = &r
	case opKeep:
		a.Took, err = w.fleet.publish(ctx, o.Kind, o.Count)
	case opShut:
		w.fleet.shut(o.Kind)
	case opLeave:
		w.leave()
	case opCheck:
		err = w.fleet.intact()
	default:
		err = fmt.Errorf("bench: a worker cannot %q", o.Op)
	}
	return a, err
}

// progress tells the orchestrator how far an opening is. A failure to write is
// found by the answer that follows.
func (w *worker) progress(done int) { _ = w.out.Encode(answer{Done: done}) }

// visit makes sure that the fleet belongs to t.
func (w *worker) visit(t Target) error {
	if w.fleet != nil && w.fleet.target == t {
		return nil
	}
	w.leave()
	f, err := newFleet(t)
	if err != nil {
		return err
	}
	w.fleet = f
	return nil
}

func (w *worker) leave() {
	if w.fleet != nil {
		w.fleet.close()
		w.fleet = nil
	}
}
