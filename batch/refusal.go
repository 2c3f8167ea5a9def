package batch

import (
	"encoding/binary"
	"fmt"
)

// RefusalCode says why a connection is refused.
type RefusalCode uint16

// The reasons of version 1. A mesh may refuse for those that Agree does not
// know of.
const (
	RefusedVersion  RefusalCode = 1 + iota // no common version
	RefusedCluster                         // another cluster's label
	RefusedTarget                          // the sender means another process
	RefusedSelf                            // the sender is the receiver
	RefusedLimits                          // the limits differ
	RefusedResume                          // the two do not remember the same link
	RefusedStranger                        // the process is not a member, or not yet
	RefusedDouble                          // another connection of the two was kept
	RefusedLeaving                         // the process is ending
)

// refusalTextMax bounds the text of a Refusal on the wire, in bytes.
const refusalTextMax = 512

// Refusal is the answer to a Hello that is not accepted, and the error that
// both ends get.
type Refusal struct {
	Code RefusalCode
	Text string // for people
}

func (r *Refusal) Error() string { return fmt.Sprintf("batch: refused (%d): %s", r.Code, r.Text) }

func refusef(code RefusalCode, format string, args ...any) *Refusal {
	return &Refusal{Code: code, Text: fmt.Sprintf(format, args...)}
}

// AppendRefusal appends r to dst, its text cut to 512 bytes.
func AppendRefusal(dst []byte, r *Refusal) []byte {
	base := len(dst)
	text := r.Text[:min(len(r.Text), refusalTextMax)]
	dst = appendPrefix(dst, refusalKind)
	dst = binary.LittleEndian.AppendUint16(dst, uint16(r.Code))
	dst = binary.LittleEndian.AppendUint16(dst, uint16(len(text)))
	dst = append(dst, text...)
	return appendChecksum(dst, base)
}

// parseRefusal returns the *Refusal in p, or what is wrong with it.
func parseRefusal(p []byte) error {
	if len(p) < 4 || len(p) < 4+int(binary.LittleEndian.Uint16(p[2:])) {
		return fmt.Errorf("%w: short refusal", ErrFrame)
	}
	text := p[4 : 4+int(binary.LittleEndian.Uint16(p[2:]))]
	return &Refusal{Code: RefusalCode(binary.LittleEndian.Uint16(p)), Text: string(text)}
}
