package loop

// A Reason says why a connection was closed; closes are counted by it.
type Reason uint8

const (
	ReasonNone           Reason = iota // not closed
	ReasonPeerClosed                   // the peer finished and nothing was left to do
	ReasonPeerReset                    // reset, or an error of the socket
	ReasonDone                         // the protocol ended it in the ordinary way
	ReasonProtocol                     // malformed or forbidden input
	ReasonTooLarge                     // a message beyond its limit
	ReasonTruncated                    // the peer finished in the middle of a message
	ReasonHandshake                    // no complete message within HandshakeTimeout
	ReasonIdle                         // silent for IdleTimeout
	ReasonRequestTimeout               // a message took longer than RequestTimeout to arrive
	ReasonSlow                         // held output reached OutMax or made no progress for WriteStall
	ReasonBudget                       // the process-wide byte budget was used up
	ReasonPanic                        // a protocol method panicked on the loop
	ReasonShutdown                     // the group stopped
	ReasonApplication                  // the application asked for it
	reasonCount
)

var reasonNames = [reasonCount]string{
	"none", "peer_closed", "peer_reset", "done", "protocol_error", "too_large", "truncated",
	"handshake_timeout", "idle", "request_timeout", "slow_client", "byte_budget", "panic",
	"shutdown", "application",
}

// String returns the reason's name as metrics show it.
func (r Reason) String() string {
	if r < reasonCount {
		return reasonNames[r]
	}
	return "unknown"
}

// Reasons returns all reasons, for whoever exports the counters.
func Reasons() []Reason {
	all := make([]Reason, reasonCount)
	for i := range all {
		all[i] = Reason(i)
	}
	return all
}
