package demo

import (
	"context"
	"fmt"

	"github.com/rookery-server/rookery/mcp"
)

// addPrompt adds prompt describe, which shows a demo item and asks for words
// about it.
func addPrompt(m *mcp.Server, store *items) error {
	return m.AddPrompt(mcp.Prompt{
		Name: "describe", Title: "Describe", Description: "Asks for a description of a demo item.",
		Arguments: []mcp.PromptArgument{{Name: "name", Description: "the item, such as tea", Required: true}},
		Inline:    true,
		Get: func(_ context.Context, _ *mcp.Call, args map[string]string) (*mcp.PromptResult, error) {
			uri := prefix + args["name"]
			shown := mcp.ResourceContents{URI: uri, MIMEType: "text/plain", Text: store.describe(args["name"])}
			return &mcp.PromptResult{Messages: []mcp.PromptMessage{
				{Role: "user", Content: mcp.EmbeddedResource(shown)},
				{Role: "user", Content: mcp.TextContent(fmt.Sprintf("Describe %s in one sentence.", args["name"]))},
			}}, nil
		},
	})
}
