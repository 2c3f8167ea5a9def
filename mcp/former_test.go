package mcp

import (
	"fmt"
	"strings"
	"testing"
)

// An event that cannot stand at its old place, because an earlier one of its
// publisher came here by another way, is not sent again to a client whose last
// event id covers that place, and in order to another one.
func TestMergeOfWhatWasOvertaken(t *testing.T) {
	for _, c := range []struct {
		after string
		epoch uint32   // of the home
		heard []string // in order
		not   string
	}{
		{"1-6", 1 << takeoverShift, []string{`"n":3`}, `"n":4`},
		{"1-5", 1 << takeoverShift, []string{`"n":3`, `"n":4`}, ""},
		// The client has been at another home that took over, and says how far it
		// has had what stood there before.
		{"1-400003-7", 2 << takeoverShift, []string{`"n":3`}, `"n":4`},
		{"1-400003-6", 2 << takeoverShift, []string{`"n":3`, `"n":4`}, ""},
	} {
		for _, there := range []bool{false, true} { // before the merge, by another way
			b := newFakeCluster(1).beds[0]
			header, ref := b.newSession(t, 1, "2025-11-25")
			b.get(t, 10, header)
			if !b.Demote(ref, 7, 1) || !b.Promote(ref, c.epoch, false) {
				t.Fatal("not taken over")
			}
			publish := func(n byte) {
				sp := b.Spread(&Publication{Audience: ToSessions, Method: "late", Params: []byte(`{"n":` + string('0'+n) + `}`)}, Origin{Peer: 9, Seq: uint64(n)})
				sp.Again = true
				for !sp.Step(1) {
				}
			}
			publish(3)
			if there {
				publish(4)
			}
			b.Merge(ref, 1, 6, Origin{Peer: 9, Seq: 4}, []byte(`{"jsonrpc":"2.0","method":"late","params":{"n":4}}`))
			publish(4) // once more: it is known
			b.getAfter(11, header, c.after)
			out, at := b.host.take(11), 0
			for _, text := range c.heard {
				i := strings.Index(out[at:], text)
				if i < 0 || strings.Count(out, text) != 1 {
					t.Fatalf("after %s, there %v: %s is missing, out of order or comes twice: %q", c.after, there, text, out)
				}
				at += i
			}
			if c.not != "" && strings.Contains(out, c.not) {
				t.Errorf("there %v: a client that had %s gets it again: %q", there, c.not, out)
			}
			b.disconnect(11)
			b.getAfter(12, header, fmt.Sprintf("1-%x", c.epoch>>takeoverShift<<epochShift|1)) // of this home's
			if b.former.n != 0 || len(b.former.m) != 0 {
				t.Errorf("%d numbers are left", b.former.n)
			}
		}
	}
}

// The numbers of former homes are bounded, and go with their session.
func TestFormerIsBounded(t *testing.T) {
	var f former
	for i := range formerMax + 10 {
		f.add(uint64(i%7), formerNumber{seq: uint32(i)})
	}
	n := 0
	for ref := range uint64(7) {
		n += len(f.take(ref))
	}
	if n != formerMax || f.n != 0 || len(f.m) != 0 {
		t.Errorf("%d numbers, %d left", n, f.n)
	}
}
