package fleet

import (
	"errors"
	"log/slog"
	"net"
	"testing"
	"time"
)

func TestPreamble(t *testing.T) {
	for _, worker := range []uint16{0, 1, 513, 65535} {
		a, b := net.Pipe()
		go func() { _, _ = a.Write(append(AppendPreamble(nil, worker), 'x')) }()
		got, err := ReadPreamble(b)
		if err != nil || got != worker {
			t.Errorf("worker %d, %v; want %d", got, err, worker)
		}
		rest := make([]byte, 4) // the byte behind it is still there
		if n, err := b.Read(rest); err != nil || n != 1 || rest[0] != 'x' {
			t.Errorf("then %d bytes, %v", n, err)
		}
		a.Close()
		b.Close()
	}
}

func TestPreambleRefused(t *testing.T) {
	for _, bad := range []string{"", "RKY", "GET / HT", "RKY2\x00\x00\x00\x00", "RKY1\x00\x01\x00\x01"} {
		a, b := net.Pipe()
		go func() { _, _ = a.Write([]byte(bad)); a.Close() }()
		if _, err := ReadPreamble(b); !errors.Is(err, ErrPreamble) {
			t.Errorf("%q: %v", bad, err)
		}
		b.Close()
	}
	a, b := net.Pipe() // says nothing
	defer a.Close()
	defer b.Close()
	var ne net.Error
	if _, err := ReadPreamble(b); !errors.As(err, &ne) || !ne.Timeout() {
		t.Errorf("silence: %v", err)
	}
}

// moody is a listener that fails before it serves.
type moody struct {
	net.Listener
	fail chan error
}

func (l moody) Accept() (net.Conn, error) {
	select {
	case err := <-l.fail:
		return nil, err
	default:
		return l.Listener.Accept()
	}
}

// TestDealGoesOn after an accept that failed, and ends with its listener.
func TestDealGoesOn(t *testing.T) {
	in, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := moody{in, make(chan error, 1)}
	l.fail <- errors.New("too many open files")
	got := make(chan uint16, 1)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		Deal(l, func(worker uint16, c net.Conn) { got <- worker; c.Close() }, slog.New(slog.DiscardHandler))
	}()
	for _, first := range []string{"nonsense", string(AppendPreamble(nil, 7))} {
		c, err := net.Dial("tcp", in.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(15 * time.Second))
		if _, err := c.Write([]byte(first)); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Read(make([]byte, 1)); err == nil {
			t.Error("somebody answers")
		}
	}
	if worker := <-got; worker != 7 {
		t.Errorf("worker %d", worker)
	}
	in.Close()
	<-ended
}
