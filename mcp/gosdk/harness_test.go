package gosdk

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/rookery-server/rookery/server"
)

// patience bounds every wait of a test; nothing in a passing test takes it.
const patience = 10 * time.Second

// eras are the revisions tests run with: before and after SSE polling, and
// without sessions.
var eras = []string{"2025-06-18", "2025-11-25", modernEra}

const modernEra = "2026-07-28"

// eachEra runs f once with each.
func eachEra(t *testing.T, f func(t *testing.T, version string)) {
	for _, v := range eras {
		t.Run(v, func(t *testing.T) { f(t, v) })
	}
}

func within(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// start serves srv on a free port until the test ends.
func start(t testing.TB, srv *sdk.Server) (addr string, a *Adapter) {
	t.Helper()
	a = Handler(srv)
	s, err := server.New(server.Options{HTTP: "127.0.0.1:0", MCPBackend: a, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	return s.HTTPAddr().String(), a
}

// dial connects the official client in the era of version.
func dial(t testing.TB, addr, version string, o *sdk.ClientOptions) *sdk.ClientSession {
	t.Helper()
	return dialAs(t, addr, version, &sdk.Implementation{Name: "test", Version: "1"}, o)
}

func dialAs(t testing.TB, addr, version string, who *sdk.Implementation, o *sdk.ClientOptions) *sdk.ClientSession {
	t.Helper()
	transport := new(http.Transport)
	t.Cleanup(transport.CloseIdleConnections)
	s, err := sdk.NewClient(who, o).Connect(within(t), &sdk.StreamableClientTransport{
		Endpoint: "http://" + addr + "/mcp", HTTPClient: &http.Client{Transport: transport},
	}, &sdk.ClientSessionOptions{ProtocolVersion: version})
	if err != nil {
		t.Fatal(err)
	}
	if got := s.InitializeResult().ProtocolVersion; got != version {
		t.Errorf("agreed on %s, want %s", got, version)
	}
	t.Cleanup(func() { _ = s.Close() }) // the server may have ended first
	return s
}

// newServer returns a server without features.
func newServer(o *sdk.ServerOptions) *sdk.Server {
	return sdk.NewServer(&sdk.Implementation{Name: "fixture", Version: "1"}, o)
}

type empty struct{}

// addTool adds a tool without arguments that answers with text.
func addTool(s *sdk.Server, name string, f func(ctx context.Context, req *sdk.CallToolRequest) (string, error)) {
	sdk.AddTool(s, &sdk.Tool{Name: name}, func(ctx context.Context, req *sdk.CallToolRequest, _ empty) (*sdk.CallToolResult, any, error) {
		text, err := f(ctx, req)
		if err != nil {
			return nil, nil, err
		}
		return &sdk.CallToolResult{Content: []sdk.Content{&sdk.TextContent{Text: text}}}, nil, nil
	})
}

// call calls a tool without arguments and returns the text of its answer.
func call(t testing.TB, s *sdk.ClientSession, tool string) string {
	t.Helper()
	r, err := s.CallTool(within(t), &sdk.CallToolParams{Name: tool})
	if err != nil {
		t.Fatalf("%s: %v", tool, err)
	}
	return textOf(t, r)
}

func textOf(t testing.TB, r *sdk.CallToolResult) string {
	t.Helper()
	if len(r.Content) != 1 {
		t.Fatalf("content %v", r.Content)
	}
	text, ok := r.Content[0].(*sdk.TextContent)
	if !ok {
		t.Fatalf("content %T", r.Content[0])
	}
	return text.Text
}

// receive returns what comes next.
func receive[T any](t testing.TB, from <-chan T) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(patience):
		t.Fatal("nothing came")
	}
	panic("unreachable")
}

func check(t testing.TB, what string, got, want any) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

// raw is a client without goroutines or a mind of its own.
type raw struct {
	t    testing.TB
	conn net.Conn
	in   *bufio.Reader
}

func dialRaw(t testing.TB, addr string) *raw {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return &raw{t, c, bufio.NewReader(c)}
}

// send writes a request; headers end without a line end.
func (r *raw) send(method, headers, body string) {
	r.t.Helper()
	if headers != "" {
		headers += "\r\n"
	}
	_, err := fmt.Fprintf(r.conn, "%s /mcp HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"+
		"Accept: application/json, text/event-stream\r\n%sContent-Length: %d\r\n\r\n%s", method, headers, len(body), body)
	if err != nil {
		r.t.Fatal(err)
	}
}

// head reads the head of a response.
func (r *raw) head() *http.Response {
	r.t.Helper()
	res, err := http.ReadResponse(r.in, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	return res
}

// post exchanges one message and returns status, session and body.
func (r *raw) post(headers, body string) (status int, session, answer string) {
	r.t.Helper()
	r.send("POST", headers, body)
	return r.answer()
}

// answer reads a whole response.
func (r *raw) answer() (status int, session, answer string) {
	r.t.Helper()
	res := r.head()
	b, err := io.ReadAll(res.Body)
	_ = res.Body.Close()
	if err != nil {
		r.t.Fatal(err)
	}
	return res.StatusCode, res.Header.Get("Mcp-Session-Id"), string(b)
}

// initialize begins a session and returns its header.
func (r *raw) initialize() (header string) {
	r.t.Helper()
	status, session, answer := r.post("", `{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25",`+
		`"capabilities":{},"clientInfo":{"name":"raw","version":"1"}}}`)
	if status != 200 || session == "" {
		r.t.Fatalf("initialize: %d %s", status, answer)
	}
	header = "Mcp-Session-Id: " + session + "\r\nMCP-Protocol-Version: 2025-11-25"
	if status, _, answer := r.post(header, `{"jsonrpc":"2.0","method":"notifications/initialized"}`); status != 202 {
		r.t.Fatalf("initialized: %d %s", status, answer)
	}
	return header
}

// await reads a stream until a line of it has text.
func (r *raw) await(text string) {
	r.t.Helper()
	for {
		line, err := r.in.ReadString('\n')
		if err != nil {
			r.t.Fatalf("the stream ended before %s: %v", text, err)
		}
		if strings.Contains(line, text) {
			return
		}
	}
}
