package gosdk

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/rookery-server/rookery/mcp"
	"github.com/rookery-server/rookery/server"
)

// Adapter serves one *mcp.Server of the SDK. It belongs to one server, which
// closes it: to that of ListenAndServe or Serve, or to one whose
// server.Options.MCPBackend it is.
type Adapter struct {
	srv     *sdk.Server
	err     error // immutable; why srv cannot be served
	taken   atomic.Bool
	modern  bool     // immutable; srv speaks the revision of 2026-07-28
	clients profiles // what initialize said
	mirrors mirrors
	info    []byte // set by Attach; the server's Implementation as JSON
	up      *mcp.Server
	ear     *ear
	offer   atomic.Uint32 // bits of mcp.Offer

	ctx    context.Context // of goroutines started by Go
	cancel context.CancelFunc
	mu     sync.Mutex
	closed bool // guarded by mu
	going  int  // guarded by mu
	group  sync.WaitGroup
}

var _ mcp.Backend = (*Adapter)(nil)

// goingMax bounds the goroutines that wait for user code's leave to open a
// stream, 2 KB or so each.
const goingMax = 1024

// Errors of what cannot be served.
var (
	ErrKeepAlive    = errors.New("gosdk: ServerOptions.KeepAlive cannot work: idle clients have no session to ping")
	ErrGetSessionID = errors.New("gosdk: ServerOptions.GetSessionID cannot work: session ids are drawn by the table of sessions")
	ErrTaken        = errors.New("gosdk: a Handler serves one server")
	ErrNoServer     = errors.New("gosdk: the server is nil")
)

// Handler returns what serves srv. It never fails: what makes srv impossible to
// serve, ErrKeepAlive and the like, is returned by Err and by whatever would
// start serving.
func Handler(srv *sdk.Server) *Adapter {
	a := &Adapter{srv: srv}
	a.ctx, a.cancel = context.WithCancel(context.Background())
	if srv == nil {
		a.err = ErrNoServer
		return a
	}
	a.inspect()
	return a
}

// ListenAndServe serves srv over Streamable HTTP at addr ("host:port"), path
// /mcp, until ctx ends, and returns nil after a complete drain.
func (a *Adapter) ListenAndServe(ctx context.Context, addr string) error {
	return a.Serve(ctx, server.Options{HTTP: addr})
}

// Serve is ListenAndServe with options; their MCPBackend is set here.
func (a *Adapter) Serve(ctx context.Context, o server.Options) error {
	o.MCPBackend = a
	s, err := server.New(o)
	if err != nil {
		return err
	}
	return s.Run(ctx)
}

// inspect looks at options the SDK does not show, by reflection: a mistake that
// is told beats one that is found in production. An SDK that stores them
// otherwise is taken to have none of them set.
func (a *Adapter) inspect() {
	v := reflect.ValueOf(a.srv).Elem()
	opts := v.FieldByName("opts")
	if opts.Kind() == reflect.Struct {
		if f := opts.FieldByName("KeepAlive"); f.CanInt() && f.Int() > 0 {
			a.err = ErrKeepAlive
		}
		if f := opts.FieldByName("GetSessionID"); f.Kind() == reflect.Func && f.Pointer() != reflect.ValueOf(rand.Text).Pointer() {
			a.err = errors.Join(a.err, ErrGetSessionID)
		}
	}
	spoken := sdk.SupportedProtocolVersions()
	if f := v.FieldByName("protocolVersions"); f.Kind() == reflect.Slice && f.Type().Elem().Kind() == reflect.String {
		spoken = spoken[:0]
		for i := range f.Len() {
			spoken = append(spoken, f.Index(i).String())
		}
	}
	a.modern = slices.Contains(spoken, mcp.Revision20260728.String())
}

// Err implements mcp.Backend.
func (a *Adapter) Err() error {
	if a.taken.Load() {
		return ErrTaken
	}
	return a.err
}

// Attach implements mcp.Backend: it connects the listening session.
func (a *Adapter) Attach(up *mcp.Server) error {
	a.taken.Store(true)
	a.up = up
	var err error
	if a.ear, err = newEar(a); err != nil {
		return fmt.Errorf("gosdk: connect the listening session: %w", err)
	}
	if err := a.probe(a.ctx); err != nil {
		return fmt.Errorf("gosdk: what the server offers is not known before a client asks: %w", err)
	}
	return nil
}

// Close implements mcp.Backend.
func (a *Adapter) Close() {
	a.mu.Lock()
	a.closed = true
	a.mu.Unlock()
	a.cancel()
	a.group.Wait()
	if a.ear != nil {
		a.ear.close()
	}
}

// Go implements mcp.Backend.
func (a *Adapter) Go(f func(ctx context.Context)) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed || a.going == goingMax {
		return false
	}
	a.going++
	a.group.Add(1)
	go func() {
		defer a.group.Done()
		f(a.ctx)
		a.mu.Lock()
		a.going--
		a.mu.Unlock()
	}()
	return true
}

// handler returns the server's receiving handler, with the middleware it has at
// this moment. A middleware that returns what it is given leaves the chain as it
// is, and is the SDK's way to see it.
func (a *Adapter) handler() (h sdk.MethodHandler) {
	a.srv.AddReceivingMiddleware(func(next sdk.MethodHandler) sdk.MethodHandler {
		h = next
		return next
	})
	return h
}

// Bits of offer.
const (
	offerTools = 1 << iota
	offerPrompts
	offerResources
	offerSubscribe
)

// Offer implements mcp.Backend.
func (a *Adapter) Offer() mcp.Offer {
	o := a.offer.Load()
	return mcp.Offer{
		Tools: o&offerTools != 0, Prompts: o&offerPrompts != 0,
		Resources: o&offerResources != 0, Subscribe: o&offerSubscribe != 0,
	}
}

// learn takes what the server offers from its own words.
func (a *Adapter) learn(c *sdk.ServerCapabilities) {
	if c == nil {
		return
	}
	var o uint32
	if c.Tools != nil && c.Tools.ListChanged {
		o |= offerTools
	}
	if c.Prompts != nil && c.Prompts.ListChanged {
		o |= offerPrompts
	}
	if c.Resources != nil {
		if c.Resources.ListChanged {
			o |= offerResources
		}
		if c.Resources.Subscribe {
			o |= offerSubscribe
		}
	}
	a.offer.Store(o)
}

// probe asks the server for its capabilities and name as a client would.
func (a *Adapter) probe(ctx context.Context) error {
	c := newConn(nil, a)
	ss, err := a.srv.Connect(ctx, c, nil)
	if err != nil {
		return err
	}
	defer c.end(ss)
	res, err := a.handler()(ctx, methodInitialize, &sdk.ServerRequest[*sdk.InitializeParams]{Session: ss, Params: earParams()})
	if err != nil {
		return err
	}
	r, ok := res.(*sdk.InitializeResult)
	if !ok {
		return fmt.Errorf("initialize returned a %T", res)
	}
	a.learn(r.Capabilities)
	info, err := encode(r.ServerInfo)
	if a.info == nil {
		a.info = info
	}
	return err
}
