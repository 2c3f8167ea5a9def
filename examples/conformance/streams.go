package main

import (
	"context"
	"errors"
	"time"

	"github.com/rookery-server/rookery/mcp"
)

const (
	reconnectAfter = 100 * time.Millisecond // what clients are told
	awayFor        = 300 * time.Millisecond // what the call takes while they are away
)

// addStreams adds the tools that are about the streams of calls.
func addStreams(s *mcp.Server) error {
	return s.AddTool(mcp.Tool{
		Name: "test_reconnection", Description: "Sends the client away and answers when it comes back (SEP-1699).",
		Handle: func(ctx context.Context, c *mcp.Call) (*mcp.ToolResult, error) {
			// Where a client could not come back its stream stays open.
			if err := c.CloseStream(reconnectAfter); err != nil && !errors.Is(err, mcp.ErrCannotResume) {
				return nil, err
			}
			if err := pause(ctx, awayFor); err != nil {
				return nil, err
			}
			return mcp.Text("Reconnection test completed successfully."), nil
		},
	})
}
