// Chat is a JSON-RPC server on which everybody hears what anybody says:
//
//	go run ./examples/chat &
//	nc 127.0.0.1 7600
//	{"jsonrpc":"2.0","id":1,"method":"join","params":{"name":"Ada"}}
//	{"jsonrpc":"2.0","method":"say","params":{"text":"hello"}}
package main

import (
	"context"
	"log"
	"os"
	"os/signal"
	"sync"

	"github.com/rookery-server/rookery/codec"
	"github.com/rookery-server/rookery/server"
)

type (
	joinIn struct {
		Name string `json:"name"`
	}
	sayIn struct {
		Text string `json:"text"`
	}
	message struct {
		From string `json:"from"`
		Text string `json:"text"`
	}
)

func main() {
	s, err := server.New(server.Options{TCP: "127.0.0.1:7600"})
	if err != nil {
		log.Fatal(err)
	}
	defer s.Close()

	var names sync.Map // server.ConnID → string; 8 bytes name a client for ever
	server.Handle(s, "join", func(ctx context.Context, in joinIn) (string, error) {
		names.Store(server.CallFrom(ctx).Conn(), in.Name)
		return "welcome, " + in.Name, nil
	})
	server.Handle(s, "say", func(ctx context.Context, in sayIn) (int, error) {
		name, ok := names.Load(server.CallFrom(ctx).Conn())
		if !ok {
			return 0, &codec.Error{Code: 1, Message: "join first"}
		}
		return s.Broadcast("said", message{From: name.(string), Text: in.Text})
	})

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := s.Run(ctx); err != nil {
		log.Print(err)
	}
}
