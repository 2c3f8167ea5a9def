package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rookery-server/rookery/codec"
	"github.com/rookery-server/rookery/loop"
	"github.com/rookery-server/rookery/mcp"
)

// question is what a server asks, as a client sees it.
type question struct {
	ID     string          `json:"id"`
	Method string          `json:"method"`
	Params json.RawMessage `json:"params"`
}

func (p *peer) question() question {
	p.t.Helper()
	var q question
	line := p.line()
	if err := json.Unmarshal([]byte(line), &q); err != nil || q.Method == "" || q.ID == "" {
		p.t.Fatalf("no question: %s (%v)", line, err)
	}
	return q
}

// waitingMethods registers methods that wait.
func waitingMethods(s *Server) {
	testMethods(s)
	s.HandleRaw("ask", func(c *Call) error {
		answer, err := c.Ask(c.Context(), "your/name", map[string]string{"why": "curious"})
		if err != nil {
			return err
		}
		return c.Result(answer)
	})
	s.HandleRaw("block", func(c *Call) error {
		if err := c.Notify("blocking", nil); err != nil {
			return err
		}
		<-c.Context().Done()
		return &codec.Error{Code: 9, Message: context.Cause(c.Context()).Error()}
	})
	s.HandleRaw("ping", func(c *Call) error { return c.Result([]byte(`"pong"`)) }, Urgent())
}

// TestAnswerArrivesOnTheConnectionThatWaits: there is one worker, it waits for
// an answer, and the answer can come only over the connection that keeps it
// busy.
func TestAnswerArrivesOnTheConnectionThatWaits(t *testing.T) {
	tests := []struct{ name, answer, want string }{
		{"result", `{"jsonrpc":"2.0","id":%q,"result":{"name":"x"}}`, `{"jsonrpc":"2.0","id":1,"result":{"name":"x"}}`},
		{"error", `{"jsonrpc":"2.0","id":%q,"error":{"code":4,"message":"none","data":[1]}}`, `{"jsonrpc":"2.0","id":1,"error":{"code":4,"message":"none","data":[1]}}`},
		{"malformed error", `{"jsonrpc":"2.0","id":%q,"error":{"code":"x"}}`, `{"jsonrpc":"2.0","id":1,"error":{"code":-32603,"message":"malformed error object"}}`},
		{"in a batch", `[{"jsonrpc":"2.0","id":%q,"result":[]}]`, `{"jsonrpc":"2.0","id":1,"result":[]}`},
	}
	eachBackend(t, func(t *testing.T, o Options) {
		o.Workers = 1
		s := startServer(t, o, waitingMethods)
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				p := dial(t, s.TCPAddr())
				p.send(`{"jsonrpc":"2.0","id":1,"method":"ask"}` + "\n")
				q := p.question()
				if q.Method != "your/name" || string(q.Params) != `{"why":"curious"}` {
					t.Errorf("asked %s %s", q.Method, q.Params)
				}
				// The worker is not held: later requests of this connection run.
				if got := p.ask(strings.Replace(marker, "echo", "echo.worker", 1)); got != marked {
					t.Errorf("meanwhile: %s", got)
				}
				if got := p.ask(fmt.Sprintf(tt.answer, q.ID)); got != tt.want {
					t.Errorf("got %s", got)
				}
			})
		}
		if st := s.Stats(); st.Asks != 0 || st.InFlight != 0 {
			t.Errorf("left: %d asks, %d calls", st.Asks, st.InFlight)
		}
	})
}

// TestCancellationArrivesOnTheConnectionThatWaits: the call that is cancelled
// keeps its connection busy and the only worker too.
func TestCancellationArrivesOnTheConnectionThatWaits(t *testing.T) {
	tests := []struct{ name, cancel string }{
		{"as MCP", `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"a"}}`},
		{"as LSP", `{"jsonrpc":"2.0","method":"$/cancelRequest","params":{"id":"a"}}`},
		{"in a batch", `[{"jsonrpc":"2.0","method":"$/cancelRequest","params":{"id":"a"}}]`},
	}
	eachBackend(t, func(t *testing.T, o Options) {
		o.Workers = 1
		s := startServer(t, o, waitingMethods)
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				p := dial(t, s.TCPAddr())
				p.send(`{"jsonrpc":"2.0","id":"a","method":"block"}` + "\n")
				if got := p.line(); got != `{"jsonrpc":"2.0","method":"blocking"}` {
					t.Fatalf("got %s", got)
				}
				if got := p.ask(`{"jsonrpc":"2.0","id":0,"method":"ping"}`); got != `{"jsonrpc":"2.0","id":0,"result":"pong"}` {
					t.Errorf("ping behind it: %s", got)
				}
				want := `{"jsonrpc":"2.0","id":"a","error":{"code":9,"message":"server: cancelled by the client"}}`
				if got := p.ask(tt.cancel); got != want {
					t.Errorf("got %s", got)
				}
			})
		}
		// The client may have its answer before the loop has counted.
		eventually(t, "all are counted", func() bool { return s.metrics.cancellations.Get() >= uint64(len(tests)) })
		if n := s.metrics.cancellations.Get(); n != uint64(len(tests)) {
			t.Errorf("%d cancellations counted", n)
		}
	})
}

// TestGivingUp: a handler that returns because its context ended has not failed.
func TestGivingUp(t *testing.T) {
	eachBackend(t, func(t *testing.T, o Options) {
		s := startServer(t, o, func(s *Server) {
			s.HandleRaw("wait", func(c *Call) error {
				_ = c.Notify("waiting", nil)
				<-c.Context().Done()
				return c.Context().Err()
			})
		})
		p := dial(t, s.TCPAddr())
		p.send(`{"jsonrpc":"2.0","id":1,"method":"wait"}` + "\n")
		p.line()
		want := `{"jsonrpc":"2.0","id":1,"error":{"code":-32800,"message":"Request cancelled"}}`
		if got := p.ask(`{"jsonrpc":"2.0","method":"$/cancelRequest","params":{"id":1}}`); got != want {
			t.Errorf("got %s", got)
		}
		if n := s.metrics.failures.Get(); n != 0 {
			t.Errorf("%d failures counted", n)
		}
		p.send(`{"jsonrpc":"2.0","id":2,"method":"wait"}` + "\n")
		p.line()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
		defer cancel()
		_ = s.Shutdown(ctx) // the deadline passes, that is the point
		if got := p.rest(); got != "" && got != `{"jsonrpc":"2.0","id":2,"error":{"code":-32000,"message":"Server is stopping"}}`+"\n" {
			t.Errorf("got %s", got)
		}
	})
}

func TestCallEndsWithItsClient(t *testing.T) {
	eachBackend(t, func(t *testing.T, o Options) {
		causes := make(chan error, 2)
		s := startServer(t, o, func(s *Server) {
			s.HandleRaw("block", func(c *Call) error {
				_ = c.Notify("blocking", nil)
				<-c.Context().Done()
				causes <- context.Cause(c.Context())
				return nil
			})
			s.HandleRaw("ask", func(c *Call) error {
				_, err := c.Ask(context.Background(), "q", nil)
				causes <- err
				return err
			})
		})
		for _, method := range []string{"block", "ask"} {
			p := dial(t, s.TCPAddr())
			p.send(`{"jsonrpc":"2.0","id":1,"method":"` + method + `"}` + "\n")
			p.line()
			if err := p.c.(*net.TCPConn).SetLinger(0); err != nil { // a reset: it is gone
				t.Fatal(err)
			}
			p.c.Close()
			select {
			case err := <-causes:
				if !errors.Is(err, errClientGone) && !errors.Is(err, mcp.ErrClientGone) {
					t.Errorf("%s: cause %v", method, err)
				}
			case <-time.After(patience):
				t.Fatalf("%s: does not end", method)
			}
		}
		eventually(t, "nothing in flight", func() bool { st := s.Stats(); return st.InFlight == 0 && st.Asks == 0 })
	})
}

// TestAskRefuses: questions that cannot be asked or are never answered.
func TestAskRefuses(t *testing.T) {
	eachBackend(t, func(t *testing.T, o Options) {
		o.AsksMax, o.AskTimeout = 1, 20*time.Millisecond
		s := startServer(t, o, func(s *Server) {
			ask := func(params any) func(c *Call) error {
				return func(c *Call) error {
					_, err := c.Ask(c.Context(), "q", params)
					return c.Reply(fmt.Sprint(err))
				}
			}
			s.HandleRaw("scalar", ask(1))
			s.HandleRaw("loop", ask(nil), Inline())
			s.HandleRaw("silence", ask(nil))
			s.HandleRaw("two", func(c *Call) error {
				first, err := s.rpc.Ask(1)
				if err != nil {
					return err
				}
				defer first.Abandon()
				_, err = c.Ask(c.Context(), "q", nil)
				return err
			})
		})
		// A connection each: behind a call that is about to end an inline handler
		// runs on a worker, where it may ask.
		for _, tt := range []struct{ method, want string }{
			{"scalar", fmt.Sprintf(`"result":%q`, ErrParams)},
			{"loop", fmt.Sprintf(`"result":%q`, ErrOnLoop)},
			{"two", `"code":-32000`},
		} {
			if got := dial(t, s.TCPAddr()).ask(`{"jsonrpc":"2.0","id":1,"method":"` + tt.method + `"}`); !strings.Contains(got, tt.want) {
				t.Errorf("%s: %s", tt.method, got)
			}
		}
		p := dial(t, s.TCPAddr())
		p.send(`{"jsonrpc":"2.0","id":1,"method":"silence"}` + "\n")
		q := p.question()
		if got := p.line(); !strings.Contains(got, context.DeadlineExceeded.Error()) {
			t.Errorf("silence: %s", got)
		}
		p.send(fmt.Sprintf(`{"jsonrpc":"2.0","id":%q,"result":1}`+"\n", q.ID))
		if got := p.ask(`{"jsonrpc":"2.0","id":1,"method":"scalar"}`); !strings.Contains(got, `"id":1`) {
			t.Errorf("after a late answer: %s", got)
		}
	})
}

// TestManyWait has far more handlers wait than there are workers, in several
// goroutines each, and then runs out of room for them.
func TestManyWait(t *testing.T) {
	const clients = 40
	eachBackend(t, func(t *testing.T, o Options) {
		o.Workers, o.WaitingMax = 2, clients
		s := startServer(t, o, func(s *Server) {
			testMethods(s)
			s.HandleRaw("ask two", func(c *Call) error {
				second := make(chan error, 1)
				go func() {
					_, err := c.Ask(c.Context(), "b", nil)
					second <- err
				}()
				_, err := c.Ask(c.Context(), "a", nil)
				if err := errors.Join(err, <-second); err != nil {
					return err
				}
				return c.Result([]byte("2"))
			})
		})
		var peers []*peer
		for range clients {
			p := dial(t, s.TCPAddr())
			p.send(`{"jsonrpc":"2.0","id":1,"method":"ask two"}` + "\n")
			peers = append(peers, p)
		}
		for _, p := range peers {
			a, b := p.question(), p.question()
			defer func() {
				p.send(fmt.Sprintf(`{"jsonrpc":"2.0","id":%q,"result":1}`+"\n"+`{"jsonrpc":"2.0","id":%q,"result":1}`+"\n", b.ID, a.ID))
				if got := p.line(); got != `{"jsonrpc":"2.0","id":1,"result":2}` {
					t.Errorf("got %s", got)
				}
			}()
		}
		if st := s.Stats().Loop; st.Waiting != clients {
			t.Errorf("%d wait, want %d", st.Waiting, clients)
		}
		one := dial(t, s.TCPAddr())
		if got := one.ask(strings.Replace(marker, "echo", "echo.worker", 1)); got != marked {
			t.Errorf("a worker is free: %s", got)
		}
		want := `{"jsonrpc":"2.0","id":1,"error":{"code":-32000,"message":"Server overloaded"}}`
		if got := one.ask(`{"jsonrpc":"2.0","id":1,"method":"ask two"}`); got != want {
			t.Errorf("past the bound: %s", got)
		}
	})
}

// TestShed: the only worker is taken for longer than a request may wait.
func TestShed(t *testing.T) {
	eachBackend(t, func(t *testing.T, o Options) {
		o.Workers, o.RequestDeadline = 1, time.Nanosecond
		s := startServer(t, o, func(s *Server) {
			testMethods(s)
			if err := s.MCP().AddTool(mcp.Tool{Name: "t", Handle: func(context.Context, *mcp.Call) (*mcp.ToolResult, error) {
				return mcp.Text("served"), nil
			}}); err != nil {
				t.Error(err)
			}
		})
		p := dial(t, s.TCPAddr())
		overloaded := `{"jsonrpc":"2.0","id":%s,"error":{"code":-32000,"message":"Server overloaded"}}`
		if got := p.ask(`{"jsonrpc":"2.0","id":1,"method":"echo.worker"}`); got != fmt.Sprintf(overloaded, "1") {
			t.Errorf("method: %s", got)
		}
		if got := p.ask(`{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"t"}}`); got != fmt.Sprintf(overloaded, "2") {
			t.Errorf("MCP: %s", got)
		}
		batch := `[{"jsonrpc":"2.0","id":3,"method":"echo.worker"},{"jsonrpc":"2.0","method":"echo"},1]`
		if got := p.ask(batch); !strings.HasPrefix(got, "["+fmt.Sprintf(overloaded, "3")+`,{"jsonrpc":"2.0","id":null,"error":{"code":-32600`) {
			t.Errorf("batch: %s", got)
		}
		p.send(`{"jsonrpc":"2.0","method":"echo.worker"}` + "\n")
		if got := p.ask(marker); got != fmt.Sprintf(overloaded, `"marker"`) && got != marked {
			t.Errorf("notification: %s", got)
		}
		web := dial(t, s.HTTPAddr())
		web.send(post(`{"jsonrpc":"2.0","id":4,"method":"tools/call","params":{"name":"t"}}`))
		r := web.response("POST")
		if r.StatusCode != 503 || r.Header.Get("Retry-After") == "" || r.body != fmt.Sprintf(overloaded, "4") {
			t.Errorf("HTTP: %d %v %s", r.StatusCode, r.Header, r.body)
		}
		if n := s.metrics.shedDeadline.Get(); n < 5 {
			t.Errorf("%d shed", n)
		}
		if s.Stats().Loop.Closed[loop.ReasonBudget] != 0 {
			t.Error("closed for it")
		}
	})
}

// TestCancellationsFightCalls cancels calls as they end, so that a late
// cancellation would hit the next call if their memory were mixed up. The
// handler of a call that nobody cancels must not see its context end.
func TestCancellationsFightCalls(t *testing.T) {
	const rounds, peers = 300, 4
	eachBackend(t, func(t *testing.T, o Options) {
		s := startServer(t, o, func(s *Server) {
			s.HandleRaw("victim", func(c *Call) error { return c.Result([]byte("0")) })
			s.HandleRaw("watched", func(c *Call) error {
				runtime.Gosched()
				if err := c.flight.Err(); err != nil {
					return &codec.Error{Code: 1, Message: "cancelled"}
				}
				return c.Result([]byte("1"))
			})
		})
		for n := range peers {
			t.Run(strconv.Itoa(n), func(t *testing.T) {
				t.Parallel()
				p := dial(t, s.TCPAddr())
				for i := range rounds {
					p.send(fmt.Sprintf(`{"jsonrpc":"2.0","id":"v","method":"victim"}`+"\n"+
						`{"jsonrpc":"2.0","id":%d,"method":"watched"}`+"\n"+
						`{"jsonrpc":"2.0","method":"$/cancelRequest","params":{"id":"v"}}`+"\n", i))
					p.line()
					if got, want := p.line(), fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"result":1}`, i); got != want {
						t.Fatalf("got %s, want %s", got, want)
					}
				}
			})
		}
	})
}
