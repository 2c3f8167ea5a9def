package gosdk

import (
	"context"
	"fmt"
	"sync"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/rookery-server/rookery/mcp"
)

// mirrors knows which arguments of the server's tools headers repeat. The SDK
// compares them in its own transport, so it is left to us; the schemas are in
// the list of tools, which is asked for when the first client needs to know and
// again after a change.
type mirrors struct {
	mu      sync.Mutex
	changes uint64                 // guarded by mu; how often the list changed
	byTool  map[string]mcp.Mirrors // guarded by mu; nil: not known
}

// forget says that the list of tools changed.
func (t *mirrors) forget() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.changes++
	t.byTool = nil
}

// checkMirrors refuses a tools/call whose headers differ from its arguments.
func (a *Adapter) checkMirrors(ctx context.Context, c *mcp.Call, tool string) error {
	if c.Revision() < mcp.Revision20260728 {
		return nil
	}
	t := &a.mirrors
	t.mu.Lock()
	byTool, changes := t.byTool, t.changes
	t.mu.Unlock()
	if byTool == nil {
		var err error
		if byTool, err = a.readMirrors(ctx); err != nil {
			return fmt.Errorf("list the tools: %w", err)
		}
		t.mu.Lock()
		if t.changes == changes {
			t.byTool = byTool
		}
		t.mu.Unlock()
	}
	return c.CheckMirrors(byTool[tool])
}

// readMirrors reads the list of tools as the listening session would.
func (a *Adapter) readMirrors(ctx context.Context) (map[string]mcp.Mirrors, error) {
	n := newConn(nil, a)
	ss, err := a.srv.Connect(ctx, n, earOptions())
	if err != nil {
		return nil, err
	}
	defer n.end(ss)
	byTool := make(map[string]mcp.Mirrors)
	for cursor := ""; ; {
		res, err := a.handler()(ctx, "tools/list", &sdk.ListToolsRequest{Session: ss, Params: &sdk.ListToolsParams{Cursor: cursor}})
		if err != nil {
			return nil, wireError(err)
		}
		list, ok := res.(*sdk.ListToolsResult)
		if !ok || list == nil {
			return nil, errNoResult
		}
		for _, t := range list.Tools {
			schema, err := encode(t.InputSchema)
			if err != nil {
				return nil, err
			}
			// Clients do not use a tool whose schema is wrong in this.
			if m, err := mcp.ParseMirrors(schema); err == nil && m.Any() {
				byTool[t.Name] = m
			}
		}
		if list.NextCursor == "" || list.NextCursor == cursor {
			return byTool, nil
		}
		cursor = list.NextCursor
	}
}
