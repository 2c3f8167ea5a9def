package gosdk

import (
	"bytes"
	"encoding/json"
	"errors"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"

	"github.com/rookery-server/rookery/codec"
)

// wireError is what the client gets of an error of the SDK or of user code:
// what the SDK's own transports would send. One without a code is sent with
// code 0, as they do.
func wireError(err error) error {
	if err == nil {
		return nil
	}
	var e *jsonrpc.Error
	if !errors.As(err, &e) {
		return &codec.Error{Message: err.Error()}
	}
	return &codec.Error{Code: int(e.Code), Message: err.Error(), Data: e.Data}
}

// encode returns v as JSON on one line, without the escapes for HTML.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimRight(b.Bytes(), "\n"), nil
}
