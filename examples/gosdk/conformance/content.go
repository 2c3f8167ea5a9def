package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"
)

const (
	watchedURI   = "test://watched-resource"
	watchedEvery = 3 * time.Second // a change for those who subscribed
)

// addResources adds the resources and the template.
func addResources(s *sdk.Server) {
	s.AddResource(&sdk.Resource{URI: "test://static-text", Name: "static-text", Title: "Static text", MIMEType: "text/plain",
		Description: "A text that never changes."}, read(sdk.ResourceContents{Text: "This is the content of the static text resource."}))
	s.AddResource(&sdk.Resource{URI: "test://static-binary", Name: "static-binary", Title: "Static image", MIMEType: "image/png",
		Description: "An image that never changes."}, read(sdk.ResourceContents{Blob: onePixel}))
	s.AddResource(&sdk.Resource{URI: watchedURI, Name: "watched-resource", Title: "Watched resource", MIMEType: "text/plain",
		Description: "Changes every 3 seconds."}, read(sdk.ResourceContents{Text: "Watched resource content"}))
	s.AddResourceTemplate(&sdk.ResourceTemplate{URITemplate: "test://template/{id}/data", Name: "template", Title: "Template",
		MIMEType: "application/json", Description: "Data of any id."}, readTemplate)
}

// read returns a handler that always returns the same; the SDK fills in URI and
// MIME type.
func read(c sdk.ResourceContents) sdk.ResourceHandler {
	return func(context.Context, *sdk.ReadResourceRequest) (*sdk.ReadResourceResult, error) {
		one := c
		return &sdk.ReadResourceResult{Contents: []*sdk.ResourceContents{&one}}, nil
	}
}

func readTemplate(_ context.Context, req *sdk.ReadResourceRequest) (*sdk.ReadResourceResult, error) {
	id := strings.TrimSuffix(strings.TrimPrefix(req.Params.URI, "test://template/"), "/data")
	data, err := json.Marshal(map[string]any{"id": id, "templateTest": true, "data": "Data for ID: " + id})
	if err != nil {
		return nil, err
	}
	return &sdk.ReadResourceResult{Contents: []*sdk.ResourceContents{{Text: string(data)}}}, nil
}

// updateWatched tells subscribers of changes until ctx ends.
func updateWatched(ctx context.Context, s *sdk.Server) {
	ticker := time.NewTicker(watchedEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			_ = s.ResourceUpdated(ctx, &sdk.ResourceUpdatedNotificationParams{URI: watchedURI}) // never fails
		case <-ctx.Done():
			return
		}
	}
}

// addPrompts adds the prompts.
func addPrompts(s *sdk.Server) {
	s.AddPrompt(&sdk.Prompt{Name: "test_simple_prompt", Title: "Simple prompt", Description: "A prompt without arguments."},
		prompt(&sdk.TextContent{Text: "This is a simple prompt for testing."}))
	s.AddPrompt(&sdk.Prompt{Name: "test_prompt_with_arguments", Title: "Prompt with arguments", Description: "Repeats its arguments.",
		Arguments: []*sdk.PromptArgument{
			{Name: "arg1", Description: "First test argument", Required: true},
			{Name: "arg2", Description: "Second test argument", Required: true},
		}}, func(ctx context.Context, req *sdk.GetPromptRequest) (*sdk.GetPromptResult, error) {
		a := req.Params.Arguments
		return prompt(&sdk.TextContent{Text: fmt.Sprintf("Prompt with arguments: arg1='%s', arg2='%s'", a["arg1"], a["arg2"])})(ctx, req)
	})
	s.AddPrompt(&sdk.Prompt{Name: "test_prompt_with_embedded_resource", Title: "Prompt with a resource",
		Description: "Embeds the resource of its argument.",
		Arguments:   []*sdk.PromptArgument{{Name: "resourceUri", Description: "URI of the resource to embed", Required: true}},
	}, func(ctx context.Context, req *sdk.GetPromptRequest) (*sdk.GetPromptResult, error) {
		return prompt(&sdk.EmbeddedResource{Resource: &sdk.ResourceContents{URI: req.Params.Arguments["resourceUri"],
			MIMEType: "text/plain", Text: "Embedded resource content for testing."}},
			&sdk.TextContent{Text: "Please process the embedded resource above."})(ctx, req)
	})
	s.AddPrompt(&sdk.Prompt{Name: "test_prompt_with_image", Title: "Prompt with an image", Description: "Shows an image."},
		prompt(&sdk.ImageContent{Data: onePixel, MIMEType: "image/png"}, &sdk.TextContent{Text: "Please analyze the image above."}))
	s.AddPrompt(&sdk.Prompt{Name: "test_input_required_result_prompt", Description: "Asks the user for context."}, askForContext)
}

// prompt returns a handler whose prompt has messages that the user says, one
// item each.
func prompt(items ...sdk.Content) sdk.PromptHandler {
	return func(context.Context, *sdk.GetPromptRequest) (*sdk.GetPromptResult, error) {
		r := &sdk.GetPromptResult{Messages: []*sdk.PromptMessage{}}
		for _, item := range items {
			r.Messages = append(r.Messages, &sdk.PromptMessage{Role: "user", Content: item})
		}
		return r, nil
	}
}

func askForContext(ctx context.Context, req *sdk.GetPromptRequest) (*sdk.GetPromptResult, error) {
	if about, ok := entered(req.Params.InputResponses, "user_context", "context"); ok {
		return prompt(&sdk.TextContent{Text: "Use this context: " + about})(ctx, req)
	}
	return &sdk.GetPromptResult{InputRequests: sdk.InputRequestMap{
		"user_context": &sdk.ElicitParams{Message: "What context should the prompt use?", RequestedSchema: contextForm},
	}}, nil
}

// complete suggests the fixed values that begin with what was typed.
func complete(_ context.Context, req *sdk.CompleteRequest) (*sdk.CompleteResult, error) {
	fit := []string{}
	for _, v := range []string{"test", "testing", "paris", "party", "1", "12", "123"} {
		if strings.HasPrefix(v, req.Params.Argument.Value) {
			fit = append(fit, v)
		}
	}
	return &sdk.CompleteResult{Completion: sdk.CompletionResultDetails{Values: fit, Total: len(fit)}}, nil
}
