package server

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
)

// A MethodOption changes how a method is run.
type MethodOption func(*method)

// Inline runs the method on the connection's loop: for handlers of a few
// microseconds that never block. While one runs, no other client of that loop
// is served; what it saves is the way through a worker.
func Inline() MethodOption { return func(m *method) { m.inline = true } }

// Urgent is Inline, and the method is run even while earlier requests of its
// connection still wait or run, as a ping must.
func Urgent() MethodOption { return func(m *method) { m.inline, m.urgent = true, true } }

// method is one registered JSON-RPC method. It is immutable.
type method struct {
	name   string
	index  uint32 // in methodSet.list
	inline bool
	urgent bool
	run    func(*Call) error
}

// methodSet is an immutable snapshot of what is registered.
type methodSet struct {
	byName map[string]*method
	list   []*method // every method ever registered: queued records hold indices
}

// methods is the registry: readers load a snapshot and never lock.
type methods struct {
	now atomic.Pointer[methodSet]
	mu  sync.Mutex // serialises writers
}

func (r *methods) init() { r.now.Store(&methodSet{byName: map[string]*method{}}) }

// find returns the method called name, nil if there is none. It does not
// allocate and does not keep name.
func (r *methods) find(name []byte) *method { return r.now.Load().byName[string(name)] }

// at returns the method with an index that a record carries.
func (r *methods) at(index uint32) *method { return r.now.Load().list[index] }

func (r *methods) add(m *method) {
	r.mu.Lock()
	defer r.mu.Unlock()
	old := r.now.Load()
	m.index = uint32(len(old.list))
	next := &methodSet{byName: make(map[string]*method, len(old.byName)+1), list: append(old.list[:m.index:m.index], m)}
	for name, other := range old.byName {
		next.byName[name] = other
	}
	next.byName[m.name] = m
	r.now.Store(next)
}

// HandleRaw registers f for a JSON-RPC method of the TCP listener. It may be
// called while the server runs; a method of the same name is replaced, and one
// of MCP's is hidden on the TCP listener. It panics when method is empty or
// reserved by JSON-RPC (the prefix "rpc."), or f is nil.
//
// f runs on a worker unless an option says otherwise; requests of one
// connection run one after another. An error that f returns is answered: a
// [*codec.Error] as it is; any other as -32800 when the client had cancelled the
// request, else as -32603 without its text, which is logged.
func (s *Server) HandleRaw(name string, f func(*Call) error, opts ...MethodOption) {
	if name == "" || strings.HasPrefix(name, "rpc.") || f == nil {
		panic(fmt.Sprintf("server: cannot register method %q", name))
	}
	m := &method{name: name, run: f}
	for _, set := range opts {
		set(m)
	}
	s.methods.add(m)
}

// Handle registers f for a JSON-RPC method of the TCP listener: params are
// decoded into In and what f returns is encoded as the result. Absent params
// leave In at its zero value; params that do not fit are answered with -32602.
// The context ends when the client cancels the request or goes away, and when
// the server stops; [CallFrom] finds the call in it. For the rest see
// [Server.HandleRaw].
func Handle[In, Out any](s *Server, name string, f func(ctx context.Context, in In) (Out, error), opts ...MethodOption) {
	if f == nil {
		panic(fmt.Sprintf("server: cannot register method %q", name))
	}
	s.HandleRaw(name, func(c *Call) error {
		var in In
		if err := c.Decode(&in); err != nil {
			return err
		}
		out, err := f(c.Context(), in)
		if err != nil {
			return err
		}
		return c.Reply(out)
	}, opts...)
}
