package batch

import (
	"errors"
	"fmt"
	"testing"

	"pgregory.net/rapid"
)

// world is two links, the wires between them and a twin that says what has to
// be true: lists of what was sent and received.
type world struct {
	link [2]*Link
	wire [2][]byte // from this end, not delivered
	sent [2]inbox
	got  [2]inbox
	kept [2][Lanes]int // bytes that the owner holds
	fail [2]int        // the handler fails at the message after so many
	o    [2]Options
}

var errHandler = errors.New("handler")

func newWorld(t *rapid.T) *world {
	w := &world{}
	for i := range 2 {
		features := Features(rapid.Uint64Range(0, 7).Draw(t, "features"))
		w.o[i] = Options{
			Local: uint64(i + 1), Remote: uint64(2 - i), Features: features | NoFeatures,
			FrameMax: rapid.SampledFrom([]int{1, 64, 4 << 10, 64 << 10}).Draw(t, "frame"), MessageMax: 5000,
		}
		for lane := range Lanes {
			w.o[i].Cap[lane] = rapid.IntRange(1, 20_000).Draw(t, "cap")
			w.o[i].Hard[lane] = w.o[i].Cap[lane] + rapid.IntRange(0, 20_000).Draw(t, "hard")
			w.o[i].Window[lane] = rapid.IntRange(1, 20_000).Draw(t, "window")
		}
		w.link[i] = NewLink(w.o[i])
		w.fail[i] = -1
	}
	return w
}

func (w *world) append(t *rapid.T) {
	i, lane := rapid.IntRange(0, 1).Draw(t, "end"), Lane(rapid.IntRange(0, Lanes-1).Draw(t, "lane"))
	l := w.link[i]
	for range rapid.IntRange(1, 30).Draw(t, "messages") {
		n := len(w.sent[i][lane])
		msg := fmt.Sprintf("%d/%d: %0*d", lane, n, rapid.SampledFrom([]int{1, 40, 400, 4000}).Draw(t, "size"), n)
		_, held := l.Pending(lane)
		size := prefixSize(len(msg)) + len(msg)
		limit, add := w.o[i].Cap[lane], l.Append
		if rapid.Bool().Draw(t, "must") {
			limit, add = w.o[i].Hard[lane], l.AppendMust
		}
		seq, err := add(lane, []byte(msg))
		if full := held > 0 && held+size > limit; full != (err != nil) {
			t.Fatalf("holds %d of %d: %v", held, limit, err)
		} else if full {
			return
		}
		w.sent[i][lane] = append(w.sent[i][lane], msg)
		if seq != uint64(n+1) {
			t.Fatalf("sequence %d, want %d", seq, n+1)
		}
	}
}

// write takes frames from an end, as a writer does.
func (w *world) write(t *rapid.T) {
	i := rapid.IntRange(0, 1).Draw(t, "end")
	for range rapid.IntRange(1, 8).Draw(t, "frames") {
		w.wire[i] = w.link[i].NextFrame(w.wire[i])
	}
	if rapid.IntRange(0, 9).Draw(t, "heartbeat") == 0 {
		w.wire[i] = w.link[i].Heartbeat(w.wire[i])
	}
}

// read delivers some bytes to the other end.
func (w *world) read(t *rapid.T) {
	i := rapid.IntRange(0, 1).Draw(t, "end")
	w.deliver(t, i, rapid.IntRange(0, len(w.wire[i])).Draw(t, "bytes"))
}

func (w *world) deliver(t *rapid.T, from, n int) {
	to := 1 - from
	l := w.link[to]
	if !l.Connected() {
		return
	}
	k, err := l.Receive(w.wire[from][:n], func(lane Lane, msg []byte) error {
		if w.fail[to] == 0 {
			w.fail[to] = -1
			return errHandler
		}
		w.fail[to]--
		if len(msg)%3 == 0 {
			l.Hold(lane, len(msg))
			w.kept[to][lane] += len(msg)
		}
		return w.got[to].take(lane, msg)
	})
	w.wire[from] = w.wire[from][k:]
	switch {
	case errors.Is(err, errHandler):
		w.cut()
	case err != nil:
		t.Fatalf("after %d bytes: %v", k, err)
	case k < n && l.Need(w.wire[from]) <= n-k:
		t.Fatalf("left %d bytes though it needs %d", n-k, l.Need(w.wire[from]))
	}
}

// cut ends the connection; what was on the wires is gone.
func (w *world) cut() {
	for i := range 2 {
		w.link[i].Disconnect()
		w.wire[i] = nil
	}
}

// connect makes a connection. What the old one still brings while the ends
// shake hands is delivered or not.
func (w *world) connect(t *rapid.T) {
	r := [2]Resume{w.link[0].Resume(), w.link[1].Resume()}
	if rapid.Bool().Draw(t, "late") {
		for i := range 2 {
			w.deliver(t, i, len(w.wire[i]))
		}
	}
	w.cut()
	for i := range 2 {
		if err := w.link[i].Connect(r[1-i]); err != nil {
			t.Fatalf("connect: %v", err)
		}
	}
}

func (w *world) release(t *rapid.T) {
	i, lane := rapid.IntRange(0, 1).Draw(t, "end"), rapid.IntRange(0, Lanes-1).Draw(t, "lane")
	n := rapid.IntRange(0, w.kept[i][lane]).Draw(t, "bytes")
	w.link[i].Release(Lane(lane), n)
	w.kept[i][lane] -= n
}

// check compares the links with their twin.
func (w *world) check(t *rapid.T) {
	for i := range 2 {
		l, peer := w.link[i], w.link[1-i]
		for lane := range Lane(Lanes) {
			sent, got := w.sent[i][lane], w.got[1-i][lane]
			if len(got) > len(sent) || fmt.Sprint(sent[:len(got)]) != fmt.Sprint(got) {
				t.Fatalf("lane %s of end %d: received %q of %q", lane, i, got, sent)
			}
			if n := peer.Processed(lane); n != uint64(len(got)) {
				t.Fatalf("lane %s: %d processed, want %d", lane, n, len(got))
			}
			if n := l.Acked(lane); n > uint64(len(got)) {
				t.Fatalf("lane %s: %d acknowledged, %d processed", lane, n, len(got))
			}
			pending, bytes := 0, 0
			for _, msg := range sent[l.Acked(lane):] {
				pending, bytes = pending+1, bytes+len(msg)+prefixSize(len(msg))
			}
			if n, size := l.Pending(lane); n != pending || size != bytes {
				t.Fatalf("lane %s: %d messages of %d bytes pending, want %d of %d", lane, n, size, pending, bytes)
			}
			if room := l.Room(lane); room != max(0, w.o[i].Cap[lane]-bytes) {
				t.Fatalf("lane %s: room for %d bytes", lane, room)
			}
			w.checkCredit(t, i, lane)
		}
	}
}

// checkCredit: what is sent and not processed stays within the window but for
// the one message that may end beyond it.
func (w *world) checkCredit(t *rapid.T, i int, lane Lane) {
	got := len(w.got[1-i][lane])
	sent := max(int(w.link[i].Sent(lane)), got)
	under := 0
	for _, msg := range w.sent[i][lane][got:max(got, sent-1)] {
		under += len(msg) + prefixSize(len(msg))
	}
	if window := w.o[1-i].Window[lane]; under >= window {
		t.Fatalf("lane %s: a message sent %d bytes ahead with a window of %d", lane, under, window)
	}
}

// drain connects the ends, lets go of everything and expects it all to arrive.
func (w *world) drain(t *rapid.T) {
	w.fail = [2]int{-1, -1}
	w.connect(t)
	for busy := true; busy; {
		busy = false
		for i := range 2 {
			for lane := range Lanes {
				w.link[i].Release(Lane(lane), w.kept[i][lane])
				w.kept[i][lane] = 0
			}
			for {
				n := len(w.wire[i])
				if w.wire[i] = w.link[i].NextFrame(w.wire[i]); len(w.wire[i]) == n {
					break
				}
				busy = true
			}
			w.deliver(t, i, len(w.wire[i]))
		}
	}
	w.check(t)
	for i := range 2 {
		for lane := range Lane(Lanes) {
			if n, _ := w.link[i].Pending(lane); n != 0 {
				t.Fatalf("lane %s of end %d: %d messages never arrived", lane, i, n)
			}
		}
	}
}

// Whatever happens to the connections, every message arrives exactly once, in
// order, and within the bounds.
func TestLinksAgainstTheirTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t)
		t.Repeat(map[string]func(*rapid.T){
			"append":  w.append,
			"write":   w.write,
			"read":    w.read,
			"cut":     func(*rapid.T) { w.cut() },
			"connect": w.connect,
			"release": w.release,
			"fail": func(t *rapid.T) {
				w.fail[rapid.IntRange(0, 1).Draw(t, "end")] = rapid.IntRange(0, 20).Draw(t, "after")
			},
			"": w.check,
		})
		w.drain(t)
	})
}
