package gosdk

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/rookery-server/rookery/codec"
	"github.com/rookery-server/rookery/mcp"
)

// Methods by name, as far as they are told apart here.
const (
	methodInitialize  = "initialize"
	methodCallTool    = "tools/call"
	methodDiscover    = "server/discover"
	methodSubscribe   = "resources/subscribe"
	methodUnsubscribe = "resources/unsubscribe"

	notifyCancelled   = "notifications/cancelled"
	notifyInitialized = "notifications/initialized"
	notifyTools       = "notifications/tools/list_changed"
	notifyPrompts     = "notifications/prompts/list_changed"
	notifyResources   = "notifications/resources/list_changed"
	notifyUpdated     = "notifications/resources/updated"
)

// Answer implements mcp.Backend. The methods of the protocol go straight to the
// server's chain of handlers; what needs the SDK's own dispatch, because its
// types or its context are the SDK's secret, goes through a connection, which
// takes two to three times as long.
func (a *Adapter) Answer(ctx context.Context, c *mcp.Call) ([]byte, error) {
	if c.Revision() >= mcp.Revision20260728 && !a.modern {
		return nil, errOldServer(c.Revision())
	}
	m, err := readMeta(c)
	if err != nil {
		return nil, err
	}
	read, ok := readers[c.Method()]
	if !ok {
		return a.relay(ctx, c, &m, c.Method(), c.Params())
	}
	if c.Method() == methodCallTool {
		if err := a.checkMirrors(ctx, c, &m); err != nil {
			return nil, err
		}
	}
	n, ss, err := a.connect(ctx, c, &m)
	if err != nil {
		return nil, err
	}
	defer n.end(ss)
	req, err := read(ss, c, &m)
	if err != nil {
		return nil, err
	}
	res, err := a.handler()(ctx, c.Method(), req)
	if err != nil {
		return nil, wireError(err)
	}
	return a.result(c, res)
}

// connect makes the session for one request.
func (a *Adapter) connect(ctx context.Context, c *mcp.Call, m *meta) (*conn, *sdk.ServerSession, error) {
	state := new(sdk.ServerSessionState)
	if c.Method() != methodInitialize {
		rev := c.Revision()
		state.InitializeParams = a.client(c, m).params(rev)
		state.LogLevel = sdk.LoggingLevel(c.LogLevel().String())
		if c.Session() != 0 {
			state.NegotiatedProtocolVersion = rev.String()
			if c.Method() != notifyInitialized {
				state.InitializedParams = new(sdk.InitializedParams)
			}
		}
	}
	n := newConn(c, a)
	ss, err := a.srv.Connect(ctx, n, &sdk.ServerSessionOptions{State: state})
	return n, ss, err
}

// result returns what a handler returned as the SDK's dispatch would.
func (a *Adapter) result(c *mcp.Call, res sdk.Result) ([]byte, error) {
	if res == nil {
		return nil, errNoResult
	}
	switch r := res.(type) {
	case *sdk.InitializeResult:
		a.learn(r.Capabilities)
	case *sdk.DiscoverResult:
		a.learn(r.Capabilities)
	}
	raw, err := encode(res)
	if err != nil {
		return nil, fmt.Errorf("encode the result: %w", err)
	}
	if len(raw) < 2 || raw[0] != '{' {
		return nil, errNoResult // a nil pointer
	}
	if c.Revision() >= mcp.Revision20260728 {
		return a.complete(raw, res)
	}
	return raw, nil
}

// relay feeds the SDK a message through a connection and returns the result.
func (a *Adapter) relay(ctx context.Context, c *mcp.Call, m *meta, method string, params []byte) ([]byte, error) {
	n, ss, err := a.connect(ctx, c, m)
	if err != nil {
		return nil, err
	}
	defer n.end(ss)
	r, err := n.exchange(ctx, method, params, extra(c))
	if err != nil {
		return nil, err
	}
	if r.Error != nil {
		return nil, wireError(r.Error)
	}
	return r.Result, nil
}

// exchange sends one request through the connection and waits for the response.
// When it returns an error, the handler may still run: end waits for it.
func (c *conn) exchange(ctx context.Context, method string, params []byte, x *sdk.RequestExtra) (*jsonrpc.Response, error) {
	c.reply = make(chan *jsonrpc.Response, 1)
	// User code may keep parts of params.
	if !c.feed(&jsonrpc.Request{ID: relayID, Method: method, Params: bytes.Clone(params), Extra: x}) {
		return nil, sdk.ErrConnectionClosed
	}
	select {
	case r := <-c.reply:
		return r, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// relayID is the id of the one request of a connection.
var relayID, _ = jsonrpc.MakeID(float64(1)) // a number is an id

// Notified implements mcp.Backend.
func (a *Adapter) Notified(ctx context.Context, c *mcp.Call) {
	m, err := readMeta(c)
	if err != nil {
		return // a notification has no answer
	}
	n, ss, err := a.connect(ctx, c, &m)
	if err != nil {
		return
	}
	defer n.end(ss)
	if read, ok := notices[c.Method()]; ok {
		if req, err := read(ss, c, &m); err == nil {
			_, _ = a.handler()(ctx, c.Method(), req) // the same
		}
		return
	}
	if !n.feed(&jsonrpc.Request{Method: c.Method(), Params: bytes.Clone(c.Params()), Extra: extra(c)}) {
		return
	}
	// The SDK handles notifications in turn and before later requests: the
	// refusal of this one says that the handler has returned.
	_, _ = n.exchange(ctx, "rookery/fence", nil, nil)
}

// Permit implements mcp.Backend: it asks the SubscribeHandler.
func (a *Adapter) Permit(ctx context.Context, c *mcp.Call, uri string) error {
	m, err := readMeta(c)
	if err != nil {
		return err
	}
	params := c.Params()
	if c.Session() == 0 {
		params, _ = json.Marshal(map[string]string{"uri": uri}) // a string can be encoded
	}
	_, err = a.relay(ctx, c, &m, methodSubscribe, params)
	return err
}

// Watch implements mcp.Backend.
func (a *Adapter) Watch(ctx context.Context, uri string) error { return a.ear.watch(ctx, uri) }

// Unwatched implements mcp.Backend.
func (a *Adapter) Unwatched(uri string) { a.ear.lost(uri) }

// extra is what the SDK's transport tells handlers of the HTTP request.
func extra(c *mcp.Call) *sdk.RequestExtra {
	h := make(http.Header, 12)
	c.EachHeader(func(name, value []byte) bool {
		h.Add(string(name), string(value))
		return true
	})
	return &sdk.RequestExtra{
		Header:         h,
		CloseSSEStream: func(args sdk.CloseSSEStreamArgs) { _ = c.CloseStream(args.RetryAfter) }, // as the SDK, which returns nothing
	}
}

var errNoResult = errors.New("the handler returned neither a result nor an error")

// errOldServer refuses a revision that ServerOptions.SupportedProtocolVersions
// leaves out.
func errOldServer(rev mcp.Revision) error {
	data, _ := json.Marshal(sdk.UnsupportedProtocolVersionData{ // strings can be encoded
		Supported: []string{mcp.Revision20251125.String()}, Requested: rev.String(),
	})
	return &codec.Error{Code: mcp.CodeUnsupportedVersion, Message: "unsupported protocol version", Data: data}
}
