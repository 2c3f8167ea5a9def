package bench

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
)

var responses = []struct {
	name string
	wire string
	want response // body, status, flags
	left string   // behind the response
	err  string
}{
	{name: "length", wire: "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}next",
		want: response{status: 200, body: []byte("{}")}, left: "next"},
	{name: "no body", wire: "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n", want: response{status: 202}},
	{name: "no content", wire: "HTTP/1.1 204 No Content\r\n\r\nx", want: response{status: 204}, left: "x"},
	{name: "chunks", wire: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA;ext=1\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\nnext",
		want: response{status: 200, body: []byte("abc0123456789")}, left: "next"},
	{name: "session", wire: "HTTP/1.1 200 OK\r\nmcp-session-id:  abc \r\ncontent-length: 1\r\nConnection: close\r\n\r\nx",
		want: response{status: 200, body: []byte("x"), session: "abc", close: true}},
	{name: "events", wire: "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n:a\n\n\r\n0\r\n\r\n",
		want: response{status: 200, body: []byte(":a\n\n"), events: true}},
	{name: "not HTTP", wire: "hello\r\n\r\n", err: "no HTTP/1.1 status line"},
	{name: "status", wire: "HTTP/1.1 99 Low\r\n\r\n", err: "no HTTP/1.1 status line"},
	{name: "bare LF", wire: "HTTP/1.1 200 OK\nX: y\r\n\r\n", err: "a bare CR or LF"},
	{name: "bare LF in a chunk", wire: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;\n\r\n", err: "a bare CR or LF"},
	{name: "header", wire: "HTTP/1.1 200 OK\r\nnonsense\r\n\r\n", err: "is no header"},
	{name: "bad length", wire: "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", err: "is no length"},
	{name: "two lengths", wire: "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", err: "is no length"},
	{name: "coding", wire: "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", err: "is unknown"},
	{name: "both", wire: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n", err: "both Content-Length"},
	{name: "endless", wire: "HTTP/1.1 200 OK\r\n\r\n", err: "only a close can tell"},
	{name: "chunk size", wire: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", err: "no size of a chunk"},
	{name: "chunk end", wire: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n", err: "behind the data of a chunk"},
	{name: "long head", wire: "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", headMax), err: "head of more than"},
	{name: "long chunk head", wire: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + strings.Repeat("1", headMax+1), err: "without end"},
	{name: "long body", wire: "HTTP/1.1 200 OK\r\nContent-Length: 9999999\r\n\r\n" + strings.Repeat("x", bodyMax+1), err: "more than"},
}

// feedAll gives wire to a response in pieces of n bytes, as conn.take does.
func feedAll(wire string, n int) (r response, left string, err error) {
	var kept []byte
	for piece := range slices.Chunk([]byte(wire), n) {
		kept = append(kept, piece...)
		used, err := r.feed(kept)
		if err != nil {
			return r, "", err
		}
		kept = kept[used:]
	}
	return r, string(kept), nil
}

func TestResponse(t *testing.T) {
	for _, test := range responses {
		for _, n := range []int{1, 2, 7, len(test.wire)} {
			r, left, err := feedAll(test.wire, n)
			if test.err != "" {
				if err == nil || !strings.Contains(err.Error(), test.err) {
					t.Errorf("%s, by %d: error %v, want %q", test.name, n, err, test.err)
				}
				continue
			}
			if err != nil || !r.done || left != test.left {
				t.Errorf("%s, by %d: done %v, left %q, error %v", test.name, n, r.done, left, err)
			}
			w := test.want
			if r.status != w.status || !bytes.Equal(r.body, w.body) || r.session != w.session || r.events != w.events || r.close != w.close {
				t.Errorf("%s, by %d: got %+v", test.name, n, r)
			}
		}
	}
}

func TestResponseIsReused(t *testing.T) {
	var r response
	for i := range 3 {
		r.reset()
		wire := fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n%d", i)
		if n, err := r.feed([]byte(wire)); n != len(wire) || err != nil || string(r.body) != fmt.Sprint(i) {
			t.Errorf("%d: used %d, body %q, %v", i, n, r.body, err)
		}
	}
}

// An event stream that nothing delimits is open until the connection closes.
func TestResponseUntilClose(t *testing.T) {
	r, _, err := feedAll("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: x\n\n", 5)
	if err != nil || r.done || !r.head || string(r.body) != "data: x\n\n" {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestMessage(t *testing.T) {
	for _, test := range []struct {
		r    response
		want string
		err  string
	}{
		{r: response{status: 200, body: []byte("{}")}, want: "{}"},
		{r: response{status: 404, body: []byte("no such session\n")}, err: "HTTP status 404: no such session"},
		{r: response{status: 200, events: true, body: []byte("id: 1\ndata:\n\nevent: message\ndata: {}\n\n")}, want: "{}"},
		{r: response{status: 200, events: true, body: []byte(":\n\ndata: {}")}, err: "without a message"},
	} {
		got, err := test.r.message()
		if string(got) != test.want || (err == nil) != (test.err == "") || (err != nil && !strings.Contains(err.Error(), test.err)) {
			t.Errorf("%q gives %q, %v", test.r.body, got, err)
		}
	}
}

func TestEventData(t *testing.T) {
	const stream = ":comment\n\nid: 1\ndata:\n\ndata: a\r\ndata:b\r\n\r\nevent: x\n\ndata: {\"c\":1}\n\ndata: unfinished"
	var got []string
	for d := range eventData([]byte(stream)) {
		got = append(got, string(d))
	}
	if want := []string{"ab", `{"c":1}`}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	for range eventData([]byte(stream)) {
		break // a reader that stops early is no error
	}
}

// FuzzResponse: no input makes the reader panic, pieces do not matter, and
// what it accepts net/http reads the same.
func FuzzResponse(f *testing.F) {
	for _, test := range responses {
		if len(test.wire) < 1000 {
			f.Add(test.wire, 3)
		}
	}
	f.Fuzz(func(t *testing.T, wire string, n int) {
		n = max(1, min(n, 100))
		whole, left, err := feedAll(wire, max(1, len(wire)))
		parts, partsLeft, partsErr := feedAll(wire, n)
		if (err == nil) != (partsErr == nil) {
			t.Fatalf("whole: %v; by %d: %v", err, n, partsErr)
		}
		if err != nil {
			return
		}
		if left != partsLeft || !bytes.Equal(whole.body, parts.body) || whole.status != parts.status || whole.done != parts.done {
			t.Fatalf("whole: %+v %q; by %d: %+v %q", whole, left, n, parts, partsLeft)
		}
		if !whole.done || whole.status < 200 {
			return
		}
		theirs, err := http.ReadResponse(bufio.NewReader(strings.NewReader(wire)), &http.Request{Method: http.MethodGet})
		if err != nil {
			return // net/http refuses more: names and values of headers we never look at
		}
		defer func() { _ = theirs.Body.Close() }()
		body, err := io.ReadAll(theirs.Body)
		if err != nil {
			return
		}
		if theirs.StatusCode != whole.status || !bytes.Equal(body, whole.body) {
			t.Fatalf("net/http: %d %q; we: %d %q", theirs.StatusCode, body, whole.status, whole.body)
		}
	})
}

// TestLoadDoesNotAllocate: what checks a reply costs the client no garbage, so
// that its collector does not disturb what it measures.
func TestLoadDoesNotAllocate(t *testing.T) {
	wire := []byte("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 42\r\n\r\n" +
		`{"jsonrpc":"2.0","id":1000000,"result":[]}`)
	var r response
	var same template
	verified := func([]byte, int, string) error { return nil }
	allocs := testing.AllocsPerRun(100, func() {
		r.reset()
		if n, err := r.feed(wire); n != len(wire) || err != nil || !r.done {
			t.Fatal(n, err)
		}
		message, err := r.message()
		if err != nil {
			t.Fatal(err)
		}
		if err := same.check(message, firstHTTPID, "", verified); err != nil {
			t.Fatal(err)
		}
	})
	if allocs != 0 {
		t.Errorf("%v allocations a reply", allocs)
	}
}
