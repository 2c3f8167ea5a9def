package wire

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

func TestParseReply(t *testing.T) {
	for message, want := range map[string]string{
		`{"jsonrpc":"2.0","id":7,"result":{}}`:                        "",
		`{"jsonrpc":"2.0","id":8,"result":{}}`:                        "asked was 7",
		`{"jsonrpc":"2.0","id":"7","result":{}}`:                      "asked was 7",
		`{"jsonrpc":"1.0","id":7,"result":{}}`:                        "no JSON-RPC 2.0",
		`{"jsonrpc":"2.0","id":7,"error":{"code":-5,"message":"no"}}`: "error -5: no",
		`{"jsonrpc":"2.0","id":7,"result":{}`:                         "unexpected end",
	} {
		m, err := ParseReply([]byte(message), 7)
		if want == "" && (err != nil || string(m.Result) != "{}") {
			t.Errorf("%s: %+v, %v", message, m, err)
		}
		if want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", message, err, want)
		}
	}
	var fault *Fault
	if _, err := ParseReply([]byte(`{"jsonrpc":"2.0","id":7,"error":{"code":-5}}`), 7); !errors.As(err, &fault) || fault.Code != -5 {
		t.Errorf("%v", err)
	}
}

func TestClip(t *testing.T) {
	if got := Clip([]byte("short")); string(got) != "short" {
		t.Errorf("%q", got)
	}
	long := bytes.Repeat([]byte("x"), 2*ClipBytes)
	if got := Clip(long); len(got) != ClipBytes+3 || string(long[ClipBytes:ClipBytes+1]) != "x" {
		t.Errorf("%d bytes; the original is %q there", len(got), long[ClipBytes:ClipBytes+1])
	}
}
