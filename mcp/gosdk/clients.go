package gosdk

import (
	"bytes"
	"encoding/json"
	"maps"
	"sync"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/rookery-server/rookery/codec"
	"github.com/rookery-server/rookery/mcp"
)

// Bounds of profiles: a client chooses what stands in one.
const (
	profilesMax    = 4096
	profileBytes   = 4 << 10 // of one
	profilesMemory = 2 << 20 // of all, as they came
)

// profiles numbers what clients say of themselves, so that a session remembers
// all of it in four bytes. There are few kinds of clients in the world, and it
// forgets none; a flood of made-up ones is bounded.
type profiles struct {
	mu    sync.RWMutex
	byKey map[string]uint32 // guarded by mu
	all   []*profile        // guarded by mu; number n stands at n-1
	bytes int               // guarded by mu; of the keys
}

// profile is what one kind of client says. It is immutable.
type profile struct {
	name string // "name/version"
	caps *sdk.ClientCapabilities
	info *sdk.Implementation
}

// number returns the number of what a client says, 0 if there is no room. caps
// and info are raw JSON, nil if absent.
func (t *profiles) number(caps, info []byte) uint32 {
	if len(caps)+len(info) > profileBytes {
		return 0
	}
	key := make([]byte, 0, 512) // on the stack as long as it suffices
	key = append(append(append(key, caps...), 0), info...)
	t.mu.RLock()
	n := t.byKey[string(key)]
	t.mu.RUnlock()
	if n != 0 {
		return n
	}
	p, ok := newProfile(caps, info)
	if !ok {
		return 0
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if n = t.byKey[string(key)]; n != 0 {
		return n
	}
	if len(t.all) == profilesMax || t.bytes+len(key) > profilesMemory {
		return 0
	}
	if t.byKey == nil {
		t.byKey = make(map[string]uint32)
	}
	t.all = append(t.all, p)
	t.bytes += len(key)
	n = uint32(len(t.all))
	t.byKey[string(key)] = n
	return n
}

// get returns the profile of a number, nil if there is none.
func (t *profiles) get(n uint32) *profile {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if n == 0 || n > uint32(len(t.all)) {
		return nil
	}
	return t.all[n-1]
}

func newProfile(caps, info []byte) (*profile, bool) {
	p := new(profile)
	if caps != nil {
		// Roots is a struct that is always there, and RootsV2 the pointer that
		// tells (the SDK's issue 607).
		var c struct {
			sdk.ClientCapabilities
			Roots *sdk.RootCapabilities `json:"roots"`
		}
		if json.Unmarshal(caps, &c) != nil {
			return nil, false
		}
		p.caps = &c.ClientCapabilities
		if p.caps.RootsV2 = c.Roots; c.Roots != nil {
			p.caps.Roots = *c.Roots
		}
	}
	if info != nil && !bytes.Equal(info, []byte("null")) {
		p.info = new(sdk.Implementation)
		if json.Unmarshal(info, p.info) != nil {
			return nil, false
		}
		p.name = p.info.Name + "/" + p.info.Version
	}
	return p, true
}

// params returns InitializeParams for one session, which user code may write to
// without harm to others.
func (p *profile) params(rev mcp.Revision) *sdk.InitializeParams {
	out := &sdk.InitializeParams{ProtocolVersion: rev.String()}
	if p.info != nil {
		info := *p.info
		out.ClientInfo = &info
	}
	if p.caps == nil {
		return out
	}
	c := *p.caps
	c.Experimental, c.Extensions = maps.Clone(c.Experimental), maps.Clone(c.Extensions)
	c.RootsV2, c.Sampling, c.Elicitation = clone(c.RootsV2), clone(c.Sampling), clone(c.Elicitation)
	out.Capabilities = &c
	return out
}

func clone[T any](p *T) *T {
	if p == nil {
		return nil
	}
	v := *p
	return &v
}

// Client implements mcp.Backend.
func (a *Adapter) Client(params []byte) uint32 {
	var p struct {
		Capabilities json.RawMessage `json:"capabilities"`
		ClientInfo   json.RawMessage `json:"clientInfo"`
	}
	if codec.Unmarshal(params, &p) != nil {
		return 0
	}
	return a.clients.number(p.Capabilities, p.ClientInfo)
}

// ClientName implements mcp.Backend.
func (a *Adapter) ClientName(n uint32) string {
	if p := a.clients.get(n); p != nil {
		return p.name
	}
	return ""
}

// client returns what is known of the client of a call.
func (a *Adapter) client(c *mcp.Call, m *meta) *profile {
	var p *profile
	if c.Session() != 0 {
		p = a.clients.get(c.ClientNumber())
	} else if n := a.clients.number(m.caps, m.info); n != 0 {
		p = a.clients.get(n)
	} else {
		p, _ = newProfile(m.caps, m.info)
	}
	if p == nil {
		p = &profile{caps: capabilities(c.Capabilities())}
	}
	return p
}

// capabilities returns what the bits of a session say.
func capabilities(bits mcp.Capabilities) *sdk.ClientCapabilities {
	c := new(sdk.ClientCapabilities)
	if bits&mcp.CapRoots != 0 {
		c.RootsV2 = &sdk.RootCapabilities{ListChanged: bits&mcp.CapRootsListChanged != 0}
		c.Roots = *c.RootsV2
	}
	if bits&mcp.CapSampling != 0 {
		c.Sampling = new(sdk.SamplingCapabilities)
		if bits&mcp.CapSamplingTools != 0 {
			c.Sampling.Tools = new(sdk.SamplingToolsCapabilities)
		}
		if bits&mcp.CapSamplingContext != 0 {
			c.Sampling.Context = new(sdk.SamplingContextCapabilities)
		}
	}
	if bits&mcp.CapElicitation != 0 {
		c.Elicitation = new(sdk.ElicitationCapabilities)
		if bits&mcp.CapElicitationForm != 0 {
			c.Elicitation.Form = new(sdk.FormElicitationCapabilities)
		}
		if bits&mcp.CapElicitationURL != 0 {
			c.Elicitation.URL = new(sdk.URLElicitationCapabilities)
		}
	}
	return c
}
