package codec

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"unsafe"
)

// outcome is what became of the first request of some bytes.
type outcome struct {
	n    int
	err  *HTTPError
	req  Request
	msg  []byte // the message as the parser left it
	asks int    // times 100 Continue was asked for
}

func parseWhole(in []byte, lim *HTTPLimits) outcome {
	var (
		o    outcome
		scan [2]uint64
		asks bool
	)
	o.msg = bytes.Clone(in)
	o.n, asks, o.err = ParseRequest(o.msg, &scan, lim, &o.req)
	if asks {
		o.asks++
	}
	return o
}

// parsePieces feeds in up to each of the cuts, which ascend, and at last all of
// it. Each call gets its bytes at another place, and those of the call before
// are overwritten: nothing but the scan words may carry over. *Request is made
// anew for each call too.
func parsePieces(t failer, in []byte, cuts []int, lim *HTTPLimits) outcome {
	var (
		o    outcome
		scan [2]uint64
		work int
	)
	for _, cut := range append(cuts[:len(cuts):len(cuts)], len(in)) {
		old := o.msg
		msg := make([]byte, cut)
		copy(msg, old)
		copy(msg[len(old):], in[len(old):])
		for i := range old {
			old[i] = 0xee
		}
		before := toRead(scan, len(msg))
		var asks bool
		o.req = Request{Method: 0xee, Flags: 0xff}
		o.msg = msg
		o.n, asks, o.err = ParseRequest(msg, &scan, lim, &o.req)
		if asks {
			o.asks++
		}
		if o.n != 0 || o.err != nil {
			if o.err == nil && scan != [2]uint64{} {
				t.Fatalf("scan words %x left behind a complete request", scan)
			}
			return o
		}
		if !bytes.Equal(msg, in[:cut]) {
			t.Fatalf("an incomplete request of %d bytes was changed", cut)
		}
		// Linear: at most one byte, that of a CR or an LF, is left to look at
		// again, and the work of all calls is bounded by the bytes.
		if left := toRead(scan, len(msg)); left > 3 {
			t.Fatalf("%d bytes of %d would be read again", left, cut)
		}
		work += before
	}
	if work > 4*len(in)+8 {
		t.Fatalf("%d bytes read for %d", work, len(in))
	}
	return o
}

// toRead returns how many of n bytes the next call will look at first.
func toRead(scan [2]uint64, n int) int {
	switch scan[1] & phaseMask {
	case phaseHead:
		return n - int(scan[0]>>32)
	case phaseLength:
		return 0
	}
	c := loadChunkScan(&scan)
	return max(n-c.pos-c.rel, 0)
}

// String tells an outcome in one line, in the words of the tables below.
func (o outcome) String() string {
	switch {
	case o.err != nil:
		return fmt.Sprintf("%d %s", o.err.Status, o.err.Reason)
	case o.n == 0:
		return "more"
	}
	r, msg := &o.req, o.msg
	var s strings.Builder
	fmt.Fprintf(&s, "%s %s", [...]string{"OTHER", "GET", "POST", "DELETE", "OPTIONS", "HEAD", "PUT"}[r.Method], r.Path.Of(msg))
	for _, f := range []struct {
		name string
		span Span
	}{
		{"query", r.Query}, {"host", r.Host}, {"type", r.ContentType}, {"accept", r.Accept}, {"origin", r.Origin},
		{"auth", r.Authorization}, {"session", r.SessionID}, {"version", r.ProtocolVersion},
		{"last", r.LastEventID}, {"method", r.McpMethod}, {"name", r.McpName},
	} {
		if f.span.Off != 0 {
			fmt.Fprintf(&s, " %s=%s", f.name, f.span.Of(msg))
		}
	}
	for i, name := range []string{"1.0", "keep", "chunked", "expect", "upgrade", "accepts"} {
		if r.Flags&(1<<i) != 0 {
			s.WriteString(" +" + name)
		}
	}
	if r.Body.Len > 0 {
		fmt.Fprintf(&s, " body=%q", r.Body.Of(msg))
	}
	if rest := msg[o.n:]; len(rest) > 0 {
		fmt.Fprintf(&s, " rest=%q", rest)
	}
	return s.String()
}

func TestParseRequestGood(t *testing.T) {
	for _, c := range goodRequests {
		t.Run(c.name, func(t *testing.T) {
			checkSplits(t, []byte(c.in), c.want)
		})
	}
}

func TestParseRequestBad(t *testing.T) {
	for _, c := range badRequests {
		t.Run(c.name, func(t *testing.T) {
			checkSplits(t, []byte(c.in), outcome{err: c.want}.String())
		})
	}
}

// checkSplits wants the same outcome from in whole, byte by byte, and cut in two
// anywhere (or, if it is long, at many places).
func checkSplits(t *testing.T, in []byte, want string) {
	t.Helper()
	if got := parseWhole(in, nil).String(); got != want {
		t.Fatalf("whole:\ngot  %s\nwant %s", got, want)
	}
	// A refusal may come before the bytes behind it; what is read stays.
	same := func(how string, o outcome) {
		t.Helper()
		o.msg = append(o.msg, in[len(o.msg):]...)
		if got := o.String(); got != want {
			t.Fatalf("%s:\ngot  %s\nwant %s", how, got, want)
		}
	}
	if len(in) <= 4096 {
		same("byte by byte", parsePieces(t, in, everyByte(len(in)), nil))
	}
	for i := 0; i < len(in); i += 1 + len(in)/512 {
		same(fmt.Sprintf("cut at %d", i), parsePieces(t, in, []int{i}, nil))
		same(fmt.Sprintf("cut at %d and behind", i), parsePieces(t, in, []int{i, min(i+1, len(in)), min(i+2, len(in))}, nil))
	}
}

// TestRequestSize pins what travels by value through queues.
func TestRequestSize(t *testing.T) {
	if got := unsafe.Sizeof(Request{}); got != 120 {
		t.Errorf("Request takes %d bytes, want 120", got)
	}
}
