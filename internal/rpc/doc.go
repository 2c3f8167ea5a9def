// Package rpc keeps what a JSON-RPC peer must remember between messages: the
// calls it is running, so that a cancellation finds them, and the questions it
// has asked the other side, so that an answer finds the handler that waits.
//
// It promises:
//
//   - A call costs no goroutine, no timer and no channel unless its handler
//     looks at Done; a Flight may be part of a larger object, so that
//     registering a call allocates nothing in steady state.
//   - An id means something only within its Scope, a connection or a session:
//     no client can cancel another's call or answer another's question.
//   - Cancel, CancelScope and Answer never block and are safe from any
//     goroutine, an event loop included.
//   - Open questions are bounded by the table; each is answered, abandoned or
//     failed exactly once, and a late answer is refused.
//
// What runs a call, how a question travels and who bounds the number of
// calls is the caller's business.
package rpc
