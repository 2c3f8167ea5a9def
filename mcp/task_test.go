package mcp

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rookery-server/rookery/codec"
)

const taskMeta = `"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28",` +
	`"io.modelcontextprotocol/clientCapabilities":{"elicitation":{},"extensions":{"io.modelcontextprotocol/tasks":{}}}}`

// wireTask is what a client reads of a task.
type wireTask struct {
	ID            string `json:"taskId"`
	Status        string
	StatusMessage string
	TTL           int64 `json:"ttlMs"`
	Poll          int64 `json:"pollIntervalMs"`
	InputRequests map[string]struct {
		Method string
		Params json.RawMessage
	}
	Result struct {
		Content []struct{ Text string }
		IsError bool
	}
	Error codec.Error
}

// send sends a request of a client that knows tasks and returns the result or
// the error, and the status line.
func (b *testbed) send(t testing.TB, method, name, params string) (r wireTask, e *codec.Error, status string) {
	t.Helper()
	out := b.ask(t, 1, post(`{"jsonrpc":"2.0","id":1,"method":"`+method+`","params":{`+params+`,`+taskMeta+`}}`,
		"MCP-Protocol-Version: 2026-07-28", "Mcp-Method: "+method, "Mcp-Name: "+name))
	status, _, _ = strings.Cut(out, "\r\n")
	_, body, _ := strings.Cut(out, "\r\n\r\n")
	var m struct {
		Result wireTask
		Error  *codec.Error
	}
	if err := json.Unmarshal([]byte(body), &m); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	return m.Result, m.Error, status
}

// call begins a task.
func (b *testbed) call(t testing.TB, tool string) wireTask {
	t.Helper()
	r, e, _ := b.send(t, "tools/call", tool, `"name":"`+tool+`","arguments":{}`)
	if e != nil || r.ID == "" {
		t.Fatalf("%s: %+v, %v", tool, r, e)
	}
	return r
}

// look returns a task, a zero one if it is unknown.
func (b *testbed) look(t testing.TB, id string) wireTask {
	t.Helper()
	r, e, _ := b.send(t, "tasks/get", id, `"taskId":"`+id+`"`)
	if e != nil && e.Code != codec.CodeInvalidParams {
		t.Fatal(e)
	}
	return r
}

// addJob registers a tool whose calls become tasks.
func (b *testbed) addJob(t testing.TB, name string, p TaskPolicy, f func(ctx context.Context, c *Call) (*ToolResult, error)) {
	t.Helper()
	if p.Support == TaskNever {
		p.Support = TaskOptional
	}
	if err := b.AddTool(Tool{Name: name, Task: p, Handle: f}); err != nil {
		t.Fatal(err)
	}
}

// untilDone is a handler that runs until its context ends.
func untilDone(ctx context.Context, _ *Call) (*ToolResult, error) {
	<-ctx.Done()
	return nil, context.Cause(ctx)
}

func TestTaskPolicies(t *testing.T) {
	for _, tt := range []struct {
		name   string
		policy TaskPolicy
		inline bool
		noRun  bool
		want   string
	}{
		{"none", TaskPolicy{}, true, true, ""},
		{"optional", TaskPolicy{Support: TaskOptional, TTL: time.Hour, Poll: time.Minute}, false, false, ""},
		{"unknown", TaskPolicy{Support: 9}, false, false, "Support"},
		{"negative", TaskPolicy{Support: TaskRequired, TTL: -1}, false, false, "negative"},
		{"inline", TaskPolicy{Support: TaskOptional}, true, false, "Inline"},
		{"nowhere to run", TaskPolicy{Support: TaskByHandler}, false, true, "Tasks.Run"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newTestbed(func(o *Options) {
				if tt.noRun {
					o.Tasks.Run = nil
				}
			})
			err := b.AddTool(Tool{Name: "x", Task: tt.policy, Inline: tt.inline, Handle: untilDone})
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("%v, want %q", err, tt.want)
			}
		})
	}
}

func TestTaskLimits(t *testing.T) {
	refused := errors.New("no worker")
	for _, tt := range []struct {
		name string
		set  func(o *TaskOptions)
		n    int // tasks that fit
	}{
		{"count", func(o *TaskOptions) { o.Count = 2 }, 2},
		{"running", func(o *TaskOptions) { o.Running = 3 }, 3},
		{"bytes", func(o *TaskOptions) { o.Bytes = 2*taskOverhead + 1000 }, 2},
		{"runner", func(o *TaskOptions) { o.Run = func(func()) error { return refused } }, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newTestbed(func(o *Options) { tt.set(&o.Tasks) })
				b.addJob(t, "job", TaskPolicy{}, untilDone)
				var last wireTask
				for range tt.n {
					last = b.call(t, "job")
				}
				_, e, status := b.send(t, "tools/call", "job", `"name":"job"`)
				if e == nil || e.Code != codec.CodeOverloaded || !strings.Contains(status, "503") {
					t.Errorf("one more: %v, %s", e, status)
				}
				st := b.Stats().Tasks
				if st.Created != uint64(tt.n) || st.Refused != 1 || st.Tasks != tt.n || st.Running != tt.n {
					t.Errorf("%+v", st)
				}
				if tt.n == 0 {
					return
				}
				if b.look(t, last.ID).Status != "working" {
					t.Error("the refused call harmed another task")
				}
				b.SweepTasks(time.Now().Add(time.Hour)) // they have failed and end
				synctest.Wait()
				b.SweepTasks(time.Now().Add(2 * time.Hour))
				if st := b.Stats().Tasks; st.Tasks+st.Running != 0 || st.Bytes != 0 || st.Expired != uint64(tt.n) {
					t.Errorf("after: %+v", st)
				}
				b.call(t, "job")
				b.SweepTasks(time.Now().Add(time.Hour))
			})
		})
	}
}

func TestTaskResultFindsNoRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newTestbed(func(o *Options) { o.Tasks.Bytes = 4096 })
		b.addJob(t, "big", TaskPolicy{}, func(ctx context.Context, c *Call) (*ToolResult, error) {
			c.SetStatus(strings.Repeat("x", 5000)) // no room either
			if _, err := c.askInTask(ctx, [][]byte{make([]byte, 5000)}); !errors.Is(err, errTooManyTasks) {
				return nil, errors.New("a question without room was asked")
			}
			return Text(strings.Repeat("x", 4000)), nil
		})
		id := b.call(t, "big").ID
		synctest.Wait()
		if got := b.look(t, id); got.Status != "failed" || got.Error.Code != codec.CodeOverloaded || got.StatusMessage != errNoRoomForResult.Message {
			t.Errorf("%+v", got)
		}
		if st := b.Stats().Tasks; st.Dropped != 1 || st.Failed != 1 || st.Bytes != taskOverhead {
			t.Errorf("%+v", st)
		}
	})
}

// A result is kept for the policy's TTL from the moment there is one; a
// handler that takes longer than that has failed, and its task stays until the
// handler has returned.
func TestTaskTTL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newTestbed(nil)
		release := make(chan struct{})
		var cause error
		p := TaskPolicy{TTL: time.Minute, Poll: 5 * time.Second}
		b.addJob(t, "slow", p, func(ctx context.Context, _ *Call) (*ToolResult, error) {
			time.Sleep(50 * time.Second)
			return Text("done"), nil
		})
		b.addJob(t, "stuck", p, func(ctx context.Context, _ *Call) (*ToolResult, error) {
			<-ctx.Done()
			cause = context.Cause(ctx)
			<-release
			return Text("too late"), nil
		})
		slow, stuck := b.call(t, "slow"), b.call(t, "stuck").ID
		if slow.TTL != 60_000 || slow.Poll != 5_000 {
			t.Errorf("%+v", slow)
		}
		at := func(d time.Duration, slowStatus, stuckStatus string) {
			t.Helper()
			time.Sleep(d)
			b.SweepTasks(time.Now())
			synctest.Wait()
			if got := b.look(t, slow.ID).Status; got != slowStatus {
				t.Errorf("slow is %q, want %q", got, slowStatus)
			}
			if got := b.look(t, stuck); got.Status != stuckStatus || stuckStatus == "failed" && got.Error.Code != codec.CodeInternal {
				t.Errorf("stuck is %+v, want %q", got, stuckStatus)
			}
		}
		at(0, "working", "working")
		at(59*time.Second, "completed", "working")
		if got := b.look(t, slow.ID); got.TTL != 110_000 || got.Result.Content[0].Text != "done" {
			t.Errorf("%+v", got)
		}
		at(2*time.Second, "completed", "failed")
		if !errors.Is(cause, ErrTaskExpired) {
			t.Errorf("cause %v", cause)
		}
		at(48*time.Second, "completed", "failed") // at 109 s
		at(2*time.Second, "", "failed")
		at(10*time.Minute, "", "failed")
		close(release)
		synctest.Wait()
		at(expiredGrace, "", "")
		if st := b.Stats().Tasks; st.Tasks != 0 || st.Bytes != 0 || st.Expired != 1 || st.Failed != 1 || st.Completed != 1 {
			t.Errorf("%+v", st)
		}
	})
}

func TestTaskQuestionsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newTestbed(func(o *Options) { o.AskTimeout = 30 * time.Second })
		errs := make(chan error, 1)
		b.addJob(t, "ask", TaskPolicy{}, func(ctx context.Context, c *Call) (*ToolResult, error) {
			_, err := c.Ask(ctx, methodElicit, map[string]any{"message": "?"})
			errs <- err
			return nil, err
		})
		late := b.call(t, "ask").ID
		synctest.Wait()
		if got := b.look(t, late); got.Status != "input_required" || got.InputRequests["input-1"].Method != methodElicit {
			t.Errorf("%+v", got)
		}
		if err := <-errs; !errors.Is(err, context.DeadlineExceeded) { // time passes while everybody waits
			t.Errorf("after AskTimeout: %v", err)
		}
		synctest.Wait()
		if got := b.look(t, late); got.Status != "completed" || !got.Result.IsError || len(got.InputRequests) != 0 {
			t.Errorf("%+v", got)
		}

		gone := b.call(t, "ask").ID
		synctest.Wait()
		if _, e, _ := b.send(t, "tasks/cancel", gone, `"taskId":"`+gone+`"`); e != nil {
			t.Fatal(e)
		}
		if err := <-errs; !errors.Is(err, errTaskOver) && !errors.Is(err, ErrCancelled) {
			t.Errorf("after the cancellation: %v", err)
		}
		synctest.Wait()
		b.SweepTasks(time.Now().Add(time.Hour))
		if st := b.Stats().Tasks; st.Cancelled != 1 || st.Bytes != 0 {
			t.Errorf("%+v", st)
		}
	})
}

// An answer is typed like any other, and one that breaks the form is the
// handler's to deal with, not a protocol error.
func TestTaskElicits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newTestbed(nil)
		b.addJob(t, "ask", TaskPolicy{}, func(ctx context.Context, c *Call) (*ToolResult, error) {
			r, err := c.Elicit(ctx, ElicitRequest{Message: "name?", Schema: `{"type":"object","properties":{"name":{"type":"string"}},"required":["name"]}`})
			if err != nil {
				return nil, err
			}
			return Text(r.Action + " " + string(r.Content)), nil
		})
		for answer, want := range map[string]string{
			`{"action":"accept","content":{"name":"Ada"}}`: `accept {"name":"Ada"}`,
			`{"action":"decline"}`:                         "decline ",
			`{"action":"accept","content":{"name":7}}`:     "the client's answer to elicitation/create",
		} {
			id := b.call(t, "ask").ID
			synctest.Wait()
			if _, e, _ := b.send(t, "tasks/update", id, `"taskId":"`+id+`","inputResponses":{"input-1":`+answer+`}`); e != nil {
				t.Fatal(e)
			}
			synctest.Wait()
			got := b.look(t, id)
			if got.Status != "completed" || !strings.Contains(got.Result.Content[0].Text, want) {
				t.Errorf("%s: %+v", answer, got)
			}
		}
	})
}

func TestTaskPanicIsLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newTestbed(nil)
		b.addJob(t, "job", TaskPolicy{}, func(context.Context, *Call) (*ToolResult, error) { panic("on purpose") })
		b.call(t, "job")
		synctest.Wait()
		if st := b.Stats().Tasks; st.Panicked != 1 || st.Failed != 1 || st.Running != 0 {
			t.Errorf("%+v", st)
		}
		if !strings.Contains(b.log.String(), "on purpose") {
			t.Errorf("log: %s", b.log)
		}
	})
}
