package gosdk

import (
	"context"
	"maps"
	"sync"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/rookery-server/rookery/mcp"
)

// mirrors knows which arguments of the server's tools headers repeat. The SDK
// compares them in its own transport, so it is left to us. The schemas are in
// the list of tools, which is asked for in the name of the first client that
// calls a tool: middleware may show others less.
type mirrors struct {
	mu      sync.Mutex
	changes uint64                 // guarded by mu; how often the list changed
	byTool  map[string]mcp.Mirrors // guarded by mu; of tools that were listed
}

// mirrorsMax bounds what is remembered, among it names of no tool, which
// clients choose.
const mirrorsMax = 16384

// forget says that the list of tools changed.
func (t *mirrors) forget() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.changes++
	t.byTool = nil
}

func (t *mirrors) get(tool string) (m mcp.Mirrors, known bool, changes uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	m, known = t.byTool[tool]
	return m, known, t.changes
}

// add remembers what a list said, unless it changed meanwhile.
func (t *mirrors) add(listed map[string]mcp.Mirrors, changes uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.changes != changes {
		return
	}
	if t.byTool == nil || len(t.byTool)+len(listed) > mirrorsMax {
		t.byTool = make(map[string]mcp.Mirrors)
	}
	maps.Copy(t.byTool, listed)
}

// checkMirrors refuses a tools/call whose headers differ from its arguments. A
// tool that the client cannot list has no header it could know of.
func (a *Adapter) checkMirrors(ctx context.Context, c *mcp.Call, m *meta) error {
	if c.Revision() < mcp.Revision20260728 {
		return nil
	}
	tool, ok := c.ParamText("name")
	if !ok {
		return nil // refused later
	}
	found, known, changes := a.mirrors.get(tool)
	if !known {
		listed := a.listMirrors(ctx, c, m)
		found = listed[tool]
		listed[tool] = found // known from now on
		a.mirrors.add(listed, changes)
	}
	return c.CheckMirrors(found)
}

// listMirrors reads the list of tools as the client would, as far as it may.
func (a *Adapter) listMirrors(ctx context.Context, c *mcp.Call, m *meta) map[string]mcp.Mirrors {
	byTool := make(map[string]mcp.Mirrors)
	n, ss, err := a.connect(ctx, c, m)
	if err != nil {
		return byTool
	}
	defer n.end(ss)
	for cursor := ""; ; {
		res, err := a.handler()(ctx, "tools/list", &sdk.ListToolsRequest{
			Session: ss, Params: &sdk.ListToolsParams{Meta: maps.Clone(m.all), Cursor: cursor}, Extra: extra(c),
		})
		list, ok := res.(*sdk.ListToolsResult)
		if err != nil || !ok || list == nil {
			return byTool
		}
		for _, t := range list.Tools {
			// Clients do not use a tool whose schema is wrong in this.
			if schema, err := encode(t.InputSchema); err == nil {
				byTool[t.Name], _ = mcp.ParseMirrors(schema)
			}
		}
		if list.NextCursor == "" || list.NextCursor == cursor || len(byTool) > mirrorsMax {
			return byTool
		}
		cursor = list.NextCursor
	}
}
