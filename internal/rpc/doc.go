// Package rpc keeps the calls in flight of a JSON-RPC peer and the questions
// it has asked the other side.
package rpc
