package gosdk

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/rookery-server/rookery/mcp"
)

// TestProfiles sees that what clients say is kept once, as it was said, and not
// without bounds.
func TestProfiles(t *testing.T) {
	var p profiles
	caps, info := `{"roots":{"listChanged":true},"experimental":{"x":{}}}`, `{"name":"a","version":"1","title":"A"}`
	n := p.number([]byte(caps), []byte(info))
	check(t, "again", p.number([]byte(caps), []byte(info)), n)
	if other := p.number([]byte(`{}`), []byte(info)); other == n || other == 0 {
		t.Errorf("other capabilities have number %d", other)
	}
	got := p.get(n).params(mcp.Revision20251125)
	check(t, "title", got.ClientInfo.Title, "A")
	check(t, "roots", got.Capabilities.RootsV2.ListChanged && got.Capabilities.Roots.ListChanged, true)
	got.ClientInfo.Title, got.Capabilities.Experimental["y"] = "changed by a handler", 1
	got.Capabilities.RootsV2.ListChanged = false
	again := p.get(n).params(mcp.Revision20251125)
	check(t, "title afterwards", again.ClientInfo.Title, "A")
	check(t, "capabilities afterwards", []int{len(again.Capabilities.Experimental), len(got.Capabilities.Experimental)}, []int{1, 2})
	check(t, "roots afterwards", again.Capabilities.RootsV2.ListChanged, true)

	check(t, "malformed", p.number([]byte(`{}`), []byte(`{"name":1}`)), 0)
	check(t, "too large", p.number([]byte(`{"experimental":{"x":"`+strings.Repeat("x", profileBytes)+`"}}`), nil), 0)
	for i := range profilesMax {
		p.number(nil, fmt.Appendf(nil, `{"name":"%d"}`, i))
	}
	check(t, "profiles after a flood", len(p.all), profilesMax)
	check(t, "one more", p.number(nil, []byte(`{"name":"one more"}`)), 0)
	check(t, "an old one", p.number([]byte(caps), []byte(info)), n)
	if p.get(0) != nil || p.get(profilesMax+1) != nil {
		t.Error("a number nobody has is somebody")
	}
}

// TestCapabilityBits is what is left of a client that found no room.
func TestCapabilityBits(t *testing.T) {
	c := capabilities(mcp.CapRoots | mcp.CapRootsListChanged | mcp.CapSampling | mcp.CapSamplingTools | mcp.CapSamplingContext |
		mcp.CapElicitation | mcp.CapElicitationForm | mcp.CapElicitationURL)
	got, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	check(t, "capabilities", string(got), `{"roots":{"listChanged":true},"sampling":{"context":{},"tools":{}},"elicitation":{"form":{},"url":{}}}`)
	if c := capabilities(0); c.RootsV2 != nil || c.Sampling != nil || c.Elicitation != nil {
		t.Errorf("%+v of nothing", c)
	}
}

// TestComplete pins where _meta stands in the SDK's results and that results
// come out whole.
func TestComplete(t *testing.T) {
	a := &Adapter{info: []byte(`{"name":"n"}`)}
	const key = sdk.MetaKeyServerInfo
	for _, c := range []struct {
		res  sdk.Result
		want string
	}{
		{&sdk.CallToolResult{Content: []sdk.Content{}}, `{"_meta":{"` + key + `":{"name":"n"}},"content":[]}`},
		{&sdk.CallToolResult{Meta: sdk.Meta{"a": 1}, Content: []sdk.Content{}}, `{"_meta":{"` + key + `":{"name":"n"},"a":1},"content":[]}`},
		{&sdk.CallToolResult{Meta: sdk.Meta{key: "mine"}, Content: []sdk.Content{}}, `{"_meta":{"` + key + `":"mine"},"content":[]}`},
		{&sdk.ListRootsResult{Meta: sdk.Meta{"a": 1}, Roots: []*sdk.Root{}}, `{"resultType":"complete","_meta":{"` + key + `":{"name":"n"},"a":1},"roots":[]}`},
		{&sdk.CompleteResult{}, `{"_meta":{"` + key + `":{"name":"n"}},"resultType":"complete","completion":{"values":null}}`},
	} {
		raw, err := encode(c.res)
		if err != nil {
			t.Fatal(err)
		}
		got, err := a.complete(raw, c.res)
		if err != nil || !reflect.DeepEqual(decoded(t, got), decoded(t, []byte(c.want))) {
			t.Errorf("%s, %v\nwant %s", got, err, c.want)
		}
	}
}

func decoded(t *testing.T, raw []byte) (v any) {
	t.Helper()
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatalf("%s: %v", raw, err)
	}
	return v
}

// TestRejected sees that a message which does not reach its client leaves the
// session whole, as the SDK has it.
func TestRejected(t *testing.T) {
	srv := newServer(nil)
	n := newConn(nil, Handler(srv))
	ss, err := srv.Connect(within(t), n, nil)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := ss.NotifyProgress(within(t), &sdk.ProgressNotificationParams{}); err == nil {
			t.Error("nobody was told and nothing said")
		}
	}
	n.reply = make(chan *jsonrpc.Response, 1)
	if r, err := n.exchange(within(t), "ping", nil, nil); err != nil || r.Error != nil {
		t.Errorf("afterwards: %v, %v", r, err)
	}
	n.end(ss)
	if _, err := n.exchange(within(t), "ping", nil, nil); err == nil {
		t.Error("a session that has ended answers")
	}
	check(t, "sessions", countSessions(srv), 0)
}

// TestMirrors compares a header with its argument, after changes too, and not
// for tools that the client cannot see.
func TestMirrors(t *testing.T) {
	srv := newServer(&sdk.ServerOptions{PageSize: 1})
	addTool(srv, "plain", func(context.Context, *sdk.CallToolRequest) (string, error) { return "", nil })
	add := func(name, header string) {
		srv.AddTool(&sdk.Tool{Name: name, InputSchema: json.RawMessage(
			`{"type":"object","properties":{"r":{"type":"string","x-mcp-header":"` + header + `"}}}`)},
			func(context.Context, *sdk.CallToolRequest) (*sdk.CallToolResult, error) {
				return &sdk.CallToolResult{}, nil
			})
	}
	add("region", "Region")
	addr, a := start(t, srv)
	r := dialRaw(t, addr)
	call := func(tool, header string) int {
		t.Helper()
		status, _, _ := r.post("MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/call\r\nMcp-Name: "+tool+header,
			`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"`+tool+`","arguments":{"r":"eu"},"_meta":{`+
				`"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}`)
		return status
	}
	check(t, "plain", call("plain", ""), 200)
	check(t, "same", call("region", "\r\nMcp-Param-Region: eu"), 200)
	check(t, "other", call("region", "\r\nMcp-Param-Region: us"), 400)
	check(t, "none", call("region", ""), 400)
	_, known, changes := a.mirrors.get("region")
	check(t, "known", known, true)
	add("region", "Place")
	for changed := changes; changed == changes; {
		_, _, changed = a.mirrors.get("region")
	}
	check(t, "the old name after a change", call("region", "\r\nMcp-Param-Region: eu"), 400)
	check(t, "the new name after a change", call("region", "\r\nMcp-Param-Place: eu"), 200)

	srv.AddReceivingMiddleware(func(next sdk.MethodHandler) sdk.MethodHandler {
		return func(ctx context.Context, method string, req sdk.Request) (sdk.Result, error) {
			if method == "tools/list" {
				return nil, &jsonrpc.Error{Code: -32000, Message: "not for you"}
			}
			return next(ctx, method, req)
		}
	})
	a.mirrors.forget()
	check(t, "unseen", call("region", ""), 200)
}

// BenchmarkConnect is what a session for one request costs beside the request.
func BenchmarkConnect(b *testing.B) {
	srv := contentServer()
	a := Handler(srv)
	state := &sdk.ServerSessionOptions{State: &sdk.ServerSessionState{InitializeParams: earParams()}}
	b.ReportAllocs()
	for b.Loop() {
		n := newConn(nil, a)
		ss, err := srv.Connect(context.Background(), n, state)
		if err != nil {
			b.Fatal(err)
		}
		n.end(ss)
	}
}

// BenchmarkHandler is a call of a typed tool: the SDK's work for a request,
// once its session is there.
func BenchmarkHandler(b *testing.B) {
	srv := contentServer()
	a := Handler(srv)
	n := newConn(nil, a)
	ss, err := srv.Connect(context.Background(), n, &sdk.ServerSessionOptions{State: &sdk.ServerSessionState{InitializeParams: earParams()}})
	if err != nil {
		b.Fatal(err)
	}
	defer n.end(ss)
	b.ReportAllocs()
	for b.Loop() {
		res, err := a.handler()(context.Background(), methodCallTool, &sdk.CallToolRequest{
			Session: ss, Params: &sdk.CallToolParamsRaw{Name: "greet", Arguments: json.RawMessage(`{"name":"you"}`)},
		})
		if err != nil {
			b.Fatal(err)
		}
		if _, err := encode(res); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkDispatch is the same through a connection, as the SDK's own
// transports do it.
func BenchmarkDispatch(b *testing.B) {
	srv := contentServer()
	a := Handler(srv)
	n := newConn(nil, a)
	ss, err := srv.Connect(context.Background(), n, &sdk.ServerSessionOptions{State: &sdk.ServerSessionState{InitializeParams: earParams()}})
	if err != nil {
		b.Fatal(err)
	}
	defer n.end(ss)
	b.ReportAllocs()
	for b.Loop() {
		r, err := n.exchange(context.Background(), methodCallTool, []byte(`{"name":"greet","arguments":{"name":"you"}}`), nil)
		if err != nil || r.Error != nil {
			b.Fatal(r, err)
		}
	}
}
