package cluster

import (
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/rookery-server/rookery/batch"
)

// tcpPair returns the two ends of a connection.
func tcpPair(t *testing.T) (ours, theirs net.Conn) {
	t.Helper()
	l := meshListen(t, false)
	defer l.Close()
	theirs, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if ours, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ours.Close()
		theirs.Close()
	})
	return ours, theirs
}

// What the kernel of a killed process has sent is read although nothing can be
// written to it any more; only who reads nothing is closed at once.
func TestMeshReadsTheLastWords(t *testing.T) {
	for _, s := range []struct {
		name string
		err  error
		kept bool
	}{{"killed", io.ErrClosedPipe, true}, {"stalled", errStalled, false}} {
		t.Run(s.name, func(t *testing.T) {
			ours, theirs := tcpPair(t)
			in := &socket{Conn: ours}
			c := (&Mesh{}).newConn(in, in, false)
			if _, err := theirs.Write([]byte("last words")); err != nil {
				t.Fatal(err)
			}
			theirs.Close()
			written := make(chan struct{})
			go func() {
				defer close(written)
				c.lastRead(s.err)
			}()
			if !s.kept {
				<-written
			}
			got, err := io.ReadAll(c.rw)
			if (err == nil && string(got) == "last words") != s.kept {
				t.Errorf("read %q, %v", got, err)
			}
			c.fail(io.EOF) // as the reader does
			<-written
			if want := map[bool]error{true: io.EOF, false: errStalled}[s.kept]; !errors.Is(c.err, want) {
				t.Errorf("ended by %v, want %v", c.err, want)
			}
		})
	}
}

// A mesh knows whether anything of a peer has not been taken yet.
func TestMeshUnread(t *testing.T) {
	a, b := meshAt(t, "a", nil), meshAt(t, "b", nil)
	introduceAll(a, b)
	linked(t, a, b)
	end := b.end(a.self)
	end.mu.Lock() // whoever takes something has to wait
	held := true
	defer func() {
		if held {
			end.mu.Unlock()
		}
	}()
	a.end(b.self).send(t, batch.Data, "hello")
	meshEventually(t, "unread bytes", func() bool { return b.Unread(a.self) })
	end.mu.Unlock()
	held = false
	wantMessages(t, end, batch.Data, []string{"hello"})
	meshEventually(t, "everything read", func() bool { return !b.Unread(a.self) })
	if b.Unread(Peer{PeerID: PeerID{Node: "nobody"}}) {
		t.Error("of nobody")
	}
}

// A view that has a peer dead waits for what that has said, but not for ever.
func TestCoreViewWaitsForLastWords(t *testing.T) {
	for _, talks := range []time.Duration{100 * time.Millisecond, time.Hour} {
		c, b, store := strangers()
		w := store.p.w
		c.SetView(smallView(1, "b"))
		c.Step()
		end := w.now + talks
		c.o.Unread = func(p Peer) bool { return p == b.peer && w.now < end }
		c.SetView(smallView(2))
		began := w.now
		for b.alive.Load() {
			if w.now-began > 2*lastWordsMax {
				t.Fatal("it waits for ever")
			}
			w.recover(10 * time.Millisecond)
			c.Step()
		}
		if waited, want := w.now-began, min(talks, lastWordsMax); waited < want {
			t.Errorf("it waited for %v, want %v", waited, want)
		}
	}
}
