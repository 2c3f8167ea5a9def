package batch

import "errors"

// What a producer is told. The link is as it was.
var (
	ErrFull     = errors.New("batch: the lane is full")
	ErrTooLarge = errors.New("batch: message too large")
)

// What ends a connection: the other end, or something between, broke the
// protocol. The link itself lives on and can be connected again.
var (
	ErrVersion      = errors.New("batch: unknown version")
	ErrChecksum     = errors.New("batch: checksum does not match")
	ErrFrame        = errors.New("batch: malformed frame")
	ErrEpoch        = errors.New("batch: frame of another link")
	ErrSequence     = errors.New("batch: messages are missing")
	ErrAck          = errors.New("batch: acknowledgement of what was not sent")
	ErrCredit       = errors.New("batch: more than was granted")
	ErrNotConnected = errors.New("batch: not connected")
	// ErrResume: the other end asks for messages it has acknowledged, or knows
	// some that were never sent. One of the two has lost its state without
	// taking a new incarnation.
	ErrResume = errors.New("batch: the two ends do not remember the same link")
)

// ErrIncomplete says that the bytes at hand are only the beginning of a Hello.
var ErrIncomplete = errors.New("batch: incomplete")
