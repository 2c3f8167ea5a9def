package wire

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
)

// Message is any JSON-RPC message.
type Message struct {
	Version string          `json:"jsonrpc"`
	ID      json.RawMessage `json:"id"`
	Method  string          `json:"method"`
	Params  json.RawMessage `json:"params"`
	Result  json.RawMessage `json:"result"`
	Error   *Fault          `json:"error"`
}

// Fault is the error of a reply.
type Fault struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
}

func (f *Fault) Error() string {
	return fmt.Sprintf("the server answered with error %d: %s", f.Code, f.Message)
}

// ParseReply decodes the answer to request id and refuses everything else. The
// error of an answer that is one is a *Fault.
func ParseReply(message []byte, id int) (*Message, error) {
	var m Message
	if err := json.Unmarshal(message, &m); err != nil {
		return nil, fmt.Errorf("reply %q: %w", Clip(message), err)
	}
	switch {
	case m.Version != "2.0":
		return nil, fmt.Errorf("reply %q is no JSON-RPC 2.0", Clip(message))
	case m.Error != nil:
		return nil, m.Error
	case string(m.ID) != strconv.Itoa(id):
		return nil, fmt.Errorf("reply %q answers id %s, asked was %d", Clip(message), m.ID, id)
	}
	return &m, nil
}

// ClipBytes is the length to which Clip cuts.
const ClipBytes = 200

// Clip returns the start of b, enough to recognise it in an error.
func Clip(b []byte) []byte {
	if len(b) > ClipBytes {
		return append(bytes.Clone(b[:ClipBytes]), "..."...)
	}
	return b
}

// Kind returns the id and the method of a message as they are written, "" for
// what it has not. An id is a number or, in quotes, a string.
func Kind(message []byte) (id, method string, err error) {
	var m struct {
		ID     json.RawMessage `json:"id"`
		Method string          `json:"method"`
	}
	if err := json.Unmarshal(message, &m); err != nil {
		return "", "", fmt.Errorf("%q: %w", Clip(message), err)
	}
	return string(m.ID), m.Method, nil
}
