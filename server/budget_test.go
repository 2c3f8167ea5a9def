package server

import (
	"io"
	"net"
	"strconv"
	"testing"
	"time"
	"unsafe"

	"github.com/rookery-server/rookery/loop"
)

// skipUnderRace: the race detector allocates.
func skipUnderRace(t testing.TB) {
	t.Helper()
	if raceEnabled {
		t.Skip("allocations are not counted under the race detector, which makes some of its own")
	}
}

func echoLine(method string) []byte {
	return []byte(`{"jsonrpc":"2.0","id":12345,"method":"` + method + `","params":{"text":"hello, world"}}` + "\n")
}

// turns feeds a line to the protocol as a loop would, without one.
func turns(t testing.TB, line []byte) (once func() []byte) {
	s, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	testMethods(s)
	p := newLines(s)
	var turn loop.Turn
	var job loop.Job
	var scan [2]uint64
	return func() []byte {
		turn.In, turn.N, turn.Out, turn.Record, turn.Scan = line, 0, turn.Out[:0], turn.Record[:0], &scan
		switch v := p.Step(&turn); v {
		case loop.Next:
			return turn.Out
		case loop.Work:
			job.Record, job.Out = turn.Record, job.Out[:0]
			p.Work(&job)
			return job.Out
		default:
			t.Fatalf("verdict %d", v)
			return nil
		}
	}
}

func TestEchoAllocatesNothing(t *testing.T) {
	skipUnderRace(t)
	const want = `{"jsonrpc":"2.0","id":12345,"result":{"text":"hello, world"}}` + "\n"
	for _, method := range []string{"echo", "echo.worker"} {
		t.Run(method+" in memory", func(t *testing.T) {
			once := turns(t, echoLine(method))
			if got := string(once()); got != want {
				t.Fatalf("got %s", got)
			}
			if n := testing.AllocsPerRun(2000, func() { once() }); n != 0 {
				t.Errorf("%v allocations", n)
			}
		})
		t.Run(method+" over a socket", func(t *testing.T) {
			s := startServer(t, Options{}, testMethods)
			once := socketEcho(t, s.TCPAddr(), echoLine(method), len(want))
			if got := string(once()); got != want {
				t.Fatalf("got %s", got)
			}
			// The average of all allocations of the process: client, server,
			// and what its janitor does once a second.
			if n := testing.AllocsPerRun(5000, func() { once() }); n != 0 {
				t.Errorf("%v allocations", n)
			}
		})
	}
}

// socketEcho sends a line and reads an answer of n bytes.
func socketEcho(t testing.TB, addr net.Addr, line []byte, n int) func() []byte {
	t.Helper()
	c, err := net.Dial(addr.Network(), addr.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, n)
	return func() []byte {
		if _, err := c.Write(line); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(c, buf); err != nil {
			t.Fatal(err)
		}
		return buf
	}
}

// TestRosterBudget: what this package keeps of an idle client.
func TestRosterBudget(t *testing.T) {
	const clients = 18_000
	var r roster
	for i := range clients {
		r.add(join(i%2, i/2, 1))
	}
	if per := float64(r.bytes.Load()) / clients; per > 5 {
		t.Errorf("%.2f bytes a client", per)
	}
	if n := unsafe.Sizeof(roster{}); n > 1100 {
		t.Errorf("an empty roster is %d bytes", n)
	}
}

func BenchmarkEcho(b *testing.B) {
	for _, method := range []string{"echo", "echo.worker", "add"} {
		b.Run(method, func(b *testing.B) {
			line := echoLine(method)
			if method == "add" {
				line = []byte(`{"jsonrpc":"2.0","id":12345,"method":"add","params":{"A":1,"B":2}}` + "\n")
			}
			once := turns(b, line)
			b.ReportAllocs()
			for b.Loop() {
				once()
			}
		})
	}
}

func BenchmarkSocketEcho(b *testing.B) {
	for _, method := range []string{"echo", "echo.worker"} {
		b.Run(method, func(b *testing.B) {
			s, err := New(Options{TCP: "127.0.0.1:0"})
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(s.Close)
			testMethods(s)
			if err := s.Start(); err != nil {
				b.Fatal(err)
			}
			want := len(`{"jsonrpc":"2.0","id":12345,"result":{"text":"hello, world"}}` + "\n")
			once := socketEcho(b, s.TCPAddr(), echoLine(method), want)
			b.ReportAllocs()
			for b.Loop() {
				once()
			}
		})
	}
}

// BenchmarkRosterEach is the walk of a broadcast without its writes.
func BenchmarkRosterEach(b *testing.B) {
	for _, n := range []int{1000, 100_000} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			var r roster
			for i := range n {
				r.add(join(i%2, i/2, 1))
			}
			for b.Loop() {
				seen := 0
				r.each(func(ConnID) bool { seen++; return true })
				if seen != n {
					b.Fatal(seen)
				}
			}
		})
	}
}
