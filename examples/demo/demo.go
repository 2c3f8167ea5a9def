// Package demo is the small app that `rookery serve` runs when there is none
// of the user's:
//
//   - JSON-RPC method echo returns its params, on the loop; echo.worker does
//     the same through a worker, so that the two can be compared.
//   - JSON-RPC method wait answers after params.ms milliseconds.
//   - MCP tool echo returns its argument text as text content.
//   - MCP resources demo://item/{name} can be read and subscribed to; tool
//     touch with argument uri marks one as changed.
//   - MCP tool broadcast sends its argument text to every session, on whatever
//     server of the cluster, as a log message.
//   - MCP tool confirm asks the client's user to confirm its argument text.
//   - MCP prompt describe shows one and asks for words about it.
package demo

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"github.com/rookery-server/rookery/mcp"
	"github.com/rookery-server/rookery/server"
)

// textIn is the input of tool echo.
type textIn struct {
	Text string `json:"text" jsonschema:"what to return"`
}

// uriIn is the input of tool touch.
type uriIn struct {
	URI string `json:"uri" jsonschema:"URI of a demo resource, such as demo://item/tea"`
}

// touched is the output of tool touch.
type touched struct {
	URI      string `json:"uri"`
	Version  int    `json:"version"`
	Notified int    `json:"notified" jsonschema:"subscribers that were told"`
}

// itemsMax bounds the resources whose version is remembered.
const itemsMax = 1 << 15

// items counts how often each resource was touched.
type items struct {
	mu      sync.Mutex
	version map[string]int // guarded by mu; by URI
}

func (i *items) touch(uri string) (version int, ok bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if _, known := i.version[uri]; !known && len(i.version) >= itemsMax {
		return 0, false
	}
	i.version[uri]++
	return i.version[uri], true
}

func (i *items) at(uri string) int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.version[uri]
}

// describe returns what is to be read of an item.
func (i *items) describe(name string) string {
	return fmt.Sprintf("%s, touched %d times\n", name, i.at(prefix+name))
}

const prefix = "demo://item/"

// Register adds the demo app to s.
func Register(s *server.Server) error {
	echo := func(c *server.Call) error { return c.Result(c.Params()) }
	s.HandleRaw("echo", echo, server.Inline())
	s.HandleRaw("echo.worker", echo)
	server.Handle(s, "wait", wait)

	m, store := s.MCP(), &items{version: map[string]int{}}
	if err := mcp.AddTool(m, mcp.Tool{Name: "echo", Title: "Echo", Description: "Returns its text."},
		func(_ context.Context, _ *mcp.Call, in textIn) (*mcp.ToolResult, error) {
			return mcp.Text(in.Text), nil
		}); err != nil {
		return err
	}
	if err := mcp.AddTool(m, mcp.Tool{Name: "touch", Title: "Touch", Description: "Marks a demo resource as changed."},
		func(ctx context.Context, _ *mcp.Call, in uriIn) (touched, error) {
			if !strings.HasPrefix(in.URI, prefix) {
				return touched{}, fmt.Errorf("%q is no demo resource: they begin with %s", in.URI, prefix)
			}
			version, ok := store.touch(in.URI)
			if !ok {
				return touched{}, fmt.Errorf("no more than %d resources are remembered", itemsMax)
			}
			told, err := m.ResourceUpdatedKey(ctx, "", in.URI)
			return touched{URI: in.URI, Version: version, Notified: told}, err
		}); err != nil {
		return err
	}
	if err := addBroadcast(m); err != nil {
		return err
	}
	if err := addConfirm(m); err != nil {
		return err
	}
	if err := addPrompt(m, store); err != nil {
		return err
	}
	return m.AddResourceTemplate(mcp.ResourceTemplate{
		URITemplate: prefix + "{name}", Name: "item", Title: "Demo item", MIMEType: "text/plain",
		Description: "An item that exists as soon as somebody asks for it.",
		Read: func(_ context.Context, _ *mcp.Call, uri string, vars map[string]string) ([]mcp.ResourceContents, error) {
			return []mcp.ResourceContents{{URI: uri, MIMEType: "text/plain", Text: store.describe(vars["name"])}}, nil
		},
	})
}
