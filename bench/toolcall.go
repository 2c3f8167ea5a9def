package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"

	"github.com/rookery-server/rookery/bench/wire"
)

// ToolCall is a call of a tool of the demo app that tells clients something, in
// the era without sessions: one request, by an ordinary HTTP client.
type ToolCall struct {
	URL  string
	Host string // in place of the URL's; "": that
	Tool string
	// Argument and Value are its only argument. They need no escapes in JSON.
	Argument, Value string
}

// Notified makes the call and returns how many clients the tool says were told.
// It blocks until the server answers, for as long as ctx and client let it. A
// connection that nobody takes is a *net.OpError of dial: then nobody has been told.
func (t ToolCall) Notified(ctx context.Context, client *http.Client) (int, error) {
	body := rpcCall(firstHTTPID, "tools/call", `{`+statelessMeta+`,"name":"`+t.Tool+`","arguments":{"`+t.Argument+`":"`+t.Value+`"}}`)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, t.URL, bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	req.Host = t.Host
	for name, value := range map[string]string{
		"Content-Type": "application/json", "Accept": "application/json, text/event-stream",
		"MCP-Protocol-Version": revisionStateless, "Mcp-Method": "tools/call", "Mcp-Name": t.Tool,
	} {
		req.Header.Set(name, value)
	}
	res, err := client.Do(req)
	if err != nil {
		return 0, err
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(res.Body, wire.BodyMax))
	if err != nil {
		return 0, err
	}
	kind, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type"))
	r := wire.Response{Status: res.StatusCode, Body: text, Events: kind == "text/event-stream"}
	message, err := r.Message()
	if err != nil {
		return 0, err
	}
	reply, err := wire.ParseReply(bytes.TrimSpace(message), firstHTTPID)
	if err != nil {
		return 0, err
	}
	var result struct {
		IsError bool `json:"isError"`
		Said    struct {
			Notified int `json:"notified"`
		} `json:"structuredContent"`
	}
	if err := json.Unmarshal(reply.Result, &result); err != nil || result.IsError {
		return 0, fmt.Errorf("tool %s failed: %q", t.Tool, wire.Clip(message))
	}
	return result.Said.Notified, nil
}
