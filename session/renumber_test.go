package session

import (
	"slices"
	"testing"
)

// Renumber moves an event to where a lower number belongs, wherever it and that
// place are, and nothing else.
func TestRenumber(t *testing.T) {
	origin := func(n uint32) Origin { return Origin{Peer: 7, Seq: uint64(n)} }
	for _, c := range []struct {
		from, to uint32
		want     []uint32 // numbers, in order
		ok       bool
	}{
		{40, 5, []uint32{5, 10, 20, 30}, true},
		{40, 15, []uint32{10, 15, 20, 30}, true},
		{40, 35, []uint32{10, 20, 30, 35}, true},
		{30, 5, []uint32{5, 10, 20, 40}, true},
		{10, 5, []uint32{5, 20, 30, 40}, true},
		{30, 20, []uint32{10, 20, 30, 40}, false},
		{10, 15, []uint32{10, 20, 30, 40}, false},
		{50, 5, []uint32{10, 20, 30, 40}, false},
	} {
		e, log := NewEvents(EventsOptions{Peer: 1}), uint32(0)
		for _, seq := range []uint32{10, 20, 30, 40} {
			body := e.KeepAs(origin(seq), []byte{byte(seq)})
			log, _ = e.AppendAt(log, 1, seq, body)
			e.Release(body)
		}
		if ok := e.Renumber(log, c.to, origin(c.from)); ok != c.ok {
			t.Errorf("%d to %d: %v", c.from, c.to, ok)
		}
		if e.Numbered(log, c.to) != slices.Contains(c.want, c.to) {
			t.Errorf("%d to %d: the log does not know the number", c.from, c.to)
		}
		// What follows goes behind the last.
		body := e.Keep([]byte("x"))
		_, last := e.Append(log, 1, body)
		e.Release(body)
		var got []uint32
		e.Each(log, func(seq, _, _ uint32, msg []byte) {
			if got = append(got, seq); c.ok && seq == c.to && msg[0] != byte(c.from) {
				t.Errorf("%d to %d: another message stands there", c.from, c.to)
			}
		})
		if want := append(c.want, last); !slices.Equal(got, want) {
			t.Errorf("%d to %d: %v, want %v", c.from, c.to, got, want)
		}
	}
}
