package demo

import (
	"context"
	"time"

	"github.com/rookery-server/rookery/codec"
	"github.com/rookery-server/rookery/server"
)

// waitMax bounds what method wait waits, in milliseconds.
const waitMax = 60_000

// waitIn is the params of method wait.
type waitIn struct {
	MS int `json:"ms"`
}

// waited is its result.
type waited struct {
	Waited int `json:"waited"` // milliseconds
}

// wait answers after in.MS milliseconds. It shows what a handler does that
// waits for something else than the processor: it leaves the count of workers
// meanwhile, lets later requests of the connection be worked on, and ends with
// its context, that is, when the client cancels or leaves or the server stops.
func wait(ctx context.Context, in waitIn) (waited, error) {
	if in.MS < 0 || in.MS > waitMax {
		return waited{}, &codec.Error{Code: codec.CodeInvalidParams, Message: "ms must be 0 to 60000"}
	}
	c := server.CallFrom(ctx)
	if err := c.Leave(true); err != nil {
		return waited{}, err
	}
	defer c.Return()
	timer := time.NewTimer(time.Duration(in.MS) * time.Millisecond)
	defer timer.Stop()
	select {
	case <-timer.C:
		return waited{Waited: in.MS}, nil
	case <-ctx.Done():
		return waited{}, context.Cause(ctx)
	}
}
