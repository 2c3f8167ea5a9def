package bench

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/rookery-server/rookery/bench/wire"
)

// confirmID is the id of a waiting client's call.
const confirmID = 7

// Revisions of MCP that the clients speak.
const (
	revisionSessions  = "2025-11-25" // initialize, session id, GET stream
	revisionStateless = "2026-07-28" // _meta on each request, subscriptions/listen
)

// messageSize is the length of a line of the TCP load, newline included.
const messageSize = 64

// Ids of one connection under load count from first to 10·first-1 and start again, so that all
// requests have one length. Those of HTTP do not return within a session.
const (
	firstLineID = 100
	firstHTTPID = 1_000_000
)

const clientInfo = `{"name":"rookery-bench","version":"1"}`

// What a client can do.
const (
	capsNone   = `{}`
	capsElicit = `{"elicitation":{}}`
)

const statelessMeta = `"_meta":{"io.modelcontextprotocol/protocolVersion":"` + revisionStateless + `",` +
	`"io.modelcontextprotocol/clientInfo":` + clientInfo + `,"io.modelcontextprotocol/clientCapabilities":{}}`

// fanoutURI names the resource of the demo app whose changes clients listen for
// when a fan-out is measured; the tool touch marks it as changed.
const fanoutURI = "demo://item/fanout"

// eventSize is the length of the notification of a change of eventURI.
const eventSize = 150

const updatedBare = `{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":""}}`

// eventURI names the resource that the number-th client of kind listens to:
// one for all of SharedEvents, one of its own for OwnEvents. It is as long as
// it takes to make each event eventSize bytes.
func eventURI(kind Kind, number int) string {
	if kind == SharedEvents {
		number = 0
	}
	uri := fmt.Sprintf("demo://item/%s-%05d-", kind, number)
	return uri + strings.Repeat("x", eventSize-len(updatedBare)-len(uri))
}

const initializedNote = `{"jsonrpc":"2.0","method":"notifications/initialized"}`

// rpcCall returns a JSON-RPC request, no newline behind it.
func rpcCall(id int, method, params string) []byte {
	return fmt.Appendf(nil, `{"jsonrpc":"2.0","id":%d,"method":%q,"params":%s}`, id, method, params)
}

// echoCall asks for its own params back; tag tells clients apart.
func echoCall(id int, method, tag string) []byte { return rpcCall(id, method, `["`+tag+`"]`) }

// toolCall calls the tool echo. meta is empty or `"_meta":{…},`.
func toolCall(id int, meta, tag string) []byte {
	return rpcCall(id, "tools/call", `{`+meta+`"name":"echo","arguments":{"text":"`+tag+`"}}`)
}

func initializeCall(id int, caps string) []byte {
	return rpcCall(id, "initialize", `{"protocolVersion":"`+revisionSessions+`","capabilities":`+caps+`,"clientInfo":`+clientInfo+`}`)
}

// listenCall subscribes to one list, so that a server which grants nothing
// else still has something to hold the stream for.
func listenCall(id int) []byte {
	return rpcCall(id, "subscriptions/listen", `{`+statelessMeta+`,"notifications":{"toolsListChanged":true}}`)
}

// A verifier checks the answer to request id, which carried tag.
type verifier func(message []byte, id int, tag string) error

// verifyEcho wants the params of echoCall as the result.
func verifyEcho(message []byte, id int, tag string) error {
	r, err := wire.ParseReply(message, id)
	if err != nil {
		return err
	}
	return sameEcho(r.Result, message, tag)
}

// verifyRaw wants the very request back: the server echoes bytes.
func verifyRaw(message []byte, id int, tag string) error {
	r, err := wire.ParseReply(message, id)
	if err != nil {
		return err
	}
	return sameEcho(r.Params, message, tag)
}

func sameEcho(got json.RawMessage, message []byte, tag string) error {
	var said []string
	if err := json.Unmarshal(got, &said); err != nil || len(said) != 1 || said[0] != tag {
		return fmt.Errorf("reply %q does not echo %q", wire.Clip(message), tag)
	}
	return nil
}

// verifyTool wants tag as the text content of a tool's result.
func verifyTool(message []byte, id int, tag string) error {
	r, err := wire.ParseReply(message, id)
	if err != nil {
		return err
	}
	var result struct {
		IsError bool `json:"isError"`
		Content []struct{ Type, Text string }
	}
	if err := json.Unmarshal(r.Result, &result); err != nil {
		return fmt.Errorf("reply %q: %w", wire.Clip(message), err)
	}
	if result.IsError || len(result.Content) != 1 || result.Content[0].Type != "text" || result.Content[0].Text != tag {
		return fmt.Errorf("reply %q does not hold the text %q", wire.Clip(message), tag)
	}
	return nil
}

// verifyInitialize returns the revision that the server chose.
func verifyInitialize(message []byte, id int) (string, error) {
	r, err := wire.ParseReply(message, id)
	if err != nil {
		return "", err
	}
	var result struct {
		ProtocolVersion string `json:"protocolVersion"`
	}
	if err := json.Unmarshal(r.Result, &result); err != nil || result.ProtocolVersion == "" {
		return "", fmt.Errorf("reply %q names no protocolVersion", wire.Clip(message))
	}
	return result.ProtocolVersion, nil
}

// verifyListen wants the acknowledgement of a listen stream as its first message.
func verifyListen(message []byte) error {
	var r wire.Message
	if err := json.Unmarshal(message, &r); err != nil {
		return fmt.Errorf("event %q: %w", wire.Clip(message), err)
	}
	if r.Error != nil {
		return fmt.Errorf("the server answered with error %d: %s", r.Error.Code, r.Error.Message)
	}
	if r.Method != "notifications/subscriptions/acknowledged" {
		return fmt.Errorf("the first event of the stream is %q, not the acknowledgement", wire.Clip(message))
	}
	return nil
}

// A template recognises replies that differ in their id only, so that a load
// verifies every reply without decoding each one.
//
// Invariant: text[at:at+len(id)] are the digits of the id of the reply that
// was decoded and found good.
type template struct {
	text []byte
	at   int
}

// check verifies message, the answer to request id with tag. A reply that has
// the bytes of an earlier good one but for the digits of its id is good; any
// other is decoded.
func (t *template) check(message []byte, id int, tag string, verify verifier) error {
	var room [20]byte
	digits := strconv.AppendInt(room[:0], int64(id), 10)
	if end := t.at + len(digits); len(message) == len(t.text) && len(message) >= end &&
		bytes.Equal(message[:t.at], t.text[:t.at]) &&
		bytes.Equal(message[t.at:end], digits) &&
		bytes.Equal(message[end:], t.text[end:]) {
		return nil
	}
	if err := verify(message, id, tag); err != nil {
		return err
	}
	t.text = append(t.text[:0], message...)
	t.at = bytes.Index(message, digits)
	return nil
}
