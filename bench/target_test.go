package bench

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"net/netip"
	"testing"
)

// TestRequestsAreHTTP: net/http reads the requests as they are meant.
func TestRequestsAreHTTP(t *testing.T) {
	target := Target{Addr: netip.MustParseAddrPort("127.0.0.1:80"), Path: "/mcp"}
	for _, test := range []struct {
		wire    []byte
		method  string
		body    string
		headers map[string]string
	}{
		{target.post([]byte("{}"), ""), http.MethodPost, "{}", map[string]string{
			"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}},
		{target.post([]byte("[]"), ofSession("abc")), http.MethodPost, "[]", map[string]string{
			"Mcp-Session-Id": "abc", "MCP-Protocol-Version": revisionSessions}},
		{target.post([]byte("{}"), callHeaders), http.MethodPost, "{}", map[string]string{
			"Mcp-Method": "tools/call", "Mcp-Name": "echo", "MCP-Protocol-Version": revisionStateless}},
		{target.post([]byte("{}"), listenHeaders), http.MethodPost, "{}", map[string]string{"Mcp-Method": "subscriptions/listen"}},
		{target.get(ofSession("abc")), http.MethodGet, "", map[string]string{
			"Mcp-Session-Id": "abc", "Accept": "text/event-stream"}},
	} {
		in := bufio.NewReader(bytes.NewReader(test.wire))
		r, err := http.ReadRequest(in)
		if err != nil {
			t.Errorf("%s: %v", test.wire, err)
			continue
		}
		body, err := io.ReadAll(r.Body)
		if err != nil || r.Method != test.method || r.URL.Path != "/mcp" || r.Host != "127.0.0.1:80" || string(body) != test.body {
			t.Errorf("%s reads as %s %s %s %q, %v", test.wire, r.Method, r.URL, r.Host, body, err)
		}
		for name, want := range test.headers {
			if got := r.Header.Get(name); got != want {
				t.Errorf("%s: %s is %q, want %q", test.wire, name, got, want)
			}
		}
		if in.Buffered() > 0 {
			t.Errorf("%s: %d bytes behind the request", test.wire, in.Buffered())
		}
	}
}
