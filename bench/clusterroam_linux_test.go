package bench

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func said(n uint64) string {
	return fmt.Sprintf("id: e%d\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\",\"params\":{\"level\":\"info\",\"data\":\"%s%d\"}}\n\n", n, announcePrefix, n)
}

// What a client hears is accounted for: gaps, doubles and late ones.
func TestRoamerHears(t *testing.T) {
	f := &herd{rounds: map[uint64]*hearing{}}
	r := &roamer{herd: f, up: true}
	f.list = append(f.list, r)
	for _, n := range []uint64{1, 2, 5, 4, 5, 7} {
		r.response.Body = append(r.response.Body, said(n)...)
	}
	r.response.Body = append(r.response.Body, "data: cut"...)
	if err := r.take(); err != nil {
		t.Fatal(err)
	}
	if string(r.event) != "e7" || string(r.response.Body) != "data: cut" {
		t.Errorf("last event %q, left %q", r.event, r.response.Body)
	}
	// 3 was excused, 6 and 8 were not heard, 5 came twice, 4 late.
	want := audit{Sessions: 1, Heard: 6, Lost: 2, Doubled: 1, Early: 1}
	if got := f.audit(8, []uint64{3}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if f.hearing(5).count != 1 || f.hearing(4).count != 1 {
		t.Errorf("rounds %v", f.rounds)
	}
	r.response.Body = []byte("data: \"data\":\"" + announcePrefix + "x\"\n\n")
	if err := r.take(); err == nil {
		t.Error("an event without a number was taken")
	}
}

// What a client costs is part of what is measured: an event costs it no memory.
func TestRoamerAllocatesNothing(t *testing.T) {
	f := &herd{rounds: map[uint64]*hearing{}}
	r := &roamer{herd: f, up: true}
	k := &conn{client: &client{}, h: r}
	event := said(3)
	chunk := fmt.Appendf(nil, "%x\r\n%s\r\n", len(event), event)
	if err := k.take([]byte("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(100, func() {
		if err := k.take(chunk); err != nil {
			t.Error(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations an event", n)
	}
	if r.heard != 101 || r.doubled != 100 {
		t.Errorf("heard %d, doubled %d", r.heard, r.doubled)
	}
}

// twoNodes are servers that know one session between them: the first ends its
// stream after one event and takes it up no more, the second turns the client away once.
func twoNodes(t *testing.T) (addrs []netip.AddrPort) {
	var turned atomic.Bool
	initialize := func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if strings.Contains(string(body), `"initialize"`) {
			w.Header().Set("Mcp-Session-Id", "s1")
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, `{"jsonrpc":"2.0","id":1,"result":{"protocolVersion":"`+revisionSessions+`"}}`)
			return
		}
		w.WriteHeader(http.StatusAccepted)
	}
	stream := func(w http.ResponseWriter, text string) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, text)
		w.(http.Flusher).Flush()
	}
	first := func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			initialize(w, r)
			return
		}
		if r.Header.Get("Last-Event-ID") != "" {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		stream(w, said(1))
	}
	second := func(w http.ResponseWriter, r *http.Request) {
		switch {
		case turned.CompareAndSwap(false, true):
			w.Header().Set("Retry-After", "0")
			w.WriteHeader(http.StatusServiceUnavailable)
		case r.Header.Get("Last-Event-ID") != "e1" || r.Header.Get("Mcp-Session-Id") != "s1":
			w.WriteHeader(http.StatusNotFound)
		default:
			stream(w, said(2))
			<-r.Context().Done()
		}
	}
	for _, h := range []http.HandlerFunc{first, second} {
		srv := httptest.NewServer(h)
		t.Cleanup(srv.CloseClientConnections)
		t.Cleanup(srv.Close)
		addrs = append(addrs, netip.MustParseAddrPort(srv.Listener.Addr().String()))
	}
	return addrs
}

// A client whose stream ends comes back elsewhere with what it has.
func TestRoamerComesBack(t *testing.T) {
	f, err := newHerd(twoNodes(t))
	if err != nil {
		t.Fatal(err)
	}
	defer f.close()
	do := func(o op, count int, what roamOrder) answer {
		t.Helper()
		a := f.do(t.Context(), order{Op: o, Count: count, Timeout: time.Minute, Roam: &what}, func(int) {})
		if a.Error != "" {
			t.Fatalf("%s: %s", o, a.Error)
		}
		return a
	}
	since := time.Now()
	do(opEnroll, 1, roamOrder{Streams: true})
	do(opAwait, 0, roamOrder{Number: 2, Gather: time.Millisecond})
	a := do(opSettle, 0, roamOrder{Victims: []int{0}, Since: since.UnixNano()})
	if len(a.Roam.Served) != 1 || a.Roam.Turned == 0 || a.Roam.Gone != 0 {
		t.Errorf("settled: %+v", a.Roam)
	}
	if got, want := do(opAudit, 0, roamOrder{Number: 2}).Roam.Audit, (audit{Sessions: 1, Heard: 2}); got != want {
		t.Errorf("audit %+v, want %+v", got, want)
	}
	if a := f.do(t.Context(), order{Op: "dance", Timeout: time.Minute, Roam: &roamOrder{}}, nil); !strings.Contains(a.Error, "dance") {
		t.Errorf("an unknown order: %q", a.Error)
	}
	if a := f.do(t.Context(), order{Op: opAwait, Timeout: time.Millisecond, Roam: &roamOrder{Number: 9}}, nil); !strings.Contains(a.Error, "event 9") {
		t.Errorf("an event that does not come: %q", a.Error)
	}
}
