package mcp

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
)

const listenHead = "MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: subscriptions/listen"

func listenBody(id int, uri string) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":"subscriptions/listen","params":{"notifications":{"resourceSubscriptions":[%q]},`+
		`"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}`, id, uri)
}

// A client that is gone or too slow costs the others nothing, and is counted.
func TestPublishGoesPastTheBroken(t *testing.T) {
	b := newTestbed(nil)
	addFixtures(t, b.Server)
	const n = 600 // more than two batches
	for i := range n {
		b.ask(t, StreamID(i+1), post(listenBody(i, "demo://x"), listenHead))
	}
	for i := range n {
		if i%3 == 0 {
			b.host.broken[StreamID(i+1)] = true
		}
	}
	header, ref := b.newSession(t, n+1, "2025-11-25")
	b.ask(t, n+1, post(`{"jsonrpc":"2.0","id":1,"method":"resources/subscribe","params":{"uri":"demo://x"}}`, header))
	if got := b.ResourceUpdated("demo://x"); got != n-n/3 {
		t.Errorf("delivered %d, want %d: the session has no stream", got, n-n/3)
	}
	b.get(t, n+2, header)
	if got := b.ResourceUpdated("demo://x"); got != n-n/3+1 {
		t.Errorf("delivered %d, want %d", got, n-n/3+1)
	}
	for i := range n {
		want := 2
		if i%3 == 0 {
			want = 0
		}
		if got := strings.Count(b.host.take(StreamID(i+1)), fmt.Sprintf(`"io.modelcontextprotocol/subscriptionId":%d}`, i)); got != want {
			t.Fatalf("client %d got %d messages, want %d", i, got, want)
		}
	}
	if st := b.Stats(); st.Sent != 2*uint64(n-n/3)+1 || st.SendFailed != 2*uint64(n/3)+1 {
		t.Errorf("sent %d, failed %d", st.Sent, st.SendFailed)
	}
	if b.ResourceUpdated("demo://nobody") != 0 {
		t.Error("somebody heard of nothing")
	}
	if err := b.Notify(ref, "notifications/message", map[string]string{"level": "info"}); err != nil {
		t.Error(err)
	}
	if err := b.Notify(ref+1, "x", nil); err == nil {
		t.Error("a session that is not there was notified")
	}
	if err := b.Notify(ref, "x", func() {}); err == nil {
		t.Error("a function was sent")
	}
}

// While the head of a stream is being written, whoever publishes waits, and
// then reaches the stream: the client misses nothing it could have caused.
func TestPublisherWaitsForHead(t *testing.T) {
	for _, kind := range []string{"listen", "GET"} {
		t.Run(kind, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newTestbed(nil)
				addFixtures(t, b.Server)
				request := post(listenBody(1, "demo://x"), listenHead)
				if kind == "GET" {
					header, _ := b.newSession(t, 1, "2025-11-25")
					b.ask(t, 1, post(`{"jsonrpc":"2.0","id":1,"method":"resources/subscribe","params":{"uri":"demo://x"}}`, header))
					request = "GET /mcp HTTP/1.1\r\nHost: h\r\nAccept: text/event-stream\r\n" + header + "\r\n\r\n"
				}
				x, e := exchange(2, request)
				if e != nil {
					t.Fatal(e)
				}
				writing, goOn := make(chan struct{}), make(chan struct{})
				var once sync.Once
				b.host.onSend = func(StreamID) {
					once.Do(func() {
						close(writing)
						<-goOn
					})
				}
				go b.do(x)
				<-writing
				delivered := make(chan int)
				go func() { delivered <- b.ResourceUpdated("demo://x") }()
				// The publisher is at the lock of the opener: a mutex does not
				// count as idle for synctest, so there is nothing to wait for.
				for range 100 {
					runtime.Gosched()
				}
				select {
				case n := <-delivered:
					t.Fatalf("published past an unwritten head, to %d", n)
				default:
				}
				close(goOn)
				if n := <-delivered; n != 1 {
					t.Errorf("delivered to %d", n)
				}
				synctest.Wait()
				out := b.host.take(2)
				if !strings.HasPrefix(out, "HTTP/1.1 200 OK") || !strings.Contains(out, "resources/updated") {
					t.Errorf("%s", out)
				}
			})
		})
	}
}

// A stream whose head cannot be written is forgotten at once.
func TestOpeningFails(t *testing.T) {
	b := newTestbed(nil)
	addFixtures(t, b.Server)
	header, ref := b.newSession(t, 1, "2025-11-25")
	b.host.broken[2] = true
	for _, request := range []string{
		post(listenBody(1, "demo://x"), listenHead),
		"GET /mcp HTTP/1.1\r\nHost: h\r\n" + header + "\r\n\r\n",
	} {
		x, _ := exchange(2, request)
		b.do(x)
		if x.Hold || !x.Close || x.Word != 0 {
			t.Errorf("%+v", x)
		}
	}
	sess, _ := b.sessions.Load(ref)
	if st := b.Stats(); sess.Stream != 0 || st.Listens != 0 || st.Subscriptions != 0 || st.StreamsOpened != 0 {
		t.Errorf("%+v, %+v", sess, st)
	}
}

// A session that ends between the look at it and the opening of its stream.
func TestOpeningLate(t *testing.T) {
	b := newTestbed(nil)
	header, ref := b.newSession(t, 1, "2025-11-25")
	b.o.Sessions = vanishing{b.sessions}
	out := b.ask(t, 2, "GET /mcp HTTP/1.1\r\nHost: h\r\n"+header+"\r\n\r\n")
	if !strings.HasPrefix(out, "HTTP/1.1 404") || strings.Contains(out, "event-stream") {
		t.Errorf("%s", out)
	}
	for _, body := range []string{
		`{"jsonrpc":"2.0","id":1,"method":"resources/subscribe","params":{"uri":"a"}}`,
		`{"jsonrpc":"2.0","id":1,"method":"logging/setLevel","params":{"level":"info"}}`,
	} {
		if out := b.ask(t, 2, post(body, header)); !strings.Contains(out, "-32001") {
			t.Errorf("%s: %s", body, out)
		}
	}
	if st := b.Stats(); st.Subscriptions != 0 || st.Topics != 0 {
		t.Errorf("%+v", st)
	}
	if _, ok := b.sessions.Load(ref); !ok {
		t.Error("the fake is wrong")
	}
}

// vanishing is a table whose sessions end after each look.
type vanishing struct{ *fakeSessions }

func (vanishing) Update(uint64, func(*Session)) bool { return false }

func TestPublish(t *testing.T) {
	b := newTestbed(nil)
	addFixtures(t, b.Server)
	header, _ := b.newSession(t, 1, "2025-11-25")
	b.ask(t, 1, post(`{"jsonrpc":"2.0","id":1,"method":"resources/subscribe","params":{"uri":"demo://x"}}`, header))
	b.get(t, 2, header)
	b.ask(t, 3, post(listenBody(5, "demo://x"), listenHead))
	b.host.take(2)
	b.host.take(3)
	if n, err := b.Publish("demo://x", "acme/price", map[string]int{"cents": 7}); n != 2 || err != nil {
		t.Errorf("to %d: %v", n, err)
	}
	if out := b.host.take(2); !strings.Contains(out, `{"jsonrpc":"2.0","method":"acme/price","params":{"cents":7}}`) {
		t.Errorf("%q", out)
	}
	if out := b.host.take(3); !strings.Contains(out, `"method":"acme/price","params":{"_meta":{"io.modelcontextprotocol/subscriptionId":5},"cents":7}}`) {
		t.Errorf("%q", out)
	}
	if n, err := b.Publish("demo://x", "acme/bell", nil); n != 2 || err != nil || !strings.Contains(b.host.take(2), `"method":"acme/bell"}`) {
		t.Errorf("to %d: %v", n, err)
	}
	if n, err := b.Publish("demo://nobody", "acme/bell", nil); n != 0 || err != nil {
		t.Errorf("to %d: %v", n, err)
	}
	for _, bad := range []any{[]int{1}, map[string]any{"_meta": 1}, func() {}} {
		if n, err := b.Publish("demo://x", "acme/bell", bad); n != 0 || err == nil {
			t.Errorf("%T: sent to %d", bad, n)
		}
	}
}

// TestStreamsUnderFire opens, adds, subscribes, ends and publishes from
// all sides. The race detector and the final counts are the judges.
func TestStreamsUnderFire(t *testing.T) {
	events := newFakeEvents()
	b := newTestbed(withEvents(events))
	addFixtures(t, b.Server)
	rounds := 150
	if raceEnabled {
		rounds = 50
	}
	var wg sync.WaitGroup
	ctx, stop := context.WithCancel(context.Background())
	for range 2 {
		wg.Go(func() {
			for ctx.Err() == nil {
				b.ResourceUpdated("demo://x")
				b.listChanged(allLists)
			}
		})
	}
	var clients sync.WaitGroup
	for c := range 4 {
		clients.Go(func() {
			for i := range rounds {
				st := StreamID(100_000*(c+1) + 10*i)
				x, _ := exchange(st, post(listenBody(i, "demo://x"), listenHead))
				b.do(x)
				header := fireSession(b, st+1)
				for _, raw := range []string{
					post(`{"jsonrpc":"2.0","id":1,"method":"resources/subscribe","params":{"uri":"demo://x"}}`, header),
					"GET /mcp HTTP/1.1\r\nHost: h\r\n" + header + "\r\n\r\n",
				} {
					x, _ := exchange(st+2, raw)
					b.do(x)
				}
				x, _ = exchange(st+3, "GET /mcp HTTP/1.1\r\nHost: h\r\n"+header+"\r\n\r\n") // one more
				b.do(x)
				b.disconnect(st + 2)
				b.disconnect(st)
				x, _ = exchange(st+4, "DELETE /mcp HTTP/1.1\r\nHost: h\r\n"+header+"\r\n\r\n")
				b.do(x)
				b.disconnect(st + 3)
			}
		})
	}
	clients.Wait()
	stop()
	wg.Wait()
	if st := b.Stats(); st.Subscriptions != 0 || st.Topics != 0 || st.Listens != 0 || st.SessionsCreated != st.SessionsEnded || events.left() != 0 {
		t.Errorf("%d logs and bodies left, %+v", events.left(), st)
	}
}

func fireSession(b *testbed, st StreamID) (header string) {
	x, _ := exchange(st, post(`{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{}}}`))
	b.do(x)
	out := b.host.take(st)
	i := strings.Index(out, "Mcp-Session-Id: ")
	return out[i : i+len("Mcp-Session-Id: ")+32]
}

// BenchmarkPublish is the cost per client of a publication, without sockets.
func BenchmarkPublish(b *testing.B) {
	s := New(Options{Host: new(quietHost), Sessions: newFakeSessions(), Calls: newTestbed(nil).calls})
	const n = 15_000
	f := &filter{uris: []string{"demo://x"}}
	for i := range n {
		s.subs.listen(StreamID(i+1), []byte("17"), f, 0, 0)
	}
	b.ReportAllocs()
	for b.Loop() {
		if got := s.ResourceUpdated("demo://x"); got != n {
			b.Fatal(got)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/client")
}

// BenchmarkPublishSessions is the same for sessions with an open stream, without
// the cost of the log.
func BenchmarkPublishSessions(b *testing.B) {
	const n = 15_000
	sessions := &listedSessions{}
	s := New(Options{Host: new(quietHost), Sessions: sessions, Events: new(quietEvents), Calls: newTestbed(nil).calls})
	for i := range n {
		sessions.all = append(sessions.all, Session{Stream: StreamID(i + 1), Gets: 1, State: StateReady})
		if err := s.subs.subscribe(sessions, uint64(i), "demo://x", 1); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		if got := s.ResourceUpdated("demo://x"); got != n {
			b.Fatal(got)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/client")
}

// listedSessions finds sessions as fast as can be.
type listedSessions struct {
	Sessions
	all []Session
}

func (t *listedSessions) Load(ref uint64) (Session, bool) { return t.all[ref], true }
func (t *listedSessions) Update(ref uint64, f func(*Session)) bool {
	f(&t.all[ref])
	return true
}

// quietEvents numbers events and keeps none.
type quietEvents struct {
	Events
	seq uint32
}

func (e *quietEvents) Keep([]byte) uint32 { return 1 }
func (e *quietEvents) Release(uint32)     {}
func (e *quietEvents) Append(log, _, _ uint32) (uint32, uint32) {
	e.seq++
	return log, e.seq
}
