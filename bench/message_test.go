package bench

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/rookery-server/rookery/bench/wire"
	"pgregory.net/rapid"
)

// TestRequestsAreJSON: what the clients say is valid JSON-RPC with the id,
// method and text they mean.
func TestRequestsAreJSON(t *testing.T) {
	for _, test := range []struct {
		message []byte
		method  string
	}{
		{echoCall(7, "echo.worker", "x"), "echo.worker"},
		{toolCall(7, "", "x"), "tools/call"},
		{toolCall(7, statelessMeta+",", "x"), "tools/call"},
		{initializeCall(7, capsElicit), "initialize"},
		{listenCall(7), "subscriptions/listen"},
	} {
		var r wire.Message
		if err := json.Unmarshal(test.message, &r); err != nil {
			t.Errorf("%s: %v", test.message, err)
		}
		if r.Version != "2.0" || string(r.ID) != "7" || r.Method != test.method || r.Params == nil {
			t.Errorf("%s reads as %+v", test.message, r)
		}
	}
}

func TestLineOfLoadFits(t *testing.T) {
	for _, method := range []string{"echo", "echo.worker"} {
		if n := len(echoCall(firstLineID, method, "")) + 1; n > messageSize {
			t.Errorf("%s needs a line of %d bytes, there are %d", method, n, messageSize)
		}
	}
}

func TestVerifiers(t *testing.T) {
	const id, tag = 42, "hello"
	first := func(message []byte, _ int, _ string) error { return verifyListen(message) }
	initialize := func(message []byte, id int, _ string) error {
		_, err := verifyInitialize(message, id)
		return err
	}
	for _, test := range []struct {
		verify  verifier
		message string
		want    string // part of the error, "" for none
	}{
		{verifyEcho, `{"jsonrpc":"2.0","id":42,"result":["hello"]}`, ""},
		{verifyEcho, `{"id":42,"result":["hello"],"jsonrpc":"2.0"}`, ""},
		{verifyEcho, `{"jsonrpc":"2.0","id":43,"result":["hello"]}`, "answers id 43, asked was 42"},
		{verifyEcho, `{"jsonrpc":"2.0","id":"42","result":["hello"]}`, `answers id "42"`},
		{verifyEcho, `{"jsonrpc":"2.0","id":42,"result":["other"]}`, "does not echo"},
		{verifyEcho, `{"jsonrpc":"2.0","id":42,"result":["hello","hello"]}`, "does not echo"},
		{verifyEcho, `{"jsonrpc":"2.0","id":42}`, "does not echo"},
		{verifyEcho, `{"jsonrpc":"1.0","id":42,"result":["hello"]}`, "no JSON-RPC 2.0"},
		{verifyEcho, `{"jsonrpc":"2.0","id":42,"error":{"code":-32601,"message":"no such method"}}`, "error -32601: no such method"},
		{verifyEcho, `nonsense`, "invalid character"},
		{verifyRaw, `{"jsonrpc":"2.0","id":42,"method":"echo","params":["hello"]}`, ""},
		{verifyRaw, `{"jsonrpc":"2.0","id":42,"result":["hello"]}`, "does not echo"},
		{verifyTool, `{"jsonrpc":"2.0","id":42,"result":{"content":[{"type":"text","text":"hello"}]}}`, ""},
		{verifyTool, `{"jsonrpc":"2.0","id":42,"result":{"isError":true,"content":[{"type":"text","text":"hello"}]}}`, "does not hold"},
		{verifyTool, `{"jsonrpc":"2.0","id":42,"result":{"content":[]}}`, "does not hold"},
		{verifyTool, `{"jsonrpc":"2.0","id":42,"result":7}`, "cannot unmarshal"},
		{verifyTool, `{"jsonrpc":"2.0","id":41,"result":{}}`, "answers id 41"},
		{first, `{"jsonrpc":"2.0","method":"notifications/subscriptions/acknowledged","params":{}}`, ""},
		{first, `{"jsonrpc":"2.0","method":"notifications/message"}`, "not the acknowledgement"},
		{first, `{"jsonrpc":"2.0","id":42,"error":{"code":-32022,"message":"unsupported"}}`, "error -32022"},
		{first, `[`, "unexpected end"},
		{initialize, `{"jsonrpc":"2.0","id":42,"result":{"protocolVersion":"2025-11-25"}}`, ""},
		{initialize, `{"jsonrpc":"2.0","id":42,"result":{}}`, "names no protocolVersion"},
	} {
		err := test.verify([]byte(test.message), id, tag)
		if (err == nil) != (test.want == "") || (err != nil && !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%s\ngives %v, want %q", test.message, err, test.want)
		}
	}
}

// TestTemplate: the short way accepts and refuses what decoding would.
func TestTemplate(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var short template
		for range 20 {
			id := rapid.IntRange(firstLineID, 10*firstLineID-1).Draw(t, "id")
			said := rapid.SampledFrom([]int{id, id, id, id ^ 1, 0}).Draw(t, "said")
			tag := rapid.SampledFrom([]string{"xx", "xx", "xx", "yy", "1"}).Draw(t, "tag")
			message := fmt.Appendf(nil, `{"jsonrpc":"2.0","id":%d,"result":[%q]}`, said, tag)
			got := short.check(message, id, "xx", verifyEcho)
			want := verifyEcho(message, id, "xx")
			if (got == nil) != (want == nil) {
				t.Fatalf("%s for %d: %v, decoding says %v", message, id, got, want)
			}
		}
	})
}

func TestTemplateDecodesOnce(t *testing.T) {
	decoded := 0
	counting := func(message []byte, id int, tag string) error {
		decoded++
		return verifyEcho(message, id, tag)
	}
	var short template
	for id := 100; id < 200; id++ {
		message := fmt.Appendf(nil, `{"jsonrpc":"2.0","id":%d,"result":["t"]}`, id)
		if err := short.check(message, id, "t", counting); err != nil {
			t.Fatal(err)
		}
	}
	if decoded != 1 {
		t.Errorf("%d replies were decoded, want the first alone", decoded)
	}
}

// TestLoadDoesNotAllocate: what checks a reply costs the client no garbage, so
// that its collector does not disturb what it measures.
func TestLoadDoesNotAllocate(t *testing.T) {
	answer := []byte("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 42\r\n\r\n" +
		`{"jsonrpc":"2.0","id":1000000,"result":[]}`)
	var r wire.Response
	var same template
	verified := func([]byte, int, string) error { return nil }
	allocs := testing.AllocsPerRun(100, func() {
		r.Reset()
		if n, err := r.Feed(answer); n != len(answer) || err != nil || !r.Done {
			t.Fatal(n, err)
		}
		message, err := r.Message()
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
