package codec

import (
	"bytes"
	"slices"
	"strconv"
)

// Messages are written without a newline at their end and without one inside:
// a newline in a raw part, where it can only be white space, is written as a
// space. So a message is always one line, wherever its parts come from.
//
// Raw parts (ids, params, results, data) are checked to be strict JSON before
// they are written, because one stray quote of a handler's would garble every
// message behind it on the connection. The check costs about as much as it
// costs to parse the same bytes once; what replaces a part that fails it is
// said at each function. Valid tells beforehand.

// AppendResult appends {"jsonrpc":"2.0","id":id,"result":result}. An id that is
// nil, or none (section 4 allows a string, a number and null), is written as
// null, and a nil result too. If result is not valid JSON, the answer is the
// error CodeInternal instead.
func AppendResult(dst, id, result []byte) []byte {
	if result == nil {
		result = rawNull
	}
	if !Valid(result) {
		return AppendError(dst, id, &Error{Code: CodeInternal, Message: "Internal error: the result is not valid JSON"})
	}
	dst = slices.Grow(dst, len(`{"jsonrpc":"2.0","id":null,"result":}`)+len(id)+len(result))
	dst = append(dst, `{"jsonrpc":"2.0","id":`...)
	dst = appendID(dst, id)
	dst = append(dst, `,"result":`...)
	dst = appendRaw(dst, result)
	return append(dst, '}')
}

// AppendError appends {"jsonrpc":"2.0","id":id,"error":{…}}, with id as in
// AppendResult and e.Data left out if it is nil or not valid JSON. e must not be nil.
func AppendError(dst, id []byte, e *Error) []byte {
	dst = append(dst, `{"jsonrpc":"2.0","id":`...)
	dst = appendID(dst, id)
	dst = append(dst, `,"error":`...)
	dst = appendErrorObject(dst, e)
	return append(dst, '}')
}

// AppendNotification appends {"jsonrpc":"2.0","method":method,"params":params}.
// params are left out if they are not a valid object or array, nil included.
func AppendNotification(dst []byte, method string, params []byte) []byte {
	dst = append(dst, `{"jsonrpc":"2.0",`...)
	return appendCall(dst, method, params)
}

// AppendRequest appends a request with id, written as in AppendResult, and with
// method and params as in AppendNotification.
func AppendRequest(dst, id []byte, method string, params []byte) []byte {
	dst = append(dst, `{"jsonrpc":"2.0","id":`...)
	dst = appendID(dst, id)
	dst = append(dst, ',')
	return appendCall(dst, method, params)
}

// appendCall appends method and params and closes the message.
func appendCall(dst []byte, method string, params []byte) []byte {
	dst = append(dst, `"method":`...)
	dst = AppendString(dst, method)
	if i := skipSpace(params, 0); i < len(params) && (params[i] == '{' || params[i] == '[') && Valid(params) {
		dst = append(dst, `,"params":`...)
		dst = appendRaw(dst, params)
	}
	return append(dst, '}')
}

func appendErrorObject(dst []byte, e *Error) []byte {
	dst = append(dst, `{"code":`...)
	dst = strconv.AppendInt(dst, int64(e.Code), 10)
	dst = append(dst, `,"message":`...)
	dst = AppendString(dst, e.Message)
	if Valid(e.Data) {
		dst = append(dst, `,"data":`...)
		dst = appendRaw(dst, e.Data)
	}
	return append(dst, '}')
}

var rawNull = []byte("null")

func appendID(dst, id []byte) []byte {
	if i := skipSpace(id, 0); i < len(id) && isIDStart(id[i]) && Valid(id) {
		return appendRaw(dst, id)
	}
	return append(dst, rawNull...)
}

// appendRaw appends valid JSON as one line.
func appendRaw(dst, raw []byte) []byte {
	start := len(dst)
	dst = append(dst, raw...)
	blank(dst[start:], '\n')
	blank(dst[start:], '\r')
	return dst
}

// blank replaces each c in b, which is valid JSON, by a space.
func blank(b []byte, c byte) {
	for i := bytes.IndexByte(b, c); i >= 0; i = bytes.IndexByte(b, c) {
		b[i] = ' '
		b = b[i+1:]
	}
}
