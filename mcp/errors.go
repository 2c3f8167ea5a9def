package mcp

import (
	"errors"

	"github.com/rookery-server/rookery/codec"
)

// Error codes beyond those of JSON-RPC. The protocol keeps -32020 to -32099
// for itself and leaves -32000 to -32019 to implementations.
const (
	CodeSessionNotFound    = -32001 // with HTTP 404; the code other implementations use
	CodeResourceNotFound   = -32002 // until 2025-11-25; later CodeInvalidParams
	CodeHeaderMismatch     = -32020 // a required header is missing or differs from the body
	CodeMissingCapability  = -32021 // the client did not declare what the request needs
	CodeUnsupportedVersion = -32022 // data lists the supported versions
	// CodeURLElicitationRequired says that the user must open a URL first
	// (2025-11-25).
	CodeURLElicitationRequired = -32042
	CodeCancelled              = -32800 // the client cancelled the request
)

// Errors a handler may meet when it talks to the client.
var (
	// ErrClientGone is the cause of calls cancelled with their connection.
	ErrClientGone = errors.New("mcp: the client's connection is closed")
	// ErrSessionEnded is the cause of calls cancelled with their session.
	ErrSessionEnded = errors.New("mcp: the session has ended")
	// ErrCancelled is the cause of calls the client cancelled.
	ErrCancelled = errors.New("mcp: cancelled by the client")
	// ErrCallOver says that the handler has already returned.
	ErrCallOver = errors.New("mcp: the call is over")
	// ErrNoStream says that nothing can reach the client beside the response:
	// it does not accept a stream as response and has none open.
	ErrNoStream = errors.New("mcp: the client has no stream open")
	// ErrCannotResume says that a client sent away could not come back for the
	// rest: its revision or its transport has no way.
	ErrCannotResume = errors.New("mcp: the client cannot take up this call's stream again")
	// ErrCannotAsk says that this call cannot ask the client: it runs on the
	// loop, has no session yet, or its revision has no such question.
	ErrCannotAsk = errors.New("mcp: the client cannot be asked during this call")
	// ErrBackend says that nothing can be registered, because a Backend answers.
	ErrBackend = errors.New("mcp: a backend answers in the place of what is registered")
)

func refuse(code int, message string) *codec.Error {
	return &codec.Error{Code: code, Message: message}
}

// Errors that are always the same are made once; nobody changes them.
var (
	errNoParams       = refuse(codec.CodeInvalidParams, "params must be an object")
	errNotInitialized = refuse(codec.CodeInvalidRequest, "initialize comes first")
	errInitializeOnce = refuse(codec.CodeInvalidRequest, "the session is already initialized")
	errUnknownMethod  = refuse(codec.CodeMethodNotFound, "method not found")
	errUnknownSession = refuse(CodeSessionNotFound, "session not found")
	errElsewhere      = refuse(codec.CodeOverloaded, "the session is moving to another server: try again")
	errMovedCall      = refuse(codec.CodeOverloaded, "the session moved to another server while the request ran")
	errNotCovered     = refuse(CodeSessionNotFound, "the events after Last-Event-ID are not kept any more: begin a new session")
	errSessionHeader  = refuse(codec.CodeInvalidRequest, "the Mcp-Session-Id header is required")
	errBadCursor      = refuse(codec.CodeInvalidParams, "invalid cursor")
	errNullID         = refuse(codec.CodeInvalidRequest, "the id of a request must not be null")
	errNoBatch        = refuse(codec.CodeInvalidRequest, "this revision has no batches")
	errTooMany        = refuse(codec.CodeOverloaded, "too many sessions")
	errNoResponses    = refuse(codec.CodeInvalidRequest, "this revision has no requests from the server to answer")
	errInternal       = refuse(codec.CodeInternal, "internal error")
	errWasCancelled   = refuse(CodeCancelled, "request cancelled")
	errBadState       = refuse(codec.CodeInvalidParams, "requestState is not of this server and this request, or too old")
	errBadResponses   = refuse(codec.CodeInvalidParams, "inputResponses must be an object of objects")
	errWaiting        = refuse(codec.CodeOverloaded, "too many calls are waiting")
)
