package server

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/rookery-server/rookery/loop"
)

func TestNotify(t *testing.T) {
	eachBackend(t, func(t *testing.T, o Options) {
		ids := make(chan ConnID, 1)
		s := startServer(t, o, func(s *Server) {
			testMethods(s)
			s.HandleRaw("hello", func(c *Call) error { ids <- c.Conn(); return nil }, Inline())
		})
		p := dial(t, s.TCPAddr())
		p.ask(`{"jsonrpc":"2.0","id":1,"method":"hello"}`)
		id := <-ids
		tests := []struct {
			name   string
			params any
			want   string
			err    error
		}{
			{"none", nil, `{"jsonrpc":"2.0","method":"m"}`, nil},
			{"value", map[string]int{"a": 1}, `{"jsonrpc":"2.0","method":"m","params":{"a":1}}`, nil},
			{"raw", []byte("[1,\n2]"), `{"jsonrpc":"2.0","method":"m","params":[1, 2]}`, nil},
			{"raw message", json.RawMessage(`{}`), `{"jsonrpc":"2.0","method":"m","params":{}}`, nil},
			{"scalar", 7, "", ErrParams},
			{"no JSON", []byte("{"), "", ErrParams},
		}
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				if err := s.Notify(id, "m", tt.params); !errors.Is(err, tt.err) {
					t.Fatalf("Notify: %v", err)
				}
				if tt.err != nil {
					return
				}
				if got := p.line(); got != tt.want {
					t.Errorf("got %s", got)
				}
			})
		}
		if err := s.Notify(id, "m", func() {}); err == nil {
			t.Error("a function was sent")
		}
		p.c.Close()
		eventually(t, "closed", func() bool { return errors.Is(s.Notify(id, "m", nil), loop.ErrClosed) })
		for _, stale := range []ConnID{0, id + 1, id + 1<<32, 1 << 63, ^ConnID(0)} {
			if err := s.Notify(stale, "m", nil); !errors.Is(err, loop.ErrClosed) {
				t.Errorf("%x: %v", stale, err)
			}
		}
	})
}

// TestNotifyRefusesHTTP: a notification must not land in an HTTP response.
func TestNotifyRefusesHTTP(t *testing.T) {
	s := startServer(t, Options{}, nil)
	p := dial(t, s.HTTPAddr())
	p.begin()
	for index := range 8 {
		for l := range 2 {
			for gen := range uint32(8) {
				if err := s.Notify(join(l, index, gen), "m", nil); err == nil {
					t.Errorf("sent to an HTTP connection: %x", join(l, index, gen))
				}
			}
		}
	}
}

func TestBroadcast(t *testing.T) {
	const clients = 600
	eachBackend(t, func(t *testing.T, o Options) {
		s := startServer(t, o, testMethods)
		dial(t, s.HTTPAddr()).begin()
		peers := make([]*peer, clients)
		for i := range peers {
			peers[i] = dial(t, s.TCPAddr())
		}
		eventually(t, "all are open", func() bool { return s.Stats().Clients == clients })
		if n, err := s.Broadcast("news", []int{1}); n != clients || err != nil {
			t.Errorf("sent to %d, %v", n, err)
		}
		for _, p := range peers {
			if got := p.line(); got != `{"jsonrpc":"2.0","method":"news","params":[1]}` {
				t.Errorf("got %s", got)
			}
			p.c.Close()
		}
		eventually(t, "all are gone", func() bool { return s.Stats().Clients == 0 })
		if n, err := s.Broadcast("news", nil); n != 0 || err != nil {
			t.Errorf("sent to %d, %v", n, err)
		}
		if _, err := s.Broadcast("news", "text"); !errors.Is(err, ErrParams) {
			t.Errorf("text as params: %v", err)
		}
	})
}
