package batch

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
)

// pair returns the two ends of a link, connected.
func pair(t testing.TB, a, b Options) (*Link, *Link) {
	t.Helper()
	a.Local, a.Remote = 1, 2
	b.Local, b.Remote = 2, 1
	x, y := NewLink(a), NewLink(b)
	connect(t, x, y)
	return x, y
}

func connect(t testing.TB, x, y *Link) {
	t.Helper()
	rx, ry := x.Resume(), y.Resume()
	if err := errors.Join(x.Connect(ry), y.Connect(rx)); err != nil {
		t.Fatal(err)
	}
}

// frames returns all frames that l has to send.
func frames(l *Link) []byte {
	var p []byte
	for {
		n := len(p)
		if p = l.NextFrame(p); len(p) == n {
			return p
		}
	}
}

// inbox collects what a link receives.
type inbox [Lanes][]string

func (in *inbox) take(lane Lane, msg []byte) error {
	in[lane] = append(in[lane], string(msg))
	return nil
}

// feed has l receive p whole.
func feed(t testing.TB, l *Link, p []byte, in *inbox) {
	t.Helper()
	if n, err := l.Receive(p, in.take); err != nil || n != len(p) {
		t.Fatalf("took %d of %d bytes: %v", n, len(p), err)
	}
}

// settle moves frames both ways until neither end has one.
func settle(t testing.TB, x, y *Link, atX, atY *inbox) {
	t.Helper()
	for {
		p, q := frames(x), frames(y)
		if len(p)+len(q) == 0 {
			return
		}
		feed(t, y, p, atY)
		feed(t, x, q, atX)
	}
}

func mustAppend(t testing.TB, l *Link, lane Lane, msg string) uint64 {
	t.Helper()
	seq, err := l.Append(lane, []byte(msg))
	if err != nil {
		t.Fatal(err)
	}
	return seq
}

func TestMessagesArriveInOrder(t *testing.T) {
	x, y := pair(t, Options{}, Options{})
	var atX, atY, want inbox
	for i := range 3000 {
		lane := Lane(i % Lanes)
		msg := fmt.Sprint("message ", i)
		want[lane] = append(want[lane], msg)
		if seq := mustAppend(t, x, lane, msg); seq != uint64(len(want[lane])) {
			t.Fatalf("message %d of the %s lane has sequence %d", len(want[lane]), lane, seq)
		}
	}
	mustAppend(t, y, Data, "")
	mustAppend(t, y, Data, string(bytes.Repeat([]byte("x"), 1<<20)))
	settle(t, x, y, &atX, &atY)
	for lane := range Lane(Lanes) {
		if fmt.Sprint(atY[lane]) != fmt.Sprint(want[lane]) {
			t.Errorf("lane %s: got %d messages, want %d", lane, len(atY[lane]), len(want[lane]))
		}
		if x.Acked(lane) != 1000 || x.Sent(lane) != 1000 || y.Processed(lane) != 1000 {
			t.Errorf("lane %s: %d acknowledged, %d sent, %d processed", lane, x.Acked(lane), x.Sent(lane), y.Processed(lane))
		}
		if n, size := x.Pending(lane); n != 0 || size != 0 {
			t.Errorf("lane %s: %d messages, %d bytes pending", lane, n, size)
		}
	}
	if len(atX[Data]) != 2 || atX[Data][0] != "" || len(atX[Data][1]) != 1<<20 {
		t.Errorf("the other way: %d messages", len(atX[Data]))
	}
}
