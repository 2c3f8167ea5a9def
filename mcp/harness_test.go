package mcp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/rookery-server/rookery/codec"
	"github.com/rookery-server/rookery/internal/rpc"
)

// fakeHost is the connections of a server without a network. All that is
// written to one, by whatever way, gathers in order.
type fakeHost struct {
	mu     sync.Mutex
	out    map[StreamID][]byte
	ended  map[StreamID]bool
	broken map[StreamID]bool // writes fail
	onSend func(to StreamID) // called without the lock, before a write
	sends  int
}

func newFakeHost() *fakeHost {
	return &fakeHost{out: map[StreamID][]byte{}, ended: map[StreamID]bool{}, broken: map[StreamID]bool{}}
}

var errBroken = errors.New("broken")

func (h *fakeHost) Send(to StreamID, p []byte) error {
	if h.onSend != nil {
		h.onSend(to)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.sends++
	if h.broken[to] || h.ended[to] {
		return errBroken
	}
	h.out[to] = append(h.out[to], p...)
	return nil
}

func (h *fakeHost) End(to StreamID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ended[to] = true
}

// take returns what was written to a connection since the last take.
func (h *fakeHost) take(st StreamID) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := string(h.out[st])
	delete(h.out, st)
	return s
}

// fakeSessions is a table of sessions under one lock. Ids count from 1.
type fakeSessions struct {
	mu   sync.Mutex
	m    map[uint64]Session
	last uint64
	max  int
}

func newFakeSessions() *fakeSessions { return &fakeSessions{m: map[uint64]Session{}, max: 1 << 20} }

func (t *fakeSessions) Create(s Session) (id [16]byte, ref uint64, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.m) >= t.max {
		return id, 0, errors.New("full")
	}
	t.last++
	binary.BigEndian.PutUint64(id[8:], t.last)
	s.ID = id
	t.m[t.last] = s
	return id, t.last, nil
}

func (t *fakeSessions) Find(id [16]byte) (uint64, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s, ok := t.m[binary.BigEndian.Uint64(id[8:])]; ok && s.ID == id {
		return binary.BigEndian.Uint64(id[8:]), true
	}
	for ref, s := range t.m { // adopted
		if s.ID == id {
			return ref, true
		}
	}
	return 0, false
}

// adopt adds a session of another table.
func (t *fakeSessions) adopt(s Session) (ref uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last++
	t.m[t.last] = s
	return t.last
}

func (t *fakeSessions) Load(ref uint64) (Session, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s, ok := t.m[ref]
	return s, ok
}

func (t *fakeSessions) Update(ref uint64, f func(*Session)) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	s, ok := t.m[ref]
	if ok {
		f(&s)
		t.m[ref] = s
	}
	return ok
}

func (t *fakeSessions) Touch(uint64) {}

func (t *fakeSessions) Delete(ref uint64) (Session, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s, ok := t.m[ref]
	delete(t.m, ref)
	return s, ok
}

func (t *fakeSessions) Range(f func(uint64, Session) bool) {
	t.mu.Lock()
	copied := make(map[uint64]Session, len(t.m))
	for ref, s := range t.m {
		copied[ref] = s
	}
	t.mu.Unlock()
	for ref, s := range copied {
		if !f(ref, s) {
			return
		}
	}
}

// fakeWorker is a worker whose connection is a fakeHost's.
type fakeWorker struct {
	h        *fakeHost
	st       StreamID
	mu       sync.Mutex
	left     int
	released bool
	full     bool // Leave fails
}

func (w *fakeWorker) Leave(release bool) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.full {
		return errors.New("too many")
	}
	w.left++
	w.released = w.released || release
	return nil
}

func (w *fakeWorker) Return() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.left--; w.left < 0 {
		panic("Return without Leave")
	}
}

func (w *fakeWorker) Flush(out []byte) ([]byte, error) {
	if w.released {
		panic("Flush after the connection was released")
	}
	return out[:0], w.h.Send(w.st, out)
}

// bench is a server with all its fakes.
type testbed struct {
	*Server
	host     *fakeHost
	sessions *fakeSessions
	calls    *rpc.Table
	log      *strings.Builder

	mu    sync.Mutex
	words map[StreamID]uint64 // of held streams and TCP connections
}

func newTestbed(change func(*Options)) *testbed {
	b := &testbed{
		host: newFakeHost(), sessions: newFakeSessions(), calls: rpc.NewTable(10_000),
		log: new(strings.Builder), words: map[StreamID]uint64{},
	}
	o := Options{
		Name: "test", Version: "1", Host: b.host, Sessions: b.sessions, Calls: b.calls,
		Logger: slog.New(slog.NewTextHandler(b.log, nil)),
		Tasks:  TaskOptions{Run: func(f func()) error { go f(); return nil }},
	}
	if change != nil {
		change(&o)
	}
	b.Server = New(o)
	return b
}

// exchange parses one HTTP request as a server would.
func exchange(st StreamID, raw string) (*Exchange, *codec.HTTPError) {
	msg := []byte(raw)
	var scan [2]uint64
	req := new(codec.Request)
	n, _, e := codec.ParseRequest(msg, &scan, &codec.HTTPLimits{}, req)
	if e != nil {
		return nil, e
	}
	if n != len(msg) {
		return nil, &codec.HTTPError{Status: 400, Reason: fmt.Sprintf("%d of %d bytes make a request", n, len(msg))}
	}
	return &Exchange{Stream: st, Req: req, Msg: msg}, nil
}

// do serves an exchange the way server does, on the caller's goroutine. What
// it writes is at the host's.
func (b *testbed) do(x *Exchange) {
	if b.Plan(x) == OnWorker {
		x.Worker = &fakeWorker{h: b.host, st: x.Stream}
	}
	b.ServeHTTP(x)
	if x.Hold && x.Worker != nil {
		panic("a stream held by a worker")
	}
	if len(x.Out) > 0 {
		_ = b.host.Send(x.Stream, x.Out)
	}
	if x.Hold {
		b.mu.Lock()
		b.words[x.Stream] = x.Word
		b.mu.Unlock()
	} else if x.Close {
		b.host.End(x.Stream)
	}
}

// disconnect is what server does when a connection closes.
func (b *testbed) disconnect(st StreamID) {
	b.host.End(st)
	b.mu.Lock()
	word := b.words[st]
	delete(b.words, st)
	b.mu.Unlock()
	b.StreamClosed(st, word)
}

// rpc serves one line of a TCP client.
func (b *testbed) rpc(st StreamID, line string) {
	b.mu.Lock()
	x := &RPC{Stream: st, Msg: []byte(line), Session: b.words[st]}
	b.mu.Unlock()
	if e := codec.ParseEnvelope(x.Msg, nil, &x.Env); e != nil {
		_ = b.host.Send(st, append(codec.AppendError(nil, x.Env.ID.Of(x.Msg), e), '\n'))
		return
	}
	w := &fakeWorker{h: b.host, st: st}
	if known, inline := b.Knows(x.Env.MethodName(x.Msg)); known && !inline && x.Env.Kind == codec.KindRequest {
		x.Worker = w
	}
	before := x.Session
	b.ServeRPC(x)
	if x.Session != before {
		b.mu.Lock()
		b.words[st] = x.Session
		b.mu.Unlock()
	}
	if len(x.Out) > 0 {
		if w.released {
			panic("Out used after the connection was released")
		}
		_ = b.host.Send(st, x.Out)
	}
}

// post returns a POST with the headers every client sends.
func post(body string, headers ...string) string {
	r := "POST /mcp HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nAccept: application/json, text/event-stream\r\n"
	for _, h := range headers {
		r += h + "\r\n"
	}
	return fmt.Sprintf("%sContent-Length: %d\r\n\r\n%s", r, len(body), body)
}

// tester is what helpers need of testing.TB; rapid.T has it too.
type tester interface {
	Helper()
	Fatalf(format string, args ...any)
}

// ask sends one request and returns the response.
func (b *testbed) ask(t tester, st StreamID, raw string) string {
	t.Helper()
	x, e := exchange(st, raw)
	if e != nil {
		t.Fatalf("%v: %s", e, raw)
	}
	b.do(x)
	return b.host.take(st)
}

// newSession initializes a session and returns its header line and reference.
func (b *testbed) newSession(t tester, st StreamID, version string) (header string, ref uint64) {
	t.Helper()
	b.ask(t, st, post(`{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"`+version+
		`","capabilities":{"sampling":{},"roots":{},"elicitation":{}},"clientInfo":{"name":"c","version":"1"}}}`))
	b.sessions.mu.Lock()
	ref = b.sessions.last
	id := b.sessions.m[ref].ID
	b.sessions.mu.Unlock()
	header = strings.TrimSuffix(sessionHeader(id), "\r\n")
	b.ask(t, st, post(`{"jsonrpc":"2.0","method":"notifications/initialized"}`, header))
	return header, ref
}

// listenAt opens a GET stream for a session.
func (b *testbed) get(t testing.TB, st StreamID, header string) {
	t.Helper()
	out := b.ask(t, st, "GET /mcp HTTP/1.1\r\nHost: h\r\nAccept: text/event-stream\r\n"+header+"\r\n\r\n")
	if !strings.Contains(out, "200 OK") {
		t.Fatalf("GET: %s", out)
	}
}
