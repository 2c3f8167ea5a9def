package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/rookery-server/rookery/mcp"
)

// addPrompts adds the prompts that answer without asking the client anything.
func addPrompts(s *mcp.Server) error {
	for _, p := range []mcp.Prompt{
		{Name: "test_simple_prompt", Title: "Simple prompt", Description: "A prompt without arguments.",
			Get: func(context.Context, *mcp.Call, map[string]string) (*mcp.PromptResult, error) {
				return user(mcp.TextContent("This is a simple prompt for testing.")), nil
			}},
		{Name: "test_prompt_with_arguments", Title: "Prompt with arguments", Description: "Repeats its arguments.",
			Arguments: []mcp.PromptArgument{
				{Name: "arg1", Description: "First test argument", Required: true},
				{Name: "arg2", Description: "Second test argument", Required: true},
			},
			Complete: suggest("test", "testing", "paris", "party"),
			Get: func(_ context.Context, _ *mcp.Call, args map[string]string) (*mcp.PromptResult, error) {
				return user(mcp.TextContent(fmt.Sprintf("Prompt with arguments: arg1='%s', arg2='%s'", args["arg1"], args["arg2"]))), nil
			}},
		{Name: "test_prompt_with_embedded_resource", Title: "Prompt with a resource", Description: "Embeds the resource of its argument.",
			Arguments: []mcp.PromptArgument{{Name: "resourceUri", Description: "URI of the resource to embed", Required: true}},
			Get: func(_ context.Context, _ *mcp.Call, args map[string]string) (*mcp.PromptResult, error) {
				return user(
					mcp.EmbeddedResource(mcp.ResourceContents{URI: args["resourceUri"], MIMEType: "text/plain",
						Text: "Embedded resource content for testing."}),
					mcp.TextContent("Please process the embedded resource above."),
				), nil
			}},
		{Name: "test_prompt_with_image", Title: "Prompt with an image", Description: "Shows an image.",
			Get: func(context.Context, *mcp.Call, map[string]string) (*mcp.PromptResult, error) {
				return user(mcp.ImageContent(onePixel, "image/png"), mcp.TextContent("Please analyze the image above.")), nil
			}},
	} {
		if err := s.AddPrompt(p); err != nil {
			return err
		}
	}
	return nil
}

// suggest returns a completion from fixed values: those that begin with what
// was typed.
func suggest(values ...string) func(context.Context, *mcp.Call, mcp.CompletionRequest) (*mcp.Completion, error) {
	return func(_ context.Context, _ *mcp.Call, q mcp.CompletionRequest) (*mcp.Completion, error) {
		fit := new(mcp.Completion)
		for _, v := range values {
			if strings.HasPrefix(v, q.Value) {
				fit.Values = append(fit.Values, v)
			}
		}
		fit.Total = len(fit.Values)
		return fit, nil
	}
}

// user returns a prompt of messages that the user says, one item each.
func user(items ...mcp.Content) *mcp.PromptResult {
	r := new(mcp.PromptResult)
	for _, item := range items {
		r.Messages = append(r.Messages, mcp.PromptMessage{Role: "user", Content: item})
	}
	return r
}
