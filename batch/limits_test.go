package batch

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

func TestFullLaneRefuses(t *testing.T) {
	caps := [Lanes]int{Control: 100, Data: 100, Bulk: 100}
	hard := [Lanes]int{Control: 200, Data: 200, Bulk: 200}
	x, y := pair(t, Options{Cap: caps, Hard: hard}, Options{})
	msg := bytes.Repeat([]byte("m"), 49) // 50 with its length
	for range 2 {
		if _, err := x.Append(Data, msg); err != nil {
			t.Fatal(err)
		}
	}
	if room := x.Room(Data); room != 0 {
		t.Errorf("room for %d bytes, want 0", room)
	}
	if _, err := x.Append(Data, nil); !errors.Is(err, ErrFull) {
		t.Errorf("Append to a full lane: %v", err)
	}
	if _, err := x.Append(Control, msg); err != nil {
		t.Errorf("another lane: %v", err)
	}
	for i := range 2 {
		if seq, err := x.AppendMust(Data, msg); err != nil || seq != uint64(3+i) {
			t.Errorf("AppendMust: %d, %v", seq, err)
		}
	}
	if _, err := x.AppendMust(Data, msg); !errors.Is(err, ErrFull) {
		t.Errorf("AppendMust beyond the hard bound: %v", err)
	}
	if n, size := x.Pending(Data); n != 4 || size != 200 {
		t.Errorf("%d messages, %d bytes pending", n, size)
	}
	if got := x.Stats().Lane[Data].Refused; got != 2 {
		t.Errorf("%d refused, want 2", got)
	}
	var atX, atY inbox
	settle(t, x, y, &atX, &atY)
	if room := x.Room(Data); room != 100 || len(atY[Data]) != 4 {
		t.Errorf("room for %d bytes after %d messages", room, len(atY[Data]))
	}
}

func TestLongMessages(t *testing.T) {
	o := Options{MessageMax: 1 << 20, Cap: [Lanes]int{Data: 1 << 10}, FrameMax: 1 << 10}
	x, y := pair(t, o, o)
	if _, err := x.Append(Data, make([]byte, 1<<20+1)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("one byte too long: %v", err)
	}
	// An empty lane takes what is longer than its bound, else it never could.
	long := strings.Repeat("l", 1<<20)
	mustAppend(t, x, Data, long)
	if _, err := x.Append(Data, nil); !errors.Is(err, ErrFull) {
		t.Errorf("behind a message beyond the bound: %v", err)
	}
	var atX, atY inbox
	settle(t, x, y, &atX, &atY)
	if len(atY[Data]) != 1 || atY[Data][0] != long {
		t.Error("the long message did not arrive")
	}
	if cap(y.scratch) > scratchMax {
		t.Errorf("%d bytes kept after a long message", cap(y.scratch))
	}
}

func TestFramesAreBounded(t *testing.T) {
	x, _ := pair(t, Options{Features: NoFeatures}, Options{Features: NoFeatures})
	for i := range 5000 {
		mustAppend(t, x, Data+Lane(i%2), strings.Repeat("b", 100+i%400))
	}
	for {
		p := x.NextFrame(nil)
		if len(p) == 0 {
			return
		}
		if len(p) > headerSize+grantsSize+frameMax {
			t.Fatalf("frame of %d bytes", len(p))
		}
	}
}

func TestCountOfEmptyMessagesIsBounded(t *testing.T) {
	x, y := pair(t, Options{}, Options{})
	const n = 3*countMax + 1
	for range n {
		mustAppend(t, x, Bulk, "")
	}
	var atX, atY inbox
	settle(t, x, y, &atX, &atY)
	if len(atY[Bulk]) != n {
		t.Errorf("%d of %d messages", len(atY[Bulk]), n)
	}
}

func TestWindowHoldsTheSender(t *testing.T) {
	window := [Lanes]int{Control: 1000, Data: 1000, Bulk: 1000}
	x, y := pair(t, Options{}, Options{Window: window})
	for range 100 {
		mustAppend(t, x, Data, strings.Repeat("w", 99))
		mustAppend(t, x, Bulk, strings.Repeat("w", 99))
	}
	// One message may begin within the window and end beyond it.
	p := frames(x)
	if got := x.Sent(Data); got != 10 {
		t.Errorf("%d messages sent, want 10", got)
	}
	mustAppend(t, x, Control, "urgent")
	p = append(p, frames(x)...)
	if x.Sent(Control) != 1 {
		t.Error("a lane without credit holds up another")
	}

	// What the owner keeps is not granted again.
	keep := func(lane Lane, msg []byte) error {
		if lane == Data {
			y.Hold(lane, len(msg)+1)
		}
		return nil
	}
	if _, err := y.Receive(p, keep); err != nil {
		t.Fatal(err)
	}
	var in inbox
	feed(t, x, frames(y), &in)
	feed(t, y, frames(x), &in)
	if x.Acked(Data) != 10 || x.Sent(Data) != 10 {
		t.Errorf("held: %d acknowledged, %d sent", x.Acked(Data), x.Sent(Data))
	}
	if x.Sent(Bulk) != 20 {
		t.Errorf("bulk went on to %d, want 20", x.Sent(Bulk))
	}
	frames(y)
	y.Release(Data, 100) // the sender is out of credit: any is worth a frame
	feed(t, x, frames(y), &in)
	if frames(x); x.Sent(Data) != 11 {
		t.Errorf("%d sent after a release, want 11", x.Sent(Data))
	}
}

func TestSenderBeyondItsCreditIsCutOff(t *testing.T) {
	window := [Lanes]int{Data: 100}
	x, y := pair(t, Options{}, Options{Window: window})
	x.credit[Data] = 1 << 20
	for range 3 {
		mustAppend(t, x, Data, strings.Repeat("c", 99))
	}
	_, err := y.Receive(frames(x), new(inbox).take)
	if !errors.Is(err, ErrCredit) || y.Connected() {
		t.Errorf("got %v", err)
	}
	if y.Processed(Data) != 1 {
		t.Errorf("%d processed", y.Processed(Data))
	}
}

func TestUrgentFirstAndBulkInTheEnd(t *testing.T) {
	x, _ := pair(t, Options{}, Options{})
	for range 40 {
		mustAppend(t, x, Bulk, strings.Repeat("b", 60<<10))
		mustAppend(t, x, Data, strings.Repeat("d", 60<<10))
	}
	mustAppend(t, x, Control, "c")
	var order []Lane
	for {
		p := x.NextFrame(nil)
		if len(p) == 0 {
			break
		}
		var h header
		if err := h.parse(p, x.rawMax()); err != nil {
			t.Fatal(err)
		}
		order = append(order, h.lane)
	}
	if order[0] != Control {
		t.Errorf("the first frame is %s", order[0])
	}
	for i, lane := range order[1 : 1+2*(bulkShare+1)] {
		want := Data
		if i%(bulkShare+1) == bulkShare {
			want = Bulk
		}
		if lane != want {
			t.Fatalf("frame %d is %s, want %s", i, lane, want)
		}
	}
}

func TestLanesHaveNames(t *testing.T) {
	if got := Control.String() + Data.String() + Bulk.String() + Lane(7).String(); got != "controldatabulklane 7" {
		t.Error(got)
	}
}
