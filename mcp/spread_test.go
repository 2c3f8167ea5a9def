package mcp

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// audience is a server with a session of every kind, each with an open stream
// where it can have one.
type audience struct {
	*fakePeer
	header  map[string]string
	ref     map[string]uint64
	streams map[string]StreamID
}

func newAudience(t *testing.T) *audience {
	a := &audience{
		fakePeer: newFakeCluster(1).beds[0], header: map[string]string{}, ref: map[string]uint64{}, streams: map[string]StreamID{},
	}
	addFixtures(t, a.Server)
	st := StreamID(100)
	for _, name := range []string{"open", "quiet", "broken", "never", "copy", "grave"} {
		st += 10
		a.header[name], a.ref[name] = a.newSession(t, st, "2025-11-25")
		a.subscribe(t, st, name)
		if name != "never" {
			a.streams[name] = st + 1
			a.get(t, st+1, a.header[name])
			a.host.take(st + 1)
		}
	}
	a.disconnect(a.streams["broken"])
	a.Demote(a.ref["copy"], 2, 1)
	a.Dismiss(a.ref["copy"], true)
	a.host.take(a.streams["copy"])
	a.sessions.Update(a.ref["grave"], func(s *Session) { s.LogLevel = LevelError })
	a.sessions.Update(a.ref["quiet"], func(s *Session) { s.State = StateInitialized })
	st += 10
	for i, lines := range [][]string{
		{`{"jsonrpc":"2.0","method":"notifications/initialized"}`},
		{`{"jsonrpc":"2.0","id":1,"method":"ping"}`},
		{},
	} {
		name := []string{"tcp", "tcp that asked", "tcp that said nothing"}[i]
		st++
		a.streams[name] = st
		a.rpc(st, `{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{}}}`)
		for _, line := range lines {
			a.rpc(st, line)
		}
		a.host.take(st)
	}
	a.streams["listener"] = st + 1
	a.ask(t, st+1, post(listenBody(5, "demo://x"), listenHead))
	return a
}

func (a *audience) subscribe(t *testing.T, st StreamID, name string) {
	t.Helper()
	a.ask(t, st, post(`{"jsonrpc":"2.0","id":1,"method":"resources/subscribe","params":{"uri":"demo://x"}}`, a.header[name]))
}

// told returns who got something since the last look.
func (a *audience) told() (names []string) {
	for name, st := range a.streams {
		if n := strings.Count(a.host.take(st), `"method"`); n > 1 {
			names = append(names, fmt.Sprintf("%s %d times", name, n))
		} else if n == 1 {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func TestAudiences(t *testing.T) {
	a := newAudience(t)
	for _, test := range []struct {
		what  string
		send  func() (int, error)
		count int // those that are told, and those it is kept for
		told  []string
	}{
		{"broadcast", func() (int, error) { return a.Broadcast(t.Context(), "", LevelInfo, "", "x") },
			5, []string{"open", "quiet", "tcp", "tcp that asked"}},
		{"a grave one", func() (int, error) { return a.Broadcast(t.Context(), "", LevelError, "log", map[string]int{"n": 1}) },
			6, []string{"grave", "open", "quiet", "tcp", "tcp that asked"}},
		{"a light one", func() (int, error) { return a.Broadcast(t.Context(), "", LevelDebug, "", nil) }, 0, nil},
		{"subscribers", func() (int, error) { return a.ResourceUpdatedKey(t.Context(), "", "demo://x") },
			5, []string{"grave", "listener", "open", "quiet"}},
		{"one", func() (int, error) { return 1, a.Server.Notify(a.ref["open"], "m", nil) }, 1, []string{"open"}},
	} {
		got, err := test.send()
		if told := a.told(); got != test.count || err != nil || !slices.Equal(told, test.told) {
			t.Errorf("%s: %d, %v, to %q; want %d, to %q", test.what, got, err, told, test.count, test.told)
		}
	}
	if _, err := a.Broadcast(t.Context(), "", 0, "", "x"); err == nil {
		t.Error("a message without a level was sent")
	}
	if _, err := a.Broadcast(t.Context(), "", LevelInfo, "", func() {}); err == nil {
		t.Error("a function was sent")
	}
	if _, err := a.Server.Publish("demo://x", strings.Repeat("m", methodBytesMax+1), nil); !errors.Is(err, ErrPublication) {
		t.Error(err)
	}
	if err := a.Server.Notify(a.ref["open"], "", nil); !errors.Is(err, ErrPublication) {
		t.Error(err)
	}
	if err := a.NotifyKey(t.Context(), "k", a.ref["open"], "m", []int{1}); err == nil {
		t.Error("an array was sent")
	}
}

// A publication under the same key reaches a session once, whoever publishes it
// and however often; the error of acked mode comes through.
func TestKeys(t *testing.T) {
	for _, alone := range []bool{true, false} {
		a := newAudience(t)
		if alone {
			a.o.Replicas = nil
		}
		ctx := context.Background()
		for i := range 3 {
			want := []string{"listener 2 times", "open 2 times"}
			if i > 0 {
				want = []string{"listener"} // has no log
			}
			a.sessions.Update(a.ref["grave"], func(s *Session) { s.LogLevel = LevelEmergency })
			a.unsubscribeAll("quiet", "grave")
			n, err := a.ResourceUpdatedKey(ctx, "k", "demo://x")
			m, err2 := a.PublishKey(ctx, "k", "demo://x", "acme/price", map[string]int{"n": 1})
			if i > 0 {
				a.host.take(a.streams["listener"])
				n, err = a.ResourceUpdatedKey(ctx, "k", "demo://x")
			}
			if n != 3 || m != 3 || err != nil || err2 != nil {
				t.Errorf("alone %v: %d, %d, %v, %v", alone, n, m, err, err2)
			}
			if told := a.told(); !slices.Equal(told, want) {
				t.Errorf("alone %v, time %d: %q, want %q", alone, i, told, want)
			}
		}
		for range 2 {
			if err := a.NotifyKey(ctx, "one", a.ref["quiet"], "m", nil); err != nil {
				t.Error(err)
			}
		}
		if told := a.told(); !slices.Equal(told, []string{"quiet"}) {
			t.Errorf("notified: %q", told)
		}
		if !alone {
			a.c.err = ErrNotHeld
			if _, err := a.Broadcast(ctx, "", LevelInfo, "", 1); !errors.Is(err, ErrNotHeld) {
				t.Error(err)
			}
			if err := a.Server.Notify(a.ref["copy"], "m", nil); !errors.Is(err, ErrNotHeld) {
				t.Error(err)
			}
		}
	}
}

func (a *audience) unsubscribeAll(names ...string) {
	for _, name := range names {
		a.ImportSubscriptions(a.ref[name], nil)
	}
}

// Only one, if it belongs to the audience; a walk that is closed early leaves
// nothing behind.
func TestSpreadOnlyAndClose(t *testing.T) {
	a := newAudience(t)
	p := Publication{Audience: ToSubscribers, Topic: "demo://x", Method: "m"}
	for _, test := range []struct {
		ref  uint64
		uri  string
		want int
	}{
		{a.ref["open"], "demo://x", 1}, {a.ref["open"], "demo://y", 0}, {a.ref["copy"], "demo://x", 0}, {999, "demo://x", 0},
	} {
		p.Topic = test.uri
		sp := a.Spread(&p, Origin{1, 1}).Only(test.ref)
		for range 2 {
			if sp.Step(1) {
				break
			}
		}
		if sp.stage != spreadOver {
			t.Error("not over")
		}
		if sp.Delivered() != test.want {
			t.Errorf("%+v: %d", test, sp.Delivered())
		}
	}
	p.Topic = "demo://x"
	for _, steps := range []int{0, 1, 2} {
		sp := a.Spread(&p, Origin{1, 2})
		for range steps {
			sp.Step(1)
		}
		sp.Close()
		if sp.Close(); !sp.Step(1) || sp.Delivered() != steps {
			t.Errorf("after %d steps: %d", steps, sp.Delivered())
		}
	}
	if len(a.subs.walks) != 0 {
		t.Errorf("%d walks left", len(a.subs.walks))
	}
	p.Audience = ToSession
	if sp := a.Spread(&p, Origin{}); !sp.Step(1) || sp.Delivered() != 0 {
		t.Error("a publication to one session went to all")
	}
}
