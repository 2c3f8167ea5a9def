package gosdk

import (
	"bytes"
	"encoding/json"
	"errors"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/rookery-server/rookery/codec"
	"github.com/rookery-server/rookery/mcp"
)

// meta is a request's _meta.
type meta struct {
	all        sdk.Meta
	caps, info []byte // raw JSON, of the era without sessions
}

// readMeta reads the _meta of a call.
func readMeta(c *mcp.Call) (m meta, err error) {
	raw := c.Param("_meta")
	if raw == nil {
		return m, nil
	}
	if err = json.Unmarshal(raw, &m.all); err != nil {
		return m, invalid("_meta", err)
	}
	if c.Session() != 0 {
		return m, nil
	}
	var own struct {
		Caps json.RawMessage `json:"io.modelcontextprotocol/clientCapabilities"`
		Info json.RawMessage `json:"io.modelcontextprotocol/clientInfo"`
	}
	if err = json.Unmarshal(raw, &own); err != nil {
		return m, invalid("_meta", err)
	}
	m.caps, m.info = own.Caps, own.Info
	return m, nil
}

func invalid(what string, err error) error {
	return &codec.Error{Code: codec.CodeInvalidParams, Message: "invalid " + what + ": " + err.Error()}
}

// readers make the SDK's request of a call, by method. Names of members are
// compared exactly, as the SDK does, where proxies and we have looked at them:
// what encoding/json takes for the same name must not be another tool's.
var readers = map[string]func(*sdk.ServerSession, *mcp.Call, *meta) (sdk.Request, error){
	methodCallTool:   readCallTool,
	"resources/read": readReadResource,
	"prompts/get":    readGetPrompt,

	methodInitialize:           read[sdk.InitializeParams],
	methodDiscover:             read[sdk.DiscoverParams],
	"tools/list":               read[sdk.ListToolsParams],
	"prompts/list":             read[sdk.ListPromptsParams],
	"resources/list":           read[sdk.ListResourcesParams],
	"resources/templates/list": read[sdk.ListResourceTemplatesParams],
	"completion/complete":      read[sdk.CompleteParams],
	"logging/setLevel":         read[sdk.SetLoggingLevelParams],
}

// notices are the same for what clients notify of.
var notices = map[string]func(*sdk.ServerSession, *mcp.Call, *meta) (sdk.Request, error){
	notifyInitialized:                  read[sdk.InitializedParams],
	"notifications/progress":           read[sdk.ProgressNotificationParams],
	"notifications/roots/list_changed": read[sdk.RootsListChangedParams],
}

// read decodes params as they are.
func read[T any, P interface {
	*T
	sdk.Params
}](ss *sdk.ServerSession, c *mcp.Call, m *meta) (sdk.Request, error) {
	p := P(new(T))
	if raw := c.Params(); raw != nil {
		if err := json.Unmarshal(raw, p); err != nil {
			return nil, invalid("params", err)
		}
	}
	if i, ok := any(p).(*sdk.InitializeParams); ok {
		// What a session hears of its client later.
		said, ok := newProfile(c.Param("capabilities"), c.Param("clientInfo"))
		if !ok {
			return nil, invalid("params", errNoClient)
		}
		i.Capabilities = said.caps
	}
	return &sdk.ServerRequest[P]{Session: ss, Params: p, Extra: extra(c)}, nil
}

func readCallTool(ss *sdk.ServerSession, c *mcp.Call, m *meta) (sdk.Request, error) {
	p := &sdk.CallToolParamsRaw{Meta: m.all, Arguments: append(json.RawMessage(nil), c.Param("arguments")...)}
	var err error
	if p.Name, err = str(c, "name"); err != nil {
		return nil, err
	}
	if p.InputResponses, p.RequestState, err = inputs(c); err != nil {
		return nil, err
	}
	return &sdk.CallToolRequest{Session: ss, Params: p, Extra: extra(c)}, nil
}

func readReadResource(ss *sdk.ServerSession, c *mcp.Call, m *meta) (sdk.Request, error) {
	p := &sdk.ReadResourceParams{Meta: m.all}
	var err error
	if p.URI, err = str(c, "uri"); err != nil {
		return nil, err
	}
	if p.InputResponses, p.RequestState, err = inputs(c); err != nil {
		return nil, err
	}
	return &sdk.ReadResourceRequest{Session: ss, Params: p, Extra: extra(c)}, nil
}

func readGetPrompt(ss *sdk.ServerSession, c *mcp.Call, m *meta) (sdk.Request, error) {
	p := &sdk.GetPromptParams{Meta: m.all}
	var err error
	if p.Name, err = str(c, "name"); err != nil {
		return nil, err
	}
	if raw := c.Param("arguments"); raw != nil {
		if err := json.Unmarshal(raw, &p.Arguments); err != nil {
			return nil, invalid("arguments", err)
		}
	}
	if p.InputResponses, p.RequestState, err = inputs(c); err != nil {
		return nil, err
	}
	return &sdk.GetPromptRequest{Session: ss, Params: p, Extra: extra(c)}, nil
}

var errNoClient = errors.New("capabilities and clientInfo must be objects")

// str reads a string that may be absent, as in the SDK.
func str(c *mcp.Call, name string) (string, error) {
	if c.Param(name) == nil {
		return "", nil
	}
	s, ok := c.ParamText(name)
	if !ok {
		return "", &codec.Error{Code: codec.CodeInvalidParams, Message: name + " must be a string"}
	}
	return s, nil
}

// inputs reads what a client that was asked for input comes back with.
func inputs(c *mcp.Call) (answers sdk.InputResponseMap, state string, err error) {
	if raw := c.Param("inputResponses"); raw != nil {
		if err := json.Unmarshal(raw, &answers); err != nil {
			return nil, "", invalid("inputResponses", err)
		}
	}
	state, err = str(c, "requestState")
	return answers, state, err
}

// complete adds to a result what the era without sessions wants in all of them:
// the server's name and, but for those that say it themselves, that it is one.
func (a *Adapter) complete(raw []byte, res sdk.Result) ([]byte, error) {
	const key = sdk.MetaKeyServerInfo
	const begin = `{"_meta":{` // where the SDK's results have it
	var add []byte
	if with := res.GetMeta(); len(with) == 0 {
		add = append(append(append(add, `"_meta":{"`+key+`":`...), a.info...), '}')
	} else if _, ok := with[key]; !ok && bytes.HasPrefix(raw, []byte(begin)) {
		own := append([]byte(begin+`"`+key+`":`), a.info...)
		raw = append(append(own, ','), raw[len(begin):]...)
	}
	switch res.(type) {
	case *sdk.CallToolResult, *sdk.GetPromptResult, *sdk.ReadResourceResult:
	default:
		if len(add) > 0 {
			add = append(add, ',')
		}
		add = append(add, `"resultType":"complete"`...)
	}
	if len(add) == 0 {
		return raw, nil
	}
	if string(raw) != "{}" {
		add = append(add, ',')
	}
	return append(append([]byte{'{'}, add...), raw[1:]...), nil
}
