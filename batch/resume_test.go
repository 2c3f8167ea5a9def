package batch

import (
	"errors"
	"fmt"
	"testing"
)

func TestUnacknowledgedIsSentAgain(t *testing.T) {
	x, y := pair(t, Options{}, Options{})
	var atX, atY inbox
	for i := range 10 {
		mustAppend(t, x, Data, fmt.Sprint(i))
	}
	feed(t, y, frames(x), &atY) // the acknowledgement is lost
	for i := range 10 {
		mustAppend(t, x, Data, fmt.Sprint(10+i))
	}
	frames(x) // so are these
	x.Disconnect()
	y.Disconnect()
	if p := x.NextFrame(nil); p != nil {
		t.Error("a frame without a connection")
	}
	if p := x.Heartbeat(nil); p != nil {
		t.Error("a heartbeat without a connection")
	}
	if _, err := x.Receive(nil, atX.take); !errors.Is(err, ErrNotConnected) {
		t.Errorf("Receive without a connection: %v", err)
	}
	mustAppend(t, x, Data, "20")
	connect(t, x, y)
	if x.Acked(Data) != 10 {
		t.Errorf("the handshake acknowledged %d, want 10", x.Acked(Data))
	}
	settle(t, x, y, &atX, &atY)
	if len(atY[Data]) != 21 {
		t.Errorf("got %v", atY[Data])
	}
	for i, msg := range atY[Data] {
		if msg != fmt.Sprint(i) {
			t.Fatalf("message %d is %s", i, msg)
		}
	}
	s := x.Stats()
	if s.Lane[Data].Resent != 10 || s.Connects != 2 {
		t.Errorf("%d sent again over %d connections", s.Lane[Data].Resent, s.Connects)
	}
	if d := y.Stats().Lane[Data].Duplicates; d != 0 {
		t.Errorf("%d duplicates after a clean handshake", d)
	}
}

// A connection may bring messages while the next one shakes hands.
func TestDuplicatesAreDropped(t *testing.T) {
	x, y := pair(t, Options{}, Options{})
	var in inbox
	for i := range 5 {
		mustAppend(t, x, Data, fmt.Sprint(i))
	}
	p := frames(x)
	old := y.Resume()
	feed(t, y, p, &in)
	if err := x.Connect(old); err != nil {
		t.Fatal(err)
	}
	ahead := frames(y) // acknowledges what x believes unsent
	feed(t, x, ahead, &in)
	if x.Acked(Data) != 5 || x.Sent(Data) != 5 {
		t.Errorf("%d acknowledged, %d sent", x.Acked(Data), x.Sent(Data))
	}
	feed(t, y, p, &in)
	if len(in[Data]) != 5 {
		t.Errorf("received %v", in[Data])
	}
	if d := y.Stats().Lane[Data].Duplicates; d != 5 {
		t.Errorf("%d duplicates, want 5", d)
	}
}

func TestHandlerThatFailsGetsTheMessageAgain(t *testing.T) {
	x, y := pair(t, Options{}, Options{})
	for i := range 5 {
		mustAppend(t, x, Data, fmt.Sprint(i))
	}
	broken := errors.New("broken")
	var in inbox
	_, err := y.Receive(frames(x), func(lane Lane, msg []byte) error {
		if len(in[Data]) == 3 {
			return broken
		}
		return in.take(lane, msg)
	})
	if !errors.Is(err, broken) || y.Connected() {
		t.Fatalf("got %v", err)
	}
	if y.Processed(Data) != 3 {
		t.Errorf("%d processed, want 3", y.Processed(Data))
	}
	connect(t, x, y)
	settle(t, x, y, &in, &in)
	if fmt.Sprint(in[Data]) != "[0 1 2 3 4]" {
		t.Errorf("received %v", in[Data])
	}
}

func TestHandlerMayAnswerAtOnce(t *testing.T) {
	x, y := pair(t, Options{}, Options{})
	mustAppend(t, x, Data, "question")
	var out []byte
	_, err := y.Receive(frames(x), func(lane Lane, msg []byte) error {
		_, err := y.Append(lane, append([]byte("answer to "), msg...))
		out = y.NextFrame(out)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	var in inbox
	feed(t, x, out, &in)
	if fmt.Sprint(in[Data]) != "[answer to question]" {
		t.Errorf("received %v", in[Data])
	}
	if x.Acked(Data) != 0 {
		t.Error("a message was acknowledged before it was processed")
	}
	feed(t, x, frames(y), &in)
	if x.Acked(Data) != 1 {
		t.Error("a message is not acknowledged")
	}
}

func TestLinksThatDoNotFit(t *testing.T) {
	x, y := pair(t, Options{}, Options{})
	var in inbox
	mustAppend(t, x, Data, "1")
	mustAppend(t, x, Data, "2")
	settle(t, x, y, &in, &in)
	good := y.Resume()
	for name, c := range map[string]struct {
		spoil func(*Resume)
		want  error
	}{
		"forgot":       {func(r *Resume) { r.Received[Data] = 1 }, ErrResume},
		"invents":      {func(r *Resume) { r.Received[Data] = 3 }, ErrResume},
		"takes credit": {func(r *Resume) { r.Credit[Bulk]-- }, ErrResume},
		"version 0":    {func(r *Resume) { r.Version = 0 }, ErrVersion},
		"version 2":    {func(r *Resume) { r.Version = 2 }, ErrVersion},
	} {
		r := good
		c.spoil(&r)
		if err := x.Connect(r); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
		if x.Connected() {
			t.Errorf("%s: connected", name)
		}
	}
	if err := x.Connect(good); err != nil {
		t.Error(err)
	}
}

func TestAcknowledgementsEnd(t *testing.T) {
	x, y := pair(t, Options{}, Options{})
	var in inbox
	settle(t, x, y, &in, &in)
	mustAppend(t, x, Data, "m")
	feed(t, y, frames(x), &in)
	feed(t, x, frames(y), &in)
	if p := append(frames(x), frames(y)...); len(p) != 0 {
		t.Errorf("%d bytes after everything is acknowledged", len(p))
	}
	p := x.Heartbeat(nil)
	if len(p) != headerSize+grantsSize {
		t.Errorf("a heartbeat has %d bytes", len(p))
	}
	feed(t, y, p, &in)
	if p := frames(y); len(p) != 0 {
		t.Error("a heartbeat is answered")
	}
	if s := x.Stats(); s.Pure != 2 { // after connecting, and the heartbeat
		t.Errorf("%d frames without messages", s.Pure)
	}
}
