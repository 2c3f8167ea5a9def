package loop_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/rookery-server/rookery/loop"
)

// traffic is a script for some connections: what each sends, in which pieces,
// and what it must receive. A message is a line whose first byte says how it is
// handled: i inline unless earlier ones are being worked on, w by a worker, f
// by one that flushes half of its reply, l by one that leaves and returns.
// Whatever the way, the reply is the line.
type traffic struct {
	lines  [][]byte
	pieces [][][]byte
}

func drawTraffic(t *rapid.T) (k traffic) {
	for range rapid.IntRange(1, 4).Draw(t, "connections") {
		var all []byte
		for i := range rapid.IntRange(1, 40).Draw(t, "messages") {
			size := rapid.OneOf(rapid.IntRange(0, 20), rapid.IntRange(0, 9000)).Draw(t, "size")
			all = fmt.Appendf(all, "%c%d", "iiwwfl"[rapid.IntRange(0, 5).Draw(t, "kind")], i)
			all = append(append(all, bytes.Repeat([]byte("."), size)...), '\n')
		}
		k.lines = append(k.lines, all)
		var pieces [][]byte
		for rest := all; len(rest) > 0; {
			n := rapid.OneOf(rapid.IntRange(1, 30), rapid.IntRange(1, 1<<16)).Draw(t, "piece")
			n = min(n, len(rest))
			pieces, rest = append(pieces, rest[:n]), rest[n:]
		}
		k.pieces = append(k.pieces, pieces)
	}
	return k
}

func drawOptions(t *rapid.T, portable bool) loop.Options {
	high := rapid.SampledFrom([]int{1 << 10, 64 << 10}).Draw(t, "outHigh")
	return loop.Options{
		Portable:   portable,
		Logger:     quiet(),
		TickEvery:  5 * time.Millisecond,
		Loops:      rapid.IntRange(1, 3).Draw(t, "loops"),
		Workers:    rapid.IntRange(1, 3).Draw(t, "workers"),
		WaitingMax: rapid.IntRange(1, 3).Draw(t, "waitingMax"),
		RingSize:   rapid.IntRange(1, 3).Draw(t, "ring"),
		ReadBuffer: rapid.SampledFrom([]int{1 << 10, 4 << 10, 64 << 10}).Draw(t, "readBuffer"),
		QueueMax:   rapid.SampledFrom([]int{1, 300, 256 << 10}).Draw(t, "queueMax"),
		OutHigh:    high,
		OutLow:     high / 2,
	}
}

// handle is the protocol of traffic.
var handle = &proto{
	step: func(t *loop.Turn) loop.Verdict {
		if line, _ := cutLine(t); len(line) > 0 && line[0] == 'i' && !t.Busy {
			return echoLine(t)
		}
		return workLine(t)
	},
	work: func(j *loop.Job) {
		half := 0
		switch j.Record[0] {
		case 'f':
			half = len(j.Record) / 2
			j.Out = append(j.Out, j.Record[:half]...)
			_ = j.Flush()
		case 'l':
			if j.Leave(false) == nil {
				j.Return()
			}
		}
		j.Out = append(j.Out, j.Record[half:]...)
	},
}

// TestSameTrafficOtherSettings: bounds, buffers, workers and pieces change how
// messages travel, never what arrives.
func TestSameTrafficOtherSettings(t *testing.T) {
	each(t, func(t *testing.T, portable bool) {
		rapid.Check(t, func(t *rapid.T) {
			o, k := drawOptions(t, portable), drawTraffic(t)
			g, err := loop.New(o)
			if err != nil {
				t.Fatal(err)
			}
			defer g.Close()
			addr, err := g.Listen("127.0.0.1:0", handle)
			if err != nil {
				t.Fatal(err)
			}
			if err := g.Start(); err != nil {
				t.Fatal(err)
			}
			var all sync.WaitGroup
			errs := make([]error, len(k.lines))
			for i := range k.lines {
				all.Go(func() { errs[i] = play(addr.String(), k.pieces[i], k.lines[i]) })
			}
			all.Wait()
			for i, err := range errs {
				if err != nil {
					t.Errorf("connection %d: %v", i, err)
				}
			}
		})
	})
}

// play sends pieces while it reads, finishes, and checks all that came back.
func play(addr string, pieces [][]byte, want []byte) error {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(patience))
	sent := make(chan error, 1)
	go func() {
		for _, p := range pieces {
			if _, err := c.Write(p); err != nil {
				sent <- err
				return
			}
		}
		sent <- c.(*net.TCPConn).CloseWrite()
	}()
	got, err := io.ReadAll(c)
	if err != nil {
		return fmt.Errorf("after %d of %d bytes: %w", len(got), len(want), err)
	}
	if !bytes.Equal(got, want) {
		return fmt.Errorf("got %d bytes, want %d; they differ at %d", len(got), len(want), differ(got, want))
	}
	return <-sent
}

// differ returns the index of the first byte in which a and b differ.
func differ(a, b []byte) int {
	i := 0
	for i < len(a) && i < len(b) && a[i] == b[i] {
		i++
	}
	return i
}
