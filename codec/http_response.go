package codec

// Lengths of a Response that are not a number of bytes.
const (
	LengthChunked    = -1 // chunks follow; until close for an HTTP/1.0 client
	LengthUntilClose = -2 // the body ends with the connection
)

// Response is the head of a response.
type Response struct {
	Status      int
	Proto10     bool   // the request was HTTP/1.0
	Close       bool   // the connection is closed behind this response
	Length      int    // bytes of the body, LengthChunked or LengthUntilClose
	ContentType string // left out when empty
	Date        string // IMF-fixdate; left out when empty
	Extra       []byte // further header lines, each with its CRLF
}

// AppendResponse appends the head r describes.
func AppendResponse(dst []byte, r *Response) []byte { return dst }

// AppendHeader appends one header line, for Response.Extra.
func AppendHeader(dst []byte, name, value string) []byte { return dst }
