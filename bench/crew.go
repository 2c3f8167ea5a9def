package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/rookery-server/rookery/bench/wire"
)

// crew is the orchestrator's end of a worker process.
type crew struct {
	process *process
	timeout time.Duration // of one order
}

// hireCrew starts a worker. self is the command that has the hidden
// subcommands.
func hireCrew(self []string, timeout time.Duration) (*crew, error) {
	p, err := startProcess(append(self[:len(self):len(self)], workerCommand))
	if err != nil {
		return nil, err
	}
	return &crew{process: p, timeout: timeout}, nil
}

// yielding returns self at a lower scheduling priority: its threads give way
// to those of a server on the same processors, as clients on machines of their
// own would.
func yielding(self []string) []string {
	return append([]string{"nice", "-n", "10"}, self...)
}

func (c *crew) stop() error { return c.process.stop() }

// do sends o and waits for its answer. progress may be nil.
func (c *crew) do(ctx context.Context, o order, progress func(done int)) (answer, error) {
	o.Timeout = c.timeout
	line, err := json.Marshal(o)
	if err != nil {
		return answer{}, err
	}
	if _, err := c.process.Write(append(line, '\n')); err != nil {
		return answer{}, fmt.Errorf("bench: the client process does not listen%s", c.process.Said())
	}
	for {
		line, err := c.process.line(ctx)
		if err != nil {
			return answer{}, fmt.Errorf("bench: the client process: %w", err)
		}
		var a answer
		if err := json.Unmarshal(line, &a); err != nil {
			return answer{}, fmt.Errorf("bench: the client process said %q: %w", wire.Clip(line), err)
		}
		if a.Final {
			if a.Error != "" {
				return a, errors.New(a.Error)
			}
			return a, nil
		}
		if progress != nil {
			progress(a.Done)
		}
	}
}

// open brings the clients of kind up to count and returns how long it took.
func (c *crew) open(ctx context.Context, t Target, kind Kind, count int, progress func(done int)) (time.Duration, error) {
	a, err := c.do(ctx, order{Op: opOpen, Target: t, Kind: kind, Count: count}, progress)
	return a.Took, err
}

func (c *crew) burst(ctx context.Context, t Target, kind Kind) (BurstResult, error) {
	a, err := c.do(ctx, order{Op: opBurst, Target: t, Kind: kind}, nil)
	if err != nil {
		return BurstResult{}, err
	}
	return *a.Burst, nil
}

func (c *crew) load(ctx context.Context, t Target, l LoadOrder) (LoadResult, error) {
	a, err := c.do(ctx, order{Op: opLoad, Target: t, Kind: l.Kind, Load: &l}, nil)
	if err != nil {
		return LoadResult{}, err
	}
	return *a.Load, nil
}

func (c *crew) fanout(ctx context.Context, t Target, rounds int) (FanoutResult, error) {
	a, err := c.do(ctx, order{Op: opFan, Target: t, Kind: Watch, Count: rounds}, nil)
	if err != nil {
		return FanoutResult{}, err
	}
	return *a.Fan, nil
}

// reply answers all questions that clients of Waiting were asked.
func (c *crew) reply(ctx context.Context, t Target) (BurstResult, error) {
	a, err := c.do(ctx, order{Op: opReply, Target: t, Kind: Waiting}, nil)
	if err != nil {
		return BurstResult{}, err
	}
	return *a.Burst, nil
}

// keep publishes each events to each client of kind and returns how long that
// took.
func (c *crew) keep(ctx context.Context, t Target, kind Kind, each int) (time.Duration, error) {
	a, err := c.do(ctx, order{Op: opKeep, Target: t, Kind: kind, Count: each}, nil)
	return a.Took, err
}

// order sends an order that has no result but its success.
func (c *crew) order(ctx context.Context, o op, t Target, kind Kind) error {
	_, err := c.do(ctx, order{Op: o, Target: t, Kind: kind}, nil)
	return err
}
