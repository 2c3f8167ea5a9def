package mcp

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"
)

const nameForm = `{"type":"object","properties":{"name":{"type":"string"}},"required":["name"]}`

// addQuestionFixtures registers what transcripts with "question tools" use.
func addQuestionFixtures(t testing.TB, s *Server) {
	t.Helper()
	for _, tool := range []Tool{
		{Name: "q-name", Handle: askUserName},
		{Name: "q-inline", Inline: true, Handle: askUserName},
		{Name: "q-form", Handle: askForm},
		{Name: "q-steps", Handle: askSteps},
		{Name: "q-all", Handle: askEverything},
		{Name: "q-model", Handle: askModel},
		{Name: "q-visit", Handle: askVisit},
		{Name: "q-visit-first", Handle: func(context.Context, *Call) (*ToolResult, error) {
			return nil, URLElicitationRequired(ElicitRequest{Message: "Log in", URL: "https://example.com/login", ID: "e1"})
		}},
		{Name: "q-raw", Handle: func(ctx context.Context, c *Call) (*ToolResult, error) {
			raw, err := c.Ask(ctx, "elicitation/create", map[string]any{"mode": "url", "message": "m", "url": "https://example.com"})
			return Text(string(raw)), err
		}},
		{Name: "q-odd", Handle: func(ctx context.Context, c *Call) (*ToolResult, error) {
			_, err := c.Ask(ctx, "odd/question", nil)
			return nil, err
		}},
		{Name: "q-swallow", Handle: func(ctx context.Context, c *Call) (*ToolResult, error) {
			roots, err := c.ListRoots(ctx)
			return Text(fmt.Sprintf("goes on with %d: %v", len(roots), err)), nil
		}},
	} {
		if err := s.AddTool(tool); err != nil {
			t.Fatal(err)
		}
	}
	addQuestionLists(t, s)
	addDescribed(t, s)
}

// addQuestionLists registers a prompt and resources that ask and complete.
func addQuestionLists(t testing.TB, s *Server) {
	t.Helper()
	complete := func(_ context.Context, _ *Call, q CompletionRequest) (*Completion, error) {
		switch q.Argument {
		case "many":
			return &Completion{Values: strings.Split(strings.Repeat("x,", 120)+"x", ","), Total: 500}, nil
		case "fail":
			return nil, fmt.Errorf("no idea")
		case "none":
			return nil, nil
		}
		return &Completion{Values: []string{q.Value + "ris", q.Value + "rk", fmt.Sprint(q.Prompt, q.URITemplate, q.Context)}}, nil
	}
	err := s.AddPrompt(Prompt{
		Name: "q-prompt", Title: "Asks", Icons: []Icon{{Src: "https://example.com/i.png", MIMEType: "image/png", Sizes: []string{"48x48"}, Theme: "dark"}},
		Arguments: []PromptArgument{{Name: "who"}}, Complete: complete,
		Get: func(ctx context.Context, c *Call, args map[string]string) (*PromptResult, error) {
			r, err := c.Elicit(ctx, ElicitRequest{Key: "mood", Message: "How are you, " + args["who"] + "?"})
			if err != nil {
				return nil, err
			}
			return &PromptResult{Messages: []PromptMessage{{Role: "user", Content: TextContent(r.Action)}}, Meta: map[string]any{"m": 1}}, nil
		},
	})
	if err == nil {
		err = s.AddResource(Resource{
			URI: "test://asks", Name: "asks", Size: 12, Icons: []Icon{{Src: "data:image/png;base64,AA=="}},
			Cache: CacheHint{TTL: 90 * time.Second, Private: true},
			Read: func(ctx context.Context, c *Call, _ string) ([]ResourceContents, error) {
				roots, err := c.ListRoots(ctx)
				if err != nil {
					return nil, err
				}
				return []ResourceContents{{Text: roots[0].URI, Meta: map[string]any{"n": len(roots)}}}, nil
			},
		})
	}
	if err == nil {
		err = s.AddResourceTemplate(ResourceTemplate{
			URITemplate: "test://q/{id}", Name: "q", Icons: []Icon{{Src: "https://example.com/t.png"}}, Inline: true,
			Cache: CacheHint{TTL: time.Minute}, Complete: complete,
			Read: func(_ context.Context, _ *Call, _ string, vars map[string]string) ([]ResourceContents, error) {
				return []ResourceContents{{Text: vars["id"]}}, nil
			},
		})
	}
	if err != nil {
		t.Fatal(err)
	}
}

func askUserName(ctx context.Context, c *Call) (*ToolResult, error) {
	r, err := c.Elicit(ctx, ElicitRequest{Key: "user_name", Message: "What is your name?", Schema: nameForm})
	if err != nil {
		return nil, err
	}
	if !r.Accepted() {
		return Text("nobody: " + r.Action), nil
	}
	var in struct {
		Name string `json:"name"`
	}
	if err := r.Decode(&in); err != nil {
		return nil, err
	}
	return Text("Hello, " + in.Name + "!"), nil
}

// askForm shows a form with every kind of field.
func askForm(ctx context.Context, c *Call) (*ToolResult, error) {
	r, err := c.Elicit(ctx, ElicitRequest{Message: "All of it", Schema: `{"type":"object","properties":{
		"name":{"type":"string","minLength":1,"default":"Ann"},"mail":{"type":"string","format":"email"},
		"age":{"type":"integer","minimum":0,"default":30},"score":{"type":"number","default":9.5},"ok":{"type":"boolean","default":true},
		"one":{"type":"string","enum":["a","b"],"default":"b"},"old":{"type":"string","enum":["a","b"],"enumNames":["A","B"]},
		"titled":{"type":"string","oneOf":[{"const":"a","title":"A"},{"const":"b","title":"B"}]},
		"some":{"type":"array","minItems":1,"maxItems":2,"items":{"type":"string","enum":["a","b","c"]}},
		"someTitled":{"type":"array","items":{"anyOf":[{"const":"a","title":"A"},{"const":"b","title":"B"}]}}}}`})
	if err != nil {
		return nil, err
	}
	return Text(r.Action + " " + string(r.Content)), nil
}

// askSteps asks twice, one question after the other.
func askSteps(ctx context.Context, c *Call) (*ToolResult, error) {
	one, err := c.Elicit(ctx, ElicitRequest{Message: "Name?", Schema: nameForm})
	if err != nil {
		return nil, fmt.Errorf("first: %w", err)
	}
	two, err := c.Elicit(ctx, ElicitRequest{Message: "Color?", Schema: `{"type":"object","properties":{"color":{"type":"string"}},"required":["color"]}`})
	if err != nil {
		return nil, fmt.Errorf("second: %w", err)
	}
	return Text(string(one.Content) + string(two.Content)), nil
}

func askEverything(ctx context.Context, c *Call) (*ToolResult, error) {
	a, err := c.AskAll(ctx,
		ElicitRequest{Key: "user_name", Message: "Name?", Schema: nameForm},
		CreateMessageRequest{Key: "greeting", MaxTokens: 50, Messages: []SamplingMessage{{Role: "user", Content: []Content{TextContent("Greet")}}}},
		RootsRequest{Key: "client_roots"})
	if err != nil {
		return nil, err
	}
	return Text(fmt.Sprintf("%s %s %d", a[1].Message.Text(), a[0].Elicit.Content, len(a[2].Roots))), nil
}

// askModel lets the model use a tool, once.
func askModel(ctx context.Context, c *Call) (*ToolResult, error) {
	half := 0.5
	r := CreateMessageRequest{
		Messages:  []SamplingMessage{{Role: "user", Content: []Content{TextContent("How warm is it?")}}},
		MaxTokens: 100, SystemPrompt: "Be brief.", Temperature: &half, StopSequences: []string{"END"},
		Preferences: &ModelPreferences{Hints: []ModelHint{{"claude"}}, SpeedPriority: 0.5},
		Metadata:    map[string]any{"trace": "1"}, ToolChoice: "auto",
		Tools: []Tool{{Name: "weather", InputSchema: `{"type":"object","properties":{"at":{"type":"string"}}}`}},
	}
	for {
		said, err := c.CreateMessage(ctx, r)
		if err != nil {
			return nil, err
		}
		r.Messages = append(r.Messages, SamplingMessage{Role: said.Role, Content: said.Content})
		var outcomes []Content
		for _, item := range said.Content {
			if item.Type == "tool_use" {
				outcomes = append(outcomes, ToolOutcome(item.Extra.ID, Text("20 degrees "+string(item.Extra.Input))))
			}
		}
		if outcomes == nil {
			return Text(said.Model + ": " + said.Text() + " (" + said.StopReason + ")"), nil
		}
		r.Messages = append(r.Messages, SamplingMessage{Role: "user", Content: outcomes})
	}
}

func askVisit(ctx context.Context, c *Call) (*ToolResult, error) {
	r, err := c.Elicit(ctx, ElicitRequest{Message: "Please pay", URL: "https://example.com/pay", ID: "pay-1"})
	if err != nil {
		return nil, err
	}
	return Text(r.Action), nil
}

// addDescribed registers what has everything a listing or result may say, and a
// tool whose arguments are mirrored in headers.
func addDescribed(t testing.TB, s *Server) {
	t.Helper()
	yes := true
	for _, tool := range []Tool{
		{
			Name: "mirror",
			InputSchema: `{"type":"object","properties":{
				"region":{"type":"string","x-mcp-header":"Region"},
				"deep":{"type":"object","properties":{"level":{"type":"integer","x-mcp-header":"Level"}}},
				"dry":{"type":"boolean","x-mcp-header":"Dry"}}}`,
			Handle: func(_ context.Context, c *Call) (*ToolResult, error) { return Text(string(c.Arguments())), nil },
		},
		{
			Name: "kinds", Title: "All kinds", Description: "Every kind of content.",
			Icons:       []Icon{{Src: "https://example.com/k.svg", Sizes: []string{"any"}}},
			Annotations: &ToolAnnotations{Title: "K", ReadOnlyHint: true, DestructiveHint: &yes, IdempotentHint: true, OpenWorldHint: &yes},
			Meta:        map[string]any{"k": 1},
			Handle: func(context.Context, *Call) (*ToolResult, error) {
				return &ToolResult{Meta: map[string]any{"r": 1}, Content: []Content{
					{Type: "text", Text: "t", Annotations: &Annotations{Audience: []string{"user"}, Priority: 0.5, LastModified: "2026-01-01T00:00:00Z"}, Extra: &ContentExtra{Meta: map[string]any{"i": 1}}},
					ImageContent([]byte{1}, "image/png"), AudioContent([]byte{2}, "audio/wav"),
					{Type: "resource_link", URI: "test://fixed", Name: "fixed", Title: "F", Description: "d", MIMEType: "text/plain", Extra: &ContentExtra{Size: 5, Icons: []Icon{{Src: "data:,"}}}},
					EmbeddedResource(ResourceContents{URI: "test://x", Text: "x", Meta: map[string]any{"e": 1}}),
					EmbeddedResource(ResourceContents{URI: "test://y", Blob: []byte{3}}),
				}}, nil
			},
		},
		{
			Name: "numbers", OutputSchema: `{"type":"array","items":{"type":"integer"}}`,
			Handle: func(context.Context, *Call) (*ToolResult, error) {
				return &ToolResult{Content: []Content{TextContent("[1,2]")}, Structured: []int{1, 2}}, nil
			},
		},
	} {
		if err := s.AddTool(tool); err != nil {
			t.Fatal(err)
		}
	}
}
