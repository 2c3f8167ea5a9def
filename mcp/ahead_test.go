package mcp

import (
	"strings"
	"testing"
)

// TestOutrun: a client whose last event is of a later takeover than is known
// here has heard a newer home. It is told to come again for as long as that may
// say so, and that its events are lost from then on.
func TestOutrun(t *testing.T) {
	doubt := true
	b := newTestbed(func(o *Options) { o.Events, o.Doubt = newFakeEvents(), func() bool { return doubt } })
	header, ref := b.newSession(t, 1, "2025-11-25")
	b.getAfter(2, header, "")
	if err := b.Notify(ref, "m", nil); err != nil {
		t.Fatal(err)
	}
	b.disconnect(2)
	b.rpc(3, resumable)
	tcp, _ := b.sessions.Load(b.sessions.last)
	b.closeConn(3)
	for _, last := range []string{"1-400001", "2-400001", "80000001-400001"} {
		doubt = true
		b.host.take(4)
		if out := b.getAfter(4, header, last); !strings.HasPrefix(out, "HTTP/1.1 503") || !strings.Contains(out, "Retry-After: 1\r\n") {
			t.Errorf("after %s: %s", last, out)
		}
		if sess, _ := b.sessions.Load(ref); sess.Gets != 1 || sess.Stream != 0 {
			t.Errorf("after %s: %+v", last, sess)
		}
		doubt = false
		b.host.take(5)
		if out := b.getAfter(5, header, last); !strings.HasPrefix(out, "HTTP/1.1 404") {
			t.Errorf("after %s, without doubt: %s", last, out)
		}
	}
	for _, want := range []struct {
		doubt bool
		code  string
	}{{true, "-32000"}, {false, "-32001"}} {
		doubt = want.doubt
		b.rpc(6, resuming(tcp.ID, "1-400001"))
		if out := b.host.take(6); !strings.Contains(out, want.code) || strings.Contains(out, "result") || b.words[6] != 0 {
			t.Errorf("doubt %v: %s", want.doubt, out)
		}
	}
	doubt = true
	b.host.take(7)
	if out := b.getAfter(7, header, "1-fff"); !strings.HasPrefix(out, "HTTP/1.1 404") { // of this home's own takeover
		t.Errorf("never drawn: %s", out)
	}
	b.host.take(8)
	if out := b.getAfter(8, header, "1-1"); !strings.HasPrefix(out, "HTTP/1.1 200") {
		t.Errorf("its own event: %s", out)
	}
}

// TestAhead: a client that names an event of the lost home which the log lacks
// is told to come again, until that event has come from another copy or cannot
// come any more.
func TestAhead(t *testing.T) {
	for _, comes := range []bool{true, false} {
		var gathering bool
		b := newTestbed(func(o *Options) {
			o.Events, o.Gathering = newFakeEvents(), func(_ uint64, seq uint32) bool { return gathering && seq > 2 }
		})
		header, ref := b.newSession(t, 1, "2025-11-25")
		b.getAfter(2, header, "")
		for range 2 {
			if err := b.Notify(ref, "m", nil); err != nil {
				t.Fatal(err)
			}
		}
		b.disconnect(2)
		b.sessions.Update(ref, func(s *Session) { s.Home, s.Flags = 2, 0 })
		b.Promote(ref, 1<<19, false)
		gathering = true
		b.host.take(3)
		if out := b.getAfter(3, header, "1-2"); !strings.HasPrefix(out, "HTTP/1.1 200") {
			t.Errorf("an event that is here: %s", out)
		}
		b.disconnect(3)
		b.sessions.Update(ref, func(s *Session) { s.Flags = 0 })
		b.host.take(4)
		if out := b.getAfter(4, header, "1-3"); !strings.HasPrefix(out, "HTTP/1.1 503") || !strings.Contains(out, "Retry-After: 1\r\n") {
			t.Errorf("an event that may come: %s", out)
		}
		if comes {
			b.Merge(ref, 1, 3, Origin{Peer: 9, Seq: 9}, []byte(`{"jsonrpc":"2.0","method":"late"}`))
		} else {
			gathering = false
		}
		b.host.take(5)
		if out := b.getAfter(5, header, "1-3"); !strings.HasPrefix(out, "HTTP/1.1 200") || strings.Contains(out, "late") {
			t.Errorf("comes %v: %s", comes, out)
		}
	}
}
