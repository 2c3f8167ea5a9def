package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"
)

// A holder is a second process that holds connections, so that neither its
// descriptors nor its memory are the node's. It is this test binary, told by
// holderEnv, and takes one order a line on standard input.
const holderEnv = "E2E_HOLDER"

// Kinds of connections.
const (
	kindTCP    = "tcp"    // a JSON-RPC client that was answered once
	kindDialed = "dialed" // connected, as far as the kernel is concerned
	kindStream = "stream" // a session with an open GET stream, 2025-11-25
	kindListen = "listen" // a subscriptions/listen stream, 2026-07-28
)

// order is what a holder is to do; answer is how it went.
type order struct {
	Do    string // open, ask, updated or close
	Kind  string // of open
	Addr  string // of open
	Count int    // of open and close
}

type answer struct {
	Open  int // connections held now
	Took  time.Duration
	Error string // the first thing that went wrong
}

// orderPatience bounds one order on one connection.
const orderPatience = 60 * time.Second

// holder is the parent's end.
type holder struct {
	t   *testing.T
	in  io.WriteCloser
	out *bufio.Scanner
}

func startHolder(t *testing.T) *holder {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), holderEnv+"=1")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close() // its end
		if err := cmd.Wait(); err != nil {
			t.Errorf("holder: %v", err)
		}
	})
	return &holder{t, in, bufio.NewScanner(out)}
}

// do gives an order and fails the test when any connection did.
func (h *holder) do(o order) answer {
	h.t.Helper()
	line, err := json.Marshal(o)
	if err != nil {
		h.t.Fatal(err)
	}
	if _, err := h.in.Write(append(line, '\n')); err != nil {
		h.t.Fatal(err)
	}
	if !h.out.Scan() {
		h.t.Fatalf("the holder is gone: %v", h.out.Err())
	}
	var a answer
	if err := json.Unmarshal(h.out.Bytes(), &a); err != nil {
		h.t.Fatal(err)
	}
	if a.Error != "" {
		h.t.Fatalf("%+v: %s (%d open)", o, a.Error, a.Open)
	}
	return a
}

// holdConnections is the child: it obeys until in ends.
func holdConnections(in io.Reader, out io.Writer) int {
	var held []net.Conn
	for s := bufio.NewScanner(in); s.Scan(); {
		var o order
		if err := json.Unmarshal(s.Bytes(), &o); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		begin := time.Now()
		err := obey(&held, o)
		a := answer{Open: len(held), Took: time.Since(begin)}
		if err != nil {
			a.Error = err.Error()
		}
		line, err := json.Marshal(a)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		fmt.Fprintf(out, "%s\n", line)
	}
	return 0
}

func obey(held *[]net.Conn, o order) error {
	switch o.Do {
	case "open":
		opened := make([]net.Conn, o.Count)
		err := each(o.Count, func(i int) (err error) {
			opened[i], err = openOne(o.Kind, o.Addr, len(*held)+i)
			return err
		})
		for _, c := range opened {
			if c != nil {
				*held = append(*held, c)
			}
		}
		return err
	case "ask":
		return each(len(*held), func(i int) error { return ask((*held)[i], i) })
	case "updated":
		return each(len(*held), func(i int) error {
			_, err := await((*held)[i], `"notifications/resources/updated"`)
			return err
		})
	case "close":
		n := min(o.Count, len(*held))
		for _, c := range (*held)[:n] {
			if err := c.Close(); err != nil {
				return err
			}
		}
		*held = (*held)[n:]
		return nil
	}
	return fmt.Errorf("unknown order %q", o.Do)
}

// each calls f for 0 to n-1 on a few goroutines and returns the first error.
func each(n int, f func(i int) error) error {
	const side = 32
	var wg sync.WaitGroup
	var mu sync.Mutex
	var first error
	for k := range side {
		wg.Go(func() {
			for i := k; i < n; i += side {
				if err := f(i); err != nil {
					mu.Lock()
					if first == nil {
						first = fmt.Errorf("connection %d of %d: %w", i, n, err)
					}
					mu.Unlock()
					return
				}
			}
		})
	}
	wg.Wait()
	return first
}

// openOne opens a connection from one of a few source addresses, so that no
// source runs out of ports.
func openOne(kind, addr string, i int) (net.Conn, error) {
	d := net.Dialer{Timeout: orderPatience, KeepAlive: -1, LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(2+i%8))}}
	c, err := d.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	switch kind {
	case kindTCP:
		err = ask(c, i)
	case kindStream:
		err = askStream(c)
	case kindListen:
		err = askListen(c)
	case kindDialed:
	default:
		err = fmt.Errorf("unknown kind %q", kind)
	}
	if err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// ask sends a request of its own and requires its own answer.
func ask(c net.Conn, i int) error {
	if err := c.SetDeadline(time.Now().Add(orderPatience)); err != nil {
		return err
	}
	if _, err := fmt.Fprintf(c, `{"jsonrpc":"2.0","id":%d,"method":"echo","params":[%d]}`+"\n", i, i); err != nil {
		return err
	}
	want := fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"result":[%d]}`+"\n", i, i)
	got := make([]byte, len(want))
	if _, err := io.ReadFull(c, got); err != nil {
		return err
	}
	if string(got) != want {
		return fmt.Errorf("got %q, want %q", got, want)
	}
	return nil
}

const postHead = "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nAccept: application/json, text/event-stream\r\n"

// askStream opens a session, its subscription and its stream on one connection.
func askStream(c net.Conn) error {
	head, err := post(c, "", `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"holder","version":"1"}}}`)
	if err != nil {
		return err
	}
	id := head.Get("Mcp-Session-Id")
	if id == "" {
		return errors.New("initialize gave no session")
	}
	headers := "Mcp-Protocol-Version: 2025-11-25\r\nMcp-Session-Id: " + id + "\r\n"
	if _, err := post(c, headers, `{"jsonrpc":"2.0","id":2,"method":"resources/subscribe","params":{"uri":"demo://item/x"}}`); err != nil {
		return err
	}
	return open(c, "GET /mcp HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n"+headers+"\r\n", "\r\n\r\n")
}

// askListen opens a stream with one subscription and awaits its
// acknowledgement.
func askListen(c net.Conn) error {
	const body = `{"jsonrpc":"2.0","id":1,"method":"subscriptions/listen","params":{"notifications":{"resourceSubscriptions":["demo://item/x"]},` +
		`"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"holder","version":"1"},"io.modelcontextprotocol/clientCapabilities":{}}}}`
	return open(c, fmt.Sprintf("%sMcp-Protocol-Version: 2026-07-28\r\nMcp-Method: subscriptions/listen\r\nContent-Length: %d\r\n\r\n%s", postHead, len(body), body),
		"notifications/subscriptions/acknowledged")
}

// post sends body and reads the whole response, which must be a good one.
func post(c net.Conn, headers, body string) (http.Header, error) {
	if err := c.SetDeadline(time.Now().Add(orderPatience)); err != nil {
		return nil, err
	}
	if _, err := fmt.Fprintf(c, "%s%sContent-Length: %d\r\n\r\n%s", postHead, headers, len(body), body); err != nil {
		return nil, err
	}
	res, err := http.ReadResponse(bufio.NewReaderSize(c, 1024), nil)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, errors.New(res.Status)
	}
	_, err = io.Copy(io.Discard, res.Body)
	return res.Header, err
}

// open sends a request whose response stays open and reads until mark.
func open(c net.Conn, raw, mark string) error {
	if _, err := io.WriteString(c, raw); err != nil {
		return err
	}
	seen, err := await(c, mark)
	if err == nil && !bytes.HasPrefix(seen, []byte("HTTP/1.1 200 ")) {
		err = fmt.Errorf("got %q", seen)
	}
	return err
}

// await reads until text was seen and returns what was read.
func await(c net.Conn, text string) ([]byte, error) {
	if err := c.SetDeadline(time.Now().Add(orderPatience)); err != nil {
		return nil, err
	}
	var seen []byte
	buf := make([]byte, 1024)
	for !bytes.Contains(seen, []byte(text)) {
		n, err := c.Read(buf)
		if err != nil {
			return nil, fmt.Errorf("%w after %q", err, seen)
		}
		seen = append(seen, buf[:n]...)
	}
	return seen, nil
}
