package mcp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/rookery-server/rookery/codec"
)

type none struct{}

func addTyped[Out any](t *testing.T, s *Server, name string, out Out) {
	t.Helper()
	err := AddTool(s, Tool{Name: name}, func(context.Context, *Call, none) (Out, error) { return out, nil })
	if err != nil {
		t.Fatal(err)
	}
}

// What a typed tool returns, and what the client gets for it.
func TestTypedResults(t *testing.T) {
	b := newTestbed(nil)
	s := b.Server
	addTyped(t, s, "string", "hi")
	addTyped(t, s, "named", time.Saturday)
	type word string
	addTyped(t, s, "word", word("w"))
	addTyped(t, s, "nilword", (*word)(nil))
	addTyped(t, s, "slice", []int{1, 2})
	addTyped(t, s, "struct", sumOut{3})
	addTyped(t, s, "pointer", &sumOut{4})
	addTyped(t, s, "nothing", (*sumOut)(nil))
	addTyped(t, s, "map", map[string]int{"a": 1})
	addTyped(t, s, "time", time.Unix(0, 0).UTC())
	addTyped(t, s, "result", ToolResult{Content: []Content{TextContent("own")}, Meta: map[string]any{"m": 1}})
	addTyped(t, s, "presult", Text("own"))
	addTyped(t, s, "nilresult", (*ToolResult)(nil))
	addTyped(t, s, "any", any(map[string]any{"x": 1}))
	addTyped(t, s, "unencodable", func() {})
	for tool, want := range map[string]string{
		"string":      `{"content":[{"type":"text","text":"hi"}]}`,
		"named":       `{"content":[{"type":"text","text":"6"}]}`,
		"word":        `{"content":[{"type":"text","text":"w"}]}`,
		"nilword":     `{"content":[{"type":"text","text":""}]}`,
		"slice":       `{"content":[{"type":"text","text":"[1,2]"}]}`,
		"struct":      `{"content":[{"type":"text","text":"{\"sum\":3}"}],"structuredContent":{"sum":3}}`,
		"pointer":     `{"content":[{"type":"text","text":"{\"sum\":4}"}],"structuredContent":{"sum":4}}`,
		"nothing":     `-32603`,
		"map":         `{"content":[{"type":"text","text":"{\"a\":1}"}],"structuredContent":{"a":1}}`,
		"time":        `{"content":[{"type":"text","text":"\"1970-01-01T00:00:00Z\""}]}`,
		"result":      `{"_meta":{"m":1},"content":[{"type":"text","text":"own"}]}`,
		"presult":     `{"content":[{"type":"text","text":"own"}]}`,
		"nilresult":   `{"content":[]}`,
		"any":         `{"content":[{"type":"text","text":"{\"x\":1}"}]}`,
		"unencodable": `-32603`,
	} {
		if out := callTool(t, b, tool); !strings.Contains(out, want) {
			t.Errorf("%s: %s, want %s", tool, out, want)
		}
	}
}

func TestTypedArguments(t *testing.T) {
	b := newTestbed(nil)
	type in struct {
		A int    `json:"a"`
		B string `json:"b,omitempty"`
	}
	var got in
	if err := AddTool(b.Server, Tool{Name: "t"}, func(_ context.Context, c *Call, v in) (string, error) {
		got = v
		var again in
		if err := c.Decode(&again); err != nil || again != v {
			t.Errorf("Decode: %+v, %v", again, err)
		}
		return "", nil
	}); err != nil {
		t.Fatal(err)
	}
	header, _ := b.newSession(t, 1, "2025-11-25")
	b.ask(t, 1, post(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"t","arguments":{"a":5,"b":"\u00e9"}}}`, header))
	if got != (in{5, "é"}) {
		t.Errorf("%+v", got)
	}
	// Whole in JSON, but not in Go.
	out := b.ask(t, 1, post(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"t","arguments":{"a":1e30}}}`, header))
	if !strings.Contains(out, `"isError":true`) {
		t.Errorf("%s", out)
	}
}

// All content kinds, and structured content against a schema.
func TestRawResults(t *testing.T) {
	b := newTestbed(nil)
	schema := `{"type":"object","properties":{"n":{"type":"integer"}},"required":["n"]}`
	for name, r := range map[string]*ToolResult{
		"text": Text("<&\u2028\x01"), "error": Errorf("%d", 7),
		"image": {Content: []Content{ImageContent([]byte{1}, "image/png"), AudioContent([]byte{2, 3}, "audio/wav")}},
		"link":  {Content: []Content{ResourceLink("x://y", "y", "text/plain")}},
		"embedded": {Content: []Content{
			EmbeddedResource(ResourceContents{URI: "x://y", Text: "t"}), EmbeddedResource(ResourceContents{URI: "x://z", Blob: []byte{}}),
		}},
		"annotated": {Content: []Content{{Type: "text", Text: "a", Annotations: &Annotations{Audience: []string{"user"}, Priority: 0.5}}}},
		"unknown":   {Content: []Content{{Type: "smell"}}},
		"meta":      {Meta: map[string]any{"f": func() {}}},
	} {
		addRaw(t, b.Server, name, func(context.Context, *Call) (*ToolResult, error) { return r, nil })
	}
	for name, structured := range map[string]any{
		"sgood": json.RawMessage("{ \"n\":\n1}"), "svalue": map[string]int{"n": 2}, "sbytes": []byte(`{"n":3}`),
		"sbad": []byte(`{"n":"x"}`), "sbroken": []byte(`{"n":`), "smissing": nil, "sfunc": func() {},
	} {
		if err := b.AddTool(Tool{Name: name, OutputSchema: schema, Handle: func(context.Context, *Call) (*ToolResult, error) {
			return &ToolResult{Structured: structured}, nil
		}}); err != nil {
			t.Fatal(err)
		}
	}
	for tool, want := range map[string]string{
		"text":      `"text":"<&` + "\u2028" + `\u0001"`,
		"error":     `"text":"7"}],"isError":true`,
		"image":     `{"type":"image","data":"AQ==","mimeType":"image/png"},{"type":"audio","data":"AgM=","mimeType":"audio/wav"}`,
		"link":      `{"type":"resource_link","uri":"x://y","name":"y","mimeType":"text/plain"}`,
		"embedded":  `{"type":"resource","resource":{"uri":"x://y","text":"t"}},{"type":"resource","resource":{"uri":"x://z","blob":""}}`,
		"annotated": `"annotations":{"audience":["user"],"priority":0.5}`,
		"unknown":   `-32603`, "meta": `-32603`,
		"sgood": `"structuredContent":{"n":1}`, "svalue": `"structuredContent":{"n":2}`, "sbytes": `"structuredContent":{"n":3}`,
		"sbad": `breaks the output schema`, "sbroken": `-32603`, "smissing": `-32603`, "sfunc": `-32603`,
	} {
		out := callTool(t, b, tool)
		if !strings.Contains(out, want) {
			t.Errorf("%s: %s, want %s", tool, out, want)
		}
		if _, body, _ := strings.Cut(out, "\r\n\r\n"); !codec.Valid([]byte(body)) {
			t.Errorf("%s: invalid JSON: %s", tool, body)
		}
	}
}

func TestBadRegistrations(t *testing.T) {
	s := newTestbed(nil).Server
	handle := func(context.Context, *Call) (*ToolResult, error) { return nil, nil }
	read := func(context.Context, *Call, string) ([]ResourceContents, error) { return nil, nil }
	match := func(context.Context, *Call, string, map[string]string) ([]ResourceContents, error) { return nil, nil }
	get := func(context.Context, *Call, map[string]string) (*PromptResult, error) { return nil, nil }
	typed := func(context.Context, *Call, none) (string, error) { return "", nil }
	bad := map[string]any{"f": func() {}}
	for name, err := range map[string]error{
		"no name":             s.AddTool(Tool{Handle: handle}),
		"bad name":            s.AddTool(Tool{Name: "a b", Handle: handle}),
		"long name":           s.AddTool(Tool{Name: strings.Repeat("a", 129), Handle: handle}),
		"no handle":           s.AddTool(Tool{Name: "a"}),
		"input not an object": s.AddTool(Tool{Name: "a", Handle: handle, InputSchema: `{"type":"string"}`}),
		"broken input":        s.AddTool(Tool{Name: "a", Handle: handle, InputSchema: `{`}),
		"broken output":       s.AddTool(Tool{Name: "a", Handle: handle, OutputSchema: 7}),
		"tool meta":           s.AddTool(Tool{Name: "a", Handle: handle, Meta: bad}),
		"two handles":         AddTool(s, Tool{Name: "a", Handle: handle}, typed),
		"input type":          AddTool(s, Tool{Name: "a"}, func(context.Context, *Call, int) (string, error) { return "", nil }),
		"input without form":  AddTool(s, Tool{Name: "a"}, func(context.Context, *Call, struct{ C chan int }) (string, error) { return "", nil }),
		"output without form": AddTool(s, Tool{Name: "a"}, func(context.Context, *Call, none) (struct{ C chan int }, error) { return struct{ C chan int }{}, nil }),
		"relative uri":        s.AddResource(Resource{URI: "/a", Name: "a", Read: read}),
		"resource no name":    s.AddResource(Resource{URI: "x://a", Read: read}),
		"resource no read":    s.AddResource(Resource{URI: "x://a", Name: "a"}),
		"resource meta":       s.AddResource(Resource{URI: "x://a", Name: "a", Read: read, Meta: bad}),
		"template no var":     s.AddResourceTemplate(ResourceTemplate{URITemplate: "x://a", Name: "a", Read: match}),
		"template open":       s.AddResourceTemplate(ResourceTemplate{URITemplate: "x://{a", Name: "a", Read: match}),
		"template close":      s.AddResourceTemplate(ResourceTemplate{URITemplate: "x://a}", Name: "a", Read: match}),
		"template operator":   s.AddResourceTemplate(ResourceTemplate{URITemplate: "x://{?a}", Name: "a", Read: match}),
		"template no read":    s.AddResourceTemplate(ResourceTemplate{URITemplate: "x://{a}", Name: "a"}),
		"template meta":       s.AddResourceTemplate(ResourceTemplate{URITemplate: "x://{a}", Name: "a", Read: match, Meta: bad}),
		"prompt no name":      s.AddPrompt(Prompt{Get: get}),
		"prompt no get":       s.AddPrompt(Prompt{Name: "a"}),
		"prompt meta":         s.AddPrompt(Prompt{Name: "a", Get: get, Meta: bad}),
	} {
		if err == nil {
			t.Errorf("%s: no error", name)
		} else if !strings.HasPrefix(err.Error(), "mcp: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if reg := s.reg.Load(); len(reg.tools.all)+len(reg.resources.all)+len(reg.templates.all)+len(reg.prompts.all) != 0 {
		t.Error("something was registered all the same")
	}
}

func TestRegistryChanges(t *testing.T) {
	b := newTestbed(nil)
	s := b.Server
	for name, removed := range map[string]bool{
		"tool": s.RemoveTool("a"), "resource": s.RemoveResource("a"), "template": s.RemoveResourceTemplate("a"), "prompt": s.RemovePrompt("a"),
	} {
		if removed {
			t.Errorf("a %s that was never there was removed", name)
		}
	}
	addRaw(t, s, "same", func(context.Context, *Call) (*ToolResult, error) { return Text("old"), nil })
	addRaw(t, s, "same", func(context.Context, *Call) (*ToolResult, error) { return Text("new"), nil })
	if out := callTool(t, b, "same"); !strings.Contains(out, "new") || len(s.reg.Load().tools.all) != 1 {
		t.Errorf("not replaced: %s", out)
	}
	if !s.RemoveTool("same") || s.RemoveTool("same") {
		t.Error("removed not once")
	}
	if out := callTool(t, b, "same"); !strings.Contains(out, "-32602") {
		t.Errorf("a removed tool answers: %s", out)
	}
	addFixtures(t, s)
	if !s.RemoveResource("test://fixed") || !s.RemoveResourceTemplate("demo://item/{name}") || !s.RemovePrompt("greet") {
		t.Error("not removed")
	}
}

func TestPages(t *testing.T) {
	b := newTestbed(func(o *Options) { o.PageSize = 3 })
	for i := range 8 {
		addRaw(t, b.Server, fmt.Sprintf("t%d", i), func(context.Context, *Call) (*ToolResult, error) { return nil, errors.New("x") })
	}
	header, _ := b.newSession(t, 1, "2025-11-25")
	var names []string
	cursor := ""
	for page := 0; ; page++ {
		out := b.ask(t, 1, post(`{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{`+cursor+`}}`, header))
		_, body, _ := strings.Cut(out, "\r\n\r\n")
		var got struct {
			Result struct {
				Tools []struct {
					Name string `json:"name"`
				} `json:"tools"`
				NextCursor string `json:"nextCursor"`
			} `json:"result"`
		}
		if err := json.Unmarshal([]byte(body), &got); err != nil {
			t.Fatal(err)
		}
		for _, tool := range got.Result.Tools {
			names = append(names, tool.Name)
		}
		if page == 0 {
			b.RemoveTool("t2") // the last of the page: its cursor stays good
		}
		if got.Result.NextCursor == "" {
			break
		}
		cursor = `"cursor":"` + got.Result.NextCursor + `"`
	}
	if got := strings.Join(names, " "); got != "t0 t1 t2 t3 t4 t5 t6 t7" {
		t.Error(got)
	}
}

func TestTemplates(t *testing.T) {
	for _, tt := range []struct{ template, uri, want string }{
		{"demo://item/{name}", "demo://item/a", "map[name:a]"},
		{"demo://item/{name}", "demo://item/a%2Fb", "map[name:a/b]"},
		{"demo://item/{name}", "demo://item/", "map[]"},
		{"demo://item/{name}", "demo://item/a/b", "map[]"},
		{"demo://item/{name}", "demo://item/%zz", "map[]"},
		{"demo://item/{name}", "xdemo://item/a", "map[]"},
		{"file:///{+path}", "file:///a/b?c", "map[path:a/b?c]"},
		{"x://{a}.{b}/c+(d)", "x://1.2/c+(d)", "map[a:1 b:2]"},
	} {
		re, vars, err := compileTemplate(tt.template)
		if err != nil {
			t.Errorf("%s: %v", tt.template, err)
			continue
		}
		if got := fmt.Sprint((&template{pattern: re, vars: vars}).match(tt.uri)); got != tt.want {
			t.Errorf("%s, %s: %s, want %s", tt.template, tt.uri, got, tt.want)
		}
	}
}
