package gosdk

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"
)

// TestListChanges adds one of each and hears of it in all eras, once.
func TestListChanges(t *testing.T) {
	eachEra(t, func(t *testing.T, version string) {
		srv := contentServer()
		addr, _ := start(t, srv)
		got := make(chan string, 16)
		dial(t, addr, version, &sdk.ClientOptions{
			ToolListChangedHandler:     func(context.Context, *sdk.ToolListChangedRequest) { got <- "tools" },
			PromptListChangedHandler:   func(context.Context, *sdk.PromptListChangedRequest) { got <- "prompts" },
			ResourceListChangedHandler: func(context.Context, *sdk.ResourceListChangedRequest) { got <- "resources" },
		})
		srv.RemoveTools("greet")
		check(t, "heard", receive(t, got), "tools")
		srv.RemovePrompts("p")
		check(t, "heard", receive(t, got), "prompts")
		srv.RemoveResources("test://a")
		check(t, "heard", receive(t, got), "resources")
		check(t, "heard besides", len(got), 0)
	})
}

// TestFirstTool is a server that had none when it was attached.
func TestFirstTool(t *testing.T) {
	srv := newServer(nil)
	addr, a := start(t, srv)
	check(t, "offer", a.Offer().Tools, false)
	addTool(srv, "one", func(context.Context, *sdk.CallToolRequest) (string, error) { return "1", nil })
	got := make(chan bool, 1)
	s := dial(t, addr, modernEra, &sdk.ClientOptions{ToolListChangedHandler: func(context.Context, *sdk.ToolListChangedRequest) {
		select {
		case got <- true:
		default:
		}
	}})
	check(t, "offer", a.Offer().Tools, true)
	check(t, "one", call(t, s, "one"), "1")
	srv.RemoveTools("one")
	receive(t, got)
}

// book counts what user code is told of subscriptions.
type book struct {
	mu      sync.Mutex
	clients map[string]int // guarded by mu; by URI, subscribed less unsubscribed
	ear     map[string]int // guarded by mu; the same of the ear
	earLeft chan string    // URIs the ear gave up
	refuse  string         // immutable; a URI nobody may subscribe to
}

func newBook() *book {
	return &book{clients: map[string]int{}, ear: map[string]int{}, earLeft: make(chan string, 64)}
}

func (b *book) options() *sdk.ServerOptions {
	return &sdk.ServerOptions{
		SubscribeHandler: func(_ context.Context, r *sdk.SubscribeRequest) error {
			b.mu.Lock()
			defer b.mu.Unlock()
			if r.Params.URI == b.refuse {
				return errors.New("not for you")
			}
			if r.Session.InitializeParams().ClientInfo.Name == "rookery" {
				b.ear[r.Params.URI]++
			} else {
				b.clients[r.Params.URI]++
			}
			return nil
		},
		UnsubscribeHandler: func(_ context.Context, r *sdk.UnsubscribeRequest) error {
			b.mu.Lock()
			defer b.mu.Unlock()
			if r.Session.InitializeParams().ClientInfo.Name == "rookery" {
				b.ear[r.Params.URI]--
				b.earLeft <- r.Params.URI
			} else {
				b.clients[r.Params.URI]--
			}
			return nil
		},
	}
}

func (b *book) count(uri string) (clients, ear int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.clients[uri], b.ear[uri]
}

// TestResourceUpdates subscribes two clients, updates, and ends the one and the
// other.
func TestResourceUpdates(t *testing.T) {
	eachEra(t, func(t *testing.T, version string) {
		b := newBook()
		srv := newServer(b.options())
		srv.AddResource(&sdk.Resource{URI: "test://a", Name: "a"}, readURI)
		addr, _ := start(t, srv)
		update := func() {
			t.Helper()
			if err := srv.ResourceUpdated(within(t), &sdk.ResourceUpdatedNotificationParams{URI: "test://a"}); err != nil {
				t.Error(err)
			}
		}
		var got [2]chan string
		var clients [2]*sdk.ClientSession
		for i := range clients {
			got[i] = make(chan string, 1024)
			clients[i] = dial(t, addr, version, &sdk.ClientOptions{
				ResourceUpdatedHandler: func(_ context.Context, r *sdk.ResourceUpdatedNotificationRequest) { got[i] <- r.Params.URI },
			})
			if err := clients[i].Subscribe(within(t), &sdk.SubscribeParams{URI: "test://a"}); err != nil {
				t.Fatal(err)
			}
			// The client without a session does not wait for the acknowledgement.
			for deadline := time.Now().Add(patience); len(got[i]) == 0 && time.Now().Before(deadline); time.Sleep(time.Millisecond) {
				update()
			}
			check(t, "updated", receive(t, got[i]), "test://a")
			n, ear := b.count("test://a")
			check(t, "subscriptions of clients and ear", []int{n, ear}, []int{i + 1, 1})
		}
		if err := clients[0].Unsubscribe(within(t), &sdk.UnsubscribeParams{URI: "test://a"}); err != nil {
			t.Fatal(err)
		}
		update()
		check(t, "updated", receive(t, got[1]), "test://a")
		_, ear := b.count("test://a")
		check(t, "the ear's subscriptions", ear, 1)
		if err := clients[1].Close(); err != nil {
			t.Fatal(err)
		}
		check(t, "given up", receive(t, b.earLeft), "test://a")
	})
}

// TestSubscriptionRefused sees that user code decides, in both eras.
func TestSubscriptionRefused(t *testing.T) {
	b := newBook()
	b.refuse = "test://secret"
	srv := newServer(b.options())
	srv.AddResource(&sdk.Resource{URI: "test://a", Name: "a"}, readURI)
	addr, a := start(t, srv)
	s := dial(t, addr, "2025-11-25", nil)
	if err := s.Subscribe(within(t), &sdk.SubscribeParams{URI: "test://secret"}); err == nil {
		t.Error("subscribed")
	}
	r := dialRaw(t, addr)
	r.send("POST", "MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: subscriptions/listen", `{"jsonrpc":"2.0","id":5,"method":"subscriptions/listen",`+
		`"params":{"notifications":{"resourceSubscriptions":["test://a","test://secret"]},"_meta":{`+
		`"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{},`+
		`"io.modelcontextprotocol/clientInfo":{"name":"raw","version":"1"}}}}`)
	res := r.head()
	check(t, "status", res.StatusCode, 200)
	buf := make([]byte, 4096)
	n := 0
	for {
		k, err := res.Body.Read(buf[n:])
		if n += k; err != nil {
			break
		}
	}
	_ = res.Body.Close()
	check(t, "stream", string(buf[:n]), "event: message\ndata: "+`{"jsonrpc":"2.0","id":5,"error":{"code":0,"message":"not for you"}}`+"\n\n")
	check(t, "given up", receive(t, b.earLeft), "test://a")
	if a.up.Watched("test://secret") || a.up.Watched("test://a") {
		t.Error("a subscription is left")
	}
}

// TestWatches subscribes and leaves from many sides at once: in the end the
// server's author was told of as many ends as beginnings, and nothing is left.
func TestWatches(t *testing.T) {
	b := newBook()
	srv := newServer(b.options())
	srv.AddResource(&sdk.Resource{URI: "test://a", Name: "a"}, readURI)
	addr, a := start(t, srv)
	done := make(chan bool)
	go func() {
		for range b.earLeft {
		}
		close(done)
	}()
	var group sync.WaitGroup
	for i := range 6 {
		s := dial(t, addr, "2025-11-25", nil)
		group.Go(func() {
			for n := range 30 {
				uri := fmt.Sprint("test://", (n+i)%3)
				if err := s.Subscribe(within(t), &sdk.SubscribeParams{URI: uri}); err != nil {
					t.Error(err)
				}
				if err := s.Unsubscribe(within(t), &sdk.UnsubscribeParams{URI: uri}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	a.ear.watched(t, 0)
	close(b.earLeft)
	<-done
	for i := range 3 {
		clients, ear := b.count(fmt.Sprint("test://", i))
		check(t, "subscriptions left", []int{clients, ear}, []int{0, 0})
	}
}

// watched waits until there are n watches.
func (e *ear) watched(t *testing.T, n int) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		e.mu.Lock()
		have := len(e.watches)
		e.mu.Unlock()
		if have == n {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d watches, want %d", have, n)
		}
	}
}
