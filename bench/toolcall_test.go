package bench

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestToolCall: what a tool says is read from JSON and from an event alike, and
// everything else is an error.
func TestToolCall(t *testing.T) {
	const reply = `{"jsonrpc":"2.0","id":1000000,"result":{"structuredContent":{"notified":7}}}`
	for _, tt := range []struct {
		kind, body string
		status     int
		want       string // "7", or what the error says
	}{
		{"application/json", reply, 200, "7"},
		{"text/event-stream", "data: " + reply + "\n\n", 200, "7"},
		{"text/event-stream; charset=utf-8", "data: " + reply + "\n\n", 200, "7"},
		{"application/json", strings.Replace(reply, `"structured`, `"isError":true,"structured`, 1), 200, "tool touch failed"},
		{"application/json", strings.Replace(reply, `7`, `"x"`, 1), 200, "tool touch failed"},
		{"application/json", strings.Replace(reply, `1000000`, `5`, 1), 200, "5"},
		{"application/json", `{"jsonrpc":"2.0","id":1000000,"error":{"code":-32000,"message":"too busy"}}`, 200, "too busy"},
		{"text/plain", "later", 503, "503"},
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			if r.Host != "elsewhere" || r.Header.Get("Mcp-Name") != "touch" || !strings.Contains(string(body), `"arguments":{"uri":"a:b"}`) {
				t.Errorf("%s %s: %s", r.Host, r.Header, body)
			}
			w.Header().Set("Content-Type", tt.kind)
			w.WriteHeader(tt.status)
			_, _ = io.WriteString(w, tt.body)
		}))
		call := ToolCall{URL: server.URL, Host: "elsewhere", Tool: "touch", Argument: "uri", Value: "a:b"}
		n, err := call.Notified(t.Context(), server.Client())
		if got := fmt.Sprint(n, err); err == nil && got != tt.want+" <nil>" || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s %q: %d, %v", tt.kind, tt.body, n, err)
		}
		server.Close()
		_, err = call.Notified(t.Context(), server.Client())
		if refused := (*net.OpError)(nil); !errors.As(err, &refused) || refused.Op != "dial" {
			t.Errorf("nobody listens: %v", err)
		}
	}
}
