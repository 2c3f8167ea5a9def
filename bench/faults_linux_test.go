package bench

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"
)

// TestServerTurns lets a good server misbehave when its clients are open. The
// burst and the load that follow must say so.
func TestServerTurns(t *testing.T) {
	burst := func(kind Kind) func(context.Context, *fleet) error {
		return func(ctx context.Context, f *fleet) error {
			_, err := f.burst(ctx, kind)
			return err
		}
	}
	load := func(kind Kind) func(context.Context, *fleet) error {
		return func(ctx context.Context, f *fleet) error {
			o := LoadOrder{Kind: kind, Method: "echo", Measure: time.Second, PID: os.Getpid()}
			_, err := f.load(ctx, o)
			return err
		}
	}
	for _, test := range []struct {
		name string
		kind Kind
		turn int32
		do   func(context.Context, *fleet) error
		want []string // any of
	}{
		{"wrong answers to a burst", TCP, turnWrong, burst(TCP), []string{"does not echo"}},
		{"wrong answers to a session", Session, turnWrong, burst(Session), []string{"cannot unmarshal"}},
		{"wrong answers to streams", Stream, turnWrong, burst(Stream), []string{"cannot unmarshal"}},
		{"closing in a burst", TCP, turnClose, burst(TCP), []string{"ended a connection before its answer: EOF"}},
		{"resetting in a burst", TCP, turnReset, burst(TCP), []string{"reset the connection"}},
		{"closing in a burst of streams", Listen, turnClose, burst(Listen), []string{"ended a connection before its answer"}},
		{"wrong answers to a load", TCP, turnWrong, load(TCP), []string{"does not echo"}},
		{"closing under load", TCP, turnClose, load(TCP), []string{"under load: EOF"}},
		{"resetting under load", TCP, turnReset, load(TCP), []string{"reset the connection"}},
		{"two answers under load", TCP, turnTwice, load(TCP), []string{"answers id"}},
		{"wrong answers to calls", Caller, turnWrong, load(Caller), []string{"cannot unmarshal"}},
		{"closing at calls", Caller, turnClose, load(Caller), []string{"ended a connection before its answer"}},
		{"two answers to calls", Caller, turnTwice, load(Caller), []string{"behind a response", "unasked"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			server := &fake{}
			f, ctx := testFleet(t, serveFake(t, server, test.kind))
			if _, err := f.open(ctx, test.kind, 5, ignore); err != nil {
				t.Fatal(err)
			}
			server.turn.Store(test.turn)
			err := test.do(ctx, f)
			for _, want := range test.want {
				if err != nil && strings.Contains(err.Error(), want) {
					return
				}
			}
			t.Errorf("error %v, want one of %q", err, test.want)
		})
	}
}

// TestPoolReplacesConnections: a server may end a pooled connection with any
// answer it announces that in; the next call opens another.
func TestPoolReplacesConnections(t *testing.T) {
	f, ctx := testFleet(t, serveFake(t, &fake{farewell: true}, Listen))
	if _, err := f.open(ctx, Listen, 2*burstPool, ignore); err != nil {
		t.Fatal(err)
	}
	if r, err := f.burst(ctx, Listen); err != nil || r.Clients != 2*burstPool {
		t.Errorf("%+v, %v", r, err)
	}
}

// TestPoolForgetsClosedConnections: so may it close idle ones.
func TestPoolForgetsClosedConnections(t *testing.T) {
	f, ctx := testFleet(t, serveFake(t, &fake{}, Stream))
	p := &pool{client: f.client, size: 2}
	for range 3 {
		k, err := p.take()
		if err != nil || k == nil {
			t.Fatal(k, err)
		}
		ready := false
		k.initialize(&f.target, capsNone, func(k *caller, _ string) error {
			ready = true
			p.release(k)
			return nil
		})
		if err := f.rest(ctx, func() bool { return ready }); err != nil {
			t.Fatal(err)
		}
		f.drop(k.conn) // as the end of the connection does
	}
	if p.open != 1 || len(p.free) != 1 {
		t.Errorf("%d open, %d free, want the last alone", p.open, len(p.free))
	}
	p.close()
}

// TestCallersAreShut ends callers, and others can come.
func TestCallersAreShut(t *testing.T) {
	f, ctx := testFleet(t, serveFake(t, &fake{}, Caller))
	for range 2 {
		if _, err := f.open(ctx, Caller, 3, ignore); err != nil || len(f.callers) != 3 {
			t.Fatalf("%d callers, %v", len(f.callers), err)
		}
		f.shut(Caller)
	}
	for _, k := range f.conns {
		if k != nil {
			t.Errorf("connection %d is still open", k.number)
		}
	}
}

// TestLongLine: a server cannot make the client keep a line without end.
func TestLongLine(t *testing.T) {
	if _, _, err := firstLine(make([]byte, lineMax+1)); err == nil {
		t.Error("no error")
	}
	if _, ok, err := firstLine([]byte("unfinished")); ok || err != nil {
		t.Error(ok, err)
	}
	if line, ok, err := firstLine([]byte("a\nb\n")); string(line) != "a" || !ok || err != nil {
		t.Errorf("%q %v %v", line, ok, err)
	}
}
