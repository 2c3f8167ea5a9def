package load

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"testing"
)

// lineServer is a JSON-RPC server over TCP. Its first answer on a connection is
// right; answer makes the others.
type lineServer struct {
	// answer returns what to write for call n (from 1) of a connection, and
	// whether to go on; nil: a right answer.
	answer func(n int, c *lineCall) (write string, more bool)

	mu    sync.Mutex
	notes int
	conns map[net.Conn]bool
}

// lineCall is a call of a client.
type lineCall struct {
	ID     json.Number
	Method string
	Params json.RawMessage
}

// right is the answer to c.
func (c *lineCall) right() string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"result":%s}`+"\n", c.ID, c.Params)
}

// serve starts s and returns where it is.
func (s *lineServer) serve(t *testing.T) Target {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.conns = map[net.Conn]bool{}
	var wait sync.WaitGroup
	wait.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.conns[c] = true
			s.mu.Unlock()
			wait.Go(func() { s.converse(c) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		s.cut()
		wait.Wait()
	})
	return Target{Addr: netip.MustParseAddrPort(l.Addr().String())}
}

// cut ends all connections.
func (s *lineServer) cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		c.Close()
	}
}

func (s *lineServer) converse(c net.Conn) {
	defer func() {
		c.Close()
		s.mu.Lock()
		delete(s.conns, c)
		s.mu.Unlock()
	}()
	lines := bufio.NewScanner(c)
	lines.Buffer(nil, 2*textMax)
	for n := 0; lines.Scan(); n++ {
		var call lineCall
		if json.Unmarshal(lines.Bytes(), &call) != nil {
			return
		}
		if call.ID == "" {
			n--
			s.mu.Lock()
			s.notes++
			s.mu.Unlock()
			continue
		}
		write, more := call.right(), true
		if n > 0 && s.answer != nil {
			write, more = s.answer(n, &call)
		}
		if _, err := c.Write([]byte(write)); err != nil || !more {
			return
		}
	}
}
