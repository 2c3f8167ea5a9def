package loop_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/rookery-server/rookery/loop"
)

// TestBatch: what is written in a batch arrives whole and in order with what is
// written beside it, also at clients that are slow, gone, or written to twice.
func TestBatch(t *testing.T) {
	const clients, rounds = 100, 20
	each(t, func(t *testing.T, portable bool) {
		p, conns := opened(echoLine)
		g, addr := newGroup(t, portable, loop.Options{}, p)
		var list []*client
		var handles []loop.Handle
		for range clients {
			list = append(list, dial(t, addr))
			handles = append(handles, recv(t, conns).Handle())
		}
		random := rand.New(rand.NewPCG(1, 2))
		want := make([]string, clients)
		for round := range rounds {
			b := g.Batch()
			for range 3 * clients {
				i := random.IntN(clients)
				text := fmt.Sprintf("%d at %d;", i, round) + strings.Repeat("x", random.IntN(4)*random.IntN(1500))
				want[i] += text
				var err error
				switch random.IntN(20) {
				case 0: // beside the batch, of which this connection may be
					b.Flush()
					err = g.Conn(handles[i]).Write([]byte(text))
				default:
					err = b.Write(handles[i], []byte(text))
				}
				if err != nil {
					t.Error(err)
				}
			}
			b.Close()
		}
		for i, c := range list {
			got := make([]byte, len(want[i]))
			if _, err := io.ReadFull(c.in, got); err != nil || string(got) != want[i] {
				t.Fatalf("client %d: %v, %.80q, want %.80q", i, err, got, want[i])
			}
		}
		b := g.Batch()
		defer b.Close()
		for _, h := range []loop.Handle{0, ^loop.Handle(0)} {
			if err := b.Write(h, []byte("x")); !errors.Is(err, loop.ErrClosed) {
				t.Errorf("%x: %v", h, err)
			}
		}
	})
}

// TestBatchToSlow: what the kernel does not take of a batch is held like any
// output, and past the bound the client is closed; others hear everything.
func TestBatchToSlow(t *testing.T) {
	const size, ahead = 2000, 32 << 10 // others are never further behind: less than is held for one
	each(t, func(t *testing.T, portable bool) {
		closed, onClosed := ends(8)
		p, conns := opened(echoLine)
		p.closed = onClosed
		g, addr := newGroup(t, portable, loop.Options{OutHigh: 64 << 10, OutMax: 128 << 10}, p)
		_ = dialSmall(t, addr) // reads nothing
		slow := recv(t, conns).Handle()
		var others []*client
		var handles []loop.Handle
		for range 7 {
			others = append(others, dial(t, addr))
			handles = append(handles, recv(t, conns).Handle())
		}
		text := bytes.Repeat([]byte("y"), size)
		var reading sync.WaitGroup
		var heard atomic.Int64
		for _, c := range others {
			reading.Go(func() { _, _ = io.Copy(counter{&heard}, c.in) })
		}
		sent := 0
		for over := false; !over; {
			b := g.Batch()
			err := b.Write(slow, text)
			for _, h := range handles {
				if err := b.Write(h, text); err != nil {
					t.Error("a client that reads: ", err)
				}
				sent += size
			}
			b.Close()
			over = err != nil
			for !t.Failed() && int64(sent)-heard.Load() > ahead {
				runtime.Gosched()
			}
		}
		if e := recv(t, closed); e.h != slow || e.r != loop.ReasonSlow {
			t.Errorf("closed %+v", e)
		}
		for _, h := range handles {
			g.Conn(h).End(loop.ReasonDone)
		}
		reading.Wait()
		if heard.Load() != int64(sent) {
			t.Errorf("heard %d of %d bytes", heard.Load(), sent)
		}
	})
}

// counter counts what is written to it.
type counter struct{ n *atomic.Int64 }

func (c counter) Write(p []byte) (int, error) {
	c.n.Add(int64(len(p)))
	return len(p), nil
}

// TestBatchAmongWriters: several batches at once, writers beside them and
// connections that close under them: nothing waits for ever, nobody hears what
// was meant for another.
func TestBatchAmongWriters(t *testing.T) {
	const clients, writers, rounds = 64, 4, 60
	each(t, func(t *testing.T, portable bool) {
		p, conns := opened(echoLine)
		g, addr := newGroup(t, portable, loop.Options{}, p)
		var handles []loop.Handle
		var reading, writing sync.WaitGroup
		for i := range clients {
			c := dial(t, addr)
			handles = append(handles, recv(t, conns).Handle())
			reading.Go(func() {
				all, _ := io.ReadAll(c.in)
				if want := bytes.Repeat([]byte{byte(i)}, len(all)); !bytes.Equal(all, want) {
					t.Errorf("client %d heard what was another's", i)
				}
			})
		}
		for w := range writers {
			writing.Go(func() {
				text := make([]byte, 300)
				for round := range rounds {
					b := g.Batch()
					for k := range handles {
						i := (k*7 + w*13) % clients
						_ = b.Write(handles[i], bytes.Repeat([]byte{byte(i)}, len(text))) // it may be closed
					}
					b.Close()
					_ = g.Conn(handles[round%clients]).Write([]byte{byte(round % clients)})
					if round > rounds/2 {
						g.Conn(handles[round%clients]).Close(loop.ReasonApplication)
					}
				}
			})
		}
		writing.Wait()
		for _, h := range handles {
			g.Conn(h).End(loop.ReasonDone)
		}
		reading.Wait()
	})
}

// A batch outlives its group: it does nothing then.
func TestBatchAfterClose(t *testing.T) {
	each(t, func(t *testing.T, portable bool) {
		p, conns := opened(echoLine)
		g, addr := newGroup(t, portable, loop.Options{}, p)
		dial(t, addr)
		h := recv(t, conns).Handle()
		b := g.Batch()
		b.Close()
		g.Close()
		b = g.Batch()
		if err := b.Write(h, []byte("x")); !errors.Is(err, loop.ErrClosed) {
			t.Error(err)
		}
		b.Close()
	})
}
