package e2e

import (
	"strings"
	"testing"
	"time"
)

// Bad input gets a clear answer or a closed connection; the node and its other
// clients go on.
func TestHostileTCP(t *testing.T) {
	n := startNode(t, "--message-max", "64KiB")
	other := dial(t, n.tcp)
	for _, x := range []struct{ name, send, want string }{
		{"not JSON", "hello\n", `"code":-32700`},
		{"cut off", `{"jsonrpc":"2.0","id":1,` + "\n", `"code":-32700`},
		{"noise", "\x00\x01\xfe\xff\x80\n", `"code":-32700`},
		{"invalid UTF-8", "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"echo\",\"params\":[\"\xff\"]}\n", `"code":-32700`},
		{"control character", "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"echo\",\"params\":[\"\x01\"]}\n", `"code":-32700`},
		{"bad escape", `{"jsonrpc":"2.0","id":1,"method":"echo","params":["\q"]}` + "\n", `"code":-32700`},
		{"trailing", `{"jsonrpc":"2.0","id":1,"method":"echo"} x` + "\n", `"code":-32700`},
		{"deep", `{"jsonrpc":"2.0","id":1,"method":"echo","params":` + strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000) + "}\n", `"code":-32`},
		{"twice the same key", `{"jsonrpc":"2.0","id":1,"method":"echo","method":"ping"}` + "\n", `"code":-32600`},
		{"wrong version", `{"jsonrpc":"1.0","id":1,"method":"echo"}` + "\n", `"code":-32600`},
		{"no version", `{"id":1,"method":"echo"}` + "\n", `"code":-32600`},
		{"id is an object", `{"jsonrpc":"2.0","id":{},"method":"echo"}` + "\n", `"code":-32600`},
		{"method is a number", `{"jsonrpc":"2.0","id":1,"method":7}` + "\n", `"code":-32600`},
		{"params is a string", `{"jsonrpc":"2.0","id":1,"method":"echo","params":"x"}` + "\n", `"code":-32600`},
		{"empty batch", "[]\n", `"code":-32600`},
		{"unknown method", `{"jsonrpc":"2.0","id":1,"method":"no/such"}` + "\n", `"code":-32601`},
		{"HTTP on this port", "GET / HTTP/1.1\r\n\r\n", `"code":-32700`},
	} {
		t.Run(x.name, func(t *testing.T) {
			c := dial(t, n.tcp)
			c.send(x.send)
			if got := c.line(); !strings.Contains(got, x.want) {
				t.Errorf("got %s, want %s", got, x.want)
			}
			alive(t, other)
		})
	}
	t.Run("too long", func(t *testing.T) {
		c := dial(t, n.tcp)
		_, _ = c.Write([]byte(strings.Repeat("x", 1<<20))) // the node may close in the middle
		if rest := c.rest(); rest != "" && !strings.Contains(rest, `"code":-32`) {
			t.Errorf("got %.200s", rest)
		}
		alive(t, other)
	})
}

// alive requires an answer on a connection that did nothing wrong.
func alive(t *testing.T, c *client) {
	t.Helper()
	c.t = t
	c.send(`{"jsonrpc":"2.0","id":0,"method":"echo","params":[]}` + "\n")
	if got, want := c.line(), `{"jsonrpc":"2.0","id":0,"result":[]}`; got != want {
		t.Fatalf("the other client got %s", got)
	}
}

func TestHostileHTTP(t *testing.T) {
	n := startNode(t, "--message-max", "64KiB")
	other := dial(t, n.tcp)
	const host = "Host: x\r\n"
	for _, x := range []struct{ name, send, want string }{
		{"noise", "\x16\x03\x01\x02\x00\x01\r\n\r\n", "HTTP/1.1 400 "},
		{"no such path", "GET /nowhere HTTP/1.1\r\n" + host + "\r\n", "HTTP/1.1 404 "},
		{"no host", "GET /mcp HTTP/1.1\r\n\r\n", "HTTP/1.1 400 "},
		{"HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "HTTP/1.1 505 "},
		{"two lengths", "POST /mcp HTTP/1.1\r\n" + host + "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!", "HTTP/1.1 400 "},
		{"length and chunked", "POST /mcp HTTP/1.1\r\n" + host + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "HTTP/1.1 400 "},
		{"chunked twice", "POST /mcp HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "HTTP/1.1 501 "},
		{"space before colon", "POST /mcp HTTP/1.1\r\n" + host + "Content-Length : 5\r\n\r\nhello", "HTTP/1.1 400 "},
		{"negative length", "POST /mcp HTTP/1.1\r\n" + host + "Content-Length: -5\r\n\r\n", "HTTP/1.1 400 "},
		{"bare LF", "POST /mcp HTTP/1.1\n" + "Host: x\n\n", "HTTP/1.1 400 "},
		{"folded header", "GET /mcp HTTP/1.1\r\n" + host + "A: b\r\n c\r\n\r\n", "HTTP/1.1 400 "},
		{"NUL in a header", "GET /mcp HTTP/1.1\r\n" + host + "A: b\x00c\r\n\r\n", "HTTP/1.1 400 "},
		{"huge header", "GET /mcp HTTP/1.1\r\n" + host + "A: " + strings.Repeat("x", 100_000) + "\r\n\r\n", "HTTP/1.1 431 "},
		{"huge body announced", "POST /mcp HTTP/1.1\r\n" + host + "Content-Type: application/json\r\nContent-Length: 999999999999\r\n\r\n", "HTTP/1.1 413 "},
		{"strange origin", "GET /mcp HTTP/1.1\r\n" + host + "Origin: https://evil.example\r\nAccept: text/event-stream\r\n\r\n", "HTTP/1.1 403 "},
		{"unknown session", "GET /mcp HTTP/1.1\r\n" + host + "Mcp-Session-Id: 00000000000000000000000000000000\r\nAccept: text/event-stream\r\n\r\n", "HTTP/1.1 404 "},
		{"bad JSON", "POST /mcp HTTP/1.1\r\n" + host + "Content-Type: application/json\r\nAccept: application/json, text/event-stream\r\nContent-Length: 5\r\n\r\nhello", "HTTP/1.1 400 "},
	} {
		t.Run(x.name, func(t *testing.T) {
			c := dial(t, n.http)
			_, _ = c.Write([]byte(x.send)) // the node may close in the middle
			if got, err := c.r.ReadString('\n'); !strings.HasPrefix(got, x.want) {
				t.Errorf("got %q (%v), want %q", got, err, x.want)
			}
			alive(t, other)
		})
	}
}

// A request that drips in is ended; others are not held up meanwhile.
func TestSlowDrip(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for a deadline of the node")
	}
	n := startNode(t)
	other := dial(t, n.tcp)
	c := dial(t, n.http)
	begin := time.Now()
	closed := make(chan struct{})
	go func() { // ends when the node closes, or with the test
		defer close(closed)
		for _, b := range []byte("POST /mcp HTTP/1.1\r\nX-A: " + strings.Repeat("a", 100_000)) {
			if _, err := c.Write([]byte{b}); err != nil {
				return
			}
			time.Sleep(50 * time.Millisecond)
		}
	}()
	for {
		select {
		case <-closed:
			return
		case <-time.After(200 * time.Millisecond):
			alive(t, other)
			if time.Since(begin) > time.Minute {
				t.Fatal("a request that drips in is still waited for after a minute")
			}
		}
	}
}
