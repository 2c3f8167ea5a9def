package codec

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var epoch = time.Date(1994, 11, 6, 8, 49, 37, 0, time.UTC)

func TestAppendResponse(t *testing.T) {
	for _, c := range []struct {
		name string
		r    Response
		want string
	}{
		{"json", Response{Status: 200, Length: 2, ContentType: "application/json"},
			"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n"},
		{"date and more", Response{Status: 405, Date: "D", Extra: AppendHeader(nil, "Allow", "POST")},
			"HTTP/1.1 405 Method Not Allowed\r\nDate: D\r\nContent-Length: 0\r\nAllow: POST\r\n\r\n"},
		{"stream", Response{Status: 200, Length: LengthChunked, ContentType: "text/event-stream"},
			"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"},
		{"old stream", Response{Status: 200, Length: LengthChunked, Proto10: true},
			"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"},
		{"old", Response{Status: 200, Length: 3, Proto10: true},
			"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: keep-alive\r\n\r\n"},
		{"old and closed", Response{Status: 200, Length: 3, Proto10: true, Close: true},
			"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\n"},
		{"until close", Response{Status: 200, Length: LengthUntilClose},
			"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"},
		{"closed", Response{Status: 503, Close: true, Extra: []byte("Retry-After: 1\r\n")},
			"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\nRetry-After: 1\r\n\r\n"},
		{"no content", Response{Status: 204, Length: LengthChunked}, "HTTP/1.1 204 No Content\r\n\r\n"},
		{"not modified", Response{Status: 304, Length: 5}, "HTTP/1.1 304 Not Modified\r\n\r\n"},
		{"interim", Response{Status: 100, Proto10: true, Close: true}, "HTTP/1.1 100 Continue\r\n\r\n"},
		{"unknown status", Response{Status: 299}, "HTTP/1.1 299 \r\nContent-Length: 0\r\n\r\n"},
		{"odd status", Response{Status: 999}, "HTTP/1.1 999 \r\nContent-Length: 0\r\n\r\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := string(AppendResponse([]byte("before"), &c.r)); got != "before"+c.want {
				t.Errorf("got  %q\nwant %q", got, c.want)
			}
		})
	}
	if got := string(AppendContinue(nil)); got != string(AppendResponse(nil, &Response{Status: 100})) {
		t.Errorf("continue: %q", got)
	}
}

// TestResponseFraming: net/http reads the body we framed, and knows as we do
// whether the connection goes on.
func TestResponseFraming(t *testing.T) {
	const body = "hello"
	for _, status := range []int{200, 202, 204, 304, 404, 500} {
		for _, length := range []int{len(body), 0, LengthChunked, LengthUntilClose} {
			for flags := range 4 {
				r := Response{Status: status, Length: length, Proto10: flags&1 != 0, Close: flags&2 != 0}
				t.Run(fmt.Sprintf("%d length %d old %v close %v", status, length, r.Proto10, r.Close), func(t *testing.T) {
					wire := AppendResponse(nil, &r)
					want := ""
					if r.hasBody() && length != 0 {
						want = body
						if r.Chunked() {
							wire = AppendLastChunk(AppendChunk(wire, []byte(body)))
						} else {
							wire = append(wire, body...)
						}
					}
					if !r.Closes() {
						wire = append(wire, "HTTP/1.1 200 OK\r\n\r\n"...)
					}
					in := bufio.NewReader(bytes.NewReader(wire))
					res, err := http.ReadResponse(in, nil)
					if err != nil {
						t.Fatal(err)
					}
					got, err := io.ReadAll(res.Body)
					if err != nil || string(got) != want {
						t.Errorf("body %q, %v; want %q", got, err, want)
					}
					if res.Close != r.Closes() {
						t.Errorf("closes: net/http %v, we %v", res.Close, r.Closes())
					}
					if rest, _ := io.ReadAll(in); !r.Closes() && !strings.HasPrefix(string(rest), "HTTP/1.1 200") {
						t.Errorf("left over: %q", rest)
					}
				})
			}
		}
	}
}

// TestAppendHeader: no value adds a line, to us or to net/http.
func TestAppendHeader(t *testing.T) {
	if got := string(AppendHeader(nil, "X", "a\r\nSet-Cookie: b\x00\tc\xff\x7f")); got != "X: a  Set-Cookie: b \tc\xff \r\n" {
		t.Errorf("got %q", got)
	}
	rapid.Check(t, func(t *rapid.T) {
		value := rapid.OneOf(rapid.String(), rapid.StringOf(rapid.SampledFrom([]rune("a:\r\n\x00 \t\u0085")))).Draw(t, "value")
		wire := AppendResponse(nil, &Response{Status: 200, Extra: AppendHeader(nil, "X", value)})
		res, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(wire)), nil)
		if err != nil {
			t.Fatal(err)
		}
		if len(res.Header) != 2 || len(res.Header["X"]) != 1 {
			t.Fatalf("%q makes %v", value, res.Header)
		}
	})
}

func TestHTTPErrorResponse(t *testing.T) {
	for _, e := range httpErrors {
		var err error = e
		if err.Error() != e.Reason || e.Reason == "" || statusTexts[e.Status] == "" {
			t.Errorf("%d %q %q: something is empty", e.Status, e.Reason, statusTexts[e.Status])
		}
		res, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(e.AppendResponse(nil))), nil)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		if err != nil || string(body) != e.Reason+"\n" || res.StatusCode != e.Status || !res.Close || res.ContentLength != int64(len(body)) {
			t.Errorf("%d %s: got %v with %q, %v", e.Status, e.Reason, res, body, err)
		}
	}
}

func TestStatusTexts(t *testing.T) {
	for status, text := range statusTexts {
		std := http.StatusText(status)
		if status == http.StatusRequestEntityTooLarge {
			std = "Content Too Large" // renamed by RFC 9110
		}
		if status == http.StatusRequestURITooLong {
			std = "URI Too Long"
		}
		if text != "" && text != std {
			t.Errorf("%d is %q, not %q", status, text, std)
		}
	}
}

func TestDateClock(t *testing.T) {
	var c DateClock
	zone := time.FixedZone("", 3600)
	for _, at := range []time.Time{epoch, epoch.Add(999 * time.Millisecond), epoch.In(zone)} {
		if got := c.At(at); got != "Sun, 06 Nov 1994 08:49:37 GMT" {
			t.Errorf("got %q", got)
		}
	}
	if got := c.At(epoch.Add(-time.Second)); got != "Sun, 06 Nov 1994 08:49:36 GMT" {
		t.Errorf("a second back: %q", got)
	}
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for s := range 1000 {
				at := epoch.Add(time.Duration(s*(i+1)) * time.Second)
				if got := c.At(at); got != at.Format(http.TimeFormat) {
					t.Errorf("got %q for %v", got, at)
					return
				}
			}
		})
	}
	wg.Wait()
}
