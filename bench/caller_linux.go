package bench

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/rookery-server/rookery/bench/wire"
)

// caller is an HTTP/1.1 connection that carries one exchange after another.
type caller struct {
	conn     *conn
	response wire.Response
	request  []byte              // waits for the connection
	done     func(*caller) error // of the exchange under way; nil: none
}

// newCaller starts a connection; calls may follow at once.
func newCaller(c *client) (*caller, error) {
	k := &caller{}
	conn, err := c.open(k)
	k.conn = conn
	return k, err
}

// call sends request and runs done once k.response is complete. REQUIRES: no
// exchange is under way. It keeps request only until the connection is there.
func (k *caller) call(request []byte, done func(*caller) error) {
	k.done = done
	k.response.Reset()
	if k.conn.up {
		k.conn.send(request)
	} else {
		k.request = request
	}
}

func (k *caller) connected(c *conn) error {
	if k.request != nil {
		c.send(k.request)
		k.request = nil
	}
	return nil
}

func (k *caller) received(_ *conn, in []byte) (int, error) {
	if k.done == nil {
		return 0, fmt.Errorf("%q from the server, unasked", wire.Clip(in))
	}
	n, err := k.response.Feed(in)
	if err != nil || !k.response.Done {
		return n, err
	}
	done := k.done
	k.done = nil
	if n < len(in) {
		return n, fmt.Errorf("%q behind a response", wire.Clip(in[n:]))
	}
	return n, done(k)
}

func (k *caller) closed(_ *conn, why error) error {
	if k.done == nil {
		return nil // an idle connection: the server may
	}
	return fmt.Errorf("bench: the server ended a connection before its answer: %w", why)
}

// accepted is the outcome of a notification's POST.
func (k *caller) accepted() error {
	if k.response.Status != http.StatusAccepted {
		return fmt.Errorf("HTTP status %d for a notification, want 202: %s", k.response.Status, wire.Clip(k.response.Body))
	}
	return nil
}

var errNoSession = errors.New("the answer to initialize has no Mcp-Session-Id: the server keeps no sessions")

// initialize opens an MCP session of a client that can do caps with a call and
// its notification, then runs then with the session's id.
func (k *caller) initialize(t *Target, caps string, then func(k *caller, session string) error) {
	const id = 1
	k.call(t.post(initializeCall(id, caps), ""), func(k *caller) error {
		message, err := k.response.Message()
		if err != nil {
			return fmt.Errorf("initialize: %w", err)
		}
		revision, err := verifyInitialize(message, id)
		if err != nil {
			return fmt.Errorf("initialize: %w", err)
		}
		if revision != revisionSessions {
			return fmt.Errorf("initialize: the server speaks revision %s, asked was %s", revision, revisionSessions)
		}
		session := k.response.Session
		if session == "" {
			return errNoSession
		}
		k.call(t.post([]byte(initializedNote), ofSession(session)), func(k *caller) error {
			if err := k.accepted(); err != nil {
				return err
			}
			return then(k, session)
		})
		return nil
	})
}

// pool is a bounded number of callers that share work.
type pool struct {
	client *client
	size   int
	free   []*caller
	open   int
	// more reports whether there is work to start now.
	more func() bool
	// give starts the next piece of work on k, which ends by release(k).
	give func(k *caller, release func(*caller))
}

// staff hands work to free callers and opens as many as are needed.
func (p *pool) staff() error {
	for p.more() {
		k, err := p.take()
		if k == nil || err != nil {
			return err
		}
		p.give(k, p.release)
	}
	return nil
}

// take returns a caller that is free, nil when all are busy.
func (p *pool) take() (*caller, error) {
	for n := len(p.free); n > 0; n = len(p.free) {
		k := p.free[n-1]
		p.free = p.free[:n-1]
		if p.client.holds(k.conn) {
			return k, nil
		}
		p.open--
	}
	if p.open == p.size {
		return nil, nil
	}
	p.open++
	return newCaller(p.client)
}

// release returns k to the pool, or ends it when the server will.
func (p *pool) release(k *caller) {
	if k.response.Close {
		p.client.drop(k.conn)
		p.open--
		return
	}
	p.free = append(p.free, k)
}

// close ends the pool's connections. REQUIRES: all are free.
func (p *pool) close() {
	for _, k := range p.free {
		p.client.drop(k.conn)
	}
	p.free, p.open = nil, 0
}
