package codec

// This file holds the types of the HTTP/1.1 request parser (RFC 9110, RFC 9112).

// Default limits, taken where a field of HTTPLimits is zero.
const (
	httpLineMax        = 8 << 10  // bytes of the request line
	httpHeadersMax     = 64       // header fields
	httpHeaderBytesMax = 16 << 10 // bytes of all header lines
	httpBodyMax        = 16 << 20 // bytes of a decoded body
)

// HTTPLimits bounds what one request may cost. The zero value of a field
// stands for its default. A HTTPLimits is only read, so one may be shared by
// any number of goroutines.
type HTTPLimits struct {
	Line        int // bytes of the request line without its line end; 8 KiB
	Headers     int // header fields; 64
	HeaderBytes int // bytes of all header lines, line ends included; 16 KiB
	Body        int // bytes of a decoded body; 16 MiB, at most 1 GiB
}

// Method is the request method. Methods are case-sensitive (RFC 9110 9.1).
type Method uint8

// The methods the parser tells apart. CONNECT is refused and never seen here.
const (
	MethodOther Method = iota // any other well-formed token
	MethodGet
	MethodPost
	MethodDelete
	MethodOptions
	MethodHead
	MethodPut
)

// Flags of a Request.
const (
	FlagHTTP10     uint8 = 1 << iota // HTTP/1.0; else HTTP/1.1
	FlagKeepAlive                    // the client expects the connection to stay open
	FlagChunked                      // the body came in chunks
	FlagExpect                       // Expect: 100-continue under HTTP/1.1
	FlagUpgrade                      // Connection: upgrade with an Upgrade header
	FlagAcceptMore                   // Accept came more than once; the span is the first
)

// Request is one parsed request head and the place of its body. It holds no
// pointer: every Span counts from the first byte given to ParseRequest, so a
// Request stays good when the message is moved or copied as a whole.
//
// A header that is absent has the zero Span; one that is present but empty has
// Len 0 and an Off other than 0.
type Request struct {
	Method          Method
	Flags           uint8
	Head            uint32 // bytes of the head, its blank line included
	Target          Span   // request target as sent
	Path            Span   // raw path; never empty, "*" for OPTIONS *
	Query           Span   // raw query without "?"
	Host            Span   // authority: uri-host [ ":" port ]
	ContentType     Span
	Accept          Span
	Origin          Span
	Authorization   Span
	SessionID       Span // Mcp-Session-Id
	ProtocolVersion Span // MCP-Protocol-Version
	LastEventID     Span // Last-Event-ID
	McpMethod       Span // Mcp-Method
	McpName         Span // Mcp-Name
	Body            Span // decoded body
}

// HTTPError says why a request was refused. The caller answers with Status and
// closes the connection: where the next request would begin is not known.
// Reason is one of a fixed set of texts and may be a metric label.
type HTTPError struct {
	Status int
	Reason string
}

// Error returns the reason.
func (e *HTTPError) Error() string { return e.Reason }

// ParseRequest looks at the first request of b.
func ParseRequest(b []byte, scan *[2]uint64, lim *HTTPLimits, req *Request) (n int, wants100 bool, err *HTTPError) {
	return 0, false, &HTTPError{501, "not yet"}
}

// Header returns the value of the first header field called name.
func (r *Request) Header(msg []byte, name string) ([]byte, bool) { return nil, false }

// EachHeader calls f for every header field until f returns false.
func (r *Request) EachHeader(msg []byte, f func(name, value []byte) bool) {}

// Accepts reports whether the request's Accept headers allow mediaType.
func (r *Request) Accepts(msg []byte, mediaType string) bool { return false }
