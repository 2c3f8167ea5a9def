package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// modernMeta is what a request of 2026-07-28 says of its client.
const modernMeta = `"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28",` +
	`"io.modelcontextprotocol/clientInfo":{"name":"e2e","version":"1"},"io.modelcontextprotocol/clientCapabilities":{}}`

// modernRequest is a request of 2026-07-28; params are members without braces,
// and name is what the Mcp-Name header repeats of them, if anything.
func modernRequest(t *testing.T, url string, id int, method, name, params string) *http.Request {
	t.Helper()
	if params != "" {
		params += ","
	}
	body := fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":%q,"params":{%s%s}}`, id, method, params, modernMeta)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", "application/json, text/event-stream")
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Mcp-Protocol-Version", "2026-07-28")
	req.Header.Set("Mcp-Method", method)
	if name != "" {
		req.Header.Set("Mcp-Name", name)
	}
	return req
}

// listen opens a subscriptions/listen stream and awaits its acknowledgement.
func listen(t *testing.T, url string, id int, wanted string) *sse {
	t.Helper()
	st, status := openSSE(t, modernRequest(t, url, id, "subscriptions/listen", "", `"notifications":`+wanted))
	if st == nil {
		t.Fatalf("subscriptions/listen: status %d", status)
	}
	if m, _ := st.message(); m.Method != "notifications/subscriptions/acknowledged" {
		t.Fatalf("first on the stream: %+v", m)
	}
	return st
}

const subscriptionID = "io.modelcontextprotocol/subscriptionId"

// Clients of both eras in one process: each change reaches every one of them
// once, in the form of its era, whoever made it.
func TestBothErasSideBySide(t *testing.T) {
	n := startNode(t)
	const each = 20
	var old, modern [each]*sse
	var sessions [each]*session
	for i := range each { // one of this, one of that
		sessions[i] = newSession(t, n.mcp())
		sessions[i].subscribe(item(0))
		sessions[i].subscribe(item(1))
		old[i] = sessions[i].resume("")
		modern[i] = listen(t, n.mcp(), 1000+i, fmt.Sprintf(`{"resourceSubscriptions":[%q,%q]}`, item(0), item(1)))
	}

	sessions[0].touch(item(0)) // by a session
	r, err := http.DefaultClient.Do(modernRequest(t, n.mcp(), 1, "tools/call", "touch",
		fmt.Sprintf(`"name":"touch","arguments":{"uri":%q}`, item(1)))) // by a request without one
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	var reply struct {
		Result struct {
			StructuredContent struct{ Notified int }
		}
	}
	if err := json.NewDecoder(r.Body).Decode(&reply); err != nil || reply.Result.StructuredContent.Notified != 2*each {
		t.Errorf("%v, %d clients were told, want %d", err, reply.Result.StructuredContent.Notified, 2*each)
	}

	for i := range each {
		for change := range 2 {
			m, id := old[i].message()
			if m.Params.URI != item(change) || id == "" || m.Params.Meta[subscriptionID] != nil {
				t.Errorf("session %d, change %d: %+v, id %q", i, change, m, id)
			}
			m, id = modern[i].message()
			if m.Params.URI != item(change) || id != "" || string(m.Params.Meta[subscriptionID]) != fmt.Sprint(1000+i) {
				t.Errorf("listener %d, change %d: %+v, id %q", i, change, m, id)
			}
		}
	}
	old[0].quiet()
	modern[0].quiet()
}

// A list that changes is announced to both eras, to each what it asked for. How
// often is up to the server: the Go SDK makes one announcement of several
// changes.
func TestBothErasHearOfLists(t *testing.T) { onBoth(t, bothErasHearOfLists) }

func bothErasHearOfLists(t *testing.T, n *node) {
	s := newSession(t, n.mcp())
	old, modern := s.resume(""), listen(t, n.mcp(), 1, `{"toolsListChanged":true}`)
	const tools, prompts = "notifications/tools/list_changed", "notifications/prompts/list_changed"
	s.call("tools/call", `{"name":"test_trigger_tool_change","arguments":{}}`)
	for _, st := range []*sse{old, modern} {
		if m, _ := st.message(); m.Method != tools {
			t.Errorf("after a change of the tools: %+v", m)
		}
	}
	s.call("tools/call", `{"name":"test_trigger_prompt_change","arguments":{}}`)
	heard := ""
	for heard != prompts {
		m, _ := old.message()
		if heard = m.Method; heard != tools && heard != prompts {
			t.Fatalf("after a change of the prompts: %+v", m)
		}
	}
	for _, method := range modern.rest() {
		if method != tools {
			t.Errorf("told of %s, which was not asked for", method)
		}
	}
}

// One connection may carry requests of both eras in turn, as a proxy's does.
func TestBothErasOnOneConnection(t *testing.T) {
	n := startNode(t)
	c := dial(t, n.http)
	for range 3 {
		head, err := post(c, "", `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"x","version":"1"}}}`)
		if err != nil {
			t.Fatal(err)
		}
		id := head.Get("Mcp-Session-Id")
		if id == "" {
			t.Fatal("no session")
		}
		head, err = post(c, "Mcp-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/list\r\n",
			`{"jsonrpc":"2.0","id":2,"method":"tools/list","params":{`+modernMeta+`}}`)
		if err != nil || head.Get("Mcp-Session-Id") != "" {
			t.Errorf("the modern request: %v, session %q", err, head.Get("Mcp-Session-Id"))
		}
		if _, err = post(c, "Mcp-Protocol-Version: 2025-06-18\r\nMcp-Session-Id: "+id+"\r\n", `{"jsonrpc":"2.0","id":3,"method":"tools/list"}`); err != nil {
			t.Errorf("the session's request: %v", err)
		}
	}
}
