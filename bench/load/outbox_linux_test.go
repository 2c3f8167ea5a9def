package load

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Calls that are due together arrive whole, with a ring and without; what a socket
// does not take is kept and comes behind what it took.
func TestOutbox(t *testing.T) {
	const clients, full, broken = 100, 7, 9
	for _, o := range []outbox{{}, newOutbox()} {
		t.Run(fmt.Sprintf("ring %v", o.ring != nil), func(t *testing.T) {
			w := idleWorker(clients, Options{Protocol: JSONRPC})
			w.outbox = o
			t.Cleanup(w.outbox.close)
			peers := make([]int, clients)
			for i := range peers {
				p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
				if err != nil {
					t.Fatal(err)
				}
				w.clients[i].fd, peers[i] = int32(p[0]), p[1]
				t.Cleanup(func() { _, _ = unix.Close(p[0]), unix.Close(p[1]) })
			}
			for err := error(nil); err == nil; {
				_, err = unix.Write(int(w.clients[full].fd), make([]byte, 4096))
			}
			_ = unix.Shutdown(int(w.clients[broken].fd), unix.SHUT_WR)
			w.setRate(1000, 0)
			w.issue(int64(99 * time.Millisecond))
			if w.tally.counts.Sent != clients || len(w.outbox.list) != 0 {
				t.Fatalf("%d calls made, %d not yet written", w.tally.counts.Sent, len(w.outbox.list))
			}
			var total int64
			for i := range clients {
				want := w.speech.call(nil, 1, w.texts.of(1, int(w.calls.list[w.clients[i].head].size)))
				total += int64(len(want))
				got := make([]byte, len(want)+1)
				n, _ := unix.Read(peers[i], got) // EAGAIN: nothing
				switch i {
				case full, broken:
					if kept := w.kept[int32(i)]; kept == nil || !bytes.Equal(kept.out, want) {
						t.Errorf("client %d: not kept", i)
					}
				default:
					if !bytes.Equal(got[:max(n, 0)], want) {
						t.Errorf("client %d sent %q, want %q", i, got[:max(n, 0)], want)
					}
				}
			}
			if w.tally.counts.BytesOut != total {
				t.Errorf("%d bytes counted, want %d", w.tally.counts.BytesOut, total)
			}
		})
	}
}
