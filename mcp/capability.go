package mcp

import "github.com/rookery-server/rookery/codec"

// Capabilities says what a client can do, as bits.
type Capabilities uint16

// What a client may declare.
const (
	CapRoots Capabilities = 1 << iota
	CapRootsListChanged
	CapSampling
	CapSamplingTools
	CapSamplingContext
	CapElicitation
	CapElicitationForm // declared, or implied by an empty elicitation object
	CapElicitationURL
	CapTasks
	CapExperimental
	CapTasksExtension // io.modelcontextprotocol/tasks (2026-07-28); CapTasks is another thing
)

// parseCapabilities reads a client's capabilities object; what it does not
// know is left out.
func parseCapabilities(raw []byte) Capabilities {
	var c Capabilities
	for o := members(raw); ; {
		key, val, ok := o.next()
		if !ok {
			return c
		}
		if !isObject(val) {
			continue // null or nonsense: not declared
		}
		switch string(key) {
		case "roots":
			c |= CapRoots
			if string(member(val, "listChanged")) == "true" {
				c |= CapRootsListChanged
			}
		case "sampling":
			tools, context, _, _ := pick(val, "tools", "context", "\x00", "\x00")
			c |= CapSampling | declared(tools, CapSamplingTools) | declared(context, CapSamplingContext)
		case "elicitation":
			form, url, _, _ := pick(val, "form", "url", "\x00", "\x00")
			c |= CapElicitation | declared(form, CapElicitationForm) | declared(url, CapElicitationURL)
			if c&(CapElicitationForm|CapElicitationURL) == 0 {
				c |= CapElicitationForm
			}
		case "tasks":
			c |= CapTasks
		case "experimental":
			c |= CapExperimental
		case "extensions":
			c |= declared(member(val, extensionTasks), CapTasksExtension)
		}
	}
}

func declared(raw []byte, c Capabilities) Capabilities {
	if isObject(raw) {
		return c
	}
	return 0
}

// appendJSON appends c as a ClientCapabilities object.
func (c Capabilities) appendJSON(dst []byte) []byte {
	dst = append(dst, '{')
	for _, n := range [...]struct {
		bits  Capabilities
		name  string
		parts []capabilityPart
	}{
		{CapRoots, "roots", nil},
		{CapSampling | CapSamplingTools | CapSamplingContext, "sampling", []capabilityPart{{CapSamplingTools, "tools"}, {CapSamplingContext, "context"}}},
		{CapElicitation | CapElicitationForm | CapElicitationURL, "elicitation", []capabilityPart{{CapElicitationURL, "url"}}}, // form is implied
		{CapTasks, "tasks", nil},
	} {
		if c&n.bits == 0 {
			continue
		}
		dst = append(appendKey(dst, n.name), '{')
		for _, p := range n.parts {
			if c&p.bit != 0 {
				dst = append(appendKey(dst, p.name), "{}"...)
			}
		}
		dst = append(dst, '}')
	}
	if c&CapTasksExtension != 0 {
		dst = append(appendKey(dst, "extensions"), `{"`+extensionTasks+`":{}}`...)
	}
	return append(dst, '}')
}

// capabilityPart is a member of a capability.
type capabilityPart struct {
	bit  Capabilities
	name string
}

// MissingCapability returns the error for a request that needs something of
// the client which it did not declare. A handler may return it.
func MissingCapability(c Capabilities) *codec.Error {
	data := append([]byte(nil), `{"requiredCapabilities":`...)
	data = append(c.appendJSON(data), '}')
	return &codec.Error{Code: CodeMissingCapability, Message: "the client lacks a required capability", Data: data}
}

// Level is the severity of a log message (RFC 5424). The zero Level means that
// the client asked for none.
type Level uint8

// The levels, least severe first.
const (
	LevelDebug Level = iota + 1
	LevelInfo
	LevelNotice
	LevelWarning
	LevelError
	LevelCritical
	LevelAlert
	LevelEmergency
)

var levelNames = [...]string{"", "debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"}

// String returns the name on the wire.
func (l Level) String() string {
	if int(l) < len(levelNames) {
		return levelNames[l]
	}
	return ""
}

func parseLevel(name []byte) (Level, bool) {
	for l := LevelDebug; l <= LevelEmergency; l++ {
		if levelNames[l] == string(name) {
			return l, true
		}
	}
	return 0, false
}
