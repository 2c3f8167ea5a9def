package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/rookery-server/rookery/codec"
	"github.com/rookery-server/rookery/loop"
)

type addIn struct{ A, B int }

// testMethods registers what the tests of this file call.
func testMethods(s *Server) {
	echo := func(c *Call) error { return c.Result(c.Params()) }
	s.HandleRaw("echo", echo, Inline())
	s.HandleRaw("echo.worker", echo)
	s.HandleRaw("nothing", func(*Call) error { return nil })
	s.HandleRaw("indented", func(c *Call) error { return c.Result([]byte("{\n\"a\": 1\r\n}")) })
	s.HandleRaw("twice", func(c *Call) error { return errors.Join(c.Result([]byte("1")), c.Result([]byte("2"))) })
	s.HandleRaw("garbage", func(c *Call) error { return c.Result([]byte(`{"a":`)) })
	s.HandleRaw("fail", func(*Call) error { return errors.New("secret text") })
	s.HandleRaw("refuse", func(*Call) error {
		return fmt.Errorf("wrapped: %w", &codec.Error{Code: 7, Message: "no", Data: []byte(`{"why":"because"}`)})
	})
	s.HandleRaw("panic", func(*Call) error { panic("secret text") })
	s.HandleRaw("panic.inline", func(*Call) error { panic("secret text") }, Inline())
	s.HandleRaw("wait.inline", func(c *Call) error { return c.Leave(true) }, Inline())
	Handle(s, "add", func(_ context.Context, in addIn) (int, error) { return in.A + in.B, nil })
	Handle(s, "who", func(ctx context.Context, _ struct{}) (bool, error) { return CallFrom(ctx).Conn() != 0, nil }, Inline())
}

func TestRegisteringMistakes(t *testing.T) {
	s := offline(t)
	ok := func(*Call) error { return nil }
	for _, tt := range []struct {
		name     string
		register func()
	}{
		{"no name", func() { s.HandleRaw("", ok) }},
		{"reserved name", func() { s.HandleRaw("rpc.discover", ok) }},
		{"no function", func() { s.HandleRaw("x", nil) }},
		{"no typed function", func() { Handle[int, int](s, "x", nil) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("accepted")
				}
			}()
			tt.register()
		})
	}
}

// TestReplaceWhileServing: methods change under a running server; a queued
// request is run by the method that it was sent to.
func TestReplaceWhileServing(t *testing.T) {
	s := offline(t)
	p := newLines(s)
	step := func() []byte {
		turn := loop.Turn{In: echoLine("echo.worker"), Scan: new([2]uint64)}
		if v := p.Step(&turn); v != loop.Work {
			t.Fatalf("verdict %d", v)
		}
		return turn.Record
	}
	before := step()
	s.HandleRaw("echo.worker", func(c *Call) error { return c.Reply(string(c.ID())) })
	if got := work(p, before); !strings.Contains(string(got), "hello") {
		t.Errorf("queued before: %s", got)
	}
	if got := work(p, step()); !strings.Contains(string(got), `"result":"12345"`) {
		t.Errorf("queued after: %s", got)
	}
}

// TestMethodsHideThoseOfMCP on the TCP listener.
func TestMethodsHideThoseOfMCP(t *testing.T) {
	s := offline(t)
	in := []byte(`{"jsonrpc":"2.0","id":1,"method":"ping"}` + "\n")
	if got := feed(t, newLines(s), in, false); !strings.Contains(string(got), `"result":{}`) {
		t.Errorf("MCP: %s", got)
	}
	s.HandleRaw("ping", func(c *Call) error { return c.Reply("mine") })
	if got := feed(t, newLines(s), in, false); !strings.Contains(string(got), `"result":"mine"`) {
		t.Errorf("mine: %s", got)
	}
}

// own is a type whose decoding fails with a text of its own.
type own struct{}

func (own) UnmarshalJSON([]byte) error { return errors.New("secret text") }

func TestRepliesThatCannotBe(t *testing.T) {
	s := offline(t)
	Handle(s, "unencodable", func(context.Context, struct{}) (func(), error) { return func() {}, nil })
	Handle(s, "own", func(context.Context, own) (int, error) { return 1, nil })
	for _, tt := range []struct{ in, want string }{
		{`{"jsonrpc":"2.0","id":1,"method":"unencodable"}`, internal},
		{`{"jsonrpc":"2.0","id":1,"method":"own","params":{}}`, `{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"Invalid params"}}`},
	} {
		if got := string(feed(t, newLines(s), []byte(tt.in+"\n"), false)); got != tt.want+"\n" {
			t.Errorf("%s: %s", tt.in, got)
		}
	}
}

const (
	internal = `{"jsonrpc":"2.0","id":1,"error":{"code":-32603,"message":"Internal error"}}`
	deep     = 100
)

// goodLines are messages and what is answered to them, "" for nothing.
var goodLines = []struct{ name, in, want string }{
	{"inline", `{"jsonrpc":"2.0","id":1,"method":"echo","params":{"a":[1,"x"]}}`, `{"jsonrpc":"2.0","id":1,"result":{"a":[1,"x"]}}`},
	{"worker", `{"jsonrpc":"2.0","id":"s","method":"echo.worker","params":[true]}`, `{"jsonrpc":"2.0","id":"s","result":[true]}`},
	{"absent params", `{"jsonrpc":"2.0","id":1,"method":"echo"}`, `{"jsonrpc":"2.0","id":1,"result":null}`},
	{"escaped method", `{"jsonrpc":"2.0","id":1,"method":"\u0065cho","params":[]}`, `{"jsonrpc":"2.0","id":1,"result":[]}`},
	{"carriage return", "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"echo\",\"params\":[2]}\r", `{"jsonrpc":"2.0","id":1,"result":[2]}`},
	{"null id", `{"jsonrpc":"2.0","id":null,"method":"echo","params":[]}`, `{"jsonrpc":"2.0","id":null,"result":[]}`},
	{"no reply given", `{"jsonrpc":"2.0","id":1,"method":"nothing"}`, `{"jsonrpc":"2.0","id":1,"result":null}`},
	{"result over two lines", `{"jsonrpc":"2.0","id":1,"method":"indented"}`, `{"jsonrpc":"2.0","id":1,"result":{ "a": 1  }}`},
	{"second result", `{"jsonrpc":"2.0","id":1,"method":"twice"}`, `{"jsonrpc":"2.0","id":1,"result":1}`},
	{"result that is not JSON", `{"jsonrpc":"2.0","id":1,"method":"garbage"}`, `{"jsonrpc":"2.0","id":1,"error":{"code":-32603,"message":"Internal error: the result is not valid JSON"}}`},
	{"typed", `{"jsonrpc":"2.0","id":1,"method":"add","params":{"A":2,"B":3}}`, `{"jsonrpc":"2.0","id":1,"result":5}`},
	{"typed, absent params", `{"jsonrpc":"2.0","id":1,"method":"add"}`, `{"jsonrpc":"2.0","id":1,"result":0}`},
	{"typed, params that do not fit", `{"jsonrpc":"2.0","id":1,"method":"add","params":{"A":"2"}}`, `{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"Invalid params: A: cannot decode string into int"}}`},
	{"call in context", `{"jsonrpc":"2.0","id":1,"method":"who"}`, `{"jsonrpc":"2.0","id":1,"result":true}`},
	{"error without its text", `{"jsonrpc":"2.0","id":1,"method":"fail"}`, internal},
	{"protocol error", `{"jsonrpc":"2.0","id":1,"method":"refuse"}`, `{"jsonrpc":"2.0","id":1,"error":{"code":7,"message":"no","data":{"why":"because"}}}`},
	{"panic on a worker", `{"jsonrpc":"2.0","id":1,"method":"panic"}`, internal},
	{"panic on the loop", `{"jsonrpc":"2.0","id":1,"method":"panic.inline"}`, internal},
	{"inline handler that would wait", `{"jsonrpc":"2.0","id":1,"method":"wait.inline"}`, internal},
	{"notification", `{"jsonrpc":"2.0","method":"echo","params":[1]}`, ""},
	{"notification to a worker", `{"jsonrpc":"2.0","method":"fail"}`, ""},
	{"unknown notification", `{"jsonrpc":"2.0","method":"no.such"}`, ""},
	{"answer to nothing", `{"jsonrpc":"2.0","id":"q0000000000000000","result":{}}`, ""},
	{"cancellation of nothing", `{"jsonrpc":"2.0","method":"$/cancelRequest","params":{"id":5}}`, ""},
	{"cancellation without an id", `{"jsonrpc":"2.0","method":"notifications/cancelled"}`, ""},
	{"empty lines", "\r\n \n\t", ""},
	{"batch", `[{"jsonrpc":"2.0","id":1,"method":"echo","params":[1]},{"jsonrpc":"2.0","method":"echo"},{"jsonrpc":"2.0","id":2,"method":"echo.worker","params":[2]},{"jsonrpc":"2.0","id":3,"method":"none"},7]`,
		`[{"jsonrpc":"2.0","id":1,"result":[1]},{"jsonrpc":"2.0","id":2,"result":[2]},{"jsonrpc":"2.0","id":3,"error":{"code":-32601,"message":"Method not found"}},{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"Invalid Request: not an object"}}]`},
	{"inline batch", `[{"jsonrpc":"2.0","id":1,"method":"echo","params":[1]},{"jsonrpc":"2.0","id":2,"method":"panic.inline"}]`,
		`[{"jsonrpc":"2.0","id":1,"result":[1]},{"jsonrpc":"2.0","id":2,"error":{"code":-32603,"message":"Internal error"}}]`},
	{"batch of notifications", `[{"jsonrpc":"2.0","method":"echo"},{"jsonrpc":"2.0","method":"fail"}]`, ""},
	{"batch of answers", `[{"jsonrpc":"2.0","id":1,"result":1},{"jsonrpc":"2.0","method":"$/cancelRequest","params":{"id":1}}]`, ""},
}

// badLines are answered with an error and cost the connection nothing.
var badLines = []struct {
	name, in, id string
	code         int
}{
	{"empty object", `{}`, "null", -32600},
	{"no JSON", `hello`, "null", -32700},
	{"truncated", `{"jsonrpc":"2.0","id":1,"method":"ec`, "null", -32700},
	{"trailing garbage", `{"jsonrpc":"2.0","id":1,"method":"echo"}}`, "null", -32700},
	{"single quotes", `{'jsonrpc':'2.0'}`, "null", -32700},
	{"no version", `{"id":1,"method":"echo"}`, "1", -32600},
	{"version 1.0", `{"jsonrpc":"1.0","id":1,"method":"echo"}`, "1", -32600},
	{"version as number", `{"jsonrpc":2.0,"id":1,"method":"echo"}`, "1", -32600},
	{"unknown method", `{"jsonrpc":"2.0","id":1,"method":"none"}`, "1", -32601},
	{"method of no text", `{"jsonrpc":"2.0","id":1,"method":""}`, "1", -32601},
	{"method is a number", `{"jsonrpc":"2.0","id":1,"method":1}`, "1", -32600},
	{"params is text", `{"jsonrpc":"2.0","id":1,"method":"echo","params":"x"}`, "1", -32600},
	{"duplicate method", `{"jsonrpc":"2.0","id":1,"method":"echo","method":"fail"}`, "1", -32600},
	{"duplicate id", `{"jsonrpc":"2.0","id":1,"id":2,"method":"echo"}`, "null", -32600},
	{"id is an object", `{"jsonrpc":"2.0","id":{},"method":"echo"}`, "null", -32600},
	{"request and answer at once", `{"jsonrpc":"2.0","id":1,"method":"echo","result":1}`, "1", -32600},
	{"invalid UTF-8", "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"echo\",\"params\":[\"\xff\xfe\"]}", "null", -32700},
	{"control byte in text", "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"echo\",\"params\":[\"\x01\"]}", "null", -32700},
	{"binary noise", "\x00\x01\x02\x80\xff", "null", -32700},
	{"deep nesting", `{"jsonrpc":"2.0","id":1,"method":"echo","params":` + strings.Repeat("[", deep) + strings.Repeat("]", deep) + `}`, "1", -32600},
	{"empty batch", `[]`, "null", -32600},
	{"batch of too many", `[` + strings.Repeat(`1,`, 100) + `1]`, "null", -32600},
	{"unfinished batch", `[{"jsonrpc":"2.0","id":1,"method":"echo"}`, "null", -32700},
}

// marker is sent behind a message that has no answer, to see that nothing came.
const marker = `{"jsonrpc":"2.0","id":"marker","method":"echo","params":[]}`
const marked = `{"jsonrpc":"2.0","id":"marker","result":[]}`

func TestLines(t *testing.T) {
	eachBackend(t, func(t *testing.T, o Options) {
		s := startServer(t, o, testMethods)
		other := dial(t, s.TCPAddr())
		for _, tt := range goodLines {
			t.Run(tt.name, func(t *testing.T) {
				p := dial(t, s.TCPAddr())
				p.send(tt.in + "\n")
				if tt.want != "" {
					if got := p.line(); got != tt.want {
						t.Errorf("got %s\nwant %s", got, tt.want)
					}
				}
				if got := p.ask(marker); got != marked {
					t.Errorf("behind it: %s", got)
				}
			})
		}
		for _, tt := range badLines {
			t.Run(tt.name, func(t *testing.T) {
				p := dial(t, s.TCPAddr())
				got := p.ask(tt.in)
				want := fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"error":{"code":%d,"message":"`, tt.id, tt.code)
				if !strings.HasPrefix(got, want) {
					t.Errorf("got %s\nwant %s…", got, want)
				}
				if got := p.ask(marker); got != marked {
					t.Errorf("behind it: %s", got)
				}
				if got := other.ask(marker); got != marked {
					t.Errorf("another client: %s", got)
				}
			})
		}
	})
}

func TestNothingLeaks(t *testing.T) {
	s := startServer(t, Options{}, testMethods)
	p := dial(t, s.TCPAddr())
	for _, m := range []string{"fail", "panic", "panic.inline"} {
		if got := p.ask(`{"jsonrpc":"2.0","id":1,"method":"` + m + `"}`); strings.Contains(got, "secret") {
			t.Errorf("%s: %s", m, got)
		}
	}
}

func TestLineAtEOF(t *testing.T) {
	const line = `{"jsonrpc":"2.0","id":1,"method":"%s","params":[1]}`
	tests := []struct{ name, in, want string }{
		{"inline, no newline", fmt.Sprintf(line, "echo"), `{"jsonrpc":"2.0","id":1,"result":[1]}`},
		{"worker, no newline", fmt.Sprintf(line, "echo.worker"), `{"jsonrpc":"2.0","id":1,"result":[1]}`},
		{"worker, newline", fmt.Sprintf(line, "echo.worker") + "\n", `{"jsonrpc":"2.0","id":1,"result":[1]}`},
		{"truncated", `{"jsonrpc":"2.0","id":1,"meth`, `{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"Parse error`},
		{"nothing", "", ""},
	}
	eachBackend(t, func(t *testing.T, o Options) {
		s := startServer(t, o, testMethods)
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				p := dial(t, s.TCPAddr())
				p.send(tt.in)
				p.finish()
				got := p.rest()
				if !strings.HasPrefix(got, tt.want) || tt.want == "" && got != "" {
					t.Errorf("got %q, want %q", got, tt.want)
				}
			})
		}
		// A client may see its end before it is counted.
		eventually(t, "the truncated one is counted", func() bool { return s.Stats().Loop.Closed[loop.ReasonTruncated] == 1 })
	})
}

func TestLineTooLong(t *testing.T) {
	t.Parallel() // it mostly waits
	eachBackend(t, func(t *testing.T, o Options) {
		t.Parallel()
		o.MessageMax = 1000
		s := startServer(t, o, testMethods)
		p := dial(t, s.TCPAddr())
		fill := strings.Repeat("x", 1000-len(`{"jsonrpc":"2.0","id":1,"method":"echo","params":[""]}`))
		if got := p.ask(`{"jsonrpc":"2.0","id":1,"method":"echo","params":["` + fill + `"]}`); !strings.Contains(got, fill) {
			t.Errorf("a line of the greatest length: %s", got)
		}
		p.send(strings.Repeat("y", 1001))
		want := `{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"Invalid Request: message too long"}}` + "\n"
		if got := p.rest(); got != want {
			t.Errorf("got %q", got)
		}
		eventually(t, "close is counted", func() bool { return s.Stats().Loop.Closed[loop.ReasonTooLarge] == 1 })
	})
}

// TestSlowDrip sends a message byte by byte: it is one message all the same.
func TestSlowDrip(t *testing.T) {
	eachBackend(t, func(t *testing.T, o Options) {
		s := startServer(t, o, testMethods)
		p := dial(t, s.TCPAddr())
		if err := p.c.(*net.TCPConn).SetNoDelay(true); err != nil {
			t.Fatal(err)
		}
		for i := range len(marker) {
			p.send(marker[i : i+1])
		}
		if got := p.ask(""); got != marked {
			t.Errorf("got %s", got)
		}
	})
}

func TestPipelinedOrder(t *testing.T) {
	const n = 500
	eachBackend(t, func(t *testing.T, o Options) {
		s := startServer(t, o, testMethods)
		p := dial(t, s.TCPAddr())
		var in strings.Builder
		for i := range n {
			method := "echo"
			if i%3 == 0 {
				method = "echo.worker"
			}
			fmt.Fprintf(&in, `{"jsonrpc":"2.0","id":%d,"method":%q,"params":[%d]}`+"\n", i, method, i)
		}
		p.send(in.String())
		for i := range n {
			if got, want := p.line(), fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"result":[%d]}`, i, i); got != want {
				t.Fatalf("got %s, want %s", got, want)
			}
		}
	})
}
