package mcp

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/rookery-server/rookery/codec"
)

// Questions that are wrong are not asked.
func TestBadQuestions(t *testing.T) {
	unsupported := make(chan int)
	one := []SamplingMessage{{Role: "user", Content: []Content{TextContent("x")}}}
	for _, tt := range []struct {
		name string
		q    Question
		err  string
	}{
		{"form", ElicitRequest{Schema: `{"type":"array"}`}, "form"},
		{"both", ElicitRequest{Schema: nameForm, URL: "https://example.com"}, "not both"},
		{"meta", ElicitRequest{Meta: map[string]any{"x": unsupported}}, "_meta"},
		{"url meta", ElicitRequest{URL: "https://example.com", Meta: map[string]any{"x": unsupported}}, "_meta"},
		{"no messages", CreateMessageRequest{MaxTokens: 1}, "needs Messages"},
		{"no tokens", CreateMessageRequest{Messages: one}, "needs Messages"},
		{"content", CreateMessageRequest{MaxTokens: 1, Messages: []SamplingMessage{{Content: []Content{{Type: "smell"}}}}}, "message 0"},
		{"contents", CreateMessageRequest{MaxTokens: 1, Messages: []SamplingMessage{{Content: []Content{{}, {}}}}}, "message 0"},
		{"use", CreateMessageRequest{MaxTokens: 1, Messages: []SamplingMessage{{Content: []Content{ToolUse("1", "t", json.RawMessage(`{`))}}}}, "message 0"},
		{"no extra", CreateMessageRequest{MaxTokens: 1, Messages: []SamplingMessage{{Content: []Content{{Type: "tool_use"}}}}}, "without Extra"},
		{"outcome", CreateMessageRequest{MaxTokens: 1, Messages: []SamplingMessage{{Content: []Content{ToolOutcome("1", &ToolResult{Structured: unsupported})}}}}, "message 0"},
		{"message meta", CreateMessageRequest{MaxTokens: 1, Messages: []SamplingMessage{{Meta: map[string]any{"x": unsupported}}}}, "message 0"},
		{"metadata", CreateMessageRequest{MaxTokens: 1, Messages: one, Metadata: unsupported}, "sampling"},
		{"tool", CreateMessageRequest{MaxTokens: 1, Messages: one, Tools: []Tool{{Name: "t", InputSchema: 7}}}, `tool "t"`},
		{"icon", CreateMessageRequest{MaxTokens: 1, Messages: one, Tools: []Tool{{Name: "t", Icons: []Icon{{}}}}}, `tool "t"`},
	} {
		if _, err := tt.q.query(Revision20260728); err == nil || !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	c := &Call{caps: math.MaxUint16, rev: Revision20260728}
	if _, err := c.Elicit(t.Context(), ElicitRequest{Schema: 7}); err == nil {
		t.Error("asked with a schema that is a number")
	}
	if _, err := c.Ask(t.Context(), "roots/list", unsupported); err == nil {
		t.Error("asked with a channel")
	}
}

// What a question needs depends on what it says and to whom.
func TestQuestionNeeds(t *testing.T) {
	one := []SamplingMessage{{Role: "user", Content: []Content{TextContent("x"), ToolUse("1", "t", nil)}}}
	sample := CreateMessageRequest{MaxTokens: 1, Messages: one}
	context, none, tools := sample, sample, sample
	context.IncludeContext, none.IncludeContext, tools.ToolChoice = "allServers", "none", "none"
	for _, tt := range []struct {
		q    Question
		rev  Revision
		need Capabilities
	}{
		{ElicitRequest{}, Revision20250618, CapElicitation | CapElicitationForm},
		{ElicitRequest{URL: "https://example.com"}, Revision20251125, CapElicitation | CapElicitationURL},
		{sample, Revision20241105, CapSampling},
		{context, Revision20250618, CapSampling},
		{context, Revision20251125, CapSampling | CapSamplingContext},
		{none, Revision20251125, CapSampling},
		{tools, Revision20251125, CapSampling | CapSamplingTools},
		{RootsRequest{}, Revision20260728, CapRoots},
	} {
		q, err := tt.q.query(tt.rev)
		if err != nil || q.need != tt.need {
			t.Errorf("%+v: needs %b, want %b (%v)", tt.q, q.need, tt.need, err)
		}
	}
	old, _ := ElicitRequest{Message: "m"}.query(Revision20250618)
	if strings.Contains(string(old.params), "mode") {
		t.Errorf("a mode for who does not know it: %s", old.params)
	}
}

// A conversation goes to the model and comes back as it was.
func TestConversationRoundTrip(t *testing.T) {
	said := []Content{
		{Type: "text", Text: "a", Annotations: &Annotations{Priority: 1}, Extra: &ContentExtra{Meta: map[string]any{"k": "v"}}},
		ImageContent([]byte{1}, "image/png"), AudioContent([]byte{2}, "audio/wav"),
		ToolUse("u", "t", json.RawMessage(`{"a":1}`)),
		ToolOutcome("u", &ToolResult{Content: []Content{TextContent("out")}, Structured: json.RawMessage(`{"b":2}`), IsError: true}),
	}
	raw, err := appendContents(nil, said)
	if err != nil {
		t.Fatal(err)
	}
	back, err := parseContents(raw)
	if err != nil {
		t.Fatal(err)
	}
	again, err := appendContents(nil, back)
	if err != nil || string(again) != string(raw) {
		t.Errorf("%v\n%s\n%s", err, raw, again)
	}
	for _, bad := range []string{`7`, `{"type":"resource"}`, `[{"type":"tool_result","content":[{"type":"?"}]}]`, `{"type":"image","data":"*"}`} {
		if _, err := parseContents([]byte(bad)); err == nil {
			t.Errorf("taken: %s", bad)
		}
	}
	for _, bad := range []string{`[]`, `{"role":1}`, `{"role":"assistant","model":"m"}`} {
		if _, err := readMessage([]byte(bad)); err == nil {
			t.Errorf("taken: %s", bad)
		}
	}
	if _, err := readRoots([]byte(`[]`)); err == nil {
		t.Error("roots of an array")
	}
}

// Two questions may share a key only if they are the same.
func TestSharedKeys(t *testing.T) {
	call := func() *Call {
		return &Call{
			caps: math.MaxUint16, rev: Revision20260728, m: methods["tools/call"], params: []byte(`{"inputResponses":{}}`),
		}
	}
	ctx := t.Context()
	c := call()
	q := ElicitRequest{Key: "k", Message: "m"}
	if _, err := c.AskAll(ctx, q, q); !errors.Is(err, ErrInputRequired) || len(c.talk.pending) != 1 {
		t.Errorf("%v, %d pending", err, len(c.talk.pending))
	}
	if _, err := c.AskAll(ctx, q, RootsRequest{Key: "k"}); err == nil || errors.Is(err, ErrInputRequired) {
		t.Errorf("two questions of one key: %v", err)
	}
	if !c.wantsInput(fmt.Errorf("wrapped: %w", ErrInputRequired)) || c.wantsInput(errors.New("other")) {
		t.Error("wantsInput")
	}
	if call().wantsInput(ErrInputRequired) {
		t.Error("an error that is not of this call")
	}
	c.finish()
	if _, err := c.ListRoots(ctx); !errors.Is(err, ErrCallOver) {
		t.Errorf("after the end: %v", err)
	}
	c = call()
	c.m = methods["completion/complete"]
	if _, err := c.ListRoots(ctx); !errors.Is(err, ErrCannotAsk) {
		t.Errorf("while completing: %v", err)
	}
}

func TestURLElicitationRequiredPanics(t *testing.T) {
	for _, r := range []ElicitRequest{{ID: "x"}, {URL: "https://example.com"}, {URL: "u", ID: "x", Meta: map[string]any{"x": make(chan int)}}} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("no panic for %+v", r)
				}
			}()
			_ = URLElicitationRequired(r)
		}()
	}
}

func TestMissingCapability(t *testing.T) {
	for c, want := range map[Capabilities]string{
		CapRoots:                              `{"roots":{}}`,
		CapSampling | CapSamplingTools:        `{"sampling":{"tools":{}}}`,
		CapSamplingContext | CapSamplingTools: `{"sampling":{"tools":{},"context":{}}}`,
		CapElicitation | CapElicitationForm:   `{"elicitation":{}}`,
		CapElicitationURL | CapRoots:          `{"roots":{},"elicitation":{"url":{}}}`,
	} {
		if got := string(c.appendJSON(nil)); got != want {
			t.Errorf("%b: %s, want %s", c, got, want)
		}
		if e := MissingCapability(c); e.Code != CodeMissingCapability || !codec.Valid(e.Data) {
			t.Errorf("%+v", e)
		}
	}
}

// A state of one server is good for another with its key, and for no one else.
func TestStates(t *testing.T) {
	key := []byte("0123456789abcdef0123456789abcdef")
	a, b, other := newStates(key, 1e12), newStates(key, 1e12), newStates(nil, 1e12)
	state, err := a.seal("tools/call", []byte("t"), []byte(`{"x":1}`), []byte(`{"k":{}}`))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := b.open("tools/call", []byte("t"), []byte(` { "x" : 1 } `), state); err != nil || string(got) != `{"k":{}}` {
		t.Errorf("%s, %v", got, err)
	}
	if _, err := other.open("tools/call", []byte("t"), []byte(`{"x":1}`), state); err == nil {
		t.Error("another key")
	}
	if _, err := a.open("prompts/get", []byte("t"), []byte(`{"x":1}`), state); err == nil {
		t.Error("another method")
	}
	for i := range state {
		bent := append([]byte(nil), state...)
		bent[i] ^= 1
		if _, err := a.open("tools/call", []byte("t"), []byte(`{"x":1}`), bent); err == nil {
			t.Errorf("byte %d bent", i)
		}
	}
	if _, err := a.seal("tools/call", nil, []byte(`{`), nil); err == nil {
		t.Error("arguments that are no JSON")
	}
	if _, err := a.open("tools/call", nil, []byte(`{`), state); err == nil {
		t.Error("arguments that are no JSON")
	}
}

func FuzzState(f *testing.F) {
	s := newStates([]byte("key"), 1e12)
	good, _ := s.seal("m", nil, nil, []byte(`{}`))
	f.Add(good)
	f.Add([]byte(""))
	f.Fuzz(func(t *testing.T, state []byte) {
		bare := strings.NewReplacer("\r", "", "\n", "").Replace(string(state)) // base64 skips them
		if _, err := s.open("m", nil, nil, state); err == nil && bare != string(good) {
			t.Errorf("forged: %s", state)
		}
	})
}

func TestHeaderParams(t *testing.T) {
	prop := func(schema string) string { return `{"type":"object","properties":{"p":` + schema + `}}` }
	for _, tt := range []struct{ schema, err string }{
		{prop(`{"type":"string"}`), ""},
		{prop(`{"type":"boolean","x-mcp-header":"A-b"}`), ""},
		{prop(`{"type":"number","x-mcp-header":"A"}`), "string, integer or boolean"},
		{prop(`{"x-mcp-header":"A"}`), "string, integer or boolean"},
		{prop(`{"type":["string","null"],"x-mcp-header":"A"}`), "string, integer or boolean"},
		{prop(`{"type":"string","x-mcp-header":""}`), "not the name"},
		{prop(`{"type":"string","x-mcp-header":"a b"}`), "not the name"},
		{prop(`{"type":"string","x-mcp-header":"é"}`), "not the name"},
		{prop(`{"type":"string","x-mcp-header":7}`), "not the name"},
		{`{"type":"object","properties":{"p":{"type":"string","x-mcp-header":"A"},"q":{"type":"object","properties":{"r":{"type":"string","x-mcp-header":"a"}}}}}`, "twice"},
	} {
		s := New(Options{Host: newFakeHost(), Sessions: newFakeSessions(), Calls: newTestbed(nil).calls})
		err := s.AddTool(Tool{Name: "t", InputSchema: tt.schema, Handle: func(context.Context, *Call) (*ToolResult, error) { return nil, nil }})
		if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%s: %v", tt.schema, err)
		}
	}
}

// A browser is allowed the mirrored headers it asks for, and no others.
func TestPreflightOfParams(t *testing.T) {
	b := newTestbed(nil)
	got := b.ask(t, 1, "OPTIONS /mcp HTTP/1.1\r\nHost: h\r\nOrigin: http://localhost\r\n"+
		"Access-Control-Request-Headers: content-type, mcp-param-region,\tMcp-Param-A b, x-secret,MCP-PARAM-Level, mcp-param-\r\n\r\n")
	if !strings.Contains(got, " Mcp-Name, Last-Event-ID, mcp-param-region, MCP-PARAM-Level\r\n") {
		t.Errorf("%s", got)
	}
}

func FuzzHeaderRepeats(f *testing.F) {
	for _, s := range []string{"a", "=?base64?YQ==?=", "1.0", "true", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, word string) {
		raw, err := json.Marshal(word)
		if err != nil {
			return
		}
		_ = headerRepeats([]byte(word), raw)
		var plain string
		if json.Unmarshal(raw, &plain) != nil {
			return
		}
		if !headerRepeats([]byte("=?base64?"+base64.StdEncoding.EncodeToString([]byte(plain))+"?="), raw) {
			t.Errorf("%q", word)
		}
	})
}

// Progress that does not grow is not sent.
func TestProgressGrows(t *testing.T) {
	b := newTestbed(nil)
	err := b.AddTool(Tool{Name: "steps", Handle: func(_ context.Context, c *Call) (*ToolResult, error) {
		for _, p := range []float64{0, 0, 2, 1, 2, 2.5} {
			if err := c.Progress(p, 0, ""); err != nil {
				return nil, err
			}
		}
		return nil, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	header, _ := b.newSession(t, 1, "2025-11-25")
	got := b.ask(t, 1, post(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"steps","_meta":{"progressToken":"p"}}}`, header))
	if n := strings.Count(got, "notifications/progress"); n != 3 || !strings.Contains(got, `"progress":2.5`) {
		t.Errorf("%d notifications: %s", n, got)
	}
}

func TestServerDescribesItself(t *testing.T) {
	b := newTestbed(func(o *Options) {
		o.Description, o.WebsiteURL, o.Icons = "d", "https://example.com", []Icon{{Src: "https://example.com/i"}}
		o.ListCache = CacheHint{TTL: -1, Private: true}
	})
	const want = `{"name":"test","version":"1","description":"d","websiteUrl":"https://example.com","icons":[{"src":"https://example.com/i"}]}`
	if string(b.info) != want {
		t.Errorf("%s", b.info)
	}
	if string(b.listHint) != `"ttlMs":0,"cacheScope":"private"` {
		t.Errorf("%s", b.listHint)
	}
	defer func() {
		if recover() == nil {
			t.Error("an icon without a source")
		}
	}()
	newTestbed(func(o *Options) { o.Icons = []Icon{{}} })
}

// Listings that cannot be encoded are refused when they are registered.
func TestBadListings(t *testing.T) {
	b := newTestbed(nil)
	read := func(context.Context, *Call, string) ([]ResourceContents, error) { return nil, nil }
	bad := map[string]any{"x": make(chan int)}
	for name, err := range map[string]error{
		"resource icon": b.AddResource(Resource{URI: "a:b", Name: "n", Read: read, Icons: []Icon{{}}}),
		"resource meta": b.AddResource(Resource{URI: "a:b", Name: "n", Read: read, Meta: bad}),
		"prompt icon": b.AddPrompt(Prompt{Name: "p", Icons: []Icon{{}},
			Get: func(context.Context, *Call, map[string]string) (*PromptResult, error) { return nil, nil }}),
		"tool meta": b.AddTool(Tool{Name: "t", Meta: bad, Handle: func(context.Context, *Call) (*ToolResult, error) { return nil, nil }}),
	} {
		if err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}
