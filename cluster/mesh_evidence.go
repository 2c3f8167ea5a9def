package cluster

import "strconv"

// Evidence is what a mesh notices about the life of another process.
type Evidence uint8

// The kinds of evidence.
const (
	// LinkUp: a connection is made and both ends have proven who they are. It
	// may come twice in a row: one connection has replaced another. LinkLost
	// follows at once when one of the two does not take the other for a member,
	// or not yet; such a process need not be among those of SetPeers.
	LinkUp Evidence = iota + 1
	// Heard: bytes came over the connection; said at most every 50 ms.
	Heard
	// LinkEOF: the connection ended from the other side, or was reset. The mesh
	// dials again at once, so that Refused or LinkUp follows within milliseconds
	// when the other machine answers at all.
	LinkEOF
	// LinkLost: the connection ended for another reason, such as damaged bytes
	// or a peer that reads nothing. It proves nothing.
	LinkLost
	// Silent: nothing came for SilenceTimeout and the connection was given up.
	Silent
	// Refused: nobody listens where the process did, or its supervisor says that
	// this worker is not running.
	Refused
	// Replaced: another incarnation answers where the process did.
	Replaced
	// Failed: dialling failed otherwise, or there was no answer in time. It
	// proves nothing.
	Failed
)

var evidenceNames = [...]string{
	LinkUp: "link up", Heard: "heard", LinkEOF: "link ended", LinkLost: "link lost",
	Silent: "silent", Refused: "refused", Replaced: "replaced", Failed: "unreachable",
}

// String returns the evidence in words, for logs.
func (e Evidence) String() string {
	if int(e) < len(evidenceNames) && evidenceNames[e] != "" {
		return evidenceNames[e]
	}
	return "evidence " + strconv.Itoa(int(e))
}
