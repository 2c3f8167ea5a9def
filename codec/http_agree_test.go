package codec

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"net/textproto"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// stricterRule names the rule by which we refuse what net/http may read, with
// its reason; ok is false for an error that net/http must share.
func stricterRule(e *HTTPError) (rule string, ok bool) {
	rule, ok = map[*HTTPError]string{
		errBareLF:   "bare-lf: RFC 9112 2.2 leaves it open; a server before us may not see the line end",
		errFold:     "obs-fold: RFC 9112 5.2 asks servers to refuse it or to join the lines",
		errSpace:    "name-space: RFC 9112 5.1 asks servers to refuse whitespace before the colon",
		errVer:      "version: we serve 1.0 and 1.1",
		errTunnel:   "connect: we are no proxy",
		errTarget:   "target-bytes: only visible ASCII without # (RFC 3986)",
		errForm:     "target-form: a path, an http or https URL, or * for OPTIONS (RFC 9112 3.2)",
		errHost:     "host-form: names, addresses and a port, nothing else",
		errNoHost:   "host-missing: RFC 9112 3.2; http.Server refuses it too",
		errOther:    "host-differs: RFC 9112 3.2.2 asks clients to send it as in the target",
		errTwice:    "singleton: a second value may route or authorise another way",
		errExpect:   "expectation: RFC 9110 10.1.1; http.Server refuses it too",
		errBoth:     "length-and-coding: RFC 9112 6.1; http.ReadRequest drops the length",
		errCoding10: "coding-1.0: RFC 9112 6.1; net/http ignores the coding",
		errChunkSP:  "chunk-space: RFC 9112 7.1 has none there; net/http trims it",
		errChunkExt: "chunk-extension: control bytes",
		errSlack:    "limit: extensions and trailers",
		errLong:     "limit: request line",
		errMany:     "limit: header count",
		errLarge:    "limit: header bytes",
		errBody:     "limit: body",
	}[e]
	return rule, ok
}

// httpErrors are all a request can be refused for.
var httpErrors = []*HTTPError{
	errBareLF, errBareCR, errFold, errNoise, errLine, errMethod, errProto, errVer, errColon, errName, errSpace,
	errValue, errLong, errMany, errLarge, errTwice, errExpect, errTunnel, errEscape, errTarget, errForm, errHost,
	errNoHost, errHosts, errOther, errLength, errLengths, errBoth, errCoding, errCoding10, errTrailer, errBody,
	errChunk, errChunkSP, errChunkExt, errChunkEnd, errSlack,
}

// TestHTTPErrorList holds the lists above to the code and to its comments: all
// errors are there, each has a request, and "stricter" stands where it must.
func TestHTTPErrorList(t *testing.T) {
	src, err := os.ReadFile("http_error.go")
	if err != nil {
		t.Fatal(err)
	}
	lines := regexp.MustCompile(`(?m)^\t(err\w+)\s+= &HTTPError\{\d+, "([^"]+)"\}\s*//(.*)$`).FindAllStringSubmatch(string(src), -1)
	if len(lines) != len(httpErrors) {
		t.Errorf("%d errors in the file, %d in the list", len(lines), len(httpErrors))
	}
	for _, l := range lines {
		i := slices.IndexFunc(httpErrors, func(e *HTTPError) bool { return e.Reason == l[2] })
		if i < 0 {
			t.Errorf("%s is not in the list", l[1])
			continue
		}
		if _, stricter := stricterRule(httpErrors[i]); stricter != strings.HasPrefix(l[3], " stricter") {
			t.Errorf("%s: the comment says %q, the test %v", l[1], l[3], stricter)
		}
	}
	stricter := map[*HTTPError]bool{}
	for _, c := range badRequests {
		theirs := readNetHTTP([]byte(c.in))
		stricter[c.want] = stricter[c.want] || theirs.err == nil
	}
	for _, e := range httpErrors {
		accepted, seen := stricter[e]
		if !seen {
			t.Errorf("no request in the table is refused with %q", e.Reason)
		}
		if rule, ok := stricterRule(e); ok && !accepted && !strings.HasPrefix(rule, "limit") {
			t.Errorf("net/http reads no request we refuse with %q: the rule is none", e.Reason)
		}
	}
}

// theirs is what net/http makes of the first request of some bytes.
type theirs struct {
	n    int
	err  error
	req  *http.Request
	body []byte
}

// readNetHTTP reads as http.Server does, which skips empty lines before a
// request line (after a POST); we skip one.
func readNetHTTP(in []byte) (o theirs) {
	rest := bytes.TrimPrefix(in, []byte("\r\n"))
	src := bytes.NewReader(rest)
	// Large enough for what net/http peeks at: a trailer section.
	r := bufio.NewReaderSize(src, 64<<10)
	if o.req, o.err = http.ReadRequest(r); o.err != nil {
		return o
	}
	if o.body, o.err = io.ReadAll(o.req.Body); o.err != nil {
		return o
	}
	o.n = len(in) - src.Len() - r.Buffered()
	return o
}

// agree compares what we and net/http make of the requests in in, one after
// another, as far as both read them.
func agree(t failer, in []byte) {
	t.Helper()
	for range 8 {
		ours, theirs := parseWhole(in, nil), readNetHTTP(in)
		switch {
		case ours.err != nil && theirs.err == nil:
			if _, ok := stricterRule(ours.err); !ok {
				t.Fatalf("%q: we say %q, which is no rule of ours alone; net/http reads it", in, ours.err.Reason)
			}
			return
		case ours.err != nil:
			return
		case ours.n == 0 && theirs.err == nil:
			t.Fatalf("%q: we want more, net/http is content with %d bytes", in, theirs.n)
		case ours.n == 0:
			return
		case theirs.err != nil:
			t.Fatalf("%q: we read %v, net/http says %v", in, ours, theirs.err)
		}
		if diff := differences(ours, theirs); diff != "" {
			t.Fatalf("%q: %s", in, diff)
		}
		in = in[ours.n:]
	}
}

// failer is a *testing.T or a *rapid.T.
type failer interface {
	Helper()
	Fatalf(format string, args ...any)
}

// differences tells where two readings of one request part.
func differences(ours outcome, theirs theirs) string {
	r, msg, req := &ours.req, ours.msg, theirs.req
	var diff []string
	check := func(what string, got, want any) {
		if got != want {
			diff = append(diff, fmt.Sprintf("%s: we %#v, net/http %#v", what, got, want))
		}
	}
	check("end", ours.n, theirs.n)
	check("body", string(r.Body.Of(msg)), string(theirs.body))
	check("target", string(r.Target.Of(msg)), req.RequestURI)
	check("method", r.Method, methodOf([]byte(req.Method)))
	check("host", string(r.Host.Of(msg)), req.Host)
	check("minor version", 1-int(r.Flags&FlagHTTP10), req.ProtoMinor)
	check("close", r.Flags&FlagKeepAlive == 0, req.Close)
	check("chunked", r.Flags&FlagChunked != 0, len(req.TransferEncoding) == 1)
	check("query", string(r.Query.Of(msg)), req.URL.RawQuery)
	path, err := url.PathUnescape(string(r.Path.Of(msg)))
	if err != nil {
		diff = append(diff, err.Error())
	}
	if req.URL.Path == "" {
		req.URL.Path = "/" // of a URL without one
	}
	check("path", path, req.URL.Path)
	for name, s := range map[string]Span{
		"Content-Type": r.ContentType, "Accept": r.Accept, "Origin": r.Origin, "Authorization": r.Authorization,
		"Mcp-Session-Id": r.SessionID, "Mcp-Protocol-Version": r.ProtocolVersion, "Last-Event-Id": r.LastEventID,
		"Mcp-Method": r.McpMethod, "Mcp-Name": r.McpName,
	} {
		_, present := req.Header[name]
		check(name+" present", s.Off != 0, present)
		check(name, string(s.Of(msg)), req.Header.Get(name))
	}
	check("Accept repeated", r.Flags&FlagAcceptMore != 0, len(req.Header["Accept"]) > 1)
	header := http.Header{}
	r.EachHeader(msg, func(name, value []byte) bool {
		key := textproto.CanonicalMIMEHeaderKey(string(name))
		header[key] = append(header[key], string(value))
		return true
	})
	// What net/http takes out, or puts in.
	for _, name := range []string{"Host", "Content-Length", "Transfer-Encoding", "Trailer", "Cache-Control"} {
		header.Del(name)
		req.Header.Del(name)
	}
	check("header", fmt.Sprint(header), fmt.Sprint(req.Header))
	return strings.Join(diff, "\n")
}

func TestHTTPAgreement(t *testing.T) {
	for _, c := range goodRequests {
		t.Run(c.name, func(t *testing.T) { agree(t, []byte(c.in)) })
	}
	for _, c := range badRequests {
		t.Run(c.name, func(t *testing.T) { agree(t, []byte(c.in)) })
	}
}

// FuzzHTTPAgreement looks for bytes that we and net/http read differently.
func FuzzHTTPAgreement(f *testing.F) {
	seedHTTP(func(in []byte) { f.Add(in) })
	f.Fuzz(func(t *testing.T, in []byte) { agree(t, in) })
}

// FuzzHTTPPieces looks for bytes that mean something else when they come in
// pieces. cuts holds the lengths of the pieces.
func FuzzHTTPPieces(f *testing.F) {
	seedHTTP(func(in []byte) { f.Add(in, []byte{1, 5, 2}) })
	lim := &HTTPLimits{Line: 64, Headers: 8, HeaderBytes: 160, Body: 64}
	f.Fuzz(func(t *testing.T, in, cuts []byte) {
		var at []int
		for i, sum := 0, 0; i < len(cuts); i++ {
			if sum += int(cuts[i]); sum > len(in) {
				break
			}
			at = append(at, sum)
		}
		whole := parseWhole(in, lim)
		for _, cuts := range [][]int{at, everyByte(min(len(in), 1<<10))} {
			pieces := parsePieces(t, in, cuts, lim)
			pieces.msg = append(pieces.msg, in[len(pieces.msg):]...)
			if pieces.String() != whole.String() || whole.n > 0 && pieces.req != whole.req || pieces.n != whole.n {
				t.Fatalf("%q\nwhole:  %v\npieces: %v", in, whole, pieces)
			}
		}
		if whole.n == 0 && whole.err == nil && len(in) >= lim.Message() {
			t.Fatalf("%d bytes do not do", len(in))
		}
	})
}

func seedHTTP(add func([]byte)) {
	for _, c := range goodRequests {
		add([]byte(c.in))
	}
	for _, c := range badRequests {
		if len(c.in) < 1<<10 {
			add([]byte(c.in))
		}
	}
	add(mcpPost)
	add(binary.BigEndian.AppendUint64([]byte("GET / HTTP/1.1\r\n"), 1<<63))
}
