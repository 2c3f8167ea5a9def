package mcp

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rookery-server/rookery/codec"
)

func TestTaskCall(t *testing.T) {
	type key struct{}
	synctest.Test(t, func(t *testing.T) {
		b := newTestbed(func(o *Options) {
			o.Middleware = []func(Handler) Handler{func(next Handler) Handler {
				return func(ctx context.Context, c *Call) error { return next(context.WithValue(ctx, key{}, "who"), c) }
			}}
		})
		proceed := make(chan struct{})
		b.addJob(t, "job", TaskPolicy{Support: TaskByHandler}, func(ctx context.Context, c *Call) (*ToolResult, error) {
			_, err := c.AsTask(ctx, func(ctx context.Context, c *Call) (*ToolResult, error) {
				<-proceed // the request is over and its memory used for others
				if string(c.Arguments()) != `{"a":1}` || !strings.Contains(string(c.Params()), `"name":"job"`) {
					return nil, errors.New("the request's memory was not copied: " + string(c.Params()))
				}
				if ctx.Value(key{}) != "who" || !c.OnWorker() || c.Method() != "tools/call" || c.Client() != "" {
					return nil, errors.New("the call lost something")
				}
				if err := c.Notify("notifications/message", map[string]any{}); !errors.Is(err, ErrNoStream) {
					return nil, err
				}
				return c.AsTask(ctx, func(context.Context, *Call) (*ToolResult, error) { return Text("fine"), nil })
			})
			if err != nil {
				return nil, err
			}
			if _, err := c.AsTask(ctx, untilDone); !errors.Is(err, errTaskTwice) {
				t.Errorf("a second task: %v", err)
			}
			return Text("ignored"), nil
		})
		x, e := exchange(1, post(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"job","arguments":{"a":1},`+taskMeta+`}}`,
			"MCP-Protocol-Version: 2026-07-28", "Mcp-Method: tools/call", "Mcp-Name: job"))
		if e != nil {
			t.Fatal(e)
		}
		b.do(x)
		id := taskID.FindStringSubmatch(b.host.take(1))
		clear(x.Msg)
		close(proceed)
		synctest.Wait()
		if got := b.look(t, id[1]); got.Status != "completed" || got.Result.IsError || got.Result.Content[0].Text != "fine" {
			t.Errorf("%+v", got)
		}
	})
}

// A call that was cancelled before its client heard of the task takes the task
// with it.
func TestTaskOfCancelledCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newTestbed(nil)
		b.addJob(t, "job", TaskPolicy{Support: TaskByHandler}, func(ctx context.Context, c *Call) (*ToolResult, error) {
			_, err := c.AsTask(ctx, untilDone)
			<-ctx.Done()
			return nil, err
		})
		x, e := exchange(1, post(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"job",`+taskMeta+`}}`,
			"MCP-Protocol-Version: 2026-07-28", "Mcp-Method: tools/call", "Mcp-Name: job"))
		if e != nil {
			t.Fatal(e)
		}
		go b.do(x)
		synctest.Wait()
		b.disconnect(1)
		synctest.Wait()
		if st := b.Stats().Tasks; st.Cancelled != 1 || st.Running != 0 {
			t.Errorf("%+v", st)
		}
	})
}

func TestTasksEndWithTheServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		base, end := context.WithCancelCause(context.Background())
		b := newTestbed(func(o *Options) { o.Context = base })
		release := make(chan struct{})
		causes := make(chan error, 2)
		b.addJob(t, "job", TaskPolicy{}, func(ctx context.Context, _ *Call) (*ToolResult, error) {
			<-ctx.Done()
			causes <- context.Cause(ctx)
			<-release
			return nil, nil
		})
		b.call(t, "job")
		b.call(t, "job")
		ctx, stop := context.WithTimeout(context.Background(), time.Second)
		defer stop()
		if err := b.WaitTasks(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("WaitTasks: %v", err)
		}
		closed := errors.New("closed")
		end(closed)
		waited := make(chan error, 2)
		for range 2 {
			go func() { waited <- b.WaitTasks(context.Background()) }()
		}
		synctest.Wait()
		if cause := <-causes; len(waited) != 0 || !errors.Is(cause, closed) {
			t.Errorf("%d waits are over, cause %v", len(waited), cause)
		}
		if _, e, _ := b.send(t, "tools/call", "job", `"name":"job"`); e == nil || e.Code != codec.CodeOverloaded {
			t.Errorf("a call after the end: %v", e)
		}
		close(release)
		for range 2 {
			if err := <-waited; err != nil {
				t.Error(err)
			}
		}
	})
}
