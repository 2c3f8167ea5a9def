package server

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/rookery-server/rookery/loop"
	"github.com/rookery-server/rookery/mcp"
)

// offline returns a server that is never started, for protocols that are
// stepped without a loop.
func offline(t testing.TB) *Server {
	t.Helper()
	s, err := New(Options{Logger: slog.New(slog.DiscardHandler), MessageMax: 64 << 10})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	testMethods(s)
	if err := s.MCP().AddTool(mcp.Tool{Name: "t", Handle: func(context.Context, *mcp.Call) (*mcp.ToolResult, error) {
		return mcp.Text("x"), nil
	}}); err != nil {
		t.Fatal(err)
	}
	return s
}

// feed shows in to a protocol as a loop would and returns what it answered.
// Records are worked on at once, or after everything else when busy is set.
func feed(t testing.TB, p loop.Protocol, in []byte, busy bool) []byte {
	t.Helper()
	var out []byte
	var records [][]byte
	var scan [2]uint64
	in = bytes.Clone(in)
	for turn := (loop.Turn{EOF: true, Scan: &scan}); len(in) > 0; {
		turn.In, turn.N, turn.Out, turn.Record, turn.Busy = in, 0, nil, nil, len(records) > 0
		v := p.Step(&turn)
		if turn.N < 0 || turn.N > len(in) {
			t.Fatalf("verdict %d took %d of %d bytes", v, turn.N, len(in))
		}
		if (v == loop.Next || v == loop.Work) && turn.N == 0 {
			t.Fatalf("verdict %d without progress", v)
		}
		in = in[turn.N:]
		out = append(out, turn.Out...)
		if v == loop.Work {
			records = append(records, turn.Record)
			if !busy {
				out = append(out, work(p, records[0])...)
				records = nil
			}
		} else if v != loop.Next {
			break
		}
		scan = [2]uint64{}
	}
	for _, r := range records {
		out = append(out, work(p, r)...)
	}
	return out
}

func work(p loop.Protocol, record []byte) []byte {
	j := loop.Job{Record: record}
	p.Work(&j)
	return j.Out
}

// FuzzLines: whatever comes, every line of the answer is a JSON-RPC message.
func FuzzLines(f *testing.F) {
	for _, l := range goodLines {
		f.Add([]byte(l.in+"\n"), false)
	}
	for _, l := range badLines {
		f.Add([]byte(l.in+"\n"), true)
	}
	p := newLines(offline(f))
	f.Fuzz(func(t *testing.T, in []byte, busy bool) {
		for line := range bytes.Lines(feed(t, p, in, busy)) {
			var one struct{ JSONRPC string }
			var many []struct{ JSONRPC string }
			if line[0] == '[' {
				if err := json.Unmarshal(line, &many); err != nil || len(many) == 0 {
					t.Fatalf("%q is answered %q: %v", in, line, err)
				}
				one = many[0]
			} else if err := json.Unmarshal(line, &one); err != nil {
				t.Fatalf("%q is answered %q: %v", in, line, err)
			}
			if one.JSONRPC != "2.0" {
				t.Fatalf("%q is answered %q", in, line)
			}
		}
	})
}

// FuzzWeb: whatever comes, the answer is a sequence of HTTP responses.
func FuzzWeb(f *testing.F) {
	for _, r := range hostileRequests {
		f.Add([]byte(r.in), false)
	}
	f.Add([]byte(post(initialize)+post(call(1, "t"))+"GET / HTTP/1.1\r\nHost: x\r\n\r\n"), true)
	f.Add([]byte("GET /mcp HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n"), false)
	f.Add([]byte("POST /mcp HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n"), false)
	for _, raw := range suiteRequests(f) {
		f.Add(raw, false)
	}
	p := newWeb(offline(f))
	f.Fuzz(func(t *testing.T, in []byte, busy bool) {
		out := bufio.NewReader(bytes.NewReader(feed(t, p, in, busy)))
		for {
			if _, err := out.Peek(1); err == io.EOF {
				return
			}
			r, err := http.ReadResponse(out, &http.Request{Method: methodOf(in)})
			if err != nil {
				t.Fatalf("%q is answered with no response: %v", in, err)
			}
			_, err = io.Copy(io.Discard, r.Body)
			r.Body.Close()
			if err != nil {
				t.Fatalf("%q is answered with a broken body: %v", in, err)
			}
			if r.StatusCode >= 200 && bytes.Contains(in, []byte("HEAD ")) {
				return // which of the responses have no body is not known here
			}
		}
	})
}

// suiteRequests returns what the public conformance suites send.
func suiteRequests(t testing.TB) (all [][]byte) {
	t.Helper()
	a, err := txtar.ParseFile("../mcp/testdata/corpus/suites.txtar")
	if err != nil {
		t.Fatal(err)
	}
	for _, section := range a.Files {
		head, body, _ := strings.Cut(strings.TrimSuffix(string(section.Data), "\n"), "\n\n")
		method, headers, _ := strings.Cut(head, "\n")
		raw := method + " /mcp HTTP/1.1\r\nHost: x\r\n"
		for line := range strings.Lines(headers) {
			raw += strings.TrimSuffix(line, "\n") + "\r\n"
		}
		if body != "" {
			raw += fmt.Sprintf("Content-Type: application/json\r\nContent-Length: %d\r\n", len(body))
		}
		all = append(all, []byte(raw+"\r\n"+body))
	}
	return all
}

// methodOf returns the method of the first request.
func methodOf(in []byte) string {
	if bytes.HasPrefix(bytes.TrimPrefix(in, []byte("\r\n")), []byte("HEAD ")) {
		return "HEAD"
	}
	return "GET"
}

// TestOverloaded: with the byte budget used up, what would need a worker is
// answered instead, and what does not is served.
func TestOverloaded(t *testing.T) {
	s := offline(t)
	step := func(p loop.Protocol, in string) (loop.Verdict, string) {
		turn := loop.Turn{In: []byte(in), Scan: new([2]uint64), Overloaded: true}
		v := p.Step(&turn)
		return v, string(turn.Out)
	}
	for _, tt := range []struct{ in, want string }{
		{`{"jsonrpc":"2.0","id":1,"method":"echo.worker"}`, `"id":1,"error":{"code":-32000,"message":"Server overloaded"}}` + "\n"},
		{`{"jsonrpc":"2.0","method":"echo.worker"}`, ""},
		{`{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"t"}}`, `"id":2,"error":{"code":-32000`},
		{`[{"jsonrpc":"2.0","id":2,"method":"echo.worker"}]`, `"id":null,"error":{"code":-32000`},
		{marker, marked},
	} {
		v, out := step(newLines(s), tt.in+"\n")
		if v != loop.Next || !bytes.Contains([]byte(out), []byte(tt.want)) || tt.want == "" && out != "" {
			t.Errorf("%s: verdict %d, %q", tt.in, v, out)
		}
	}
	v, out := step(newWeb(s), post(call(3, "t")))
	if v != loop.Next || !bytes.HasPrefix([]byte(out), []byte("HTTP/1.1 503 ")) {
		t.Errorf("HTTP: verdict %d, %q", v, out)
	}
	if got := s.metrics.shedBudget.Get(); got != 5 {
		t.Errorf("%d shed", got)
	}
}
