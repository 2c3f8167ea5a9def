// Package wire reads what servers say: HTTP/1.1 responses as they arrive, the
// events of streams, and JSON-RPC messages, pages of metrics. It is the observers' own, so that
// they cannot share the mistakes of the server under test: nothing here comes
// from, or is used by, a server.
//
// It does no I/O and starts no goroutine. A [Response] belongs to one connection
// and may be used by one goroutine at a time.
package wire
