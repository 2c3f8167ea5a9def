package demo

import (
	"context"

	"github.com/rookery-server/rookery/mcp"
)

// announcement is the input of tool broadcast.
type announcement struct {
	Text string `json:"text" jsonschema:"what every session is to hear"`
}

// announced is its output.
type announced struct {
	Notified int `json:"notified" jsonschema:"sessions that were told"`
}

// addBroadcast adds tool broadcast, which sends a text to every session of the
// cluster, the caller's included. It fails if the cluster cannot promise that
// the text survives the loss of a server; it may have been delivered then.
func addBroadcast(m *mcp.Server) error {
	return mcp.AddTool(m, mcp.Tool{
		Name: "broadcast", Title: "Broadcast",
		Description: "Sends its text to every session as a log message of level info.",
	}, func(ctx context.Context, _ *mcp.Call, in announcement) (announced, error) {
		told, err := m.Broadcast(ctx, "", mcp.LevelInfo, "", in.Text)
		return announced{Notified: told}, err
	})
}
