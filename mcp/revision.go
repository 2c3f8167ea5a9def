package mcp

import "strings"

// Revision is a revision of the protocol. Later ones are greater.
type Revision uint8

// The revisions this package speaks.
const (
	RevisionUnknown Revision = iota
	Revision20241105
	Revision20250326
	Revision20250618
	Revision20251125
	Revision20260728 // the first without sessions
)

// lastLegacy is the latest revision that begins with initialize.
const lastLegacy = Revision20251125

// revisionNames are the names on the wire, indexed by Revision.
var revisionNames = [...]string{"", "2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25", "2026-07-28"}

// String returns the name on the wire, "" for RevisionUnknown.
func (r Revision) String() string {
	if int(r) < len(revisionNames) {
		return revisionNames[r]
	}
	return ""
}

// modern reports whether r is of the era without sessions.
func (r Revision) modern() bool { return r >= Revision20260728 }

// parseRevision returns the revision called name, RevisionUnknown if it is none of ours.
func parseRevision(name []byte) Revision {
	for r := len(revisionNames) - 1; r > 0; r-- {
		if revisionNames[r] == string(name) {
			return Revision(r)
		}
	}
	return RevisionUnknown
}

// namesModern reports whether a version, known or not, belongs to the era
// without sessions. Versions are dates and compare as strings.
func namesModern(name []byte) bool { return string(name) >= revisionNames[Revision20260728] }

// supportedJSON lists all revisions as a JSON array, the latest first.
var supportedJSON = func() string {
	var names []string
	for r := len(revisionNames) - 1; r > 0; r-- {
		names = append(names, `"`+revisionNames[r]+`"`)
	}
	return "[" + strings.Join(names, ",") + "]"
}()
