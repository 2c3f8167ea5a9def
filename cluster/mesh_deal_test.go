package cluster

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"testing"
	"time"
)

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

// TestDeal goes on after an accept that failed, gives each connection to the
// worker its preamble names, says so when there is none, and ends with its
// listener.
func TestDeal(t *testing.T) {
	in, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := moody{in, make(chan error, 1)}
	l.fail <- errors.New("too many open files")
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		Deal(l, func(worker uint16, c net.Conn) error {
			switch worker {
			case 7:
				_, err := io.WriteString(c, "seven")
				return err
			case 8:
				return errors.New("does not take it")
			}
			return ErrNoWorker
		}, slog.New(slog.DiscardHandler))
	}()
	for _, tt := range []struct{ first, answer string }{
		{"nonsense", ""}, {"short", ""},
		{string(AppendPreamble(nil, 7)), "seven"},
		{string(AppendPreamble(nil, 8)), ""},
		{string(AppendPreamble(nil, 9)), gone},
		{string(AppendPreamble(nil, 9)) + "what follows is not read", gone},
	} {
		c, err := net.Dial("tcp", in.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		_ = c.SetDeadline(time.Now().Add(15 * time.Second))
		if _, err := c.Write([]byte(tt.first)); err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(c)
		if string(got) != tt.answer || tt.answer != "" && err != nil {
			t.Errorf("%q: answered %q, %v", tt.first, got, err)
		}
		c.Close()
	}
	in.Close()
	<-ended
}
