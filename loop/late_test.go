package loop_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/rookery-server/rookery/loop"
)

// lateLine is echoLine for answers that may go out with others. A line "hold on"
// waits for the gate first, so that others are ready when it has passed.
func lateLine(g *gate, entered chan<- struct{}) func(t *loop.Turn) loop.Verdict {
	return func(t *loop.Turn) loop.Verdict {
		line, _ := cutLine(t)
		if string(line) == "hold on" {
			entered <- struct{}{}
			g.wait()
		}
		v := echoLine(t)
		t.Late = v == loop.Next
		if string(line) == "go" {
			t.Reason = loop.ReasonDone
			return loop.End
		}
		return v
	}
}

// heldUp connects a client, which holds the loop up until the gate of lateLine
// opens, and n more; what those send meanwhile is ready all at once.
func heldUp(t *testing.T, addr string, n int, conns chan loop.Conn, entered chan struct{}) (first *client, list []*client, handles []loop.Handle) {
	t.Helper()
	first = dial(t, addr)
	recv(t, conns)
	for range n {
		list = append(list, dial(t, addr))
		handles = append(handles, recv(t, conns).Handle())
	}
	first.send("hold on\n")
	recv(t, entered)
	return first, list, handles
}

// TestLate: answers that go to the kernel together arrive whole and in order, also
// at clients that finish or end behind their request, have asked for more than one
// thing, or are written to by others meanwhile.
func TestLate(t *testing.T) {
	const clients = 150
	each(t, func(t *testing.T, portable bool) {
		gate, entered := newGate(t), make(chan struct{}, 1)
		p, conns := opened(lateLine(gate, entered))
		g, addr := newGroup(t, portable, loop.Options{Loops: 1}, p)
		first, list, handles := heldUp(t, addr, clients, conns, entered)
		want := make([]string, clients)
		for i, c := range list {
			want[i] = fmt.Sprintf("%d\n", i)
			switch i % 6 {
			case 0:
				want[i] += strings.Repeat("again\n", i)
			case 1: // more than its share of a batch
				want[i] = strings.Repeat(want[i], 5000)
			case 2:
				want[i] += "go\n"
			}
			c.send(want[i])
			if i%6 == 3 {
				c.closeWrite()
			}
		}
		var beside sync.WaitGroup
		const note = "meanwhile\n"
		for i := 4; i < clients; i += 6 {
			beside.Go(func() {
				for range 20 {
					if err := g.Conn(handles[i]).Write([]byte(note)); err != nil {
						t.Error(err)
					}
				}
			})
		}
		gate.open()
		beside.Wait()
		first.expect("hold on\n")
		for i, c := range list {
			switch i % 6 {
			case 2, 3:
				if got := c.rest(); got != want[i] {
					t.Fatalf("client %d: %.80q, want %.80q", i, got, want[i])
				}
			case 4:
				got := make([]byte, len(want[i])+20*len(note))
				if _, err := readFull(c, got); err != nil || strings.ReplaceAll(string(got), note, "") != want[i] {
					t.Fatalf("client %d: %q, %v", i, got, err)
				}
			default:
				c.expect(want[i])
			}
		}
		st := g.Stats()
		if (st.Rings > 0) != (st.Batched > 0) || st.Batched > st.Messages {
			t.Errorf("%d rings, %d writes with others of %d messages", st.Rings, st.Batched, st.Messages)
		}
		t.Logf("%d of %d answers through a ring", st.Batched, st.Messages)
	})
}

// TestLateToSlow: what the kernel does not take of late answers is held as any
// output, and a client that goes on asking without reading is no longer read, while
// others hear everything.
func TestLateToSlow(t *testing.T) {
	const others, rounds = 12, 300
	each(t, func(t *testing.T, portable bool) {
		gate, entered := newGate(t), make(chan struct{}, 1)
		g, addr := newGroup(t, portable, loop.Options{Loops: 1, OutHigh: 32 << 10, OutMax: 256 << 10}, &proto{step: lateLine(gate, entered)})
		slow := dialSmall(t, addr)
		line := strings.Repeat("s", 1500) + "\n"
		stop := make(chan struct{})
		var writing, reading sync.WaitGroup
		writing.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if _, err := slow.Write([]byte(line)); err != nil {
					return // it was ended
				}
			}
		})
		for k := range others {
			c := dial(t, addr)
			random := rand.New(rand.NewPCG(7, uint64(k)))
			reading.Go(func() {
				for range rounds {
					text := append(bytes.Repeat([]byte{'a' + byte(k)}, 1+random.IntN(1800)), '\n')
					if _, err := c.Write(text); err != nil {
						t.Error(err)
						return
					}
					got := make([]byte, len(text))
					if _, err := readFull(c, got); err != nil || !bytes.Equal(got, text) {
						t.Errorf("client %d: %.20q, %v", k, got, err)
						return
					}
				}
			})
		}
		reading.Wait()
		until(t, "the slow one is paused", func() bool { return g.Stats().Pauses[loop.PauseOut] > 0 })
		close(stop)
		slow.reset()
		writing.Wait()
		until(t, "it is gone", func() bool { return g.Stats().Open == others })
		if st := g.Stats(); st.OutHeld != 0 || st.Closed[loop.ReasonSlow] != 0 {
			t.Errorf("%d bytes held, %d closed as slow", st.OutHeld, st.Closed[loop.ReasonSlow])
		}
	})
}

// TestLateAmongCloses: connections that are closed by others while their answers
// wait to be sent: nobody hears what was meant for another.
func TestLateAmongCloses(t *testing.T) {
	const clients = 100
	each(t, func(t *testing.T, portable bool) {
		gate, entered := newGate(t), make(chan struct{}, 1)
		step := lateLine(gate, entered)
		var g *loop.Group
		var addr string
		var handles []loop.Handle
		p, conns := opened(func(t *loop.Turn) loop.Verdict {
			if line, _ := cutLine(t); bytes.HasPrefix(line, []byte("close ")) { // who was answered just now, perhaps
				gate.wait() // handles is complete
				var i int
				_, _ = fmt.Sscanf(string(line), "close %d", &i)
				g.Conn(handles[i]).Close(loop.ReasonApplication)
				g.Conn(handles[i+1]).End(loop.ReasonDone)
			}
			return step(t)
		})
		g, addr = newGroup(t, portable, loop.Options{Loops: 1}, p)
		_, list, those := heldUp(t, addr, clients, conns, entered)
		handles = those
		want := make([]string, clients)
		for i, c := range list {
			want[i] = fmt.Sprintf("own %d\n", i)
			if i%5 == 4 {
				want[i] = fmt.Sprintf("close %d\n", i-4) // and end the one behind it
			}
			c.send(want[i])
		}
		gate.open()
		for i, c := range list {
			switch i % 5 {
			case 0, 1:
				if got := c.rest(); got != want[i] && got != "" {
					t.Errorf("client %d heard %q", i, got)
				}
			default:
				c.expect(want[i])
			}
		}
	})
}
