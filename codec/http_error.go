package codec

// HTTPError says why a request was refused. The caller answers with Status and
// closes the connection: where the next request would begin is not known.
// Reason is one of a fixed set of texts and so may be a metric label. Values
// are shared and must not be changed; they may be compared with ==.
type HTTPError struct {
	Status int
	Reason string
}

// Error returns the reason.
func (e *HTTPError) Error() string { return e.Reason }

// AppendResponse appends a whole response that tells the client the reason, as
// text, and that the connection is closed behind it.
func (e *HTTPError) AppendResponse(dst []byte) []byte {
	dst = AppendResponse(dst, &Response{
		Status: e.Status, Close: true, ContentType: "text/plain; charset=utf-8", Length: len(e.Reason) + 1,
	})
	return append(append(dst, e.Reason...), '\n')
}

// What a request is refused for. Those marked "stricter" are rules of ours:
// net/http reads such a request. Each has a reason of its own to exist, mostly
// that two servers in a row may disagree about what it means, which is what
// request smuggling is made of. The agreement fuzz test holds this list to its
// word.
var (
	// The shape of lines.
	errBareLF = &HTTPError{400, "line ends with a bare LF"}         // stricter: RFC 9112 2.2 allows to accept or to refuse
	errBareCR = &HTTPError{400, "CR inside a line"}                 // RFC 9112 2.2
	errFold   = &HTTPError{400, "folded or indented header line"}   // stricter: RFC 9112 5.2
	errNoise  = &HTTPError{400, "not an HTTP request"}              // first byte can begin no method
	errLine   = &HTTPError{400, "malformed request line"}           //
	errMethod = &HTTPError{400, "malformed method"}                 //
	errProto  = &HTTPError{400, "malformed HTTP version"}           //
	errVer    = &HTTPError{505, "HTTP version is not 1.0 or 1.1"}   // stricter
	errColon  = &HTTPError{400, "header line without a colon"}      //
	errName   = &HTTPError{400, "invalid byte in a header name"}    //
	errSpace  = &HTTPError{400, "whitespace in a header name"}      // stricter: RFC 9112 5.1
	errValue  = &HTTPError{400, "control byte in a header value"}   //
	errLong   = &HTTPError{414, "request line too long"}            // stricter: limit
	errMany   = &HTTPError{431, "too many header fields"}           // stricter: limit
	errLarge  = &HTTPError{431, "header lines too large"}           // stricter: limit
	errTwice  = &HTTPError{400, "header repeated that may not be"}  // stricter: two values route or authorise two ways
	errExpect = &HTTPError{417, "expectation is not 100-continue"}  // stricter: RFC 9110 10.1.1
	errTunnel = &HTTPError{501, "CONNECT is not served"}            // stricter
	errEscape = &HTTPError{400, "malformed percent-encoding"}       //
	errTarget = &HTTPError{400, "invalid byte in request target"}   // stricter for "#" and bytes above 0x7e: RFC 3986 2
	errForm   = &HTTPError{400, "unknown form of request target"}   // stricter: only http and https, and "*" for OPTIONS alone
	errHost   = &HTTPError{400, "malformed Host"}                   // stricter
	errNoHost = &HTTPError{400, "HTTP/1.1 request without Host"}    // stricter than ReadRequest, as the server of net/http
	errHosts  = &HTTPError{400, "more than one Host"}               //
	errOther  = &HTTPError{400, "Host differs from request target"} // stricter: RFC 9112 3.2.2 asks clients to send them equal

	// The body's framing.
	errLength   = &HTTPError{400, "malformed Content-Length"}                     //
	errLengths  = &HTTPError{400, "differing Content-Length"}                     //
	errBoth     = &HTTPError{400, "Content-Length with Transfer-Encoding"}        // stricter: RFC 9112 6.1
	errCoding   = &HTTPError{501, "transfer coding is not chunked"}               //
	errCoding10 = &HTTPError{400, "Transfer-Encoding under HTTP/1.0"}             // stricter: RFC 9112 6.1
	errTrailer  = &HTTPError{400, "Trailer names a framing header"}               //
	errBody     = &HTTPError{413, "body too large"}                               // stricter: limit
	errChunk    = &HTTPError{400, "malformed chunk size"}                         //
	errChunkSP  = &HTTPError{400, "whitespace after a chunk size"}                // stricter: RFC 9112 7.1
	errChunkExt = &HTTPError{400, "control byte in a chunk extension"}            // stricter
	errChunkEnd = &HTTPError{400, "chunk longer or shorter than its size"}        //
	errSlack    = &HTTPError{400, "chunk line, extensions or trailers too large"} // stricter: limit
)
