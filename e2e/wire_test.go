package e2e

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"sync"
	"testing"
)

// wire is a network between a client and a node that can break: a proxy for
// TCP connections.
type wire struct {
	t    *testing.T
	addr string // where clients connect
	to   string

	running sync.WaitGroup
	mu      sync.Mutex
	conns   map[net.Conn]struct{} // guarded by mu; nil after the end
}

func newWire(t *testing.T, to string) *wire {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{t: t, addr: l.Addr().String(), to: to, conns: map[net.Conn]struct{}{}}
	w.running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return // closed
			}
			w.running.Go(func() { w.carry(c) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		w.end()
		w.running.Wait()
	})
	return w
}

// carry moves bytes between a client and the node until one of them closes.
func (w *wire) carry(client net.Conn) {
	defer client.Close()
	node, err := net.Dial("tcp", w.to)
	if err != nil {
		w.t.Error(err)
		return
	}
	defer node.Close()
	if !w.add(client) {
		return
	}
	defer w.remove(client)
	var back sync.WaitGroup
	back.Go(func() {
		_, _ = io.Copy(client, node) // ends with either
		client.Close()
	})
	_, _ = io.Copy(node, client)
	node.Close()
	back.Wait()
}

func (w *wire) add(c net.Conn) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.conns == nil {
		return false
	}
	w.conns[c] = struct{}{}
	return true
}

func (w *wire) remove(c net.Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.conns, c)
}

// cut breaks every connection there is; new ones are carried.
func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := range w.conns {
		if tcp, ok := c.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0) // a reset, as a lost network gives
		}
		c.Close()
	}
}

func (w *wire) end() {
	w.cut()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.conns = nil
}

// newControl lets a script do what only the test can: a POST to the path, with
// the argument as body, runs the action. It returns the base address.
func newControl(t *testing.T, actions map[string]func(arg string) error) string {
	t.Helper()
	mux := http.NewServeMux()
	for path, act := range actions {
		mux.HandleFunc("POST "+path, func(w http.ResponseWriter, r *http.Request) {
			arg, err := io.ReadAll(r.Body)
			if err == nil {
				err = act(string(arg))
			}
			if err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
			}
		})
	}
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	return srv.URL
}

// nodeScript runs a script of this directory and returns what it prints.
func nodeScript(ctx context.Context, t *testing.T, args ...string) []byte {
	t.Helper()
	cmd := exec.CommandContext(ctx, "node", args...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr.String())
	}
	return out
}
