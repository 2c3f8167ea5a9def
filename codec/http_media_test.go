package codec

import (
	"testing"
)

func TestMediaType(t *testing.T) {
	for _, c := range []struct {
		in, want string
		is       bool // application/json
	}{
		{"application/json", "application/json", true},
		{"Application/JSON;charset=utf-8", "Application/JSON", true},
		{" application/json\t; a=\"b;c\"", "application/json", true},
		{"application/json, text/plain", "application/json, text/plain", false},
		{"application/json-rpc", "application/json-rpc", false},
		{"text/plain;application/json", "text/plain", false},
		{"application/jso", "application/jso", false},
		{"", "", false},
		{";", "", false},
	} {
		if got := string(MediaType([]byte(c.in))); got != c.want {
			t.Errorf("%q: %q, want %q", c.in, got, c.want)
		}
		if got := MediaTypeIs([]byte(c.in), "application/json"); got != c.is {
			t.Errorf("%q is JSON: %v", c.in, got)
		}
	}
}

func TestAccepts(t *testing.T) {
	for _, c := range []struct {
		list         string
		json, events bool
	}{
		{"", true, true},
		{" ,\t,", true, true},
		{"application/json, text/event-stream", true, true},
		{"application/json", true, false},
		{"TEXT/Event-Stream;q=0.5", false, true},
		{"*/*", true, true},
		{"text/*", false, true},
		{"text/*, application/*;q=0.001", true, true},
		{"text/html", false, false},
		{"application/json;q=0, */*", false, true},
		{"*/*, application/json;q=0", false, true},
		{"*/*;q=0, application/json", true, false},
		{"text/*;q=0, */*", true, false},
		{"text/*;q=0, text/event-stream", false, true},
		{"application/json;q=0.000", false, false},
		{"application/json; Q=0. ", false, false},
		{"application/json;q=0.01", true, false},
		{"application/json;q=1", true, false},
		{"application/json;q=10", true, false},
		{"application/json;q=", true, false},
		{"application/json;q", true, false},
		{"application/json;v=\"a,text/event-stream\";q=0", false, false},
		{"application/json;v=\"\\\",\";q=0, text/event-stream", false, true},
		{"application/json;v=\"unclosed, text/event-stream", true, false},
		{"application/json;v=1;q=0, application/json;v=2", true, false},
		{"application/json, application/json;q=0", true, false},
		{"*", false, false},
		{"/*", false, false},
		{"tex/*", false, false},
		{"text/event-stream/*", false, false},
		{"application/jsonx, xtext/event-stream", false, false},
	} {
		list := []byte(c.list)
		if got := Accepts(list, "application/json"); got != c.json {
			t.Errorf("%q allows JSON: %v", c.list, got)
		}
		if got := Accepts(list, "text/event-stream"); got != c.events {
			t.Errorf("%q allows events: %v", c.list, got)
		}
		// The same from a request; several headers are one list.
		for in, want := range map[string]bool{
			get("Accept:" + c.list + "\r\n"):                                 c.json,
			get("Accept: image/png\r\nX: y\r\naccept:" + c.list + "\r\n"):    Accepts([]byte("image/png,"+c.list), "application/json"),
			get("Accept: application/json;q=0\r\nAccept:" + c.list + "\r\n"): Accepts([]byte("application/json;q=0,"+c.list), "application/json"),
			get("X: y\r\n"): true,
		} {
			o := parseWhole([]byte(in), nil)
			if got := o.req.Accepts(o.msg, "application/json"); o.n == 0 || got != want {
				t.Errorf("%q allows JSON: %v", in, got)
			}
		}
	}
}
