package codec

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// sseEvent is what a reader dispatches.
type sseEvent struct{ id, event, data string }

// readSSE interprets a stream as WHATWG HTML 9.2.6 tells, step by step. It
// returns the events, the last reconnection time, -1 if there was none, and how
// many comments passed.
func readSSE(stream string) (events []sseEvent, retry, comments int) {
	retry = -1
	stream = strings.TrimPrefix(stream, "\ufeff")
	stream = strings.ReplaceAll(stream, "\r\n", "\n")
	stream = strings.ReplaceAll(stream, "\r", "\n")
	lines := strings.Split(stream, "\n")
	var data, event, lastID string
	for _, line := range lines[:len(lines)-1] { // what no line end follows is discarded
		if line == "" {
			if data != "" {
				events = append(events, sseEvent{lastID, event, strings.TrimSuffix(data, "\n")})
			}
			data, event = "", ""
			continue
		}
		field, value, colon := strings.Cut(line, ":")
		if colon && field == "" {
			comments++
			continue
		}
		value = strings.TrimPrefix(value, " ")
		switch field {
		case "event":
			event = value
		case "data":
			data += value + "\n"
		case "id":
			if !strings.Contains(value, "\x00") {
				lastID = value
			}
		case "retry":
			if n, err := strconv.ParseUint(value, 10, 31); err == nil {
				retry = int(n)
			}
		}
	}
	return events, retry, comments
}

func TestAppendEvent(t *testing.T) {
	for _, c := range []struct {
		name, id, event, data, want string
		read                        sseEvent
	}{
		{"data", "", "", "{}", "data: {}\n\n", sseEvent{"", "", "{}"}},
		{"all", "1_2", "message", "x", "id: 1_2\nevent: message\ndata: x\n\n", sseEvent{"1_2", "message", "x"}},
		{"priming", "1_0", "", "", "id: 1_0\ndata: \n\n", sseEvent{"1_0", "", ""}},
		{"lines", "", "", "a\nb\r\nc\rd", "data: a\ndata: b\ndata: c\ndata: d\n\n", sseEvent{"", "", "a\nb\nc\nd"}},
		{"empty lines", "", "", "\n\r\n\r", "data: \ndata: \ndata: \ndata: \n\n", sseEvent{"", "", "\n\n\n"}},
		{"LF CR is two", "", "", "a\n\rb", "data: a\ndata: \ndata: b\n\n", sseEvent{"", "", "a\n\nb"}},
		{"spaces stay", " i", " e", " d", "id:  i\nevent:  e\ndata:  d\n\n", sseEvent{" i", " e", " d"}},
		{"colons stay", "a:b", ":", ": x", "id: a:b\nevent: :\ndata: : x\n\n", sseEvent{"a:b", ":", ": x"}},
		{"no second field", "1\ndata: x\n\n", "a\r\nid: 9", "y", "id: 1data: x\nevent: aid: 9\ndata: y\n\n", sseEvent{"1data: x", "aid: 9", "y"}},
		{"no NUL in an id", "1\x002", "", "a\x00b", "id: 12\ndata: a\x00b\n\n", sseEvent{"12", "", "a\x00b"}},
		{"nothing but line ends", "\r\n", "\n", "x", "id: \nevent: \ndata: x\n\n", sseEvent{"", "", "x"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := string(AppendEvent([]byte("before"), c.id, c.event, []byte(c.data)))
			if got != "before"+c.want {
				t.Errorf("got  %q\nwant %q", got, c.want)
			}
			if events, _, _ := readSSE(c.want); !slices.Equal(events, []sseEvent{c.read}) {
				t.Errorf("reads %q", events)
			}
		})
	}
}

func TestAppendCommentRetry(t *testing.T) {
	stream := AppendComment(nil, "keep\r\nalive\n\n")
	if string(stream) != ": keepalive\n\n" {
		t.Errorf("comment %q", stream)
	}
	stream = AppendComment(stream, "")
	stream = AppendRetry(stream, 1500*time.Millisecond+time.Microsecond)
	stream = AppendEvent(stream, "", "", []byte("x"))
	events, retry, comments := readSSE(string(stream))
	if len(events) != 1 || retry != 1500 || comments != 2 {
		t.Errorf("%q reads %q, %d, %d", stream, events, retry, comments)
	}
	if got := string(AppendRetry(nil, -time.Second)); got != "retry: 0\n\n" {
		t.Errorf("negative wait: %q", got)
	}
}

// TestSSERandom writes random streams as the server does, one chunk an event,
// and reads them with net/http's chunked reader and a reader of events.
func TestSSERandom(t *testing.T) {
	text := rapid.OneOf(rapid.String(), rapid.StringOf(rapid.SampledFrom([]rune("a: \r\n\x00\ufeff"))))
	rapid.Check(t, func(t *rapid.T) {
		var (
			want     []sseEvent
			lastID   string
			comments int
			drop     = strings.NewReplacer("\r", "", "\n", "", "\x00", "")
			lines    = strings.NewReplacer("\r\n", "\n", "\r", "\n")
		)
		wire := AppendResponse(nil, &Response{Status: 200, Length: LengthChunked, ContentType: "text/event-stream"})
		for range rapid.IntRange(0, 6).Draw(t, "n") {
			var mark int
			wire, mark = BeginChunk(wire)
			if rapid.IntRange(0, 3).Draw(t, "kind") == 0 {
				wire = AppendComment(wire, text.Draw(t, "comment"))
				comments++
			} else {
				e := sseEvent{text.Draw(t, "id"), text.Draw(t, "event"), text.Draw(t, "data")}
				wire = AppendEvent(wire, e.id, e.event, []byte(e.data))
				if e.id != "" {
					lastID = drop.Replace(e.id)
				}
				want = append(want, sseEvent{lastID, drop.Replace(e.event), lines.Replace(e.data)})
			}
			wire = EndChunk(wire, mark)
		}
		wire = AppendLastChunk(wire)
		res, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(wire)), nil)
		if err != nil {
			t.Fatal(err)
		}
		stream, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		got, _, n := readSSE(string(stream))
		if !slices.Equal(got, want) || n != comments {
			t.Fatalf("%q\ngot  %q\nwant %q", stream, got, want)
		}
	})
}
