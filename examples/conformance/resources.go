package main

import (
	"context"
	"encoding/json"
	"time"

	"github.com/rookery-server/rookery/mcp"
)

const (
	watchedURI   = "test://watched-resource"
	watchedEvery = 3 * time.Second // a change for those who subscribed
)

func addResources(s *mcp.Server) error {
	for _, r := range []mcp.Resource{
		{URI: "test://static-text", Name: "static-text", Title: "Static text", MIMEType: "text/plain",
			Description: "A text that never changes.",
			Read:        contents(mcp.ResourceContents{Text: "This is the content of the static text resource."})},
		{URI: "test://static-binary", Name: "static-binary", Title: "Static image", MIMEType: "image/png",
			Description: "An image that never changes.",
			Read:        contents(mcp.ResourceContents{Blob: onePixel})},
		{URI: watchedURI, Name: "watched-resource", Title: "Watched resource", MIMEType: "text/plain",
			Description: "Changes every 3 seconds.",
			Read:        contents(mcp.ResourceContents{Text: "Watched resource content"})},
	} {
		if err := s.AddResource(r); err != nil {
			return err
		}
	}
	return s.AddResourceTemplate(mcp.ResourceTemplate{
		URITemplate: "test://template/{id}/data", Name: "template", Title: "Template", MIMEType: "application/json",
		Description: "Data of any id.",
		Complete:    suggest("1", "12", "123"),
		Read: func(_ context.Context, _ *mcp.Call, _ string, vars map[string]string) ([]mcp.ResourceContents, error) {
			text, err := json.Marshal(map[string]any{"id": vars["id"], "templateTest": true, "data": "Data for ID: " + vars["id"]})
			return []mcp.ResourceContents{{Text: string(text)}}, err
		},
	})
}

// contents returns a Read that always returns the same; URI and MIME type are
// filled in by the server.
func contents(list ...mcp.ResourceContents) func(context.Context, *mcp.Call, string) ([]mcp.ResourceContents, error) {
	return func(context.Context, *mcp.Call, string) ([]mcp.ResourceContents, error) { return list, nil }
}

// updateWatched tells subscribers of changes until ctx ends.
func updateWatched(ctx context.Context, s *mcp.Server) {
	ticker := time.NewTicker(watchedEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			s.ResourceUpdated(watchedURI)
		case <-ctx.Done():
			return
		}
	}
}
