package e2e

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// What `nc 127.0.0.1 7600` sees.
func TestTCPLines(t *testing.T) {
	n := startNode(t)
	c := dial(t, n.tcp)
	for _, x := range []struct{ send, want string }{
		{`{"jsonrpc":"2.0","id":1,"method":"echo","params":["hi"]}`, `{"jsonrpc":"2.0","id":1,"result":["hi"]}`},
		{`{"jsonrpc":"2.0","id":"a","method":"echo","params":{"x":null}}`, `{"jsonrpc":"2.0","id":"a","result":{"x":null}}`},
		{`[{"jsonrpc":"2.0","id":1,"method":"echo","params":[1]},{"jsonrpc":"2.0","method":"echo"},{"jsonrpc":"2.0","id":2,"method":"echo","params":[2]}]`,
			`[{"jsonrpc":"2.0","id":1,"result":[1]},{"jsonrpc":"2.0","id":2,"result":[2]}]`},
	} {
		c.send(x.send + "\n")
		if got := c.line(); got != x.want {
			t.Errorf("%s\n got %s\nwant %s", x.send, got, x.want)
		}
	}
	// A notification has no answer; CRLF ends a line too; a message may come
	// byte by byte, and many in one write.
	c.send(`{"jsonrpc":"2.0","method":"echo","params":[]}` + "\r\n")
	for _, b := range []byte(`{"jsonrpc":"2.0","id":3,"method":"echo","params":[3]}` + "\n") {
		c.send(string(b))
	}
	if got, want := c.line(), `{"jsonrpc":"2.0","id":3,"result":[3]}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	var all strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&all, `{"jsonrpc":"2.0","id":%d,"method":"echo","params":[%d]}`+"\n", i, i)
	}
	c.send(all.String())
	for i := range 1000 {
		if got, want := c.line(), fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"result":[%d]}`, i, i); got != want {
			t.Fatalf("reply %d: got %s, want %s", i, got, want)
		}
	}
}

func TestTCPSpeaksMCP(t *testing.T) {
	n := startNode(t)
	c := dial(t, n.tcp)
	call := func(id int, method, params string) map[string]any {
		t.Helper()
		c.send(fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":%q,"params":%s}`+"\n", id, method, params))
		var reply struct {
			ID     int
			Result map[string]any
			Error  map[string]any
		}
		line := c.line()
		if err := json.Unmarshal([]byte(line), &reply); err != nil || reply.ID != id || reply.Error != nil {
			t.Fatalf("%s: %s (%v)", method, line, err)
		}
		return reply.Result
	}
	init := call(1, "initialize", `{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"nc","version":"1"}}`)
	if init["protocolVersion"] != "2025-11-25" {
		t.Errorf("initialize: %v", init)
	}
	c.send(`{"jsonrpc":"2.0","method":"notifications/initialized"}` + "\n")
	if tools := fmt.Sprint(call(2, "tools/list", `{}`)); !strings.Contains(tools, "name:echo") || !strings.Contains(tools, "name:touch") {
		t.Errorf("tools/list: %s", tools)
	}
	if r := fmt.Sprint(call(3, "tools/call", `{"name":"echo","arguments":{"text":"hi"}}`)); !strings.Contains(r, "text:hi") {
		t.Errorf("tools/call: %s", r)
	}
	call(4, "resources/subscribe", `{"uri":"demo://item/x"}`)
	// The notification and the answer of the call that causes it share the
	// connection; either may come first.
	c.send(`{"jsonrpc":"2.0","id":5,"method":"tools/call","params":{"name":"touch","arguments":{"uri":"demo://item/x"}}}` + "\n")
	both := c.line() + c.line()
	if !strings.Contains(both, `"notifications/resources/updated"`) || !strings.Contains(both, `"id":5`) {
		t.Errorf("touch: %s", both)
	}
	call(6, "ping", `{}`)
}
