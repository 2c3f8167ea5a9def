package wire

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
	want Response // body, status, flags
	left string   // behind the Response
	err  string
}{
	{name: "length", wire: "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}next",
		want: Response{Status: 200, Body: []byte("{}")}, left: "next"},
	{name: "no body", wire: "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n", want: Response{Status: 202}},
	{name: "no content", wire: "HTTP/1.1 204 No Content\r\n\r\nx", want: Response{Status: 204}, left: "x"},
	{name: "chunks", wire: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA;ext=1\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\nnext",
		want: Response{Status: 200, Body: []byte("abc0123456789")}, left: "next"},
	{name: "session", wire: "HTTP/1.1 200 OK\r\nmcp-session-id:  abc \r\ncontent-length: 1\r\nConnection: close\r\n\r\nx",
		want: Response{Status: 200, Body: []byte("x"), Session: "abc", Close: true}},
	{name: "events", wire: "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n:a\n\n\r\n0\r\n\r\n",
		want: Response{Status: 200, Body: []byte(":a\n\n"), Events: true}},
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
	{name: "long head", wire: "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", HeadMax), err: "head of more than"},
	{name: "long chunk head", wire: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + strings.Repeat("1", HeadMax+1), err: "without end"},
	{name: "long body", wire: "HTTP/1.1 200 OK\r\nContent-Length: 9999999\r\n\r\n" + strings.Repeat("x", BodyMax+1), err: "more than"},
}

// feedAll gives wire to a response in pieces of n bytes, as conn.take does.
func feedAll(wire string, n int) (r Response, left string, err error) {
	var kept []byte
	for piece := range slices.Chunk([]byte(wire), n) {
		kept = append(kept, piece...)
		used, err := r.Feed(kept)
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
			if err != nil || !r.Done || left != test.left {
				t.Errorf("%s, by %d: done %v, left %q, error %v", test.name, n, r.Done, left, err)
			}
			w := test.want
			if r.Status != w.Status || !bytes.Equal(r.Body, w.Body) || r.Session != w.Session || r.Events != w.Events || r.Close != w.Close {
				t.Errorf("%s, by %d: got %+v", test.name, n, r)
			}
		}
	}
}

func TestResponseIsReused(t *testing.T) {
	var r Response
	for i := range 3 {
		r.Reset()
		wire := fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n%d", i)
		if n, err := r.Feed([]byte(wire)); n != len(wire) || err != nil || string(r.Body) != fmt.Sprint(i) {
			t.Errorf("%d: used %d, body %q, %v", i, n, r.Body, err)
		}
	}
}

// An event stream that nothing delimits is open until the connection closes.
func TestResponseUntilClose(t *testing.T) {
	r, _, err := feedAll("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: x\n\n", 5)
	if err != nil || r.Done || !r.Head || string(r.Body) != "data: x\n\n" {
		t.Errorf("%+v, %v", r, err)
	}
}

// Who takes the events out of Body may read an undelimited stream for ever.
func TestStreamHasNoEnd(t *testing.T) {
	r, event := Stream(false), []byte("data: x\n\n")
	for range BodyMax {
		if n, err := r.Feed(event); n != len(event) || err != nil || r.Done {
			t.Fatalf("used %d, done %v, error %v", n, r.Done, err)
		}
		r.Body = r.Body[:0]
	}
}

// A stream that rests can be forgotten and taken up again.
func TestStreamRests(t *testing.T) {
	const head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
	const chunk = "4\r\n:a\n\n\r\n"
	r, left, err := feedAll(head+chunk, 3)
	if _, ok := r.Resting(); err != nil || left != "" || ok {
		t.Fatalf("with a body it rests: %v, left %q, error %v", ok, left, err)
	}
	r.Body = r.Body[:0]
	chunked, ok := r.Resting()
	if !ok || !chunked {
		t.Fatalf("rests %v, chunked %v", ok, chunked)
	}
	r = Stream(chunked)
	for n := 1; n < len(chunk); n++ {
		used, err := r.Feed([]byte(chunk[:n]))
		if _, ok := r.Resting(); err != nil || ok && used > 0 {
			t.Errorf("in the middle of a chunk (%d) it rests: %v, error %v", n, ok, err)
		}
		r = Stream(chunked)
	}
	if n, err := r.Feed([]byte(chunk + "0\r\n\r\n")); err != nil || n != len(chunk)+5 || !r.Done || string(r.Body) != ":a\n\n" {
		t.Errorf("used %d, done %v, body %q, error %v", n, r.Done, r.Body, err)
	}
}

func TestMessage(t *testing.T) {
	for _, test := range []struct {
		r    Response
		want string
		err  string
	}{
		{r: Response{Status: 200, Body: []byte("{}")}, want: "{}"},
		{r: Response{Status: 404, Body: []byte("no such session\n")}, err: "HTTP status 404: no such session"},
		{r: Response{Status: 200, Events: true, Body: []byte("id: 1\ndata:\n\nevent: message\ndata: {}\n\n")}, want: "{}"},
		{r: Response{Status: 200, Events: true, Body: []byte(":\n\ndata: {}")}, err: "without a message"},
	} {
		got, err := test.r.Message()
		if string(got) != test.want || (err == nil) != (test.err == "") || (err != nil && !strings.Contains(err.Error(), test.err)) {
			t.Errorf("%q gives %q, %v", test.r.Body, got, err)
		}
	}
}

func TestEventData(t *testing.T) {
	const stream = ":comment\n\nid: 1\ndata:\n\ndata: a\r\ndata:b\r\n\r\nevent: x\n\ndata: {\"c\":1}\n\ndata: unfinished"
	var got []string
	for d := range EventData([]byte(stream)) {
		got = append(got, string(d))
	}
	if want := []string{"ab", `{"c":1}`}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	for range EventData([]byte(stream)) {
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
		if left != partsLeft || !bytes.Equal(whole.Body, parts.Body) || whole.Status != parts.Status || whole.Done != parts.Done {
			t.Fatalf("whole: %+v %q; by %d: %+v %q", whole, left, n, parts, partsLeft)
		}
		if !whole.Done || whole.Status < 200 {
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
		if theirs.StatusCode != whole.Status || !bytes.Equal(body, whole.Body) {
			t.Fatalf("net/http: %d %q; we: %d %q", theirs.StatusCode, body, whole.Status, whole.Body)
		}
	})
}
