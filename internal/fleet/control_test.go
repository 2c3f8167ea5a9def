package fleet

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net"
	"testing"
)

// TestControlBounds: a peer that does not read costs a bounded queue, and the
// sender is told.
func TestControlBounds(t *testing.T) {
	ours, theirs := net.Pipe()
	c := newControl(ours, func(byte, []byte) {})
	defer theirs.Close()
	if err := c.Send(KindUser-1, nil); err == nil {
		t.Error("a kind of the fleet's own was sent for others")
	}
	if err := c.Send(KindUser, make([]byte, PayloadMax+1)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("too large: %v", err)
	}
	// One queue may be with the writer, who cannot get rid of it.
	const most = 2 * controlQueue / PayloadMax
	n := 0
	for ; n <= most; n++ {
		if err := c.Send(KindUser, make([]byte, PayloadMax)); err != nil {
			if !errors.Is(err, ErrFull) {
				t.Errorf("full: %v", err)
			}
			break
		}
	}
	if n < 2 || n > most {
		t.Errorf("%d frames found room", n)
	}
	c.Close()
	<-c.Done()
	if err := c.Send(KindUser, nil); !errors.Is(err, ErrClosed) {
		t.Errorf("closed: %v", err)
	}
	c.Close()
}

// TestControlEnds when the other end does, or breaks the framing; what came
// before is received.
func TestControlEnds(t *testing.T) {
	frame := func(n uint32, kind byte, payload string) []byte {
		return append(append(binary.BigEndian.AppendUint32(nil, n), kind), payload...)
	}
	for name, tail := range map[string][]byte{
		"between frames": nil,
		"in a header":    {0, 0},
		"in a payload":   frame(5, KindUser, "1234"),
		"too long":       frame(PayloadMax+1, KindUser, "1234"),
	} {
		ours, theirs := net.Pipe()
		got := make(chan string, 2)
		c := newControl(ours, func(kind byte, payload []byte) { got <- string(append([]byte{kind}, payload...)) })
		stream := bytes.Join([][]byte{frame(3, KindUser, "abc"), frame(0, KindUser+1, ""), tail}, nil)
		if _, err := theirs.Write(stream); err != nil && len(tail) == 0 {
			t.Errorf("%s: %v", name, err)
		}
		theirs.Close()
		<-c.Done()
		c.Close()
		if a, b := <-got, <-got; a != string(KindUser)+"abc" || b != string(KindUser+1) {
			t.Errorf("%s: received %q and %q", name, a, b)
		}
	}
}
