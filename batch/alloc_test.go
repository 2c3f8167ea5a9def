package batch

import (
	"fmt"
	"testing"
)

// What every message goes through allocates nothing, compressed or not.
func TestSteadyStateAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	for _, features := range []Features{NoFeatures, FeatureS2, AllFeatures} {
		for lane := range Lane(Lanes) {
			x, y := pair(t, Options{Features: features}, Options{Features: features})
			messages := make([][]byte, 1000)
			for i := range messages {
				messages[i] = fmt.Appendf(nil, `{"jsonrpc":"2.0","method":"notifications/message","params":{"data":"%x"}}`, mix(uint64(i)))
			}
			var out, back []byte
			received := 0
			handle := func(Lane, []byte) error { received++; return nil }
			round := func() {
				for _, msg := range messages {
					if _, err := x.Append(lane, msg); err != nil {
						t.Fatal(err)
					}
				}
				for x.Sent(lane) > x.Acked(lane) || x.out[lane].unsent() {
					out, back = x.NextFrame(out[:0]), back[:0]
					if _, err := y.Receive(out, handle); err != nil {
						t.Fatal(err)
					}
					back = y.NextFrame(back)
					if _, err := x.Receive(back, handle); err != nil {
						t.Fatal(err)
					}
				}
			}
			round()
			if n := testing.AllocsPerRun(50, round); n >= 1 {
				t.Errorf("%s lane, features %b: %.0f allocations for %d messages", lane, features, n, len(messages))
			}
			if want := 52 * len(messages); received != want {
				t.Errorf("%d messages received, want %d", received, want)
			}
		}
	}
}

// A link that is silent holds no queue.
func TestSilentLinkHoldsNoBuffers(t *testing.T) {
	x, y := pair(t, Options{}, Options{})
	for lane := range Lane(Lanes) {
		mustAppend(t, x, lane, "m")
	}
	var in inbox
	settle(t, x, y, &in, &in)
	for lane := range Lanes {
		if q := &x.out[lane]; q.head != nil || q.tail != nil || q.cur != nil {
			t.Errorf("lane %s keeps a chunk", Lane(lane))
		}
	}
	if y.scratch != nil {
		t.Error("a buffer for compressed frames without one")
	}
}
