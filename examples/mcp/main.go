// Mcp is an MCP server with one tool and one resource; connect any MCP client
// to http://127.0.0.1:7680/mcp, or speak to it by hand:
//
//	go run ./examples/mcp &
//	nc 127.0.0.1 7600
package main

import (
	"context"
	"log"
	"os"
	"os/signal"
	"time"

	"github.com/rookery-server/rookery/mcp"
	"github.com/rookery-server/rookery/server"
)

type zoneIn struct {
	Zone string `json:"zone" jsonschema:"name in the IANA database, such as Europe/Vienna"`
}

type zoneOut struct {
	Time string `json:"time"`
}

func main() {
	s, err := server.New(server.Options{Name: "clock", TCP: "127.0.0.1:7600", HTTP: "127.0.0.1:7680"})
	if err != nil {
		log.Fatal(err)
	}
	defer s.Close()

	tool := mcp.Tool{Name: "time_in", Description: "Tells the time in a time zone."}
	err = mcp.AddTool(s.MCP(), tool, func(_ context.Context, _ *mcp.Call, in zoneIn) (zoneOut, error) {
		zone, err := time.LoadLocation(in.Zone)
		if err != nil {
			return zoneOut{}, err
		}
		return zoneOut{time.Now().In(zone).Format(time.RFC1123)}, nil
	})
	if err != nil {
		log.Fatal(err)
	}
	started := time.Now()
	err = s.MCP().AddResource(mcp.Resource{URI: "clock://uptime", Name: "uptime", MIMEType: "text/plain",
		Read: func(_ context.Context, _ *mcp.Call, uri string) ([]mcp.ResourceContents, error) {
			return []mcp.ResourceContents{{URI: uri, Text: time.Since(started).String()}}, nil
		}})
	if err != nil {
		log.Fatal(err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := s.Run(ctx); err != nil {
		log.Print(err)
	}
}
