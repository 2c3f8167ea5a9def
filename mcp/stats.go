package mcp

import "sync/atomic"

// Stats counts what happened since the server was made. Its fields are totals
// unless they say otherwise.
type Stats struct {
	// Messages from clients, by kind.
	Requests, Notifications, Answers uint64

	// Outcomes of requests; with those still running they sum to Requests.
	Succeeded     uint64 // a result
	ToolErrors    uint64 // a result with isError
	Refused       uint64 // a protocol error: the request was at fault
	Failed        uint64 // an internal error: the handler was at fault
	Panicked      uint64 // of Failed, handlers that panicked
	Cancelled     uint64 // cancelled by the client or with its connection
	InvalidInputs uint64 // of Refused and ToolErrors, arguments that broke their schema

	// HTTP exchanges refused before a message was looked at.
	BadOrigin, BadHTTP uint64
	// Messages that were no JSON-RPC.
	BadMessages uint64

	SessionsCreated, SessionsEnded, SessionsUnknown uint64
	// Sessions that came home here from another process, and that left.
	SessionsPromoted, SessionsDemoted             uint64
	StreamsOpened, StreamsReplaced, StreamsClosed uint64

	// Streams taken up again with Last-Event-ID, events sent once more for
	// them, and those refused because the log lacks something.
	StreamsResumed, Replayed, ResumesRefused uint64

	// Notifications sent to clients, and those a client did not get because
	// its connection was closed or too slow.
	Sent, SendFailed uint64
	Kept             uint64 // of Sent, those a client without a stream can still come for

	AnswersUnknown uint64 // answers to no open question

	// As they stand.
	Subscriptions, Topics, Listens int
	SubscriptionBytes              int64 // memory of the subscription tables
	Tasks                          TaskStats
}

// counters is Stats while it is counted.
type counters struct {
	requests, notifications, answers                                                atomic.Uint64
	succeeded, toolErrors, refused, failed, panicked, cancelled, invalidInputs      atomic.Uint64
	badOrigin, badHTTP, badMessages                                                 atomic.Uint64
	sessionsCreated, sessionsEnded, sessionsUnknown                                 atomic.Uint64
	streamsOpened, streamsReplaced, streamsClosed, sent, sendFailed, answersUnknown atomic.Uint64
	streamsResumed, replayed, resumesRefused, kept, promoted, demoted, renumbered   atomic.Uint64
}

// Stats returns the counters. They are read one by one while the server runs.
func (s *Server) Stats() Stats {
	c := &s.count
	st := Stats{
		Requests: c.requests.Load(), Notifications: c.notifications.Load(), Answers: c.answers.Load(),
		Succeeded: c.succeeded.Load(), ToolErrors: c.toolErrors.Load(), Refused: c.refused.Load(),
		Failed: c.failed.Load(), Panicked: c.panicked.Load(), Cancelled: c.cancelled.Load(),
		InvalidInputs: c.invalidInputs.Load(),
		BadOrigin:     c.badOrigin.Load(), BadHTTP: c.badHTTP.Load(), BadMessages: c.badMessages.Load(),
		SessionsCreated: c.sessionsCreated.Load(), SessionsEnded: c.sessionsEnded.Load(),
		SessionsUnknown:  c.sessionsUnknown.Load(),
		SessionsPromoted: c.promoted.Load(), SessionsDemoted: c.demoted.Load(),
		StreamsOpened: c.streamsOpened.Load(), StreamsReplaced: c.streamsReplaced.Load(),
		StreamsClosed:  c.streamsClosed.Load(),
		StreamsResumed: c.streamsResumed.Load(), Replayed: c.replayed.Load(), ResumesRefused: c.resumesRefused.Load(),
		Kept: c.kept.Load(),
		Sent: c.sent.Load(), SendFailed: c.sendFailed.Load(), AnswersUnknown: c.answersUnknown.Load(),
	}
	st.Subscriptions, st.Topics, st.Listens, st.SubscriptionBytes = s.subs.stats()
	st.Tasks = s.tasks.snapshot()
	return st
}
