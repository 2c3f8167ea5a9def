package codec

import (
	"encoding/json"
	"strconv"
)

// The error codes of JSON-RPC 2.0, section 5.1, and the one this package adds
// from the range the specification leaves to servers (-32000 to -32099).
const (
	CodeParse          = -32700 // not JSON
	CodeInvalidRequest = -32600 // JSON, but no JSON-RPC message
	CodeMethodNotFound = -32601
	CodeInvalidParams  = -32602
	CodeInternal       = -32603
	CodeOverloaded     = -32000 // shed: the server could not take the request in time
)

// Error is a JSON-RPC error object (section 5.1). It is what the parser returns
// and what AppendError writes; handlers return it to choose the code of their
// answer.
type Error struct {
	Code    int
	Message string // one short sentence
	Data    []byte // raw JSON, nil if none
}

// Error implements error.
func (e *Error) Error() string {
	return "jsonrpc error " + strconv.Itoa(e.Code) + ": " + e.Message
}

// MarshalJSON writes the error object as the specification shapes it, so that
// Data is not taken for bytes to be encoded in base64.
func (e *Error) MarshalJSON() ([]byte, error) { return appendErrorObject(nil, e), nil }

// UnmarshalJSON reads the error object of a response. The Error keeps nothing of b.
func (e *Error) UnmarshalJSON(b []byte) error {
	var w struct {
		Code    int             `json:"code"`
		Message string          `json:"message"`
		Data    json.RawMessage `json:"data"`
	}
	if err := Unmarshal(b, &w); err != nil {
		return err
	}
	*e = Error{Code: w.Code, Message: w.Message, Data: w.Data}
	return nil
}

func parseError(f fault, off int) *Error {
	return &Error{Code: CodeParse, Message: "Parse error: " + f.at(off)}
}

func invalidRequest(why string) *Error {
	return &Error{Code: CodeInvalidRequest, Message: "Invalid Request: " + why}
}

// scanError turns a fault into what the peer is told. Nesting is a limit of
// ours, not a fault of the JSON, so it is no parse error.
func scanError(f fault, off int) *Error {
	if f == faultDepth {
		return invalidRequest(f.at(off))
	}
	return parseError(f, off)
}
