package gosdk

import (
	"context"
	"encoding/json"
	"io"
	"sync"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/rookery-server/rookery/codec"
	"github.com/rookery-server/rookery/mcp"
)

// ear is the connection of the listening session: a client of the server's that
// asks for nothing but to be told of changes, and tells everybody else. It is
// subscribed to a URI while any client is.
//
// The SDK handles requests of one connection side by side, so that what
// concerns one URI must be done one after another: watch.busy.
type ear struct {
	a  *Adapter
	ss *sdk.ServerSession

	in     chan jsonrpc.Message // to the SDK: requests of ask
	signal chan struct{}        // of one: left is not empty
	done   chan struct{}        // closed by Close
	once   sync.Once

	mu      sync.Mutex
	seq     int64                             // guarded by mu; the latest request's id
	answers map[int64]func(*jsonrpc.Response) // guarded by mu; of requests in flight
	watches map[string]*watch                 // guarded by mu; by URI
	left    map[string]struct{}               // guarded by mu; URIs that lost their last client
}

// watch is the ear's subscription to one URI.
type watch struct {
	on   bool          // guarded by ear.mu
	busy chan struct{} // guarded by ear.mu; closed when the request in flight is answered, nil if there is none
}

var (
	_ sdk.Transport  = (*ear)(nil)
	_ sdk.Connection = (*ear)(nil)
)

// earVersion is the last revision whose clients are told of list changes
// without asking.
const earVersion = "2025-11-25"

func earParams() *sdk.InitializeParams {
	return &sdk.InitializeParams{
		ProtocolVersion: earVersion,
		Capabilities:    &sdk.ClientCapabilities{},
		ClientInfo:      &sdk.Implementation{Name: "rookery", Version: "0"},
	}
}

func newEar(a *Adapter) (*ear, error) {
	e := &ear{
		a: a, in: make(chan jsonrpc.Message), signal: make(chan struct{}, 1), done: make(chan struct{}),
		answers: make(map[int64]func(*jsonrpc.Response)), watches: make(map[string]*watch), left: make(map[string]struct{}),
	}
	var err error
	e.ss, err = a.srv.Connect(context.Background(), e, earOptions())
	return e, err
}

// earOptions are those of a session that has shaken hands.
func earOptions() *sdk.ServerSessionOptions {
	return &sdk.ServerSessionOptions{State: &sdk.ServerSessionState{
		InitializeParams: earParams(), InitializedParams: &sdk.InitializedParams{}, NegotiatedProtocolVersion: earVersion,
	}}
}

// close ends the session and waits for its goroutine.
func (e *ear) close() {
	_ = e.Close() // never fails
	if e.ss != nil {
		_ = e.ss.Close() // the same
	}
}

// Connect implements sdk.Transport.
func (e *ear) Connect(context.Context) (sdk.Connection, error) { return e, nil }

// SessionID implements sdk.Connection.
func (e *ear) SessionID() string { return "" }

// Close implements sdk.Connection.
func (e *ear) Close() error {
	e.once.Do(func() { close(e.done) })
	return nil
}

// Read implements sdk.Connection. Here, on the session's own goroutine, URIs
// without clients are given up.
func (e *ear) Read(context.Context) (jsonrpc.Message, error) {
	for {
		if m := e.giveUp(); m != nil {
			return m, nil
		}
		select {
		case m := <-e.in:
			return m, nil
		case <-e.signal:
		case <-e.done:
			return nil, io.EOF
		}
	}
}

// Write implements sdk.Connection.
func (e *ear) Write(_ context.Context, m jsonrpc.Message) error {
	switch m := m.(type) {
	case *jsonrpc.Response:
		id, _ := m.ID.Raw().(int64)
		e.mu.Lock()
		answer := e.answers[id]
		delete(e.answers, id)
		e.mu.Unlock()
		if answer != nil {
			answer(m)
		}
	case *jsonrpc.Request:
		if m.IsCall() {
			return rejected(mcp.ErrNoStream) // user code asks all of Server.Sessions
		}
		e.heard(m)
	}
	return nil
}

// heard passes on what the server tells its clients.
func (e *ear) heard(m *jsonrpc.Request) {
	a := e.a
	switch m.Method {
	case notifyTools:
		a.grown(offerTools)
		a.mirrors.forget()
		a.up.ToolsChanged()
	case notifyPrompts:
		a.grown(offerPrompts)
		a.up.PromptsChanged()
	case notifyResources:
		a.grown(offerResources)
		a.up.ResourcesChanged()
	case notifyUpdated:
		var p struct {
			URI string `json:"uri"`
		}
		if codec.Unmarshal(m.Params, &p) == nil {
			a.up.ResourceUpdated(p.URI)
		}
	}
}

// grown looks again at what the server offers if the change is of something it
// did not offer yet.
func (a *Adapter) grown(bit uint32) {
	if a.offer.Load()&bit == 0 {
		_ = a.probe(a.ctx) // as at first: clients that ask will tell
	}
}

// request returns a request whose answer goes to f. The lock is held.
func (e *ear) request(method, uri string, f func(*jsonrpc.Response)) *jsonrpc.Request {
	e.seq++
	id, _ := jsonrpc.MakeID(float64(e.seq)) // a number is an id
	e.answers[e.seq] = f
	params, _ := json.Marshal(map[string]string{"uri": uri}) // strings can be encoded
	return &jsonrpc.Request{ID: id, Method: method, Params: params}
}

// watch returns when the ear is subscribed to uri.
func (e *ear) watch(ctx context.Context, uri string) error {
	for {
		e.mu.Lock()
		w := e.watches[uri]
		if w == nil {
			return e.subscribe(ctx, uri) // unlocks
		}
		busy, on := w.busy, w.on
		e.mu.Unlock()
		if busy == nil && on {
			return nil
		}
		select {
		case <-busy:
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-e.done:
			return sdk.ErrConnectionClosed
		}
	}
}

// subscribe is the first subscription to a URI. The lock is held, and released.
func (e *ear) subscribe(ctx context.Context, uri string) error {
	w := &watch{busy: make(chan struct{})}
	e.watches[uri] = w
	outcome := make(chan error, 1)
	m := e.request(methodSubscribe, uri, func(r *jsonrpc.Response) {
		e.settle(uri, w, r.Error == nil)
		if !e.a.up.Watched(uri) {
			e.lost(uri) // while the answer was on its way
		}
		outcome <- wireError(r.Error)
	})
	e.mu.Unlock()
	select {
	case e.in <- m:
	case <-e.done:
		return sdk.ErrConnectionClosed
	}
	select {
	case err := <-outcome:
		return err
	case <-ctx.Done():
		return context.Cause(ctx) // the answer settles it all the same
	case <-e.done:
		return sdk.ErrConnectionClosed
	}
}

// settle notes how a request about uri ended.
func (e *ear) settle(uri string, w *watch, on bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	close(w.busy)
	w.busy, w.on = nil, on
	if !on {
		delete(e.watches, uri)
	}
}

// lost notes that uri may have no client any more.
func (e *ear) lost(uri string) {
	e.mu.Lock()
	if w := e.watches[uri]; w != nil {
		e.left[uri] = struct{}{}
	}
	e.mu.Unlock()
	select {
	case e.signal <- struct{}{}:
	default:
	}
}

// giveUp returns the request that ends the subscription to a URI without
// clients, nil if there is none.
func (e *ear) giveUp() jsonrpc.Message {
	for {
		uri, w := e.idle()
		if w == nil {
			return nil
		}
		// Who comes now waits. The lock is free meanwhile: it is taken inside
		// the one behind Watched.
		if e.a.up.Watched(uri) {
			e.settle(uri, w, true)
			continue
		}
		e.mu.Lock()
		defer e.mu.Unlock()
		return e.request(methodUnsubscribe, uri, func(*jsonrpc.Response) { e.settle(uri, w, false) })
	}
}

// idle makes a URI that lost its last client busy and returns it.
func (e *ear) idle() (string, *watch) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for uri := range e.left {
		delete(e.left, uri)
		if w := e.watches[uri]; w != nil && w.busy == nil {
			w.busy = make(chan struct{})
			return uri, w
		} // else it is gone, or what it is busy with looks when it ends
	}
	return "", nil
}
