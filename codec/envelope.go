package codec

import (
	"bytes"
	"math"
)

// Kind says what a JSON-RPC message is.
type Kind uint8

// The kinds of a message.
const (
	KindInvalid      Kind = iota // none of the others; ParseEnvelope returned an error
	KindRequest                  // has a method and an id, which may be null
	KindNotification             // has a method and no id
	KindResult                   // answers a request with a result
	KindError                    // answers a request, or an unreadable one, with an error
	KindBatch                    // an array of messages: see EachInBatch
)

// Defaults of Limits.
const (
	DepthMax = 64  // levels of nesting in one message, the envelope is the first
	BatchMax = 100 // messages in one batch
)

// depthCeiling is the most that Limits can grant: the scanner recurses, and a
// stack must not grow by what a peer sends. encoding/json has the same ceiling.
const depthCeiling = 10_000

// Limits bounds what one message may ask of the parser. A nil *Limits and a
// zero field mean the defaults. It is only read, so it may be shared.
type Limits struct {
	Depth int // levels of nesting; DepthMax if 0 or less, at most 10,000
	Batch int // messages in a batch; BatchMax if 0; below 0 a batch is no message at all
}

func (l *Limits) depth() int {
	if l == nil || l.Depth <= 0 {
		return DepthMax
	}
	return min(l.Depth, depthCeiling)
}

func (l *Limits) batch() int {
	if l == nil || l.Batch == 0 {
		return BatchMax
	}
	return l.Batch
}

// Envelope is what a JSON-RPC 2.0 message says of itself, as offsets into its
// bytes: pointer-free, valid as long as those bytes stay as they are. Values
// stay raw; nobody has decoded them, but all of them are known to be strict JSON.
type Envelope struct {
	Kind    Kind
	Escaped bool // the method holds escapes: compare MethodName, not Method
	ID      Span // raw JSON, quotes included; absent if the message has none
	Method  Span // without its quotes; may be empty in a request
	Params  Span // raw JSON, an object or an array
	Result  Span // raw JSON
	Error   Span // raw JSON, an object
}

// A bit for each member of an envelope, in the order of memberNames.
const (
	hasVersion = 1 << iota
	hasID
	hasMethod
	hasParams
	hasResult
	hasError
)

var memberNames = [...]string{"jsonrpc", "id", "method", "params", "result", "error"}

// members is what the scanner saw of an envelope before anyone judged it.
type members struct {
	seen, twice  uint8 // bits of the members seen, and seen again
	version      Span
	id           Span
	method       Span // quotes included if it is a string
	params       Span
	result, fail Span
}

// ParseEnvelope parses msg, which is one whole JSON-RPC 2.0 message, and fills
// env. It makes one pass, does not allocate unless it returns an error, and
// keeps nothing of msg.
//
// The rules, where they are stricter than encoding/json or looser than one
// might think:
//
//   - All of msg is strict JSON: see the package comment. What is not gets
//     CodeParse and no id, as section 5 of the specification wants it.
//   - The members are known by their exact names; "Method" is another member,
//     and other members are ignored. An escaped name ("\u0069d") is that name.
//   - A member of the envelope that comes twice makes the message invalid.
//   - "jsonrpc" is "2.0". "id" is a string, a number or null; numbers of any
//     size and fraction stay as they were written. "method" is a string,
//     "params" an object or an array, "error" an object.
//   - A request with "id":null is a request whose ID is null, not a
//     notification: section 4 discourages it and does not forbid it. MCP does:
//     its server has to look.
//   - A response has exactly one of result and error, an id, and neither method
//     nor params.
//   - An array is a batch: its syntax and its number of elements are checked
//     here, its elements by EachInBatch. An empty one is invalid.
//
// What is JSON but breaks a rule gets CodeInvalidRequest. Then env holds
// KindInvalid and nothing but ID, which is set if the message had one usable id,
// so that the answer can carry it; use it in AppendError as it is.
func ParseEnvelope(msg []byte, lim *Limits, env *Envelope) *Error {
	*env = Envelope{}
	if err := checkSize(msg); err != nil {
		return err
	}
	i := skipSpace(msg, 0)
	if i == len(msg) {
		return parseError(faultEnd, i)
	}
	if msg[i] == '[' {
		err := checkBatch(msg, lim)
		if err == nil {
			env.Kind = KindBatch
		}
		return err
	}
	if msg[i] != '{' {
		if i, f := scanDocument(msg, lim.depth()); f != faultNone {
			return scanError(f, i)
		}
		return invalidRequest("not an object")
	}
	var m members
	i, f := m.scan(msg, i, lim.depth())
	if f == faultNone {
		if i = skipSpace(msg, i); i < len(msg) {
			f = faultTrailing
		}
	}
	if f != faultNone {
		if f == faultDepth {
			env.ID = m.usableID(msg)
		}
		return scanError(f, i)
	}
	return m.judge(msg, env)
}

// checkSize refuses a message whose parts a Span cannot name.
func checkSize(msg []byte) *Error {
	if uint64(len(msg)) > math.MaxUint32 {
		return invalidRequest("longer than 4 GiB")
	}
	return nil
}

// MethodName returns the text of the method, unescaped. It is a part of msg
// unless e.Escaped, when it is freshly allocated.
func (e *Envelope) MethodName(msg []byte) []byte {
	raw := e.Method.Of(msg)
	if !e.Escaped {
		return raw
	}
	return appendUnescaped(make([]byte, 0, len(raw)), raw)
}

// scan scans the object that starts at b[i] and notes its members. It returns
// the offset behind the object, or that of the fault.
func (m *members) scan(b []byte, i, depth int) (int, fault) {
	if depth <= 0 {
		return i, faultDepth
	}
	i = skipSpace(b, i+1)
	if i < len(b) && b[i] == '}' {
		return i + 1, faultNone
	}
	for {
		key := i + 1
		end, v, f := scanKey(b, i)
		if f != faultNone {
			return v, f
		}
		if i, f = scanValue(b, v, depth-1); f != faultNone {
			return i, f
		}
		m.note(b[key:end-1], Span{uint32(v), uint32(i - v)})
		var more bool
		if i, more, f = scanNext(b, i, '}'); !more {
			return i, f
		}
	}
}

// note keeps value if key names a member of the envelope.
func (m *members) note(key []byte, value Span) {
	bit := memberBit(key)
	m.twice |= m.seen & bit
	m.seen |= bit
	switch bit {
	case hasVersion:
		m.version = value
	case hasID:
		m.id = value
	case hasMethod:
		m.method = value
	case hasParams:
		m.params = value
	case hasResult:
		m.result = value
	case hasError:
		m.fail = value
	}
}

// memberBit returns the bit of the member whose raw key is key, 0 if it is none.
func memberBit(key []byte) uint8 {
	switch string(key) {
	case "jsonrpc":
		return hasVersion
	case "id":
		return hasID
	case "method":
		return hasMethod
	case "params":
		return hasParams
	case "result":
		return hasResult
	case "error":
		return hasError
	}
	if bytes.IndexByte(key, '\\') >= 0 {
		for i, name := range memberNames {
			if textEqual(key, name) {
				return 1 << i
			}
		}
	}
	return 0
}

// judge holds the members against the rules of JSON-RPC and fills env.
func (m *members) judge(b []byte, env *Envelope) *Error {
	env.ID = m.usableID(b)
	if why := m.problem(b); why != "" {
		return invalidRequest(why)
	}
	switch {
	case m.seen&hasMethod != 0:
		env.Kind = KindNotification
		if m.seen&hasID != 0 {
			env.Kind = KindRequest
		}
		env.Method = Span{m.method.Off + 1, m.method.Len - 2}
		env.Escaped = bytes.IndexByte(env.Method.Of(b), '\\') >= 0
		env.Params = m.params
	case m.seen&hasResult != 0:
		env.Kind, env.Result = KindResult, m.result
	default:
		env.Kind, env.Error = KindError, m.fail
	}
	return nil
}

// problem returns the first rule the members break, "" if they break none.
func (m *members) problem(b []byte) string {
	if m.twice != 0 {
		return "a member of the envelope comes twice"
	}
	if v := m.version.Of(b); len(v) < 2 || v[0] != '"' || !textEqual(v[1:len(v)-1], "2.0") {
		return `"jsonrpc" is not "2.0"`
	}
	if m.seen&hasID != 0 && m.usableID(b).Len == 0 {
		return `"id" is not a string, a number or null`
	}
	if m.seen&hasMethod != 0 {
		switch {
		case b[m.method.Off] != '"':
			return `"method" is not a string`
		case m.seen&(hasResult|hasError) != 0:
			return "both a request and a response"
		case m.seen&hasParams != 0 && b[m.params.Off] != '{' && b[m.params.Off] != '[':
			return `"params" is not an object or an array`
		}
		return ""
	}
	switch m.seen & (hasID | hasParams | hasResult | hasError) {
	case hasID | hasResult:
		return ""
	case hasID | hasError:
		if b[m.fail.Off] != '{' {
			return `"error" is not an object`
		}
		return ""
	}
	if m.seen&(hasResult|hasError) == 0 {
		return `no "method"`
	}
	return `a response needs an "id", exactly one of "result" and "error", and no "params"`
}

// usableID returns the id if there is exactly one and it may be echoed.
func (m *members) usableID(b []byte) Span {
	if m.id.Len == 0 || m.twice&hasID != 0 || !isIDStart(b[m.id.Off]) {
		return Span{}
	}
	return m.id
}

// isIDStart reports whether c starts a JSON value that may be an id.
func isIDStart(c byte) bool { return c == '"' || c == '-' || c == 'n' || isDigit(c) }
