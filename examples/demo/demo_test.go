package demo

import (
	"bufio"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/rookery-server/rookery/server"
)

// TestDemo drives the app as a client of the JSON-RPC listener.
func TestDemo(t *testing.T) {
	s, err := server.New(server.Options{TCP: "127.0.0.1:0", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := Register(s); err != nil {
		t.Fatal(err)
	}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("tcp", s.TCPAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	in := bufio.NewScanner(c)
	for _, step := range []struct {
		method, params string
		want           []string // parts of the lines that come back, in order
	}{
		{"echo", `{"a":[1]}`, []string{`"result":{"a":[1]}`}},
		{"echo.worker", `[2]`, []string{`"result":[2]`}},
		{"initialize", `{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"x","version":"1"}}`, []string{`"2025-11-25"`}},
		{"tools/call", `{"name":"echo","arguments":{"text":"hi"}}`, []string{`{"type":"text","text":"hi"}`}},
		{"tools/call", `{"name":"echo","arguments":{"text":7}}`, []string{`"isError":true`}},
		{"tools/call", `{"name":"touch","arguments":{"uri":"demo://item/tea"}}`, []string{`"notified":0`}},
		{"resources/templates/list", `{}`, []string{`demo://item/{name}`}},
		{"resources/read", `{"uri":"demo://item/tea"}`, []string{`tea, touched 1 times`}},
		{"prompts/get", `{"name":"describe","arguments":{"name":"tea"}}`, []string{`tea, touched 1 times`}},
		{"prompts/get", `{"name":"describe"}`, []string{`"error"`}},
		{"resources/subscribe", `{"uri":"demo://item/tea"}`, []string{`"result":{}`}},
		{"tools/call", `{"name":"touch","arguments":{"uri":"demo://item/tea"}}`, []string{`"notifications/resources/updated"`, `"notified":1`}},
		{"tools/call", `{"name":"touch","arguments":{"uri":"file:///etc/passwd"}}`, []string{`"isError":true`}},
		{"tools/call", `{"name":"broadcast","arguments":{"text":"hi all"}}`, []string{`"method":"notifications/message","params":{"level":"info","data":"hi all"}`, `"notified":1`}},
		{"logging/setLevel", `{"level":"error"}`, []string{`"result":{}`}},
		{"tools/call", `{"name":"broadcast","arguments":{"text":"hi all"}}`, []string{`"notified":0`}},
	} {
		fmt.Fprintf(c, `{"jsonrpc":"2.0","id":1,"method":%q,"params":%s}`+"\n", step.method, step.params)
		for _, want := range step.want {
			if !in.Scan() || !strings.Contains(in.Text(), want) {
				t.Errorf("%s %s: got %s (%v), want %s", step.method, step.params, in.Text(), in.Err(), want)
			}
		}
	}
}

// TestConfirm answers tool confirm as the user of a client would.
func TestConfirm(t *testing.T) {
	s, err := server.New(server.Options{TCP: "127.0.0.1:0", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := Register(s); err != nil {
		t.Fatal(err)
	}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ caps, answer, want string }{
		{`{"elicitation":{}}`, `"result":{"action":"accept","content":{"sure":true}}`, `"structuredContent":{"action":"accept","sure":true}`},
		{`{"elicitation":{}}`, `"result":{"action":"decline"}`, `"structuredContent":{"action":"decline","sure":false}`},
		{`{"elicitation":{}}`, `"result":{"action":"accept","content":{"sure":"very"}}`, `sure`},
		{`{"elicitation":{}}`, `"error":{"code":-1,"message":"nobody is here"}`, `nobody is here`},
		{`{}`, "", `elicitation`},
	} {
		got := confirm(t, s, test.caps, test.answer)
		if !strings.Contains(got, test.want) {
			t.Errorf("%s answers %s: got %s, want %s", test.caps, test.answer, got, test.want)
		}
	}
}

// confirm calls tool confirm as a client with caps, answers the question, and
// returns the reply.
func confirm(t *testing.T, s *server.Server, caps, answer string) string {
	t.Helper()
	c, err := net.Dial("tcp", s.TCPAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	in := bufio.NewScanner(c)
	fmt.Fprintf(c, `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":%s,`+
		`"clientInfo":{"name":"x","version":"1"}}}`+"\n", caps)
	in.Scan()
	fmt.Fprintln(c, `{"jsonrpc":"2.0","method":"notifications/initialized"}`)
	fmt.Fprintln(c, `{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"confirm","arguments":{"text":"Leave?"}}}`)
	if answer != "" {
		var question struct {
			ID     json.RawMessage
			Method string
		}
		if !in.Scan() || json.Unmarshal(in.Bytes(), &question) != nil || question.Method != "elicitation/create" {
			t.Fatalf("got %s (%v), want a question", in.Text(), in.Err())
		}
		fmt.Fprintf(c, `{"jsonrpc":"2.0","id":%s,%s}`+"\n", question.ID, answer)
	}
	if !in.Scan() {
		t.Fatal(in.Err())
	}
	return in.Text()
}

func TestItemsAreBounded(t *testing.T) {
	i := items{version: map[string]int{}}
	for n := range itemsMax {
		if _, ok := i.touch(fmt.Sprint(prefix, n)); !ok {
			t.Fatalf("refused item %d", n)
		}
	}
	if _, ok := i.touch(prefix + "more"); ok {
		t.Error("remembers more than it may")
	}
	if v, ok := i.touch(prefix + "0"); !ok || v != 2 || i.at(prefix+"0") != 2 {
		t.Errorf("a known item: version %d, %v", v, ok)
	}
}
