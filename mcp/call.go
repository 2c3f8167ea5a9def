package mcp

import "context"

// Call is one request being handled.
type Call struct{ s *Server }

// Arguments returns the validated raw arguments; valid until the handler returns.
func (c *Call) Arguments() []byte { return nil }

// Decode decodes the arguments into v.
func (c *Call) Decode(v any) error { return nil }

// Progress tells the client how far the call is; without effect if it did not ask.
func (c *Call) Progress(ctx context.Context, progress, total float64, message string) error {
	return nil
}

// Log sends a log message to the client if it asked for that level.
func (c *Call) Log(ctx context.Context, l Level, logger string, data any) error { return nil }

// Ask sends a request to the client and waits for its answer (raw JSON).
func (c *Call) Ask(ctx context.Context, method string, params any) ([]byte, error) { return nil, nil }
