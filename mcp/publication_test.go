package mcp

import (
	"errors"
	"reflect"
	"strings"
	"testing"
)

func TestPublicationOnTheWire(t *testing.T) {
	for _, p := range []Publication{
		{Audience: ToSubscribers, Topic: "demo://x", Method: "notifications/resources/updated", Params: []byte(`{"uri":"demo://x"}`)},
		{Audience: ToSessions, Level: LevelEmergency, Method: "m", Key: strings.Repeat("k", keyBytesMax)},
		{Audience: ToSession, Method: strings.Repeat("m", methodBytesMax), Topic: strings.Repeat("t", uriBytesMax), Params: []byte("{}")},
	} {
		wire := AppendPublication([]byte("before"), &p)[6:]
		got, err := ParsePublication(wire)
		if err != nil || !reflect.DeepEqual(got, p) {
			t.Errorf("%+v: %+v, %v", p, got, err)
		}
		// No prefix is a publication, but for those that end within the params.
		for n := range len(wire) - len(p.Params) {
			if got, err := ParsePublication(wire[:n]); !errors.Is(err, ErrPublication) || !reflect.DeepEqual(got, Publication{}) {
				t.Errorf("%d bytes of %+v: %+v, %v", n, p, got, err)
			}
		}
	}
	for name, p := range map[string]Publication{
		"nothing":       {},
		"audience":      {Audience: ToSession + 1, Method: "m"},
		"level":         {Audience: ToSessions, Level: LevelEmergency + 1, Method: "m"},
		"no method":     {Audience: ToSessions},
		"long method":   {Audience: ToSessions, Method: strings.Repeat("m", methodBytesMax+1)},
		"long topic":    {Audience: ToSubscribers, Topic: strings.Repeat("t", uriBytesMax+1), Method: "m"},
		"long key":      {Audience: ToSessions, Method: "m", Key: strings.Repeat("k", keyBytesMax+1)},
		"no object":     {Audience: ToSessions, Method: "m", Params: []byte("[]")},
		"half":          {Audience: ToSessions, Method: "m", Params: []byte("{")},
		"several lines": {Audience: ToSessions, Method: "m", Params: []byte("{\n}")},
	} {
		if _, err := ParsePublication(AppendPublication(nil, &p)); !errors.Is(err, ErrPublication) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestKeyOrigin(t *testing.T) {
	base := Publication{Audience: ToSubscribers, Topic: "a", Method: "m", Key: "k", Params: []byte(`{"n":1}`)}
	same := base
	same.Params = []byte(`{"n":2}`)
	o, ok := base.KeyOrigin()
	if again, _ := same.KeyOrigin(); !ok || again != o {
		t.Errorf("%v, %v, %v", o, ok, again)
	}
	seen := map[Origin]string{o: "base"}
	for name, change := range map[string]func(*Publication){
		"topic":    func(p *Publication) { p.Topic = "b" },
		"method":   func(p *Publication) { p.Method = "n" },
		"key":      func(p *Publication) { p.Key = "l" },
		"audience": func(p *Publication) { p.Audience = ToSession },
		"shifted":  func(p *Publication) { p.Topic, p.Method = "am", "" },
	} {
		p := base
		change(&p)
		o, ok := p.KeyOrigin()
		if seen[o] != "" || !ok {
			t.Errorf("%s is taken for %s", name, seen[o])
		}
		seen[o] = name
	}
	base.Key = ""
	if o, ok := base.KeyOrigin(); ok || o != (Origin{}) {
		t.Errorf("without a key: %v", o)
	}
}

// FuzzParsePublication: what is read is written alike, and harms no framing.
func FuzzParsePublication(f *testing.F) {
	f.Add([]byte(nil))
	f.Add(AppendPublication(nil, &Publication{Audience: ToSubscribers, Topic: "demo://x", Method: "m", Key: "k", Params: []byte(`{"a":1}`)}))
	f.Add([]byte{1, 0, 0xff, 0xff, 0xff, 0xff, 0x0f, 'x'})
	f.Fuzz(func(t *testing.T, wire []byte) {
		p, err := ParsePublication(wire)
		if err != nil {
			return
		}
		again, err := ParsePublication(AppendPublication(nil, &p))
		if err != nil || !reflect.DeepEqual(again, p) {
			t.Fatalf("%+v, then %+v, %v", p, again, err)
		}
		n := p.notice()
		if strings.Count(string(n.line), "\n") != 1 {
			t.Fatalf("%q", n.line)
		}
	})
}
