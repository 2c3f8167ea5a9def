package mcp

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/rookery-server/rookery/codec"
)

func TestPlan(t *testing.T) {
	b := newTestbed(nil)
	addFixtures(t, b.Server)
	call := func(method, params string) string {
		return post(`{"jsonrpc":"2.0","id":1,"method":"` + method + `","params":` + params + `}`)
	}
	for _, tt := range []struct {
		request string
		want    Where
	}{
		{"GET / HTTP/1.1\r\nHost: h\r\n\r\n", OnLoop},
		{post(""), OnLoop},
		{post("{"), OnLoop},
		{post(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}`), OnLoop},
		{post(`{"jsonrpc":"2.0","id":"q0","result":{}}`), OnLoop},
		{call("ping", "{}"), OnLoop},
		{call("tools/list", "{}"), OnLoop},
		{call("subscriptions/listen", "{}"), OnLoop},
		{call("no/such", "{}"), OnLoop},
		{call("tools/call", `{"name":"echo"}`), OnLoop}, // declared inline
		{call("tools/call", `{"name":"sum"}`), OnWorker},
		{call("tools/call", `{"name":"s\u0075m"}`), OnWorker},
		{call("tools/call", `{"name":"nobody"}`), OnLoop},
		{call("tools/call", `{"name":7}`), OnLoop},
		{call("tools/call", `[]`), OnLoop},
		{post(`{"jsonrpc":"2.0","id":1,"method":"tools/call"}`), OnLoop},
		{call("resources/read", `{"uri":"test://fixed"}`), OnLoop},
		{call("resources/read", `{"uri":"demo://item/1"}`), OnWorker},
		{call("resources/read", `{"uri":"demo://other"}`), OnLoop},
		{call("prompts/get", `{"name":"greet"}`), OnWorker},
		{call("prompts/get", `{"name":"nobody"}`), OnLoop},
		{post(`[{"jsonrpc":"2.0","method":"a"},{"jsonrpc":"2.0","id":1,"result":1},7]`), OnLoop},
		{post(`[{"jsonrpc":"2.0","method":"a"},{"jsonrpc":"2.0","id":1,"method":"ping"}]`), OnWorker},
	} {
		x, e := exchange(1, tt.request)
		if e != nil {
			t.Fatal(e)
		}
		if got := b.Plan(x); got != tt.want {
			t.Errorf("%q: %v", tt.request, got)
		}
	}
}

// A response stands behind the earlier ones of its connection, and an exchange
// nobody planned is served the same.
func TestResponsesGather(t *testing.T) {
	b := newTestbed(nil)
	x, _ := exchange(1, post(`{"jsonrpc":"2.0","id":1,"method":"ping"}`))
	x.Out = []byte("earlier")
	b.ServeHTTP(x)
	if !strings.HasPrefix(string(x.Out), "earlierHTTP/1.1 200 OK\r\n") || x.Close || x.Hold {
		t.Errorf("%q %+v", x.Out, x)
	}
	header, _ := b.newSession(t, 1, "2025-11-25")
	x, _ = exchange(2, "GET / HTTP/1.1\r\nHost: h\r\n"+header+"\r\n\r\n")
	x.Out = []byte("earlier")
	b.ServeHTTP(x)
	if out := b.host.take(2); !strings.HasPrefix(out, "earlierHTTP/1.1 200 OK\r\n") || len(x.Out) != 0 || !x.Hold {
		t.Errorf("%q, %q", out, x.Out)
	}
}

// The end of a held response closes the connection, and its head says so; that
// of any other event stream leaves it to the next request.
func TestHeldResponsesClose(t *testing.T) {
	b := newTestbed(nil)
	addFixtures(t, b.Server)
	header, _ := b.newSession(t, 1, "2025-11-25")
	for _, tt := range []struct {
		name, request string
		closes        bool
	}{
		{"GET", "GET / HTTP/1.1\r\nHost: h\r\n" + header + "\r\n\r\n", true},
		{"listen", post(listenBody(5, "demo://x"), listenHead), true},
		{"listen to nothing", post(strings.Replace(listenBody(6, ""), `[""]`, "[]", 1), listenHead), false},
	} {
		x, _ := exchange(2, tt.request)
		b.ServeHTTP(x)
		out := b.host.take(2) + string(x.Out)
		if got := strings.Contains(out, "\r\nConnection: close\r\n"); got != tt.closes || x.Hold != tt.closes || x.Close {
			t.Errorf("%s: hold %v, close %v, response %q", tt.name, x.Hold, x.Close, out)
		}
	}
}

func TestServerFull(t *testing.T) {
	b := newTestbed(nil)
	b.sessions.max = 0
	out := b.ask(t, 1, post(`{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{}}}`))
	if !strings.Contains(out, "503") || !strings.Contains(out, "Retry-After: 5\r\n") || !strings.Contains(out, "-32000") {
		t.Errorf("%s", out)
	}
}

func TestKeepAliveAndGoodbye(t *testing.T) {
	b := newTestbed(nil)
	addFixtures(t, b.Server)
	header, ref := b.newSession(t, 1, "2025-11-25")
	b.get(t, 2, header)
	b.ask(t, 3, post(listenBody(5, "demo://x"), listenHead))
	listen := b.words[3]
	b.ask(t, 4, strings.Replace(post(listenBody(6, "demo://x"), listenHead), "HTTP/1.1", "HTTP/1.0", 1))
	for _, tt := range []struct {
		name          string
		st            StreamID
		word          uint64
		alive, byebye string
	}{
		{"GET", 2, ref, "e\r\n: keep-alive\n\n\r\n", "d\r\nretry: 1000\n\n\r\n0\r\n\r\n"},
		{"listen", 3, listen, "e\r\n: keep-alive\n\n\r\n", `"io.modelcontextprotocol/subscriptionId":5}}}` + "\n\n\r\n0\r\n\r\n"},
		{"HTTP/1.0", 4, b.words[4], ": keep-alive\n\n", `"io.modelcontextprotocol/subscriptionId":6}}}` + "\n\n"},
		{"unknown session", 2, 99, "", ""},
		{"unknown listener", 2, listenBit | 99, "", ""},
	} {
		if got := strings.TrimLeft(string(b.AppendKeepAlive(nil, tt.st, tt.word)), "0"); got != tt.alive {
			t.Errorf("%s: keep alive %q", tt.name, got)
		}
		if got := string(b.AppendGoodbye(nil, tt.st, tt.word)); !strings.HasSuffix(got, tt.byebye) {
			t.Errorf("%s: goodbye %q", tt.name, got)
		}
	}
	b.disconnect(2)
	b.disconnect(2)
	if sess, _ := b.sessions.Load(ref); sess.Stream != 0 {
		t.Error("a closed stream stays the session's")
	}
	b.get(t, 5, header)
	b.StreamClosed(2, ref) // late word of the earlier connection
	if sess, _ := b.sessions.Load(ref); sess.Stream != 5 {
		t.Error("the end of an old stream took the new one")
	}
}

func TestOrigins(t *testing.T) {
	b := newTestbed(func(o *Options) { o.AllowedOrigins = []string{"https://app.example.com"} })
	all := newTestbed(func(o *Options) { o.AllowedOrigins = []string{"*"} })
	for origin, want := range map[string]bool{
		"http://localhost": true, "http://localhost:6274": true, "https://127.0.0.1:1": true, "http://127.9.9.9": true,
		"http://[::1]:8080": true, "https://app.example.com": true,
		"null": false, "": false, "http://app.example.com": false, "https://app.example.com:8443": false,
		"http://localhost.evil.com": false, "http://evil.com#localhost": false, "file://localhost": false,
		"http://10.0.0.1": false, "http://127.0.0.1.evil.com": false, "http://user@evil.com": false, "::": false,
	} {
		if got := b.allowed([]byte(origin)); got != want {
			t.Errorf("%q: %v", origin, got)
		}
		if !all.allowed([]byte(origin)) {
			t.Errorf("%q refused where all are allowed", origin)
		}
	}
	if out := b.ask(t, 1, post(`{"jsonrpc":"2.0","id":1,"method":"ping"}`, "Origin:")); !strings.Contains(out, "403") {
		t.Errorf("an empty Origin: %s", out)
	}
}

func TestSessionIDs(t *testing.T) {
	id := [16]byte{0, 1, 0xab, 0xff, 15: 0x10}
	header := sessionHeader(id)
	hex := strings.TrimSuffix(strings.TrimPrefix(header, "Mcp-Session-Id: "), "\r\n")
	if got, ok := parseSessionID([]byte(hex)); !ok || got != id {
		t.Errorf("%s: %x, %v", hex, got, ok)
	}
	for _, bad := range []string{"", hex[1:], hex + "0", strings.ToUpper(hex), strings.Replace(hex, "a", "g", 1)} {
		if _, ok := parseSessionID([]byte(bad)); ok {
			t.Errorf("%q was taken for an id", bad)
		}
	}
}

// checkResponses reads what a connection carried with net/http's eyes. open
// says that the last response may be an unfinished stream.
func checkResponses(t *testing.T, out []byte, open bool) {
	t.Helper()
	r := bufio.NewReader(bytes.NewReader(out))
	for {
		if _, err := r.Peek(1); err == io.EOF {
			return
		}
		res, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatalf("%v in %q", err, out)
		}
		body, err := io.ReadAll(res.Body)
		if err != nil && !open {
			t.Fatalf("body: %v in %q", err, out)
		}
		if res.Header.Get("Content-Type") == jsonType && !codec.Valid(body) {
			t.Fatalf("no JSON: %q", body)
		}
	}
}

// fuzzbed returns a server for many inputs: making one takes longer than
// serving hundreds.
func fuzzbed(tb testing.TB) *testbed {
	b := newTestbed(func(o *Options) {
		o.AskTimeout, o.Logger, o.Events = 1, slog.New(slog.DiscardHandler), newFakeEvents()
	})
	addFixtures(tb, b.Server)
	b.RemoveTool("wait") // waits for ever, as it should
	return b
}

// reset forgets connections and sessions, so that the next session is 1 again.
func (b *testbed) reset() {
	clear(b.host.out)
	clear(b.host.ended)
	clear(b.words)
	clear(b.sessions.m)
	b.sessions.last = 0
}

// FuzzServeHTTP sends any two requests over one connection, in a session of
// the server if they name it, and looks at the responses as a client does.
func FuzzServeHTTP(f *testing.F) {
	files, _ := filepath.Glob("testdata/*.txtar")
	for _, file := range append(files, "testdata/corpus/suites.txtar") {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		for _, section := range txtar.Parse(data).Files {
			if strings.HasPrefix(section.Name, "client tcp") || strings.Contains(section.Name, "server") || string(section.Data) == "CLOSE\n" {
				continue
			}
			f.Add([]byte(request(strings.ReplaceAll(string(section.Data), "$session", "00000000000000000000000000000001"))))
		}
	}
	b := fuzzbed(f)
	f.Fuzz(func(t *testing.T, in []byte) {
		b.reset()
		b.newSession(t, 9, "2025-03-26")
		held := false
		for n := 0; n < 2; n++ {
			x, e := exchange(1, string(in))
			if e != nil {
				return
			}
			b.do(x)
			held = held || x.Hold
			if x.Hold || x.Close {
				break
			}
		}
		checkResponses(t, []byte(b.host.take(1)), held)
		b.disconnect(1)
		last, ok := b.sessions.Delete(1)
		if ok {
			b.SessionEnded(1, last)
		}
		if left := b.o.Events.(*fakeEvents).left(); left != 0 {
			t.Fatalf("%d logs and bodies left", left)
		}
		if st := b.Stats(); st.Subscriptions+st.Listens != 0 || b.calls.InFlight()+b.calls.Asks() != 0 {
			t.Fatalf("left behind: %+v", st)
		}
	})
}

// FuzzServeRPC sends any lines over one TCP connection.
func FuzzServeRPC(f *testing.F) {
	files, _ := filepath.Glob("testdata/tcp*.txtar")
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		for _, section := range txtar.Parse(data).Files {
			if strings.HasPrefix(section.Name, "client") {
				f.Add(section.Data)
			}
		}
	}
	b := fuzzbed(f)
	f.Fuzz(func(t *testing.T, in []byte) {
		b.reset()
		for line := range bytes.Lines(in) {
			var env codec.Envelope
			line = bytes.TrimRight(line, "\n")
			if codec.ParseEnvelope(line, nil, &env) == nil && env.Kind != codec.KindBatch {
				b.rpc(1, string(line))
			}
		}
		for line := range strings.Lines(b.host.take(1)) {
			if !strings.HasSuffix(line, "\n") || !codec.Valid([]byte(line)) {
				t.Fatalf("%q", line)
			}
		}
		b.ConnClosed(1, b.words[1])
		for ref, sess := range b.sessions.m { // resumable
			if sess.Stream != 0 || sess.Bound() {
				t.Fatalf("outlives its connection: %+v", sess)
			}
			last, _ := b.sessions.Delete(ref)
			b.SessionEnded(ref, last)
		}
		if left := b.o.Events.(*fakeEvents).left(); left != 0 {
			t.Fatalf("%d logs and bodies left", left)
		}
		if st := b.Stats(); st.Subscriptions+st.Listens != 0 || len(b.sessions.m) != 0 {
			t.Fatalf("left behind: %s", fmt.Sprintf("%+v", st))
		}
	})
}
