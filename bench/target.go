package bench

import (
	"fmt"
	"net/netip"
)

// Target is a server as its clients see it.
type Target struct {
	Addr netip.AddrPort `json:"addr"`
	Path string         `json:"path,omitempty"` // of HTTP kinds
	// Raw says that the server returns the bytes it gets, whatever they say.
	Raw bool `json:"raw,omitempty"`
}

const commonHeaders = "Accept: application/json, text/event-stream\r\n"

// Header lines of the MCP transport.
const (
	sessionsHeader  = "MCP-Protocol-Version: " + revisionSessions + "\r\n"
	statelessHeader = "MCP-Protocol-Version: " + revisionStateless + "\r\n"
	callHeaders     = statelessHeader + "Mcp-Method: tools/call\r\nMcp-Name: echo\r\n"
	listenHeaders   = statelessHeader + "Mcp-Method: subscriptions/listen\r\n"
)

// post returns a POST of body; headers are whole lines.
func (t *Target) post(body []byte, headers string) []byte {
	return fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\n"+commonHeaders+
		"%sContent-Length: %d\r\n\r\n%s", t.Path, t.Addr, headers, len(body), body)
}

// get returns a GET that asks for an event stream.
func (t *Target) get(headers string) []byte {
	return fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: %s\r\nAccept: text/event-stream\r\n%s\r\n", t.Path, t.Addr, headers)
}

// ofSession returns the headers of a request within an MCP session.
func ofSession(session string) string {
	return sessionsHeader + "Mcp-Session-Id: " + session + "\r\n"
}

// echoVerifier returns what recognises this server's echo.
func (t *Target) echoVerifier() verifier {
	if t.Raw {
		return verifyRaw
	}
	return verifyEcho
}
