package gosdk

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/rookery-server/rookery/codec"
	"github.com/rookery-server/rookery/mcp"
)

// conn is the connection of a ServerSession that lives for one request: what the
// SDK writes to it goes to the client of that request's call. It is a Transport
// and its own Connection, as one is connected once.
type conn struct {
	a    *Adapter
	call *mcp.Call // nil: there is no client
	id   string

	in    chan jsonrpc.Message   // to the SDK
	reply chan *jsonrpc.Response // from the SDK, of the one request that went in
	done  chan struct{}          // closed by Close
	once  sync.Once

	// Questions on their way hold on to the call, which is over when its handler
	// has returned, whatever goroutines that left behind.
	mu      sync.Mutex
	over    bool                       // guarded by mu
	cancels map[int]context.CancelFunc // guarded by mu
	asked   int                        // guarded by mu
	asking  sync.WaitGroup
}

var (
	_ sdk.Transport  = (*conn)(nil)
	_ sdk.Connection = (*conn)(nil)
)

func newConn(c *mcp.Call, a *Adapter) *conn {
	n := &conn{a: a, call: c, in: make(chan jsonrpc.Message), done: make(chan struct{})}
	if c != nil {
		n.id = c.SessionID()
	}
	return n
}

// Connect implements sdk.Transport.
func (c *conn) Connect(context.Context) (sdk.Connection, error) { return c, nil }

// SessionID implements sdk.Connection.
func (c *conn) SessionID() string { return c.id }

// Read implements sdk.Connection.
func (c *conn) Read(context.Context) (jsonrpc.Message, error) {
	select {
	case m := <-c.in:
		return m, nil
	case <-c.done:
		return nil, io.EOF
	}
}

// Close implements sdk.Connection.
func (c *conn) Close() error {
	c.once.Do(func() { close(c.done) })
	return nil
}

// end closes the session and returns when nothing of it is left. The reader ends
// first: it takes with it what user code still waits for.
func (c *conn) end(ss *sdk.ServerSession) {
	_ = c.Close() // never fails
	c.mu.Lock()
	c.over = true
	for _, cancel := range c.cancels {
		cancel()
	}
	c.mu.Unlock()
	c.asking.Wait()
	_ = ss.Close() // the same
}

// feed gives the SDK a message, or reports that the session has ended.
func (c *conn) feed(m jsonrpc.Message) bool {
	select {
	case c.in <- m:
		return true
	case <-c.done:
		return false
	}
}

// Write implements sdk.Connection. It blocks while the client is asked.
func (c *conn) Write(ctx context.Context, m jsonrpc.Message) error {
	switch m := m.(type) {
	case *jsonrpc.Response:
		c.reply <- m // has room: there is one request
		return nil
	case *jsonrpc.Request:
		if c.call == nil {
			return rejected(mcp.ErrNoStream)
		}
		if m.IsCall() {
			return c.ask(ctx, m)
		}
		return c.notify(m)
	}
	return rejected(errors.New("gosdk: unknown kind of message"))
}

// notify sends a notification of user code to the call's client.
func (c *conn) notify(m *jsonrpc.Request) error {
	switch m.Method {
	case notifyTools, notifyPrompts, notifyResources, notifyUpdated:
		return nil // the listening session tells everybody
	case notifyCancelled:
		return nil // of a question, whose id the client has never seen: ask sees to it
	}
	if err := c.call.Notify(m.Method, m.Params); err != nil {
		return rejected(err)
	}
	return nil
}

// hold returns a context for one question, or false when the call is over. The
// caller must call release.
func (c *conn) hold(ctx context.Context) (held context.Context, release func(), ok bool) {
	held, cancel := context.WithCancel(ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over {
		cancel()
		return nil, nil, false
	}
	if c.cancels == nil {
		c.cancels = make(map[int]context.CancelFunc)
	}
	n := c.asked
	c.asked++
	c.cancels[n] = cancel
	c.asking.Add(1)
	return held, func() {
		cancel()
		c.mu.Lock()
		delete(c.cancels, n)
		c.mu.Unlock()
		c.asking.Done()
	}, true
}

// ask asks the call's client and feeds its answer to the SDK.
func (c *conn) ask(ctx context.Context, m *jsonrpc.Request) error {
	held, release, ok := c.hold(ctx)
	if !ok {
		return rejected(mcp.ErrCallOver)
	}
	defer release()
	answer := &jsonrpc.Response{ID: m.ID}
	raw, err := c.call.Ask(held, m.Method, orNull(m.Params))
	switch e := (*codec.Error)(nil); {
	case err == nil:
		answer.Result = append(json.RawMessage(nil), raw...)
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, &e):
		answer.Error = &jsonrpc.Error{Code: int64(e.Code), Message: e.Message, Data: e.Data}
	default:
		return rejected(err)
	}
	if !c.feed(answer) {
		return rejected(mcp.ErrCallOver)
	}
	return nil
}

func orNull(raw json.RawMessage) json.RawMessage {
	if raw == nil {
		return json.RawMessage("null")
	}
	return raw
}

// codeRejected marks errors of Write that concern one message; by any other the
// SDK takes the connection for broken.
const codeRejected = -32005

// rejected returns the error for a message that does not reach its client.
func rejected(err error) error {
	return fmt.Errorf("%w: %w", &jsonrpc.Error{Code: codeRejected, Message: "not sent to the client"}, err)
}
