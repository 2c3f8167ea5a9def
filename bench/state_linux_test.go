package bench

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/rookery-server/rookery/bench/wire"
)

// TestWaitingLife lets clients wait for their users, and answers them all.
func TestWaitingLife(t *testing.T) {
	server := &fake{}
	f, ctx := testFleet(t, serveFake(t, server, Waiting))
	for _, count := range []int{30, 300} {
		if _, err := f.open(ctx, Waiting, count, ignore); err != nil {
			t.Fatal(err)
		}
	}
	if got := server.waiting.Load(); got != 300 {
		t.Errorf("%d calls wait, want 300", got)
	}
	r, err := f.reply(ctx)
	if err != nil || r.Clients != 300 || r.Latency.P50 <= 0 || r.Took <= 0 {
		t.Errorf("%+v, %v", r, err)
	}
	eventually(t, "no call waits", func() bool { return server.waiting.Load() == 0 })
	f.shut(Waiting)
	if err := f.intact(); err != nil {
		t.Error(err)
	}
}

// TestEventsLife publishes to clients that listen to one resource, and to
// clients that have one each.
func TestEventsLife(t *testing.T) {
	for _, kind := range []Kind{SharedEvents, OwnEvents} {
		t.Run(string(kind), func(t *testing.T) {
			server := &fake{}
			f, ctx := testFleet(t, serveFake(t, server, kind))
			for _, count := range []int{10, 60} {
				if _, err := f.open(ctx, kind, count, ignore); err != nil {
					t.Fatal(err)
				}
			}
			for range 2 {
				if took, err := f.publish(ctx, kind, 3); err != nil || took <= 0 {
					t.Fatalf("took %v, %v", took, err)
				}
			}
			if got := server.kept.Load(); got != 2*3*60 {
				t.Errorf("the server sent %d events, want %d", got, 2*3*60)
			}
			if want := map[Kind]int{SharedEvents: 1, OwnEvents: 60}[kind]; len(server.touched) != want {
				t.Errorf("%d resources, want %d", len(server.touched), want)
			}
			f.shut(kind)
			eventually(t, "the server has no clients", func() bool { return server.clients.Load() == 0 })
		})
	}
}

// TestNobodyToPublishTo: no clients, no events.
func TestNobodyToPublishTo(t *testing.T) {
	f, ctx := testFleet(t, serveFake(t, &fake{}, SharedEvents))
	if took, err := f.publish(ctx, SharedEvents, 3); took != 0 || err != nil {
		t.Errorf("%v, %v", took, err)
	}
}

// TestStatesWithBadServers: whatever a server does wrong is said.
func TestStatesWithBadServers(t *testing.T) {
	open := func(kind Kind) func(context.Context, *fleet, *fake) error {
		return func(ctx context.Context, f *fleet, _ *fake) error {
			_, err := f.open(ctx, kind, 5, ignore)
			return err
		}
	}
	reply := func(turn int32) func(context.Context, *fleet, *fake) error {
		return func(ctx context.Context, f *fleet, server *fake) error {
			if _, err := f.open(ctx, Waiting, 5, ignore); err != nil {
				return err
			}
			server.turn.Store(turn)
			_, err := f.reply(ctx)
			return err
		}
	}
	publish := func(turn int32) func(context.Context, *fleet, *fake) error {
		return func(ctx context.Context, f *fleet, server *fake) error {
			if _, err := f.open(ctx, SharedEvents, 5, ignore); err != nil {
				return err
			}
			server.turn.Store(turn)
			short, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			_, err := f.publish(short, SharedEvents, 2)
			return err
		}
	}
	for _, test := range []struct {
		name string
		fake *fake
		do   func(context.Context, *fleet, *fake) error
		want string
	}{
		{"no question", &fake{impatient: true}, open(Waiting), "ended before an answer"},
		{"two questions", &fake{nosy: true}, open(Waiting), errTwice.Error()},
		{"no session", &fake{noSession: true}, open(Waiting), errNoSession.Error()},
		{"another result", &fake{}, reply(turnWrong), "does not say what the user did"},
		{"no result", &fake{}, reply(turnClose), "before the result of its call"},
		{"an answer nobody takes", &fake{}, func(ctx context.Context, f *fleet, server *fake) error {
			if _, err := f.open(ctx, Waiting, 5, ignore); err != nil {
				return err
			}
			server.answers.Clear()
			_, err := f.reply(ctx)
			return err
		}, "HTTP status 400"},
		{"streams that end", &fake{}, func(ctx context.Context, f *fleet, server *fake) error {
			if _, err := f.open(ctx, SharedEvents, 5, ignore); err != nil {
				return err
			}
			server.turn.Store(turnQuit)
			if err := f.rest(ctx, func() bool { return f.lost == 5 }); err != nil {
				return err
			}
			_, err := f.publish(ctx, SharedEvents, 1)
			return err
		}, "closed 5 idle connections"},
		{"streams that end in between", &fake{deaf: true}, publish(turnQuit), "ended a stream before its events"},
		{"a change that nobody hears of", &fake{deaf: true}, publish(0), "0 of 5 events have arrived"},
		{"another answer to touch", &fake{}, publish(turnWrong), "does not say who was notified"},
		{"no answer to touch", &fake{}, publish(turnClose), "before its answer"},
	} {
		t.Run(test.name, func(t *testing.T) {
			f, ctx := testFleet(t, serveFake(t, test.fake, Waiting))
			err := test.do(ctx, f, test.fake)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one that says %q", err, test.want)
			}
		})
	}
}

func TestVerifyTouch(t *testing.T) {
	for reply, want := range map[string]string{
		`{"jsonrpc":"2.0","id":3,"result":{"structuredContent":{"notified":7}}}`:    "",
		`{"jsonrpc":"2.0","id":3,"result":{"structuredContent":{"notified":6}}}`:    "reached 6 streams, not 7",
		`{"jsonrpc":"2.0","id":3,"result":{"isError":true,"content":[]}}`:           "does not say",
		`{"jsonrpc":"2.0","id":4,"result":{"structuredContent":{"notified":7}}}`:    "answers id",
		`{"jsonrpc":"2.0","id":3,"error":{"code":-32602,"message":"unknown tool"}}`: "unknown tool",
	} {
		err := verifyTouch([]byte(reply), 3, 7)
		if (err == nil) != (want == "") || (err != nil && !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: error %v, want %q", reply, err, want)
		}
	}
}

// TestRetainerCounts feeds a stream byte by byte: an event counts once it is
// complete, and another's is refused.
func TestRetainerCounts(t *testing.T) {
	uri := eventURI(OwnEvents, 7)
	note := strings.Replace(updatedBare, `"uri":""`, `"uri":"`+uri+`"`, 1)
	round := &publishing{}
	r := &retainer{uri: uri, settled: true, round: round, response: wire.Stream(false)}
	stream := "id: 1\ndata:\n\n: alive\n\nid: 2\nevent: message\ndata: " + note + "\n\nid: 3\nevent: message\ndata: " + note + "\n\nid: 4\n"
	for i := range len(stream) {
		if _, err := r.received(nil, []byte(stream[i:i+1])); err != nil {
			t.Fatal(err)
		}
	}
	if r.heard != 2 || round.heard != 2 || string(r.response.Body) != "id: 4\n" {
		t.Errorf("heard %d, %d, left %q", r.heard, round.heard, r.response.Body)
	}
	for _, other := range []string{strings.Replace(note, uri, fanoutURI, 1), "no JSON"} {
		if _, err := r.received(nil, []byte("data: "+other+"\n\n")); err == nil || !strings.Contains(err.Error(), "is no change of") {
			t.Errorf("%s: error %v", other, err)
		}
		r.response.Body = nil
	}
	r.round = nil
	if _, err := r.received(nil, []byte("data: "+note+"\n\n")); err == nil || !strings.Contains(err.Error(), "nothing was published") {
		t.Errorf("unasked: error %v", err)
	}
}

// TestEventURI: each event has the size that reports name.
func TestEventURI(t *testing.T) {
	seen := map[string]bool{}
	for _, kind := range []Kind{SharedEvents, OwnEvents} {
		for _, number := range []int{0, 1, eventsClients - 1} {
			uri := eventURI(kind, number)
			note := strings.Replace(updatedBare, `"uri":""`, `"uri":"`+uri+`"`, 1)
			if len(note) != eventSize || !json.Valid([]byte(note)) {
				t.Errorf("%s %d: %d bytes: %s", kind, number, len(note), note)
			}
			seen[uri] = true
		}
	}
	if len(seen) != 4 {
		t.Errorf("URIs %v, want one for all that share and three", seen)
	}
}
